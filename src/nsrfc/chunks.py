"""Process faces in chunks, so that the size of working copies does not grow with the number of faces."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["BATCH", "CHUNK", "ROWS", "SAMPLE", "chunks", "release", "sample_faces"]

CHUNK = 65_536
"""Faces that a step on a neighbour graph processes at a time; results do not depend on it."""

ROWS = 4_096
"""Faces that the C-GCN processes at a time, or whose neighbours' vectors are gathered at a time; results
do not depend on it."""

BATCH = 512
"""Lists or edges that a network scores at a time; results do not depend on it."""


SAMPLE = 4096
"""Size of a sample of faces: the median of so many values is known to 0.02 standard deviations."""


def chunks(n: int, size: int | None = None) -> Iterator[slice]:
    """Yield slices of 0..n-1 in order, of length ``size`` or `CHUNK`; the last may be shorter."""
    size = size or CHUNK
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def release(array: npt.ArrayLike) -> None:
    """Free the memory that holds pages of a mapped file; they are read again when needed.

    Arrays mapped copy-on-write (mode "c") are left alone.
    """
    if not isinstance(array, np.memmap) or array.mode == "c":
        return
    file: object = array.base
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def sample_faces(n: int, seed: int = 0, size: int = SAMPLE) -> npt.NDArray[np.int64]:
    """Draw a random sample of faces: ``size`` of 0..n-1, or all if there are fewer, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:size])
