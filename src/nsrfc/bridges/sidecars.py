"""Sidecars: a file of XMP beside each picture, with the regions of the people on it.

``IMG_1.jpg.xmp`` stands beside ``IMG_1.jpg``, where immich, digiKam and PhotoPrism look for it. Pictures
are only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nsrfc.bridges.confirmed import ConfirmedFace, by_photo
from nsrfc.bridges.pictures import check_pictures, located, look_at
from nsrfc.bridges.xmp import Region, with_regions
from nsrfc.errors import InputError
from nsrfc.progress import Progress
from nsrfc.storage.files import kind_of, reading
from nsrfc.storage.outputs import atomic_path

__all__ = ["Sidecars", "write_sidecars"]

_MOST = 1 << 24
"""Bytes of a sidecar."""


@dataclass
class Sidecars:
    """What was written.

    Attributes
    ----------
    files : list of Path
        Sidecars that were new, or changed.
    regions : int
        Faces in all sidecars.
    left_out : list of str
        Pictures that got none, and why.
    """

    files: list[Path] = field(default_factory=list)
    regions: int = 0
    left_out: list[str] = field(default_factory=list)


def write_sidecars(
    faces: list[ConfirmedFace],
    root: Path,
    prefix: str = "",
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Sidecars:
    """Write the sidecars of all pictures with confirmed faces, each whole or not at all.

    Parameters
    ----------
    faces : list of ConfirmedFace
    root : Path
        Folder of the pictures.
    prefix : str
        What photos begin with in the library, where ``root`` is the folder here.
    dry_run : bool
        Whether nothing is written.
    progress : Progress, optional

    Raises
    ------
    InputError
        If there is no folder ``root``, or a file cannot be written; those before it stay.
    OptionalDependencyError
        If Pillow is not installed.
    """
    check_pictures(root)
    found, photos = Sidecars(), by_photo(faces)
    with (progress or Progress()).stage("pictures", len(photos)) as advance:
        for photo, own in photos.items():
            advance(1)
            path = located(photo, root, prefix)
            placed = [face for face in own if face.box is not None]
            if path is None or not placed:
                why = "it is not known where the faces are" if path else f"no such picture in {root}"
                found.left_out.append(f"{photo}: {why}")
                continue
            target = path.with_name(f"{path.name}.xmp")
            try:
                before, after = _before_and_after(target, path, placed)
            except InputError as error:
                found.left_out.append(f"{photo}: {str(error).rstrip('.')}")
                continue
            found.regions += len(placed)
            if after != before:
                found.files.append(target)
                if not dry_run:
                    with atomic_path(target) as temporary:
                        temporary.write_bytes(after)
    return found


def _before_and_after(
    target: Path, path: Path, faces: list[ConfirmedFace]
) -> tuple[bytes | None, bytes]:
    picture, before = look_at(path), _content(target)
    regions = [Region(face.name, picture.stored(face.box)) for face in faces if face.box is not None]
    return before, with_regions(before, regions, picture.width, picture.height)


def _content(path: Path) -> bytes | None:
    kind = kind_of(path)
    if kind is None:
        return None
    if kind != "file" or path.stat().st_size > _MOST:
        raise InputError(f"{path.name} is no sidecar: remove it.")
    with reading(path):
        return path.read_bytes()
