"""Pictures as they are stored and as they are shown: size, EXIF orientation, and boxes in either."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nsrfc.bridges.record import Box, share_of
from nsrfc.errors import InputError, OptionalDependencyError, shown
from nsrfc.storage.files import kind_of, reading

if TYPE_CHECKING:
    from PIL import Image as Images

__all__ = ["Picture", "box_on", "check_pictures", "located", "look_at"]

_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Picture:
    """What the file of a picture says of itself.

    Attributes
    ----------
    width, height : int
        As it is stored, in pixels.
    orientation : int
        EXIF, 1 to 8: how it is turned and mirrored to be shown.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        turned = self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)

    def stored(self, box: Box) -> Box:
        """Return a box, given in shares of the picture as it is shown, in shares as it is stored."""
        left, top, right, bottom = box
        x, y = (left, right), (top, bottom)
        back_x, back_y = (1 - right, 1 - left), (1 - bottom, 1 - top)
        across, down = {
            1: (x, y),
            2: (back_x, y),
            3: (back_x, back_y),
            4: (x, back_y),
            5: (y, x),
            6: (y, back_x),
            7: (back_y, back_x),
            8: (back_y, x),
        }[self.orientation]
        return across[0], down[0], across[1], down[1]

    def shown(self, box: Box) -> Box:
        """Return a box, given in shares of the picture as it is stored, in shares as it is shown."""
        # A quarter turn is taken back by the other one; every other change by itself.
        other = {6: 8, 8: 6}.get(self.orientation, self.orientation)
        return Picture(self.width, self.height, other).stored(box)


def look_at(path: Path) -> Picture:
    """Read size and orientation of a picture; its pixels are not decoded.

    Raises
    ------
    InputError
        If it cannot be read.
    OptionalDependencyError
        If Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise OptionalDependencyError("Pillow", "bridges") from None
    with suppress(ImportError):  # without it, HEIC is one more kind of file that cannot be read
        from pi_heif import register_heif_opener

        register_heif_opener()
    with reading(path), Image.open(path) as image:
        width, height = image.size
        turned: int = image.info.get("original_orientation") or 0
        if turned not in range(1, 9):
            return Picture(width, height, _orientation(image))
        # pi-heif has turned the picture as it is shown.
        return Picture(height, width, turned) if turned >= 5 else Picture(width, height, turned)


def _orientation(image: Images.Image) -> int:
    found = image.getexif().get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def check_pictures(root: Path) -> None:
    """Refuse a folder of pictures that is not there.

    Raises
    ------
    InputError
    """
    if kind_of(root) != "folder":
        raise InputError(f"There is no folder {shown(str(root))}: name that of the pictures.")


def located(photo: str, root: Path, prefix: str = "") -> Path | None:
    """Find the file of a picture in a folder of pictures.

    Parameters
    ----------
    photo : str
        Path as a program writes it.
    root : Path
    prefix : str
        What the paths begin with in the program, where its folder is ``root`` here.

    Returns
    -------
    Path or None
        Inside of ``root``; None if there is no such file.
    """
    if not photo.startswith(prefix):
        return None
    # A path of a program must not lead out of the folder.
    rest = PurePosixPath(photo.removeprefix(prefix).lstrip("/") if prefix else photo)
    if not rest.is_absolute() and ".." in rest.parts:
        return None
    path = Path(photo) if rest.is_absolute() else root / rest
    inside = path.resolve().is_relative_to(root.resolve())
    return path if inside and kind_of(path) == "file" else None


def box_on(root: Path | None, photo: str | None, box: Sequence[float | None]) -> Box | None:
    """Turn a box in pixels of a picture, as it is shown, into shares; None if they cannot be known."""
    if root is None or photo is None or None in box:
        return None
    check_pictures(root)
    path = located(photo, root)
    if path is None:
        return None
    try:
        size = look_at(path).shown_size
    except InputError:
        return None
    left, top, right, bottom = (float(end) for end in box if end is not None)
    return share_of(left, top, right, bottom, *size)
