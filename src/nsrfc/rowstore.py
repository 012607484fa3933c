"""Where a step puts an array that it fills row by row: in memory, or in a store that outlasts a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks

__all__ = ["MemoryRows", "RowStore"]


class RowStore(Protocol):
    """Arrays of one row per face that are filled in order.

    ::

        ids = store.array("ids", (n, k), np.int32)
        for rows in store.remaining(n, size):
            ids[rows] = ...
    """

    @property
    def done(self) -> int:
        """Rows that an earlier run has filled."""

    def array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Return an array, with the rows that an earlier run has filled."""

    def remaining(self, n: int, size: int) -> Iterator[slice]:
        """Yield the slices of n rows that are still to be filled, ``size`` rows or fewer at a time."""

    def before(self) -> RowStore:
        """Open a result that this one is made of, and that nobody needs any more afterwards."""

    def discard(self) -> None:
        """Remove the arrays."""


class MemoryRows:
    """Rows in memory: nothing is kept."""

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
        """Return rows of their own."""
        return MemoryRows()

    def discard(self) -> None:
        """Remove nothing."""
