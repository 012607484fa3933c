"""Searching neighbours with faiss, and the exact similarities of what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks
from nsrfc.knn.ranking import ranked

if TYPE_CHECKING:
    import faiss

    from nsrfc.knn.gpu import Products

__all__ = ["SPARE", "exact_lists", "index_lists"]

SPARE = 8
"""Faces proposed by a search beyond those asked for, to make up for its rounding."""

_WIDENING = 8
_HALVED_WIDENING = 2


_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]
_Largest = Callable[[_Rows, int], tuple[_Vectors, _Rows]]


def exact_lists(
    vectors: _Vectors, rows: _Rows, k: int, products: Products | None = None
) -> tuple[_Ids, _Vectors]:
    """Find the true k nearest rows of some rows by comparing them with all.

    Candidates are proposed by products in float32, or in float16 on a GPU, and ranked by :func:`dot`;
    where the rounding of those products could have left out a neighbour, more are proposed.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    rows : ndarray of int64, shape (q,)
        Whose neighbours to find, q at least 1.
    k : int
        Length of a list, at most n.
    products : Products, optional
        Of these vectors, where they are multiplied on a GPU; the lists are the same.

    Returns
    -------
    ids : ndarray of int32, shape (q, k)
        The row itself, then descending by :func:`dot`, ties by row number.
    similarities : ndarray of float32, shape (q, k)
        1 for the row itself, else :func:`dot` as float32 in [-1, 1], lowered where rounding would
        make it as high as that of a nearer row: only true ties look like ties.
    """
    ids = np.empty((len(rows), k), np.int32)
    similarities = np.empty((len(rows), k), np.float32)
    unsure = np.arange(len(rows))
    for largest, width, rounding in _proposals(vectors, k, products):
        doubted = []
        for part in chunks(len(unsure), max(1, len(rows) * (k + SPARE) // width)):
            places = unsure[part]
            scores, candidates = largest(rows[places], width)
            ids[places], similarities[places] = ranked(vectors, rows[places], candidates, k)
            # A row that was not proposed scores no more than the last that was.
            doubted.append(places[scores[:, -1] + rounding >= similarities[places, -1]])
        unsure = np.concatenate(doubted)
        if width == len(vectors) or not len(unsure):
            break
    return ids, similarities


def _proposals(
    vectors: _Vectors, k: int, products: Products | None
) -> Iterator[tuple[_Largest, int, float]]:
    """Yield ways to propose candidates, each surer: products, how many, and the bound of their error."""
    n, d = vectors.shape
    largest: _Largest = partial(_largest_products, vectors)
    if products is not None:
        yield partial(products.largest, halved=True), min(_HALVED_WIDENING * k, n), products.rounding
        largest = partial(products.largest, halved=False)
    width = k + SPARE
    while True:
        # The rounding of a product of d terms in float32 stays far below this bound.
        yield largest, min(width, n), 4 * np.sqrt(d) * np.finfo(np.float32).eps
        width *= _WIDENING


def _largest_products(vectors: _Vectors, rows: _Rows, width: int) -> tuple[_Vectors, _Rows]:
    """Return the largest products (q, width) of some rows with all, in float32, and with whom."""
    import faiss

    found: tuple[_Vectors, _Rows] = faiss.knn(
        vectors[rows], vectors, width, metric=faiss.METRIC_INNER_PRODUCT
    )
    return found


def index_lists(
    vectors: _Vectors, rows: _Rows, k: int, index: faiss.Index, group: _Ids | None = None
) -> tuple[_Ids, _Vectors]:
    """Find the k nearest rows of some rows that a faiss index proposes.

    Parameters
    ----------
    vectors, rows, k
        As in :func:`exact_lists`.
    index : faiss.Index
        Searched as it is set.
    group : ndarray of int32, shape (m,), optional
        Row of ``vectors`` that each entry of the index stands for, if they are not the same.

    Returns
    -------
    ids, similarities
        As in :func:`exact_lists`, -1 and 0 at the end of a list where too few were proposed.
    """
    _, candidates = index.search(vectors[rows], min(k + SPARE, index.ntotal))
    if group is not None:
        candidates = np.where(candidates >= 0, group[candidates], -1)
    return ranked(vectors, rows, candidates, k)
