"""The exact similarities of proposed neighbours, and their order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]


__all__ = ["dot", "lists_among", "ranked"]


def lists_among(
    vectors: _Vectors, rows: _Rows, k: int, around: _Ids, width: int
) -> tuple[_Ids, _Vectors]:
    """Find the k nearest rows among the neighbours of neighbours.

    Parameters
    ----------
    vectors, rows, k
        As in :func:`exact_lists`.
    around : ndarray of int32, shape (n, w)
        Neighbours that are known already, -1 = none.
    width : int
        Of how many neighbours, from the first column on, the neighbours are compared.

    Returns
    -------
    ids, similarities
        As in :func:`index_lists`.
    """
    near = around[rows, :width]
    candidates = around[near]
    candidates[near < 0] = -1
    return ranked(vectors, rows, candidates.reshape(len(rows), -1), k)


def ranked(
    vectors: _Vectors, rows: _Rows, candidates: npt.NDArray[np.integer], k: int
) -> tuple[_Ids, _Vectors]:
    """Return the best k candidates of each row, the row itself first."""
    ids = np.full((len(rows), k), -1, np.int32)
    similarities = np.zeros((len(rows), k), np.float32)
    _rank(vectors, rows, np.sort(candidates, axis=1), ids, similarities)
    return ids, similarities


@njit(cache=True, fastmath={"reassoc", "nsz"}, nogil=True)
def dot(vectors: _Vectors, i: int, j: int) -> float:
    """Return the float64 dot product of rows i and j, the same for (j, i)."""
    total = 0.0
    for c in range(vectors.shape[1]):
        total += np.float64(vectors[i, c]) * np.float64(vectors[j, c])
    return total


@njit(cache=True, parallel=True, nogil=True)
def _rank(vectors: _Vectors, rows: _Rows, candidates: _Rows, ids: _Ids, similarities: _Vectors) -> None:
    k = ids.shape[1]
    for r in prange(len(rows)):
        i = rows[r]
        ids[r, 0] = i
        similarities[r, 0] = 1
        proposed = np.empty(candidates.shape[1], candidates.dtype)
        scores = np.empty(candidates.shape[1])
        found = 0
        for c in range(candidates.shape[1]):
            j = candidates[r, c]
            if j < 0 or j == i or (c > 0 and candidates[r, c - 1] == j):
                continue
            proposed[found], scores[found] = j, dot(vectors, i, j)
            found += 1
        filled = 1
        before = np.inf
        for c in np.argsort(-scores[:found], kind="mergesort"):
            if filled == k:
                break
            last = similarities[r, filled - 1]
            similarity = np.float32(scores[c])
            if similarity >= last:
                similarity = np.nextafter(last, np.float32(-2)) if scores[c] < before else last
            ids[r, filled] = proposed[c]
            similarities[r, filled] = max(np.float32(-1), similarity)
            before = scores[c]
            filled += 1
