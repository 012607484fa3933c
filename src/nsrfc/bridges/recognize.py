"""Nextcloud recognize (SQLite, PostgreSQL, or a dump of MariaDB).

Read in the migrations of the app up to 13.2.0: embeddings are JSON in ``face_vector``, before release 10
in ``vector``; boxes are in shares of the picture. Clusters that the user named have a title.
"""

from __future__ import annotations

from collections.abc import Iterator

from nsrfc.bridges.database import needed, opened
from nsrfc.bridges.decoding import of_json, text_of
from nsrfc.bridges.nextcloud import FILES, path_in_files, prefix_of
from nsrfc.bridges.record import Asked, FaceRecord, one_user, share_of

__all__ = ["read"]

_TABLE = "recognize_face_detections"
_CLUSTERS = "recognize_face_clusters"
_FACES = """
SELECT f.id, c.path, f.x, f.y, f.width, f.height, k.id, k.title, f.cluster_id, f.{vector}
FROM {prefix}recognize_face_detections f
LEFT JOIN {prefix}recognize_face_clusters k ON k.id = f.cluster_id
LEFT JOIN {prefix}filecache c ON c.fileid = f.file_id
WHERE f.user_id = ?
ORDER BY f.id
"""
_USERS = "SELECT DISTINCT user_id, user_id FROM {prefix}recognize_face_detections ORDER BY 1"


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of one user; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no database of a Nextcloud with the app; or it has several users, and none is chosen.
    """
    skipped = asked.skipped
    with opened(asked.where, (_TABLE, _CLUSTERS, FILES)) as database:
        prefix = prefix_of(database, _TABLE, "recognize")
        columns = needed(database, f"{prefix}{_TABLE}", "recognize")
        vector = "face_vector" if "face_vector" in columns else "vector"
        users = dict(database.rows(_USERS.format(prefix=prefix)))
        user = one_user(users, asked.user, database.name)
        query = _FACES.format(prefix=prefix, vector=vector)
        for own, path, x, y, w, h, person, title, cluster, text in database.rows(query, user):
            # -1 stands for "no cluster yet", lower ones for faces that the user set aside.
            if cluster is not None and cluster < -1:
                skipped["hidden"] += 1
                continue
            embedding = of_json(text, skipped)
            if embedding is None:
                continue
            box = None if None in (x, y, w, h) else share_of(x, y, x + w, y + h)
            who = None if person is None else str(person)
            yield FaceRecord(str(own), embedding, path_in_files(path), None, box, who, text_of(title))
