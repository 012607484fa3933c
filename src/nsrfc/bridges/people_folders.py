"""Folders named after people: who is on a picture, said by the folder that it lies in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from nsrfc.bridges.arrival import Arrival, Said, say_names
from nsrfc.bridges.pictures import located
from nsrfc.errors import InputError
from nsrfc.library.library import Library
from nsrfc.storage.files import kind_of

__all__ = ["names_of_folders"]


def names_of_folders(library: Library, root: Path) -> Arrival:
    """Confirm the faces of a library whose photo lies in a folder named after a person.

    ``root/Anna/2024/1.jpg`` shows Anna. Photos with several faces are left open, as the folder does not
    say which of them is meant.

    Parameters
    ----------
    library : Library
        Whose photos are paths: absolute, or from ``root`` on.
    root : Path

    Raises
    ------
    InputError
        If there is no such folder, or no photo of the library lies in it.
    """
    if kind_of(root) != "folder":
        raise InputError(f"There is no folder {root}: name the one with a folder for each person.")
    described = library.store.described(library.faces.tolist())
    on_photo = Counter(row["photo"] for row in described if row["photo"] is not None)
    done, words = Arrival(), []
    for row in described:
        path = None if row["photo"] is None else located(row["photo"], root)
        if path is None:
            continue
        done.known += 1
        folders = path.resolve().relative_to(root.resolve()).parts[:-1]
        if folders and on_photo[row["photo"]] == 1:
            words.append(Said(row["id"], folders[0], folders[0], row["photo"]))
        else:
            done.skipped["several faces on the photo" if folders else "photo in no person's folder"] += 1
    if not done.known:
        raise InputError(
            f"No photo of {library.folder} lies in {root}: add faces of the pictures there first, with "
            f"their paths as photos."
        )
    say_names(library, words, done)
    return done
