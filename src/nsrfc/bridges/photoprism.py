"""PhotoPrism (SQLite, or a dump of MariaDB): markers of faces, and subjects.

Read in internal/entity/marker.go and subject.go of 2026. A marker keeps a JSON list of embeddings, of
which the first counts; its box is in shares of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator

from nsrfc.bridges.database import needed, opened
from nsrfc.bridges.decoding import of_json, text_of
from nsrfc.bridges.record import Asked, FaceRecord, date_of, share_of

__all__ = ["read"]

_TABLES = "markers", "subjects", "files", "photos"
_FACES = """
SELECT m.marker_uid, f.file_name, p.taken_at_local, m.x, m.y, m.w, m.h, s.subj_uid, s.subj_name,
       m.marker_invalid, coalesce(s.subj_hidden, 0),
       s.deleted_at IS NOT NULL, f.deleted_at IS NOT NULL OR p.deleted_at IS NOT NULL, m.embeddings_json
FROM markers m
LEFT JOIN files f ON f.file_uid = m.file_uid
LEFT JOIN photos p ON p.photo_uid = f.photo_uid
LEFT JOIN subjects s ON s.subj_uid = m.subj_uid AND m.subj_uid <> ''
WHERE m.marker_type = 'face'
ORDER BY m.marker_uid
"""


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of an index; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no index of PhotoPrism.
    """
    skipped = asked.skipped
    with opened(asked.where, _TABLES) as database:
        for table in _TABLES:
            needed(database, table, "PhotoPrism")
        for own, photo, taken, x, y, w, h, person, name, *flags, embedding in database.rows(_FACES):
            invalid, hidden, nobody, deleted = map(bool, flags)
            if invalid or hidden or deleted:
                skipped["deleted" if deleted else "hidden" if hidden else "marked as no face"] += 1
                continue
            vector = of_json(embedding, skipped)
            if vector is None:
                continue
            place = None if None in (x, y, w, h) else share_of(x, y, x + w, y + h)
            known = (None, None) if nobody else (text_of(person), text_of(name))
            yield FaceRecord(str(text_of(own)), vector, text_of(photo), date_of(taken), place, *known)
