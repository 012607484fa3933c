"""The SQLite file of insightface's GUI: faces in pictures and videos, and the people library.

Read in insightface 2.1 (gui/core/storage.py): float32, boxes in pixels of the picture, whose size is
kept. Only people that were assigned count, not those that were predicted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from nsrfc.bridges.database import needed, opened
from nsrfc.bridges.decoding import of_bytes, text_of
from nsrfc.bridges.record import Asked, Box, FaceRecord, share_of

__all__ = ["read"]

_TABLES = "media_faces", "media_items", "people"
_FACES = """
SELECT f.id, m.path, f.frame_index, f.bbox_json, m.width, m.height, p.id,
       coalesce(nullif(p.display_name, ''), p.name), f.model_name, f.embedding
FROM media_faces f
JOIN media_items m ON m.id = f.media_id
LEFT JOIN people p ON p.id = f.assigned_person_id
ORDER BY f.id
"""


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no file of insightface's GUI.
    """
    with opened(asked.where, _TABLES) as database:
        for table in _TABLES:
            needed(database, table, "insightface's GUI")
        for own, path, frame, box, width, height, person, name, model, data in database.rows(_FACES):
            vector = of_bytes(data, "<f4", asked.skipped)
            if vector is None:
                continue
            # Two faces of one frame are two people, those of one video need not be.
            photo = path if frame is None else f"{path}#{frame}"
            who = None if person is None else str(person)
            place = _box(box, width, height)
            yield FaceRecord(str(own), vector, photo, None, place, who, text_of(name), model or "")


def _box(text: str | None, width: int | None, height: int | None) -> Box | None:
    try:
        left, top, right, bottom = map(float, json.loads(text or "")[:4])
    except (TypeError, ValueError, LookupError):
        return None
    return share_of(left, top, right, bottom, width or 0, height or 0)
