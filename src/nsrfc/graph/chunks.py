"""Work on a part of the faces at a time, so that working copies do not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["BATCH", "CHUNK", "ROWS", "chunks"]

CHUNK = 65_536
"""Faces that a step on a neighbour graph works on at a time; no result depends on it."""

ROWS = 4_096
"""Faces that the C-GCN works on at a time, and whose listed vectors are compared at a time; no result
depends on it."""

BATCH = 512
"""Lists or edges that a network judges at a time; no result depends on it."""


def chunks(n: int, size: int | None = None) -> Iterator[slice]:
    """Yield slices of 0..n-1 in order, `CHUNK` long or as given, the last shorter where it must be."""
    size = size or CHUNK
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
