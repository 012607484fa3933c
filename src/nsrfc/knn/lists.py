"""Lists of all faces, filled block by block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nsrfc.progress import Progress
from nsrfc.rowstore import RowStore

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]

Lists = Callable[[_Vectors, _Rows], tuple[_Ids, _Vectors]]
"""Finds the neighbours of some rows of vectors (n, d): ids and similarities (q, k)."""


__all__ = ["Lists", "filled"]

_CHUNK = 8192


def filled(
    vectors: _Vectors,
    k: int,
    lists: Callable[[], Lists],
    pieces: RowStore,
    progress: Progress | None,
) -> tuple[_Ids, _Vectors]:
    """Ids and similarities (n, k); ``lists`` tells how those are found that are not there yet."""
    n = len(vectors)
    ids, similarities = pieces.array("ids", (n, k), np.int32), pieces.array("similarities", (n, k))
    if pieces.done == n:
        return ids, similarities
    find = lists()
    with (progress or Progress()).stage("neighbours", n) as advance:
        advance(pieces.done)
        for part in pieces.remaining(n, _CHUNK):
            rows = np.arange(part.start, part.stop)
            ids[part], similarities[part] = find(vectors, rows)
            advance(len(rows))
    return ids, similarities
