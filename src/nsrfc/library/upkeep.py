"""Forgetting faces for good, and finding and mending damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.library.acts import ConflictError, replay
from nsrfc.library.consistency import check as check_consistency
from nsrfc.library.evidence import Kept
from nsrfc.library.pictures import PICTURES, Pictures
from nsrfc.library.store import DATABASE, SCHEMA, THUMBNAILS, Store, is_sound, new_database
from nsrfc.storage.files import kind_of, writing

__all__ = ["Problem", "check", "erase", "mend_database"]

_Faces = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a library.

    Attributes
    ----------
    what : str
        A sentence.
    mended : bool
        Whether it was put right, as far as it can be.
    """

    what: str
    mended: bool = False


def erase(store: Store, run: Path | None) -> None:
    """Remove from the disk everything that is kept of faces which are to be forgotten.

    It goes on where an erasing that was killed had come to. The caller keeps other writers away.

    Parameters
    ----------
    store : Store
        Of which some faces are marked as forgotten.
    run : Path, optional
        Folder of the last run.
    """
    faces = store.unerased()
    if not len(faces):
        return
    store.erase_embeddings(faces)
    pictures = Pictures.of(store.folder)
    if pictures is not None:
        pictures.erase(faces)
    if run is not None:
        kept = Kept.load(run)
        # A scene of several faces is the mean of all; only one that is left without a face goes.
        there = np.isin(kept.faces, store.faces(), assume_unique=True)
        empty = np.setdiff1d(kept.scene, kept.scene[there])
        kept.erase(empty)
    store.erased(faces)


def check(store: Store, *, mend: bool = False) -> Iterator[Problem]:
    """Look for damage, and put right what can be: what the machine found can be found again.

    Yields
    ------
    Problem
        Embeddings that are gone cost their faces; nothing that was said is ever removed.
    """
    number = store.last_run()
    if number is not None:
        folder = store.run_folder(number)
        try:
            kept = Kept.load(folder)
            sizes = len(kept.faces), len(kept.scene), len(kept.clusters)
            if len(set(sizes)) > 1 or not np.isfinite(kept.near.faces).all():
                raise InputError(f"{folder} does not hold what it should.")
        except InputError as error:
            if mend:
                store.drop_runs()
            yield Problem(f"The last run cannot be read: {error} Cluster again.", mend)
    yield from _lost_embeddings(store, mend=mend)
    path = store.folder / THUMBNAILS
    if kind_of(path) == "file" and not is_sound(path):
        if mend:
            path.unlink()
        yield Problem(f"{path} is damaged: thumbnails are lost, give them again.", mend)
    path = store.folder / PICTURES
    if kind_of(path) == "file" and not is_sound(path):
        if mend:
            path.unlink()
        yield Problem(f"{path} is damaged: run nsrfc photos again, which finds the faces anew.", mend)
    try:
        check_consistency(replay(store.acts()), store.facts())
    except (InputError, ConflictError) as error:
        yield Problem(f"What was said contradicts itself: {error}")


def _lost_embeddings(store: Store, *, mend: bool) -> Iterator[Problem]:
    for part, faces in store.parts():
        try:
            rows = store.part(part, len(faces))
            good = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
            why = "are not numbers, or zero"
        except InputError as error:
            good, why = np.zeros(len(faces), np.bool_), str(error)
        lost = np.intersect1d(faces[~good], store.faces())
        if len(lost):
            if mend:
                store.mark_gone(lost)
                store.erased(lost)
            yield Problem(
                f"The embeddings of {len(lost)} faces are lost, from face {lost[0]} on: {why}", mend
            )


def mend_database(folder: Path) -> Problem | None:
    """Copy what can be read of a damaged database into a new one; None if it is sound.

    The damaged one stays beside it, as `library.db.damaged`.
    """
    path = folder / DATABASE
    if is_sound(path):
        return None
    mended = folder / f".{DATABASE}.mended"
    with writing(folder):
        mended.unlink(missing_ok=True)
        lost = 0
        with closing(sqlite3.connect(mended)) as new, closing(sqlite3.connect(path)) as old:
            new_database(new)
            for table, columns in SCHEMA.items():
                marks = ",".join("?" * columns)
                for row in _readable(old, table):
                    if row is None:
                        lost += 1
                    else:
                        new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
            new.commit()
            new.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for suffix in ("", "-wal", "-shm"):
            damaged = Path(f"{path}{suffix}")
            if damaged.exists():
                damaged.replace(f"{damaged}.damaged")
        mended.replace(path)
    return Problem(
        f"{path} was damaged: what could be read was copied, {lost} times some rows could not; "
        f"the damaged file is {path}.damaged.",
        mended=True,
    )


def _readable(database: sqlite3.Connection, table: str) -> Iterator[tuple[object, ...] | None]:
    """Rows of a table; None where some cannot be read."""
    row = 0
    try:
        last = database.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0
    except sqlite3.DatabaseError:
        yield None
        return
    while row <= last:
        try:
            for found in database.execute(
                f"SELECT rowid, * FROM {table} WHERE rowid >= ? ORDER BY rowid", (row,)
            ):
                row = found[0] + 1
                yield tuple(found[1:])
            return
        except sqlite3.DatabaseError:
            yield None
            # Step over the page that cannot be read.
            row += 16
