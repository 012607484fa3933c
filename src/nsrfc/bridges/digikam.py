"""digiKam's recognition.db (SQLite): the faces by which people are recognised.

Read in core/libs/facesengine of digiKam 8.5 to 9: 128 float32 each. The file holds faces that were
confirmed, and neither pictures nor boxes; it has the names of the people.
"""

from __future__ import annotations

from collections.abc import Iterator

from nsrfc.bridges.database import needed, opened
from nsrfc.bridges.decoding import of_bytes, text_of
from nsrfc.bridges.record import Asked, FaceRecord
from nsrfc.errors import InputError

__all__ = ["read"]

_FACES = """
SELECT m.id, m.identity, m.embedding,
       (SELECT a.value FROM IdentityAttributes a WHERE a.id = m.identity
        AND a.attribute IN ('fullName', 'name') ORDER BY a.attribute LIMIT 1)
FROM FaceMatrices m ORDER BY m.id
"""


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no recognition.db, or one of a digiKam that kept no embeddings.
    """
    with opened(asked.where, ("FaceMatrices", "IdentityAttributes")) as database:
        if "embedding" not in needed(database, "FaceMatrices", "digiKam (recognition.db)"):
            raise InputError(
                f"{database.name} holds no embeddings, as it is of an older digiKam: let a newer one "
                f"recognise faces first."
            )
        for own, person, data, name in database.rows(_FACES):
            vector = of_bytes(data, "<f4", asked.skipped)
            if vector is not None:
                yield FaceRecord(str(own), vector, person=str(person), name=text_of(name))
