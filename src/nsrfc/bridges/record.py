"""A face as another program holds it: the one thing that every reader yields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, enumerate_names, shown

__all__ = ["Asked", "Box", "FaceRecord", "Reader", "date_of", "one_user", "share_of"]

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as shares of the picture as it is shown."""


@dataclass(frozen=True)
class FaceRecord:
    """A face of another program.

    Attributes
    ----------
    own : str
        The program's own id of the face.
    embedding : ndarray of float, shape (d,)
    photo : str or None
        Path of the picture, as the program writes it.
    taken : str or None
        Date of the picture, ISO 8601.
    box : tuple of float or None
        Where the face is, see `Box`.
    person : str or None
        The program's own id of the person.
    name : str or None
        The person's name, if somebody gave one.
    space : str
        What the program says has made the embedding, such as the name of a model.
    """

    own: str
    embedding: npt.NDArray[np.floating]
    photo: str | None = None
    taken: str | None = None
    box: Box | None = None
    person: str | None = None
    name: str | None = None
    space: str = ""


@dataclass(frozen=True)
class Asked:
    """What a reader is asked for.

    Attributes
    ----------
    where : str
        File, folder, or address of a database.
    user : str or None
        Whose faces, where a program has users.
    pictures : Path or None
        Folder of the pictures, for programs that know boxes only in pixels of a picture.
    skipped : Counter
        Rows that were left out, by reason; the reader counts them.
    """

    where: str
    user: str | None = None
    pictures: Path | None = None
    skipped: Counter[str] = field(default_factory=Counter)


Reader = Callable[[Asked], Iterator[FaceRecord]]


def share_of(
    left: float, top: float, right: float, bottom: float, width: float = 1, height: float = 1
) -> Box | None:
    """Return a box as shares of a picture; None if it has no area, or the picture no size."""
    if not (width and height and width > 0 and height > 0):
        return None
    ends = np.array((left / width, top / height, right / width, bottom / height), np.float64)
    if not np.isfinite(ends).all():
        return None
    low_x, low_y, high_x, high_y = np.clip(ends, 0, 1).tolist()
    return (low_x, low_y, high_x, high_y) if low_x < high_x and low_y < high_y else None


def date_of(value: object) -> str | None:
    """Return the day of a date as a database gives it, text or an object; None if unknown."""
    try:
        day = date.fromisoformat(str(value)[:10])
    except ValueError:
        return None
    # The first day of all stands for none.
    return None if day == date.min else day.isoformat()


def one_user(users: dict[str, str], wanted: str | None, where: str) -> str | None:
    """Choose the user whose faces are read.

    Parameters
    ----------
    users : dict of str to str
        Name of each user that has faces, by id.
    wanted : str or None
        Id or name that was asked for.
    where : str
        For the message.

    Raises
    ------
    InputError
        If there is no such user, or none was asked for and there are several: their faces do not belong
        into one library.
    """
    if wanted is not None:
        found = [user for user, name in users.items() if wanted in (user, name)]
        if not found:
            known = enumerate_names(users.values()) or "nobody"
            raise InputError(f"{where} has no faces of {shown(wanted)}: it has faces of {known}.")
        return found[0]
    if len(users) > 1:
        raise InputError(
            f"{where} has faces of several users ({enumerate_names(users.values())}), and a library is "
            f"of one: name one with --user."
        )
    return next(iter(users), None)
