"""LibrePhotos (PostgreSQL or SQLite): faces with embeddings as hexadecimal float64.

Read in apps/backend/api/models of LibrePhotos, up to migration 0116. A face has a ``person`` only where
a user said so; what was classified or clustered stands in other columns. Boxes are in pixels of a
thumbnail of unknown size, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from nsrfc.bridges.database import Database, needed, opened
from nsrfc.bridges.decoding import of_hex, text_of
from nsrfc.bridges.record import Asked, FaceRecord, date_of, one_user

__all__ = ["read"]

_FACES = """
SELECT f.id, d.path, p.exif_timestamp, n.id, n.name, {deleted}, p.hidden, f.encoding
FROM api_face f
JOIN api_photo p ON p.{photo} = f.photo_id
LEFT JOIN api_file d ON d.hash = p.main_file_id
LEFT JOIN api_person n ON n.id = f.person_id AND n.kind = 'USER'
WHERE p.owner_id = ?
ORDER BY f.id
"""
_USERS = """
SELECT DISTINCT p.owner_id, u.username FROM api_face f
JOIN api_photo p ON p.{photo} = f.photo_id JOIN api_user u ON u.id = p.owner_id ORDER BY 1
"""


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of one user; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no database of LibrePhotos; or it has several users, and none is chosen.
    """
    skipped = asked.skipped
    with opened(
        asked.where, ("api_face", "api_photo", "api_file", "api_person", "api_user")
    ) as database:
        photo, query = _query(database)
        users = {str(user): name for user, name in database.rows(_USERS.format(photo=photo))}
        user = one_user(users, asked.user, database.name)
        chosen = None if user is None else int(user)
        for own, path, taken, person, name, deleted, hidden, encoding in database.rows(query, chosen):
            if deleted or hidden:
                skipped["deleted" if deleted else "hidden"] += 1
                continue
            vector = of_hex(encoding, "<f8", skipped)
            if vector is not None:
                who = None if person is None else str(person)
                yield FaceRecord(str(own), vector, path, date_of(taken), None, who, text_of(name))


def _query(database: Database) -> tuple[str, str]:
    """Name the key of a picture, which migration 0099 changed, and the SELECT."""
    faces = needed(database, "api_face", "LibrePhotos")
    photos = needed(database, "api_photo", "LibrePhotos")
    photo = "id" if "id" in photos else "image_hash"
    gone = [f"f.{name}" for name in ("deleted",) if name in faces]
    gone += [f"p.{name}" for name in ("in_trashcan", "removed") if name in photos]
    return photo, _FACES.format(photo=photo, deleted=" OR ".join(gone) or "false")
