"""Reading a picture: its pixels as they are meant to be seen, and when it was taken."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nsrfc.errors import InputError, OptionalDependencyError, printable, shortened
from nsrfc.photos.faces import Picture

__all__ = ["SUFFIXES", "ReadPicture", "Walk", "check_folder", "pictures_in", "read_picture"]

HEIC = ".heic", ".heif", ".hif"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", *HEIC)

_EXIF, _TAKEN, _MADE, _CHANGED = 0x8769, 0x9003, 0x9004, 0x0132
"""Tags: the folder of EXIF, DateTimeOriginal and DateTimeDigitized in it, and DateTime."""


@dataclass
class Walk:
    """What is in a folder.

    Attributes
    ----------
    pictures : list of Path
        Files with the suffix of a picture, in order of their paths.
    others : Counter
        Number of other files by suffix.
    problems : list of (str, str)
        Paths that cannot be looked at, and why.
    """

    pictures: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)


def pictures_in(folder: Path, without: Path | None = None) -> Walk:
    """List the pictures in a folder and all folders below it, hidden ones aside.

    Links to folders are not followed, as they may lead in a circle.

    Parameters
    ----------
    folder : Path
    without : Path, optional
        A folder that is left out as well.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    check_folder(folder)
    found = Walk()

    def unreadable(error: OSError) -> None:
        found.problems.append((str(error.filename), error.strerror or "it cannot be listed"))

    for place, folders, files in os.walk(folder, onerror=unreadable):
        seen = (name for name in folders if not name.startswith(".") and Path(place, name) != without)
        folders[:] = sorted(seen)
        for name in sorted(files):
            path = Path(place, name)
            suffix = path.suffix.lower()
            if name.startswith("."):
                continue
            if suffix not in SUFFIXES:
                found.others[suffix or "without a suffix"] += 1
            elif not _is_text(str(path)):
                found.problems.append((printable(str(path)), "its name is not UTF-8: rename it"))
            else:
                found.pictures.append(path)
    return found


def check_folder(folder: Path) -> None:
    """Refuse a folder of pictures that is none.

    Raises
    ------
    InputError
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the folder of your pictures.")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class ReadPicture:
    """A picture in memory.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (h, w, 3)
        RGB, upright.
    taken : str or None
        When it was taken, ISO 8601, by what the camera wrote into it.
    """

    pixels: Picture
    taken: str | None

    @property
    def sha256(self) -> str:
        """SHA-256 of size and pixels."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(self.pixels.data)
        return digest.hexdigest()


def read_picture(path: Path) -> ReadPicture:
    """Read a picture, upright by whichever of the eight orientations of EXIF it has.

    Of several frames the first is read; what is transparent keeps its colour.

    Raises
    ------
    InputError
        If it cannot be read, with the reason.
    """
    if path.suffix.lower() in HEIC:
        _register_heic()
    try:
        with warnings.catch_warnings():
            # Cameras make pictures of 200 megapixels; what is more is refused as an error.
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                taken = _taken(image)
                upright = ImageOps.exif_transpose(image)
                pixels = np.ascontiguousarray(_as_rgb(upright))
    except MemoryError:
        raise InputError(f"{path}: there is not enough memory for it.") from None
    except Exception as error:
        # Pillow's plugins raise a dozen types on damaged files.
        raise InputError(f"{path}: {_why(error)}.") from None
    return ReadPicture(pixels, taken)


def _as_rgb(image: Image.Image) -> Picture:
    if image.mode.startswith("I;16"):  # convert() would cut off all above 255
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))


def _taken(image: Image.Image) -> str | None:
    """Return the date of the first tag that holds one; cameras whose clock was not set write zeros."""
    tags = image.getexif()
    inner = tags.get_ifd(_EXIF)
    for value in (inner.get(_TAKEN), inner.get(_MADE), tags.get(_CHANGED)):
        try:
            return date.fromisoformat(str(value)[:10].replace(":", "-")).isoformat()
        except ValueError:
            continue
    return None


def _register_heic() -> None:
    try:
        import pi_heif
    except ModuleNotFoundError:
        raise OptionalDependencyError("pi_heif", "photos") from None
    pi_heif.register_heif_opener()


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is gone"
    if isinstance(error, PermissionError):
        return "it may not be read"
    if isinstance(error, UnidentifiedImageError):
        return "it is damaged, or no picture"
    if isinstance(error, Image.DecompressionBombError):
        return "it has more than 178 megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = str(error) or type(error).__name__
    return shortened(words[0].lower() + words[1:], 120).rstrip(".")
