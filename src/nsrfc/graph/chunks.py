"""Work on a part of the faces at a time, so that working copies do not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["CHUNK", "chunks"]

CHUNK = 65_536
"""Faces that a step on a neighbour graph works on at a time; no result depends on it."""


def chunks(n: int, size: int = CHUNK) -> Iterator[slice]:
    """Yield slices of 0..n-1 in order, ``size`` long, the last one shorter where it must be."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
