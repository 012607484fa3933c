"""Nextcloud facerecognition (SQLite, PostgreSQL, or a dump of MariaDB).

Read in the migrations of the app up to 0.9.95. A face has a cluster, and a cluster a person; before
0.9.92 both were one table, before 0.9.93 the column of a face was called ``person``. Boxes are in pixels
of the picture, so that they are known only where the pictures are given.
"""

from __future__ import annotations

from collections.abc import Iterator

from nsrfc.bridges.database import Database, needed, opened
from nsrfc.bridges.decoding import of_json, text_of
from nsrfc.bridges.nextcloud import FILES, path_in_files, prefix_of
from nsrfc.bridges.pictures import box_on
from nsrfc.bridges.record import Asked, FaceRecord, one_user

__all__ = ["read"]

_APP = "facerecognition"
_TABLES = (
    "facerecog_faces",
    "facerecog_images",
    "facerecog_clusters",
    "facerecog_persons",
    FILES,
)
_FACES = """
SELECT f.id, c.path, {box}, p.{person}, p.name, {hidden}, i.model, f.descriptor
FROM {prefix}facerecog_faces f
JOIN {prefix}facerecog_images i ON i.id = f.image
LEFT JOIN {prefix}filecache c ON c.fileid = i.file
{joins}
WHERE i."user" = ?
ORDER BY f.id
"""
_USERS = """
SELECT DISTINCT i."user", i."user" FROM {prefix}facerecog_images i
JOIN {prefix}facerecog_faces f ON f.image = i.id ORDER BY 1
"""


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of one user; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no database of a Nextcloud with the app; or it has several users, and none is chosen.
    """
    skipped = asked.skipped
    with opened(asked.where, _TABLES) as database:
        prefix = prefix_of(database, "facerecog_faces", _APP)
        query = _query(database, prefix)
        users = dict(database.rows(_USERS.format(prefix=prefix)))
        user = one_user(users, asked.user, database.name)
        for own, path, *box, person, name, hidden, model, descriptor in database.rows(query, user):
            if hidden:
                skipped["hidden"] += 1
                continue
            vector = of_json(descriptor, skipped)
            if vector is None:
                continue
            photo = path_in_files(path)
            place = box_on(asked.pictures, photo, box)
            who = None if person is None else str(person)
            space = f"model {model}"
            yield FaceRecord(str(own), vector, photo, None, place, who, text_of(name), space)


def _query(database: Database, prefix: str) -> str:
    columns = needed(database, f"{prefix}facerecog_faces", _APP)
    box = "f.x, f.y, f.x + f.width, f.y + f.height"
    if "width" not in columns:
        box = 'f."left", f."top", f."right", f."bottom"'
    clusters = database.columns(f"{prefix}facerecog_clusters")
    joins = f"LEFT JOIN {prefix}facerecog_persons p ON p.id = f.person"
    of_visible = "p", database.columns(f"{prefix}facerecog_persons")
    # Where clusters are persons, somebody is all clusters of one name.
    person = "id" if clusters else "name"
    if clusters:
        of_face = "cluster" if "cluster" in columns else "person"
        joins = (
            f'LEFT JOIN {prefix}facerecog_clusters k ON k.id = f."{of_face}" '
            f"LEFT JOIN {prefix}facerecog_persons p ON p.id = k.person"
        )
        of_visible = "k", clusters
    alias, known = of_visible
    hidden = f"coalesce(NOT {alias}.is_visible, false)" if "is_visible" in known else "false"
    return _FACES.format(prefix=prefix, box=box, person=person, joins=joins, hidden=hidden)
