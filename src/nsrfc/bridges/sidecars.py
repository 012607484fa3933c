"""Sidecars: a file of XMP beside each picture, with the regions of the people on it.

``IMG_1.jpg.xmp`` stands beside ``IMG_1.jpg``, where immich, digiKam and PhotoPrism look for it. Pictures
are only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nsrfc.bridges.confirmed import ConfirmedFace, by_photo
from nsrfc.bridges.pictures import located, look_at
from nsrfc.bridges.xmp import Region, with_regions
from nsrfc.errors import InputError
from nsrfc.progress import Progress
from nsrfc.storage.files import atomic_path, kind_of, reading

__all__ = ["Sidecars", "sidecars", "write_sidecars"]

_MOST = 1 << 24
"""Bytes of a sidecar."""


@dataclass
class Sidecars:
    """What is to be written.

    Attributes
    ----------
    files : dict of Path to bytes
        New content of each sidecar that changes.
    regions : int
        Faces in all sidecars.
    left_out : list of str
        Pictures that get none, and why.
    """

    files: dict[Path, bytes] = field(default_factory=dict)
    regions: int = 0
    left_out: list[str] = field(default_factory=list)


def sidecars(
    faces: list[ConfirmedFace], root: Path, prefix: str = "", progress: Progress | None = None
) -> Sidecars:
    """Make the sidecars of all pictures with confirmed faces; nothing is written.

    Parameters
    ----------
    faces : list of ConfirmedFace
    root : Path
        Folder of the pictures.
    prefix : str
        What photos begin with in the library, where ``root`` is the folder here.
    progress : Progress, optional

    Raises
    ------
    InputError
        If there is no folder ``root``.
    OptionalDependencyError
        If Pillow is not installed.
    """
    if kind_of(root) != "folder":
        raise InputError(f"There is no folder {root}: name that of the pictures.")
    found, photos = Sidecars(), by_photo(faces)
    with (progress or Progress()).stage("pictures", len(photos)) as advance:
        for photo, own in photos.items():
            advance(1)
            path = located(photo, root, prefix)
            if path is None:
                found.left_out.append(f"{photo}: no such picture in {root}")
                continue
            placed = [face for face in own if face.box is not None]
            if not placed:
                found.left_out.append(f"{photo}: it is not known where the faces are")
                continue
            try:
                _make(found, path, placed)
            except InputError as error:
                found.left_out.append(f"{photo}: {error}")
    return found


def write_sidecars(found: Sidecars) -> None:
    """Write sidecars, each whole or not at all.

    Raises
    ------
    InputError
        If one cannot be written.
    """
    for path, data in found.files.items():
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)


def _make(found: Sidecars, path: Path, faces: list[ConfirmedFace]) -> None:
    picture = look_at(path)
    regions = [Region(face.name, picture.stored(face.box)) for face in faces if face.box is not None]
    target = path.with_name(f"{path.name}.xmp")
    before = _content(target)
    after = with_regions(before, regions, picture.width, picture.height)
    found.regions += len(regions)
    if after != before:
        found.files[target] = after


def _content(path: Path) -> bytes | None:
    kind = kind_of(path)
    if kind is None:
        return None
    if kind != "file" or path.stat().st_size > _MOST:
        raise InputError(f"{path.name} is no sidecar: remove it.")
    with reading(path):
        return path.read_bytes()
