"""Immich (PostgreSQL): faces, their embeddings, and the people of one user.

Read in the schema of immich at commit 1e65d6e and in the migration to release 3.2.0, which renamed
``asset_face.personId`` to ``personGroupId`` and gave a person the key (ownerId, personGroupId). Which of
the two it is, the column says. Boxes are in pixels of a preview, whose size stands beside them.
"""

from __future__ import annotations

from collections.abc import Iterator

from nsrfc.bridges.database import Database, is_postgres, needed, opened
from nsrfc.bridges.decoding import of_json, text_of
from nsrfc.bridges.record import Asked, FaceRecord, one_user, share_of
from nsrfc.errors import InputError

__all__ = ["read"]

_FACES = """
SELECT f.id::text, a."originalPath", to_char(a."localDateTime" AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
       f."boundingBoxX1", f."boundingBoxY1", f."boundingBoxX2", f."boundingBoxY2",
       f."imageWidth", f."imageHeight", f."{person}"::text, p.name, coalesce(p."isHidden", false),
       f."deletedAt" IS NOT NULL OR a."deletedAt" IS NOT NULL, {hidden},
       s.embedding::text
FROM asset_face f
JOIN asset a ON a.id = f."assetId"
LEFT JOIN face_search s ON s."faceId" = f.id
LEFT JOIN person p ON {joined}
WHERE a."ownerId"::text = ?
ORDER BY f.id
"""
_JOINED = {
    "personId": 'p.id = f."personId"',
    # People of several users may share a group: the name is that of the picture's owner.
    "personGroupId": 'p."personGroupId" = f."personGroupId" AND p."ownerId" = a."ownerId"',
}
_USERS = """
SELECT DISTINCT u.id::text, u.email FROM asset_face f
JOIN asset a ON a.id = f."assetId" JOIN "user" u ON u.id = a."ownerId" ORDER BY 1
"""


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of one user; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If the database is not one of immich, or of another schema; or it has several users, and none is
        chosen.
    """
    if not is_postgres(asked.where):
        raise InputError(
            f"{asked.where} is no address of a database: immich keeps its faces in PostgreSQL, such as "
            f"postgresql://postgres@localhost/immich."
        )
    skipped = asked.skipped
    with opened(asked.where, ()) as database:
        query = _query(database)
        user = one_user(dict(database.rows(_USERS)), asked.user, database.name)
        for row in database.rows(query, user):
            own, photo, taken, *box, person, name, person_hidden, deleted, hidden, embedding = row
            if deleted or hidden or person_hidden:
                skipped["deleted" if deleted else "hidden"] += 1
                continue
            vector = of_json(embedding, skipped)
            if vector is not None:
                place = share_of(*box)
                yield FaceRecord(own, vector, photo, taken, place, person, text_of(name))


def _query(database: Database) -> str:
    columns = needed(database, "asset_face", "immich")
    person = next((name for name in ("personGroupId", "personId") if name in columns), None)
    if person is None:
        raise InputError(
            f"{database.name} has a schema of immich that is not known: asset_face has neither personId "
            f"nor personGroupId. Known are those before and from release 3.2.0."
        )
    hidden = "a.visibility = 'locked'" if "visibility" in database.columns("asset") else "false"
    if "isVisible" in columns:
        hidden = f'NOT f."isVisible" OR {hidden}'
    return _FACES.format(person=person, joined=_JOINED[person], hidden=hidden)
