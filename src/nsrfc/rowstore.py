"""Where steps put intermediate results: in memory, or in a cache on disk (`nsrfc.storage`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks

__all__ = ["Arrays", "MemoryRows", "NoResults", "Results", "RowStore"]

Arrays = dict[str, npt.NDArray[Any]]


class RowStore(Protocol):
    """Arrays of one row per face, filled in order.

    ::

        ids = store.array("ids", (n, k), np.int32)
        for rows in store.remaining(n, size):
            ids[rows] = ...
    """

    @property
    def done(self) -> int:
        """Number of rows that an earlier run has filled."""

    def array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Return an array, with the rows that an earlier run has filled."""

    def remaining(self, n: int, size: int) -> Iterator[slice]:
        """Yield the slices of n rows that are still to be filled, ``size`` rows or fewer at a time."""

    def before(self) -> RowStore:
        """Open the store of a preliminary result, which is discarded once this one is complete."""

    def discard(self) -> None:
        """Remove the arrays."""


class MemoryRows:
    """Rows in memory, without a cache."""

    done = 0

    def array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Return a new array."""
        del name
        return np.empty(shape, dtype)

    def remaining(self, n: int, size: int) -> Iterator[slice]:
        """Yield the slices of n rows, ``size`` rows or fewer at a time."""
        yield from chunks(n, size)

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

    def find(self, stage: str, key: str) -> Arrays | None:
        """Return a result from the cache, or None."""

    def keep(self, stage: str, key: str, arrays: Arrays) -> None:
        """Keep a result, replacing an older one."""

    def pieces(self, stage: str, key: str) -> RowStore:
        """Open a result whose arrays are filled row by row."""

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

    def find(self, stage: str, key: str) -> None:
        """Find nothing."""
        del stage, key

    def keep(self, stage: str, key: str, arrays: Arrays) -> None:
        """Keep nothing."""

    def pieces(self, stage: str, key: str) -> RowStore:
        """Return rows in memory."""
        del stage, key
        return MemoryRows()

    def locked(self) -> AbstractContextManager[None]:
        """Lock nothing."""
        return nullcontext()
