"""Work on a part of the faces at a time, so that working copies do not grow with their number."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["BATCH", "CHUNK", "ROWS", "SAMPLE", "chunks", "release", "sample_faces"]

CHUNK = 65_536
"""Faces that a step on a neighbour graph works on at a time; no result depends on it."""

ROWS = 4_096
"""Faces that the C-GCN works on at a time, and whose listed vectors are compared at a time; no result
depends on it."""

BATCH = 512
"""Lists or edges that a network judges at a time; no result depends on it."""


SAMPLE = 4096
"""Faces that stand for all: the median of so many values is known to 0.02 standard deviations."""


def chunks(n: int, size: int | None = None) -> Iterator[slice]:
    """Yield slices of 0..n-1 in order, `CHUNK` long or as given, the last shorter where it must be."""
    size = size or CHUNK
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def release(array: npt.ArrayLike) -> None:
    """Let go of the memory that holds pages of a mapped file; they are read again when needed.

    Pages that are not the file's own, as of an array mapped with mode "c", stay.
    """
    if not isinstance(array, np.memmap) or array.mode == "c":
        return
    file: object = array.base
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def sample_faces(n: int, seed: int = 0, size: int = SAMPLE) -> npt.NDArray[np.int64]:
    """Choose faces that stand for all: ``size`` of 0..n-1, or all if there are fewer, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:size])
