"""A folder for each person, with links to their pictures, or copies of them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from nsrfc.bridges.confirmed import ConfirmedFace, by_photo
from nsrfc.bridges.pictures import check_pictures, located
from nsrfc.storage.outputs import atomic_folder

__all__ = ["folders_of_people", "write_folders"]

_RECORD = "people.txt"
_FORBIDDEN = str.maketrans(dict.fromkeys('/\\:*?"<>|', "_"))
_MOST_BYTES = 120


def folders_of_people(
    faces: list[ConfirmedFace], root: Path, prefix: str = ""
) -> tuple[dict[Path, Path], list[str]]:
    """Say which picture stands where; nothing is written.

    Parameters
    ----------
    faces : list of ConfirmedFace
    root : Path
        Folder of the pictures.
    prefix : str
        What photos begin with in the library, where ``root`` is the folder here.

    Returns
    -------
    files : dict of Path to Path
        Picture of each path, such as ``Anna/IMG_1.jpg``.
    left_out : list of str
        Photos that have none, and why.

    Raises
    ------
    InputError
        If there is no folder ``root``.
    """
    check_pictures(root)
    folder_of = _folder_names({face.person: face.name for face in faces})
    files: dict[Path, Path] = {}
    left_out = []
    for photo, own in by_photo(faces).items():
        path = located(photo, root, prefix)
        if path is None:
            left_out.append(f"{photo}: no such picture in {root}")
            continue
        for person in sorted({face.person for face in own}):
            target, number = Path(folder_of[person], path.name), 1
            while target in files:
                number += 1
                target = target.with_name(f"{path.stem} ({number}){path.suffix}")
            files[target] = path
    return files, left_out


def write_folders(output: Path, files: dict[Path, Path], *, copy: bool = False) -> None:
    """Write the folders, all or none.

    Parameters
    ----------
    output : Path
        New, empty, or written in this way before.
    files : dict of Path to Path
        As :func:`folders_of_people` returns them.
    copy : bool
        Whether pictures are copied; else they are linked.

    Raises
    ------
    InputError
        If the folder holds other files, or cannot be written.
    """
    with atomic_folder(output, _RECORD) as temporary:
        for target, picture in files.items():
            place = temporary / target
            place.parent.mkdir(exist_ok=True)
            if copy:
                shutil.copy2(picture, place)
            else:
                place.symlink_to(picture.resolve())
        count = Counter(str(target.parent) for target in files)
        lines = [f"{number:>6}  {name}\n" for name, number in sorted(count.items())]
        (temporary / _RECORD).write_text("".join(lines), encoding="utf-8")


def _folder_names(names: dict[str, str]) -> dict[str, str]:
    """Return a name of a folder for each person, one for each."""
    found: dict[str, str] = {}
    for person, name in sorted(names.items()):
        safe = name.translate(_FORBIDDEN).strip(" .") or person
        safe = safe.encode()[:_MOST_BYTES].decode("utf-8", "ignore")
        # Some file systems do not tell capitals from small letters.
        taken = {other.casefold() for other in found.values()} | {_RECORD}
        found[person] = f"{safe} ({person})" if safe.casefold() in taken else safe
    return found
