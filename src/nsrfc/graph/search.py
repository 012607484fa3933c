"""Searching neighbours with faiss, and the exact similarities of what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.artifacts import Pieces
from nsrfc.graph.chunks import chunks
from nsrfc.progress import Progress

if TYPE_CHECKING:
    import faiss

    from nsrfc.graph.products import Products

__all__ = [
    "SPARE",
    "dot",
    "exact_lists",
    "index_lists",
    "inverted_file",
    "lists_among",
    "recall",
]

SPARE = 8
"""Faces proposed by a search beyond those asked for, to make up for its rounding."""

_WIDENING = 8
_HALVED_WIDENING = 2
_LINKS, _BEAM = 32, 64
_AVERAGED_SHARE = 4
_INDEXED = 16_384
_VANISHED = np.float32(1e-6)

FACES_PER_CELL = 32
"""Rows in a cell of the approximate search."""

FLAT_CENTRES = 65_536
"""Fewer centres than this are compared one by one."""

CELLS = 16
"""Cells that an approximate search visits."""

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
            ids[places], similarities[places] = _ranked(vectors, rows[places], candidates, k)
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
    return _ranked(vectors, rows, candidates, k)


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
    return _ranked(vectors, rows, candidates.reshape(len(rows), -1), k)


def inverted_file(
    vectors: _Vectors, seed: int, pieces: Pieces | None = None, progress: Progress | None = None
) -> faiss.IndexIVFFlat:
    """Index the rows by small cells, of about as many faces as a person has.

    In high dimensions most faces have no cell but that of their own person: larger cells mix people,
    and their centres are near to nobody. Centres are the means of some of the rows nearest to a random
    row each, and from `FLAT_CENTRES` on they are themselves found through a graph (HNSW, Malkov and
    Yashunin, 2018). A search visits `CELLS` of them.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    seed : int
        Chooses the first centres.
    pieces : Pieces, optional
        Where the cells of faces are kept, since finding them takes longest, so that work that was cut
        off goes on; with what they are made of.
    progress : Progress, optional
        Told of the stage "index", counted in faces for which a cell is found.
    """
    import faiss

    n, d = vectors.shape
    pieces = pieces or Pieces()
    rng = np.random.default_rng(seed)
    centers = vectors[np.sort(rng.permutation(n)[: max(1, n // FACES_PER_CELL)])]
    some = vectors[np.sort(rng.permutation(n)[: -(-n // _AVERAGED_SHARE)])]
    with (progress or Progress()).stage("index", len(some) + n) as advance:
        nearest = _cells(some, _center_index(centers), pieces.before(), advance)
        centers = _means(some, nearest, centers)
        del some, nearest
        index = faiss.IndexIVFFlat(_center_index(centers), d, len(centers), faiss.METRIC_INNER_PRODUCT)
        index.is_trained = True
        cells = _cells(vectors, index.quantizer, pieces, advance)
        for part in chunks(n, _INDEXED):
            rows, own = vectors[part], cells[part].astype(np.int64)
            index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(own))
    index.nprobe = min(CELLS, len(centers))
    return index


def _cells(
    vectors: _Vectors, centers: faiss.Index, pieces: Pieces, advance: Callable[[int], None]
) -> _Ids:
    """Find the centre (n,) nearest to each row."""
    cells: _Ids = pieces.array("cells", (len(vectors),), np.int32)
    advance(pieces.done)
    for part in pieces.remaining(len(vectors), _INDEXED):
        cells[part] = centers.search(vectors[part], 1)[1][:, 0]
        advance(part.stop - part.start)
    return cells


def _center_index(centers: _Vectors) -> faiss.Index:
    """Index of centres: by comparing all, or by a graph where they are many."""
    import faiss

    if len(centers) < FLAT_CENTRES:
        flat = faiss.IndexFlatIP(centers.shape[1])
        flat.add(centers)
        return flat
    linked = faiss.IndexHNSWFlat(centers.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    linked.hnsw.efConstruction = linked.hnsw.efSearch = _BEAM
    # Several threads would link the centres in an order of chance.
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        linked.add(centers)
    finally:
        faiss.omp_set_num_threads(threads)
    return linked


def _means(vectors: _Vectors, cell: _Ids, centers: _Vectors) -> _Vectors:
    """Return the mean of the rows of each cell as a unit vector; the old centre if they cancel out."""
    from scipy.sparse import csr_array

    cells, n = len(centers), len(vectors)
    bounds = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=cells))))
    members = np.argsort(cell, kind="stable")
    sums = csr_array((np.ones(n, np.float32), members, bounds), shape=(cells, n)) @ vectors
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: _Vectors = np.where(norms > _VANISHED, sums / np.maximum(norms, _VANISHED), centers)
    return means


def recall(truth: _Ids, found: _Ids) -> float:
    """Share of the true neighbours, column 0 left out, that stand in the lists found.

    Parameters
    ----------
    truth, found : ndarray of int32, shape (q, k)
        Two lists for each of q faces; -1 = none.
    """
    wanted = truth[:, 1:]
    hits = np.zeros(wanted.shape, np.bool_)
    for column in found.T:
        hits |= wanted == column[:, None]
    present = wanted >= 0
    return float(hits[present].mean()) if present.any() else 1.0


def _ranked(
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
