"""What is known of the pictures of a library: files, and the faces found in each.

``pictures.db`` in the folder of the library, SQLite:

| table      | content                                                                            |
|------------|------------------------------------------------------------------------------------|
| `settings` | what found the faces                                                               |
| `files`    | path, SHA-256, the picture in it, or why it cannot be read                         |
| `pictures` | SHA-256 of the upright pixels, name in the library, size, date                     |
| `found`    | faces: place, quality, why one is left out, and its id in the library if it is not |

A picture is its pixels as they are shown: a file that is moved, copied, or given other metadata still
holds the same one. The database can be made anew from the pictures.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.storage.files import kind_of

__all__ = ["PICTURES", "FoundFace", "Pictures", "Problem"]

PICTURES = "pictures.db"

_WAIT = 30.0
"""Seconds to wait for another writer."""

_TABLES = {
    "settings": "key TEXT PRIMARY KEY, value TEXT",
    "files": "path TEXT PRIMARY KEY, sha256 TEXT, picture INTEGER, problem TEXT",
    "pictures": (
        "id INTEGER PRIMARY KEY AUTOINCREMENT, pixels TEXT UNIQUE, photo TEXT UNIQUE,"
        "width INTEGER, height INTEGER, taken TEXT"
    ),
    "found": (
        "id INTEGER PRIMARY KEY AUTOINCREMENT, picture INTEGER, number INTEGER, box TEXT, points TEXT,"
        "quality TEXT, reason TEXT, face INTEGER"
    ),
}

_INDEXES = {
    "found_in": "found (picture)",
    "found_face": "found (face)",
    "found_waiting": "found (id) WHERE reason IS NULL AND face IS NULL",
    "files_of": "files (picture)",
}
"""What is asked after every few pictures must not read every row."""

_FOUND = (
    "SELECT found.id, picture, photo, taken, width, height, number, box, points, quality, reason, face"
    " FROM found JOIN pictures ON pictures.id = found.picture"
)


@dataclass(frozen=True)
class FoundFace:
    """A face in a picture.

    Attributes
    ----------
    id : int
        Its number among all that were found.
    picture : int
        The picture it is in.
    photo : str
        Name of the picture in the library.
    taken : str or None
        When it was taken, ISO 8601.
    width, height : int
        Of the upright picture, in pixels.
    number : int
        Its number in the picture, from 1.
    box : tuple of float
        Left, top, width and height in the upright picture, in pixels.
    points : ndarray of float64, shape (5, 2)
        Eyes, nose and corners of the mouth, as they are seen from left to right, in pixels.
    quality : dict of str to float
    reason : str or None
        Why it was left out.
    face : int or None
        Its id in the library; None if it was left out, or is not there yet.
    """

    id: int
    picture: int
    photo: str
    taken: str | None
    width: int
    height: int
    number: int
    box: tuple[float, float, float, float]
    points: npt.NDArray[np.float64]
    quality: dict[str, float]
    reason: str | None
    face: int | None

    @property
    def key(self) -> str:
        """By which the library knows it."""
        return f"{self.photo}#{self.number}"


@dataclass(frozen=True)
class Problem:
    """A picture that cannot be read.

    Attributes
    ----------
    path : str
    why : str
    """

    path: str
    why: str


class Pictures:
    """The pictures of a library.

    Parameters
    ----------
    folder : Path
        Of the library; the database is made if it is missing.

    Raises
    ------
    InputError
        If the database is damaged, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PICTURES
        with self._database() as database:
            for name, columns in _TABLES.items():
                database.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
            for name, rows in _INDEXES.items():
                database.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {rows}")

    @classmethod
    def of(cls, folder: Path) -> Pictures | None:
        """Open the pictures of a library; None if it was not made of pictures."""
        return cls(folder) if kind_of(folder / PICTURES) == "file" else None

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the database as one transaction."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT)) as database, database:
                database.execute("PRAGMA secure_delete = ON")
                yield database
        except sqlite3.OperationalError as error:
            raise InputError(
                f"{self.path} cannot be written ({error}): make room, change the permissions of its "
                f"folder, or wait until another process has ended."
            ) from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path} is damaged ({error}): remove it and run nsrfc photos again, which finds "
                f"the faces anew and knows those that are in the library."
            ) from error

    def setting(self, key: str, value: str) -> str:
        """Return what is kept under a key; at first that is ``value``."""
        with self._database() as database:
            database.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (key, value))
            found = database.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return str(found[0])

    def settings(self) -> dict[str, str]:
        """Return everything that is kept of how faces were found."""
        with self._database() as database:
            return dict(database.execute("SELECT key, value FROM settings").fetchall())

    # Files

    def contents(self) -> dict[str, int]:
        """Return the pictures of all contents that were read, by the SHA-256 of the files."""
        with self._database() as database:
            rows = "SELECT sha256, picture FROM files WHERE picture IS NOT NULL"
            return dict(database.execute(rows).fetchall())

    def keep_files(self, files: Iterable[tuple[str, str, int | None, str | None]]) -> None:
        """Keep path, SHA-256, picture and problem of files, in place of what was known of the paths."""
        with self._database() as database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", files)

    def paths(self) -> list[str]:
        """Return the paths of all files."""
        with self._database() as database:
            return [path for (path,) in database.execute("SELECT path FROM files ORDER BY path")]

    def drop_files(self, paths: Iterable[str]) -> None:
        """Forget files that are no longer there; their pictures stay."""
        with self._database() as database:
            database.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])

    def files_of(self, picture: int) -> list[tuple[str, str]]:
        """Return path and SHA-256 of the files that hold a picture."""
        with self._database() as database:
            rows = "SELECT path, sha256 FROM files WHERE picture = ? ORDER BY path"
            return database.execute(rows, (picture,)).fetchall()

    def problems(self) -> list[Problem]:
        """Return the files that cannot be read, and why."""
        with self._database() as database:
            rows = "SELECT path, problem FROM files WHERE problem IS NOT NULL ORDER BY path"
            return [Problem(path, why) for path, why in database.execute(rows)]

    # Pictures and faces

    def picture_of(self, pixels: str) -> int | None:
        """Return the picture with some pixels, given by their SHA-256."""
        with self._database() as database:
            row = database.execute("SELECT id FROM pictures WHERE pixels = ?", (pixels,)).fetchone()
        return None if row is None else int(row[0])

    def add(
        self,
        pixels: str,
        photo: str,
        size: tuple[int, int],
        taken: str | None,
        faces: Sequence[Mapping[str, Any]],
        files: Sequence[tuple[str, str]],
    ) -> int:
        """Add a picture, the faces found in it and where it is, all or nothing; return its number.

        Parameters
        ----------
        pixels : str
            SHA-256 of the upright pixels.
        photo : str
            What to call it; if another picture is called so, a part of ``pixels`` is added.
        size : (int, int)
            Width and height.
        taken : str or None
        faces : sequence of mapping
            ``box``, ``points``, ``quality`` and ``reason`` of each.
        files : sequence of (str, str)
            Path and SHA-256 of the files that hold it.
        """
        with self._database() as database:
            taken_by = database.execute("SELECT 1 FROM pictures WHERE photo = ?", (photo,)).fetchone()
            name = photo if taken_by is None else f"{photo} ({pixels[:8]})"
            picture = database.execute(
                "INSERT INTO pictures (pixels, photo, width, height, taken) VALUES (?, ?, ?, ?, ?)",
                (pixels, name, *size, taken),
            ).lastrowid
            assert picture is not None
            rows = [
                (
                    picture,
                    number,
                    *(json.dumps(face[name]) for name in ("box", "points", "quality")),
                    face["reason"],
                )
                for number, face in enumerate(faces, 1)
            ]
            database.executemany(
                "INSERT INTO found (picture, number, box, points, quality, reason)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, NULL)",
                [(path, sha256, picture) for path, sha256 in files],
            )
        return picture

    def count(self) -> tuple[int, int]:
        """Return the number of pictures, and of those whose files are gone."""
        with self._database() as database:
            every = database.execute("SELECT count(*) FROM pictures").fetchone()[0]
            gone = (
                "SELECT count(*) FROM pictures WHERE id NOT IN (SELECT picture FROM files WHERE picture)"
            )
            return int(every), int(database.execute(gone).fetchone()[0])

    def faces_in(self, pictures: Sequence[int]) -> list[FoundFace]:
        """Return the faces found in some pictures."""
        chosen = "picture IN (SELECT value FROM json_each(?)) ORDER BY found.id"
        return self._found(chosen, json.dumps([*pictures]))

    def every(self) -> list[FoundFace]:
        """Return all faces that were found."""
        return self._found("TRUE ORDER BY found.id")

    def waiting(self) -> list[FoundFace]:
        """Return the faces that are neither left out nor in the library yet."""
        return self._found("reason IS NULL AND face IS NULL ORDER BY found.id")

    def left_out(self) -> list[FoundFace]:
        """Return the faces that were left out."""
        return self._found("reason IS NOT NULL ORDER BY found.id")

    def of_faces(self, faces: Sequence[int]) -> dict[int, FoundFace]:
        """Return where faces of the library were found, by their ids."""
        chosen = "face IN (SELECT value FROM json_each(?))"
        found = self._found(chosen, json.dumps([*faces]))
        return {each.face: each for each in found if each.face is not None}

    def _found(self, chosen: str, *values: str) -> list[FoundFace]:
        with self._database() as database:
            rows = database.execute(f"{_FOUND} WHERE {chosen}", values).fetchall()
        return [_found_face(row) for row in rows]

    def place(self, faces: Mapping[int, int]) -> None:
        """Keep the ids that found faces have in the library."""
        with self._database() as database:
            rows = [(face, found) for found, face in faces.items()]
            database.executemany("UPDATE found SET face = ? WHERE id = ?", rows)

    def judge(self, reasons: Mapping[int, str | None]) -> None:
        """Keep why found faces are left out; None: they are not."""
        with self._database() as database:
            rows = [(reason, found) for found, reason in reasons.items()]
            database.executemany("UPDATE found SET reason = ? WHERE id = ?", rows)

    def erase(self, faces: npt.NDArray[np.int64]) -> None:
        """Remove what is known of forgotten faces; their pictures are not searched again."""
        with self._database() as database:
            gone = [(face,) for face in faces.tolist()]
            database.executemany("DELETE FROM found WHERE face = ?", gone)


def _found_face(row: tuple[Any, ...]) -> FoundFace:
    *about, box, points, quality, reason, face = row
    lists = tuple(json.loads(box)), np.array(json.loads(points)), json.loads(quality)
    values: list[Any] = [*about, *lists, reason, face]
    return FoundFace(*values)
