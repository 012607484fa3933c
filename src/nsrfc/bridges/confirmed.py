"""What may leave a library: faces that a human confirmed as a person with a name."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from nsrfc.bridges.record import Box
from nsrfc.errors import InputError
from nsrfc.library.library import Library

__all__ = ["ConfirmedFace", "by_photo", "confirmed_faces"]


@dataclass(frozen=True)
class ConfirmedFace:
    """A face of a person with a name.

    Attributes
    ----------
    face : int
    key : str or None
        As it was given when the face was added; ``immich:...`` of a face of immich.
    photo : str or None
    box : tuple of float or None
        See :data:`nsrfc.bridges.record.Box`.
    person : str
        Id, such as ``p7``.
    name : str
    """

    face: int
    key: str | None
    photo: str | None
    box: Box | None
    person: str
    name: str


def confirmed_faces(library: Library) -> list[ConfirmedFace]:
    """Return the confirmed faces of all persons with a name who are not hidden, by number.

    Raises
    ------
    InputError
        If there are none.
    """
    people = [group for group in library.people() if group.name is not None and not group.hidden]
    owner = {face: group for group in people for face in group.confirmed.tolist()}
    faces = np.array(sorted(owner), np.int64)
    if not len(faces):
        raise InputError(
            f"{library.folder} has no confirmed face of a person with a name: name people first, with "
            f"nsrfc name or nsrfc review."
        )
    boxes = library.store.boxes(faces)
    known = np.isfinite(boxes[:, 0])
    rows = zip(library.store.described(faces.tolist()), boxes.tolist(), known.tolist(), strict=True)
    return [
        ConfirmedFace(
            row["id"],
            row["key"],
            row["photo"],
            (box[0], box[1], box[2], box[3]) if there else None,
            owner[row["id"]].id,
            str(owner[row["id"]].name),
        )
        for row, box, there in rows
    ]


def by_photo(faces: list[ConfirmedFace]) -> dict[str, list[ConfirmedFace]]:
    """Return the faces on each photo that is known."""
    found: dict[str, list[ConfirmedFace]] = defaultdict(list)
    for face in faces:
        if face.photo is not None:
            found[face.photo].append(face)
    return dict(sorted(found.items()))
