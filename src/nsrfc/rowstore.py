"""Where steps put intermediate results: in memory, in a cache on disk, or made by several processes.

All work by rows is written as tasks over fixed blocks of faces (`RowTask`), and a store decides where
they run: one after the other in this process (`MemoryRows`, `nsrfc.storage.artifacts.Pieces`), or in
others (`nsrfc.execution`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import STEP, Vectors, chunks

__all__ = [
    "COLUMNS",
    "Arrays",
    "Columns",
    "Gathered",
    "MemoryRows",
    "Moves",
    "NoResults",
    "OrderedRows",
    "Results",
    "RowStore",
    "RowTask",
    "Stage",
    "block_rows",
    "moved_anew",
    "unseen",
]

Arrays = dict[str, npt.NDArray[Any]]


Columns = Mapping[str, tuple[tuple[int, ...], npt.DTypeLike]]
"""Arrays of one row per face: the shape of a row, and the dtype, by name."""

Stage = Callable[[], AbstractContextManager[Callable[[int], None]]]
"""Opens a stage of a run, see `nsrfc.progress.Progress.stage`."""

_MOST_ROWS, _BLOCKS = 65_536, 64

COLUMNS = 16
"""Columns in which rows are moved at a time, so that there is no second copy of them: a line of the
processor's cache."""


def block_rows(n: int, step: int) -> int:
    """Return the rows of a block: the work on n faces is shared by blocks.

    It depends on the work alone, not on who shares it, and is a multiple of ``step``: matrices of other
    shapes would be rounded in other ways.
    """
    while step * _BLOCKS < n and step < _MOST_ROWS:
        step *= 2
    return step


def unseen() -> AbstractContextManager[Callable[[int], None]]:
    """Open a stage that nobody is told of."""
    return nullcontext(lambda _: None)


class RowTask(Protocol):
    """A pure function of some faces: rows of arrays, from arrays and settings that it holds.

    It can be pickled, so that another process can run it.
    """

    @property
    def step(self) -> int:
        """Rows that are made at a time."""

    def __call__(self, rows: slice) -> Arrays:
        """Return the rows of every column, at most `step`."""


class Moves(RowTask, Protocol):
    """Makes vectors (n, d) of others, which may be overwritten: rows in another order, or means of some.

    As a task it makes the column "vectors".
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of what is made."""

    def in_place(self) -> npt.NDArray[np.float32]:
        """Make all rows in the memory of the others."""


@dataclass(frozen=True)
class Gathered:
    """Gathers rows (n,) of vectors, each once at most if they are moved in place."""

    vectors: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    step = STEP

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of what is made."""
        return len(self.rows), self.vectors.shape[1]

    def __call__(self, rows: slice) -> Arrays:
        """Return some of the rows."""
        return {"vectors": self.vectors[self.rows[rows]]}

    def in_place(self) -> npt.NDArray[np.float32]:
        """Move the rows to the front."""
        moved = self.vectors[: len(self.rows)]
        for columns in chunks(self.vectors.shape[1], COLUMNS):
            moved[:, columns] = self.vectors[self.rows, columns]
        return moved


class RowStore(Protocol):
    """Where arrays of one row per face are made, block by block."""

    def fill(
        self,
        n: int,
        columns: Columns,
        task: Callable[[], RowTask],
        stage: Stage = unseen,
        over: Arrays | None = None,
    ) -> Arrays:
        """Return the arrays of n rows.

        Parameters
        ----------
        n : int
        columns : mapping
        task : callable
            Returns the task that makes rows; not called if an earlier run has made all.
        stage : callable
            Opens a stage that is told how many rows are made, once the task is there.
        over : dict of str to ndarray, optional
            Arrays in memory that may be overwritten by columns of the same names.

        Returns
        -------
        dict of str to ndarray
            Not to be written to.
        """

    def gathered(
        self, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return rows (m,) of vectors (n, d); they are kept only where other processes read them."""

    def moved(self, moves: Moves) -> npt.NDArray[np.float32]:
        """Return vectors that are made of others, which are not needed again."""

    def before(self) -> RowStore:
        """Open the store of a preliminary result, which is discarded once this one is complete."""

    def discard(self) -> None:
        """Remove the arrays."""


def moved_anew(store: RowStore, moves: Moves) -> npt.NDArray[np.float32]:
    """Make vectors (n, d) in a new array of a store."""
    n, width = moves.shape
    columns: Columns = {"vectors": ((width,), np.float32)}
    vectors: npt.NDArray[np.float32] = store.fill(n, columns, lambda: moves)["vectors"]
    return vectors


class OrderedRows:
    """Arrays filled in order, by this process.

    ::

        ids = store.array("ids", (n, k), np.int32)
        for rows in store.remaining(n, size):
            ids[rows] = ...
    """

    @property
    def done(self) -> int:
        """Number of rows that an earlier run has filled."""
        return 0

    def array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Return an array, with the rows that an earlier run has filled."""
        del name
        return np.empty(shape, dtype)

    def remaining(self, n: int, size: int) -> Iterator[slice]:
        """Yield the slices of n rows that are still to be filled, ``size`` rows or fewer at a time."""
        yield from chunks(n, size)

    def fill(
        self,
        n: int,
        columns: Columns,
        task: Callable[[], RowTask],
        stage: Stage = unseen,
        over: Arrays | None = None,
    ) -> Arrays:
        """Return the arrays of n rows, see `RowStore.fill`; they are made in order."""
        arrays = over or {
            name: self.array(name, (n, *shape), dtype) for name, (shape, dtype) in columns.items()
        }
        if self.done == n:
            return arrays
        make = task()
        with stage() as advance:
            advance(self.done)
            for rows in self.remaining(n, make.step):
                for name, found in make(rows).items():
                    arrays[name][rows] = found
                advance(rows.stop - rows.start)
        return arrays

    def gathered(
        self, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return rows (m,) of vectors (n, d)."""
        return vectors[rows]

    def moved(self, moves: Moves) -> npt.NDArray[np.float32]:
        """Make vectors in the memory of those they are made of."""
        return moves.in_place()


class MemoryRows(OrderedRows):
    """Rows in memory, without a cache."""

    def before(self) -> MemoryRows:
        """Return another store in memory."""
        return MemoryRows()

    def discard(self) -> None:
        """Remove nothing."""


class Results(Protocol):
    """A cache of the results of stages, by keys of everything that they depend on."""

    @property
    def kept(self) -> bool:
        """Whether results are kept; otherwise keys are empty, and nothing is hashed."""

    def key(self, stage: str, parts: Mapping[str, object]) -> str:
        """Return the key of a result; ``parts`` are JSON values: settings, and keys of its inputs."""

    def fingerprint(self, array: npt.NDArray[Any]) -> str:
        """Return the fingerprint of an array, for use in a key."""

    def get(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return a result from the cache, or make and keep it."""

    def once(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Make a result, or take what another process that runs the same command has made.

        It is soon made, and not kept otherwise.
        """

    def find(self, stage: str, key: str) -> Arrays | None:
        """Return a result from the cache, or None."""

    def keep(self, stage: str, key: str, arrays: Arrays) -> None:
        """Keep a result, replacing an older one."""

    def pieces(self, stage: str, key: str) -> RowStore:
        """Open a result whose arrays are filled row by row."""

    def passing_fingerprint(self, array: Vectors) -> str:
        """Return the fingerprint of an array, for use in the key of a `passing` result."""

    def passing(self, stage: str, key: str, *, here: bool = False) -> RowStore:
        """Open a result that is soon made again: it is only kept where other processes read it.

        ``here``: this process makes it, unless others run the same command.
        """

    def shared(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array of the same content that other processes can read, if any take part.

        It may be read-only.
        """

    def locked(self) -> AbstractContextManager[None]:
        """Lock the cache for this run."""


class NoResults:
    """No cache: nothing is kept."""

    kept = False

    def key(self, stage: str, parts: Mapping[str, object]) -> str:
        """Return an empty key."""
        del stage, parts
        return ""

    def fingerprint(self, array: npt.NDArray[Any]) -> str:
        """Return an empty fingerprint."""
        del array
        return ""

    def get(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Make the result."""
        del stage, key
        return make()

    def once(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Make the result."""
        del stage, key
        return make()

    def find(self, stage: str, key: str) -> None:
        """Find nothing."""
        del stage, key

    def keep(self, stage: str, key: str, arrays: Arrays) -> None:
        """Keep nothing."""

    def pieces(self, stage: str, key: str) -> RowStore:
        """Return rows in memory."""
        del stage, key
        return MemoryRows()

    def passing_fingerprint(self, array: Vectors) -> str:
        """Return an empty fingerprint."""
        del array
        return ""

    def passing(self, stage: str, key: str, *, here: bool = False) -> RowStore:
        """Return rows in memory."""
        del stage, key, here
        return MemoryRows()

    def shared(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array itself."""
        return array

    def locked(self) -> AbstractContextManager[None]:
        """Lock nothing."""
        return nullcontext()
