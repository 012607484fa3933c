"""The folder of a library: what is kept on disk, and nothing of what it means.

| file                      | content                                                            |
|---------------------------|--------------------------------------------------------------------|
| `library.db`              | SQLite: faces, acts, runs, ids of clusters, version of the schema  |
| `embeddings/000000.npy` … | embeddings as given, by face id; one file for each batch           |
| `thumbnails.db`           | SQLite: a small picture of each face, where there is one           |
| `artifacts/`              | what runs found, and what makes adding cheap; can be computed anew |

Faces are numbered 0, 1, ... in the order in which they were added; a number is never used again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, enumerate_names, shown
from nsrfc.library.acts import Act
from nsrfc.library.consistency import Facts
from nsrfc.storage.arrays import open_npy, read_npz_array, write_npy, write_npz
from nsrfc.storage.files import kind_of, writing
from nsrfc.storage.locks import locked
from nsrfc.storage.outputs import check_place, sync

__all__ = [
    "ARTIFACTS",
    "DATABASE",
    "SCHEMA",
    "THUMBNAILS",
    "Store",
    "Table",
    "acts_in",
    "append",
    "is_sound",
    "new_database",
    "next_act",
]

DATABASE, THUMBNAILS, EMBEDDINGS, ARTIFACTS, CLUSTERING = (
    "library.db",
    "thumbnails.db",
    "embeddings",
    "artifacts",
    "clusters.npz",
)
VERSION = 1
"""Version of the schema, kept as SQLite's user_version."""

APPLICATION = 0x6E737266
"""SQLite's application_id of a library: "nsrf"."""

_WAIT = 30.0
"""Seconds to wait for another writer of the database."""

_TABLES = {
    "space": "key TEXT PRIMARY KEY, value TEXT",
    "parts": "number INTEGER PRIMARY KEY, first INTEGER, count INTEGER",
    "faces": "id INTEGER PRIMARY KEY, key TEXT UNIQUE, photo TEXT, taken TEXT, gone INTEGER",
    "journal": "id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, act TEXT",
    "runs": "id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT, record TEXT",
    "clusters": (
        "id INTEGER PRIMARY KEY AUTOINCREMENT, series INTEGER, founder INTEGER, UNIQUE (series, founder)"
    ),
    "lineage": "run INTEGER, before INTEGER, after INTEGER, faces INTEGER",
}
"""Columns of each table. Of a face, ``gone`` is 0; 1 if it is to be erased; 2 once it is."""

SCHEMA = {"space": 2, "parts": 3, "faces": 5, "journal": 3, "runs": 3, "clusters": 3, "lineage": 4}
"""Number of columns of each table."""


@dataclass(frozen=True)
class Table:
    """What is known of faces that are added, beside their embeddings; each (m,) or None."""

    keys: Sequence[str] | None = None
    photos: Sequence[str | None] | None = None
    taken: Sequence[str | None] | None = None


class Store:
    """An open library.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If there is no library, or it is damaged or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._facts: tuple[tuple[int, ...], Facts] | None = None
        if kind_of(folder / DATABASE) != "file":
            raise InputError(
                f"{folder} holds no library: create one with nsrfc library create {folder}, "
                f"or name its folder."
            )
        with self.database():
            pass

    @classmethod
    def create(cls, folder: Path, space: Mapping[str, str]) -> Store:
        """Make an empty library in a new or empty folder; ``space`` describes the embeddings."""
        check_place(folder)
        if kind_of(folder / DATABASE):
            raise InputError(f"{folder} holds a library already: add faces with nsrfc add.")
        if kind_of(folder) and any(path.name != ".lock" for path in folder.iterdir()):
            raise InputError(f"{folder} holds other files: give a new folder.")
        with locked(folder, "library"):
            part = folder / f".{DATABASE}.new"
            with writing(folder):
                part.unlink(missing_ok=True)
                for name in (EMBEDDINGS, ARTIFACTS):
                    (folder / name).mkdir(exist_ok=True)
                with closing(sqlite3.connect(part)) as database:
                    new_database(database)
                    database.executemany("INSERT INTO space VALUES (?, ?)", space.items())
                    database.commit()
                sync(part)
                part.replace(folder / DATABASE)
                sync(folder)
        return cls(folder)

    @contextmanager
    def database(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the database; with ``write`` as one transaction, which counts whole or not at all."""
        path = self.folder / DATABASE
        try:
            with closing(sqlite3.connect(path, timeout=_WAIT, isolation_level=None)) as database:
                self._check_version(database)
                database.execute("PRAGMA secure_delete = ON")
                database.execute("PRAGMA synchronous = FULL")
                if not write:
                    yield database
                    return
                database.execute("BEGIN IMMEDIATE")
                with _whole(database):
                    yield database
        except sqlite3.DatabaseError as error:
            raise _in_words(path, error) from error

    @cached_property
    def space(self) -> dict[str, str]:
        """What the embeddings are: dimension, embedder, and the SHA-256 of its weights where known."""
        with self.database() as database:
            return dict(database.execute("SELECT key, value FROM space").fetchall())

    @property
    def dimension(self) -> int | None:
        """Embedding dimension; None before the first face."""
        known = self.space.get("dimension")
        return None if known is None else int(known)

    def check_space(self, dimension: int, embedder: str | None) -> None:
        """Refuse embeddings of another dimension or embedder; the first ones set the dimension.

        Raises
        ------
        InputError
        """
        known = self.space.get("embedder", "unknown")
        if embedder is not None and embedder != known:
            raise InputError(
                f"These faces are of the embedder {shown(embedder)}, those of {self.folder} of "
                f"{shown(known)}, and the two cannot be compared: make another library."
            )
        if self.dimension is None:
            with self.database(write=True) as database:
                values = "dimension", str(dimension)
                database.execute("INSERT OR IGNORE INTO space VALUES (?, ?)", values)
            del self.space
        if dimension != self.dimension:
            raise InputError(
                f"These faces have dimension {dimension}, those of {self.folder} {self.dimension} "
                f"(embedder {shown(known)}): give faces of the same embedder, or make another library."
            )

    @property
    def n(self) -> int:
        """Number of faces ever added."""
        with self.database() as database:
            return self._count(database)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from adding, clustering and forgetting."""
        with locked(self.folder, "process that adds, clusters or forgets"):
            yield

    # Faces

    def add(self, X: npt.NDArray[np.floating], table: Table) -> npt.NDArray[np.int64]:
        """Append embeddings (m, d) and what is known of them; return the ids of the faces.

        The caller holds :meth:`alone`. A batch counts from the moment in which the database says so.
        """
        with self.database() as database:
            first, number = self._count(database), _next_part(database)
            self._check_keys(database, table.keys)
        # A batch that was killed before it counted is overwritten.
        write_npy(self._part(number), X)
        ids = np.arange(first, first + len(X))
        unknown = [None] * len(X)
        columns = (table.keys or unknown, table.photos or unknown, table.taken or unknown)
        with self.database(write=True) as database:
            database.execute("INSERT INTO parts VALUES (?, ?, ?)", (number, first, len(X)))
            database.executemany(
                "INSERT INTO faces VALUES (?, ?, ?, ?, 0)",
                zip(ids.tolist(), *columns, strict=True),
            )
        return ids

    def vectors(self, faces: npt.NDArray[np.int64]) -> npt.NDArray[np.floating]:
        """Return the embeddings (m, d) of some faces, ascending."""
        found = []
        for number, ids in self.parts():
            low, high = np.searchsorted(faces, (ids[0], ids[-1] + 1))
            if low < high:
                rows = self.part(number, len(ids))
                found.append(rows if high - low == len(ids) else rows[faces[low:high] - ids[0]])
        if not found:
            return np.empty((0, self.dimension or 0), np.float32)
        return found[0] if len(found) == 1 else np.concatenate(found)

    def faces(self) -> npt.NDArray[np.int64]:
        """Return the ids of all faces that were not forgotten, ascending."""
        with self.database() as database:
            gone = database.execute("SELECT id FROM faces WHERE gone ORDER BY id").fetchall()
            n = self._count(database)
        there = np.ones(n, np.bool_)
        there[[face for (face,) in gone]] = False
        return np.flatnonzero(there)

    def facts(self) -> Facts:
        """Return what is known of all faces, beside their embeddings."""
        key = self.key()[2:]
        if self._facts is None or self._facts[0] != key:
            self._facts = key, self._read_facts()
        return self._facts[1]

    def _read_facts(self) -> Facts:
        with self.database() as database:
            n = self._count(database)
            photo, taken = np.full(n, -1), np.full(n, np.inf)
            rows = database.execute("SELECT id, photo FROM faces WHERE photo IS NOT NULL").fetchall()
            names, numbers = np.unique([name for _, name in rows], return_inverse=True)
            photo[[face for face, _ in rows]] = numbers
            rows = database.execute("SELECT id, taken FROM faces WHERE taken IS NOT NULL").fetchall()
            dates = np.array([date for _, date in rows], "datetime64[D]")
            taken[[face for face, _ in rows]] = dates.astype(np.int64)
        return Facts(photo, tuple(names.tolist()), taken)

    def described(self, faces: Sequence[int]) -> list[dict[str, Any]]:
        """Return id, key, photo and date of some faces; nothing of those that are forgotten."""
        with self.database() as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(
                "SELECT id, key, photo, taken FROM faces"
                " WHERE NOT gone AND id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(faces)),),
            ).fetchall()
        by_id = {row["id"]: dict(row) for row in rows}
        return [by_id[face] for face in faces if face in by_id]

    def ids_of(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the ids of those faces that have one of the keys."""
        with self.database() as database:
            return dict(
                database.execute(
                    "SELECT key, id FROM faces WHERE key IN (SELECT value FROM json_each(?))",
                    (json.dumps(list(keys)),),
                ).fetchall()
            )

    def parts(self) -> list[tuple[int, npt.NDArray[np.int64]]]:
        """Return number and face ids of every batch."""
        with self.database() as database:
            rows = database.execute("SELECT number, first, count FROM parts ORDER BY first").fetchall()
        return [(number, np.arange(first, first + count)) for number, first, count in rows]

    def part(self, number: int, count: int) -> npt.NDArray[Any]:
        """Return the embeddings (count, d) of a batch, mapped.

        Raises
        ------
        InputError
            If the file is gone, damaged or another one.
        """
        path = self._part(number)
        rows = open_npy(path)
        if rows.shape != (count, self.dimension):
            raise InputError(
                f"{path} does not hold the {count} embeddings that the library knows: restore the file "
                f"from a backup, or run nsrfc library check {self.folder}."
            )
        return rows

    # Forgetting

    def mark_gone(self, faces: npt.NDArray[np.int64], persons: Sequence[str] = ()) -> None:
        """Let faces and the names of persons count no more; acts no longer mention them."""
        rows = faces.tolist()
        with self.database(write=True) as database:
            database.executemany(
                "UPDATE faces SET key = NULL, photo = NULL, taken = NULL, gone = 1 WHERE id = ?",
                [(face,) for face in rows],
            )
            for number, act in acts_in(database).items():
                nameless = not {act.person, f"p{number}"}.isdisjoint(persons)
                kept = act.without(rows, nameless=nameless).as_json()
                database.execute("UPDATE journal SET act = ? WHERE id = ?", (kept, number))

    def unerased(self) -> npt.NDArray[np.int64]:
        """Return the faces that count no more but are still on disk, ascending."""
        with self.database() as database:
            rows = database.execute("SELECT id FROM faces WHERE gone = 1 ORDER BY id").fetchall()
        return np.array([face for (face,) in rows], np.int64)

    def erase_embeddings(self, faces: npt.NDArray[np.int64]) -> None:
        """Overwrite embeddings of faces by zeros, and remove their thumbnails."""
        for number, ids in self.parts():
            rows = np.flatnonzero(np.isin(ids, faces, assume_unique=True))
            if len(rows):
                kept = np.array(self.part(number, len(ids)))
                kept[rows] = 0
                write_npy(self._part(number), kept)
        if kind_of(self.folder / THUMBNAILS) == "file":
            with self._thumbnails() as database:
                gone = [(face,) for face in faces.tolist()]
                database.executemany("DELETE FROM thumbnails WHERE face = ?", gone)
                database.commit()
                database.execute("VACUUM")

    def erased(self, faces: npt.NDArray[np.int64]) -> None:
        """Note that nothing of faces is left, and remove what the database still held of them."""
        with self.database(write=True) as database:
            gone = [(face,) for face in faces.tolist()]
            database.executemany("UPDATE faces SET gone = 2 WHERE id = ?", gone)
        with self.database() as database:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def drop_runs(self) -> None:
        """Let no run count, so that the library can be clustered anew."""
        with self.database(write=True) as database:
            database.execute("DELETE FROM runs")

    # Thumbnails

    def keep_thumbnails(self, images: Mapping[int, bytes]) -> None:
        """Keep a small picture, WebP or JPEG, of some faces."""
        with self._thumbnails() as database:
            database.executemany("INSERT OR REPLACE INTO thumbnails VALUES (?, ?)", images.items())

    def thumbnail(self, face: int) -> bytes | None:
        """Return the picture of a face, if there is one."""
        if kind_of(self.folder / THUMBNAILS) != "file":
            return None
        with self._thumbnails() as database:
            row = database.execute("SELECT image FROM thumbnails WHERE face = ?", (face,)).fetchone()
        return None if row is None else row[0]

    def pictured(self, faces: Sequence[int]) -> set[int]:
        """Return those of some faces that have a picture."""
        if kind_of(self.folder / THUMBNAILS) != "file":
            return set()
        with self._thumbnails() as database:
            rows = database.execute(
                "SELECT face FROM thumbnails WHERE face IN (SELECT value FROM json_each(?))",
                (json.dumps([*faces]),),
            )
            return {face for (face,) in rows}

    @contextmanager
    def _thumbnails(self) -> Iterator[sqlite3.Connection]:
        path = self.folder / THUMBNAILS
        try:
            with closing(sqlite3.connect(path, timeout=_WAIT)) as database, database:
                database.execute("PRAGMA secure_delete = ON")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS thumbnails (face INTEGER PRIMARY KEY, image BLOB)"
                )
                yield database
        except sqlite3.DatabaseError as error:
            raise _in_words(path, error) from error

    # Acts

    def acts(self) -> dict[int, Act]:
        """Return everything that was said, by number."""
        with self.database() as database:
            return acts_in(database)

    def history(self) -> list[tuple[int, str, Act]]:
        """Return number, time and act of everything that was said."""
        with self.database() as database:
            rows = database.execute("SELECT id, at, act FROM journal ORDER BY id").fetchall()
        return [(number, at, Act.of_json(text)) for number, at, text in rows]

    def last_act(self) -> int:
        """Return the number of the last act; 0 if nothing was said."""
        with self.database() as database:
            return int(database.execute("SELECT coalesce(max(id), 0) FROM journal").fetchone()[0])

    # Runs

    def last_run(self) -> int | None:
        """Return the number of the last run that was finished."""
        with self.database() as database:
            found = database.execute("SELECT max(id) FROM runs").fetchone()[0]
        return None if found is None else int(found)

    def needed_run(self) -> int:
        """Return the number of the last run that was finished.

        Raises
        ------
        InputError
            If there was none yet.
        """
        number = self.last_run()
        if number is None:
            raise InputError(
                f"{self.folder} was not clustered yet: run nsrfc library cluster {self.folder}."
            )
        return number

    def run_folder(self, number: int) -> Path:
        """Return the folder of what a run found."""
        return self.folder / ARTIFACTS / f"run-{number:06}"

    def add_run(
        self, number: int, record: Mapping[str, Any], changed: Sequence[tuple[int, int, int]]
    ) -> None:
        """Let a run count, with the lineage of clusters that it split and merged."""
        with self.database(write=True) as database:
            values = number, _now(), json.dumps(record)
            database.execute("INSERT INTO runs VALUES (?, ?, ?)", values)
            rows = [(number, *each) for each in changed]
            database.executemany("INSERT INTO lineage VALUES (?, ?, ?, ?)", rows)

    def lineage(self) -> list[tuple[int, int, int, int]]:
        """Return run, cluster before, cluster after and shared faces of all splits and merges."""
        with self.database() as database:
            rows = "SELECT run, before, after, faces FROM lineage ORDER BY run, before, after"
            return database.execute(rows).fetchall()

    def cluster_ids(self, series: int, founders: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return ids (m,) for clusters that are new in a series, given by their lowest faces (m,).

        The same cluster gets the same id each time, so that undoing and doing again changes nothing.
        """
        if not len(founders):
            return np.empty(0, np.int64)
        with self.database(write=True) as database:
            database.executemany(
                "INSERT OR IGNORE INTO clusters (series, founder) VALUES (?, ?)",
                [(series, founder) for founder in founders.tolist()],
            )
            known = dict(
                database.execute(
                    "SELECT founder, id FROM clusters WHERE series = ?", (series,)
                ).fetchall()
            )
        return np.array([known[founder] for founder in founders.tolist()], np.int64)

    def key(self) -> tuple[int, ...]:
        """Return numbers that change whenever clusters may: last run and act, faces, faces forgotten."""
        with self.database() as database:
            return tuple(
                database.execute(
                    "SELECT (SELECT coalesce(max(id), 0) FROM runs),"
                    "(SELECT coalesce(max(id), 0) FROM journal),"
                    "(SELECT coalesce(max(first + count), 0) FROM parts),"
                    "(SELECT count(*) FROM faces WHERE gone)"
                ).fetchone()
            )

    def keep_clustering(
        self, key: tuple[int, ...], faces: npt.NDArray[np.int64], ids: npt.NDArray[np.int64]
    ) -> None:
        """Keep the clusters that follow from everything else, so that they need not be found again."""
        values = {"key": np.array(key, np.int64), "faces": faces, "clusters": ids}
        write_npz(self.folder / ARTIFACTS / CLUSTERING, values)

    def kept_clustering(
        self, key: tuple[int, ...]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
        """Return faces and clusters as they were kept, if nothing has changed since."""
        path = self.folder / ARTIFACTS / CLUSTERING
        if kind_of(path) != "file":
            return None
        try:
            found = tuple(read_npz_array(path, name) for name in ("key", "faces", "clusters"))
        except InputError:  # damaged: they are found again
            return None
        return (found[1], found[2]) if tuple(found[0].tolist()) == key else None

    # Helpers

    def _part(self, number: int) -> Path:
        return self.folder / EMBEDDINGS / f"{number:06}.npy"

    @staticmethod
    def _count(database: sqlite3.Connection) -> int:
        row = database.execute("SELECT coalesce(max(first + count), 0) FROM parts").fetchone()
        return int(row[0])

    def _check_version(self, database: sqlite3.Connection) -> None:
        application = database.execute("PRAGMA application_id").fetchone()[0]
        version = database.execute("PRAGMA user_version").fetchone()[0]
        path = self.folder / DATABASE
        if application != APPLICATION:
            raise InputError(f"{path} is not the database of a library: name the folder of one.")
        if version != VERSION:
            raise InputError(
                f"{path} is of version {version} of its schema, and this nsrfc reads version {VERSION}: "
                f"install the nsrfc that wrote it, or a newer one."
            )

    def _check_keys(self, database: sqlite3.Connection, keys: Sequence[str] | None) -> None:
        if keys is None:
            return
        database.execute("CREATE TEMP TABLE given (key TEXT)")
        database.executemany("INSERT INTO given VALUES (?)", [(key,) for key in keys])
        known = database.execute("SELECT key FROM given WHERE key IN (SELECT key FROM faces)").fetchall()
        database.execute("DROP TABLE given")
        if known:
            raise InputError(
                f"{len(known)} of these faces are in {self.folder} already "
                f"({enumerate_names(shown(key) for (key,) in known)}): add only faces that are new."
            )


def acts_in(database: sqlite3.Connection) -> dict[int, Act]:
    """Return everything that was said, by number."""
    rows = database.execute("SELECT id, act FROM journal ORDER BY id").fetchall()
    return {number: Act.of_json(text) for number, text in rows}


def next_act(database: sqlite3.Connection) -> int:
    """Return the number that the next act will have."""
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'journal'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def append(database: sqlite3.Connection, act: Act) -> int:
    """Append an act, and return its number."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    number = database.execute(
        "INSERT INTO journal (at, act) VALUES (?, ?)", (at, act.as_json())
    ).lastrowid
    assert number is not None
    return number


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_database(database: sqlite3.Connection) -> None:
    """Make the tables of a library."""
    database.execute(f"PRAGMA application_id = {APPLICATION}")
    database.execute(f"PRAGMA user_version = {VERSION}")
    database.execute("PRAGMA journal_mode = WAL")
    for name, columns in _TABLES.items():
        database.execute(f"CREATE TABLE {name} ({columns})")
    # Whether anything changed is asked all the time, and must not read every face.
    database.execute("CREATE INDEX gone ON faces (gone) WHERE gone")


def is_sound(path: Path) -> bool:
    """Whether SQLite finds no damage in a file."""
    try:
        with closing(sqlite3.connect(path)) as database:
            return bool(database.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False


@contextmanager
def _whole(database: sqlite3.Connection) -> Iterator[None]:
    """Commit what a block does; nothing of it if it raises."""
    try:
        yield
        database.commit()
    except BaseException:
        database.rollback()
        raise


def _next_part(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT coalesce(max(number) + 1, 0) FROM parts").fetchone()[0])


def _in_words(path: Path, error: sqlite3.DatabaseError) -> Exception:
    """Turn an error that the user can fix into a sentence; others are returned as they are."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return InputError(f"{path} is being written by another process: wait until it has ended.")
    if name.startswith(_UNWRITABLE):
        return InputError(
            f"{path} cannot be written ({error}): make room, or change the permissions of its folder."
        )
    if name.startswith(_DAMAGED):
        return InputError(
            f"{path} is damaged ({error}): run nsrfc library check {path.parent} to see what can be "
            f"mended, or restore a backup."
        )
    return error


_UNWRITABLE = (
    "SQLITE_FULL",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PERM",
    "SQLITE_IOERR",
)
_DAMAGED = "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"
