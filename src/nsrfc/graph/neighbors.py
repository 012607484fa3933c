"""The k nearest neighbours of every face by cosine: exact, approximate or by a given index.

What holds for every list, whichever way it was searched:

- column 0 is the face itself with similarity 1, and only exact copies have 1 beside it;
- the others descend by the float64 dot product of the two rows, which depends neither on the search
  nor on chunk size, number of threads or row order; ties stand in order of row number;
- the similarity is that product as float32 in [-1, 1], lowered by a last digit where rounding would
  make it equal that of a nearer face: rounding makes no ties, which only row numbers could break;
- an exact list is the true one: a search in float32, or in float16 on a GPU, proposes some faces more
  than asked for, and is repeated with more where rounding could have left one out.

Exact copies are searched once and share their list, so that any number of them does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.artifacts import Pieces
from nsrfc.errors import InputError
from nsrfc.graph.background import sample_faces
from nsrfc.graph.copies import find_copies
from nsrfc.graph.search import SPARE, exact_lists, index_lists, inverted_file, lists_among, recall
from nsrfc.graph.structures import NeighborGraph
from nsrfc.progress import Progress

if TYPE_CHECKING:
    import faiss

    from nsrfc.graph.products import Products

__all__ = [
    "EXACT_LIMIT",
    "build_neighbor_graph",
    "check_count",
    "check_neighbor_graph",
    "rebuild_neighbor_graph",
    "renumber",
    "sampled_recall",
]

EXACT_LIMIT = 100_000
"""Up to this many faces ``method="auto"`` searches exactly."""

REBUILD_WIDTH = 10
"""Neighbours whose lists are searched when a graph is rebuilt, the face itself included."""

GPU_FROM = 20_000
"""From so many faces on ``device="auto"`` looks for a GPU: for fewer, looking takes longer."""

PASSES = 2
"""How often an approximate search goes on among the neighbours of neighbours."""

_METHODS = ("auto", "exact", "approximate")
_CHUNK = 8192
_NORM_TOLERANCE = 1e-3
_PROBES = 16
_COSINE_TOLERANCE = 0.02
_RIGHT_SHARE = 0.9

_logger = logging.getLogger(__name__)

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]

_Lists = Callable[[_Vectors, _Rows], tuple[_Ids, _Vectors]]


def build_neighbor_graph(
    X: _Vectors,
    k: int = 80,
    *,
    method: str = "auto",
    index: faiss.Index | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    pieces: Pieces | None = None,
) -> NeighborGraph:
    """Find the k nearest neighbours of every face.

    Memory beside ``X``: 8 n k bytes for the result, and a copy of ``X`` if some of its rows are equal;
    for the approximate method another copy, and as much as the result.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d), C-contiguous
        Embeddings as unit vectors.
    k : int
        Length of a list, the face itself included; at most n is taken.
    method : {"auto", "exact", "approximate"}
        ``exact`` compares all pairs. ``approximate`` searches a few cells of an inverted file, then
        among the neighbours of the neighbours found (NN-descent, Dong, Moses and Li, WWW 2011), reports
        its recall to the log, and repeats itself for the same rows and seed. ``auto`` is exact up to
        `EXACT_LIMIT` faces.
    index : faiss.Index, optional
        An index over the same rows with inner product as its metric; it is searched as it is set,
        whatever ``method`` says.
    device : str
        Where an exact search runs, as :func:`nsrfc.device.find_device`; from `GPU_FROM` faces on "auto"
        takes a GPU if there is one. The lists are the same everywhere. An approximate search runs on
        the CPU.
    seed : int
        Seed of the approximate method.
    progress : Progress, optional
        Told of the stages "index", for the approximate method, and "neighbours", counted in distinct
        faces.
    pieces : Pieces, optional
        Where the lists of distinct faces are kept, so that a search that was cut off goes on.

    Returns
    -------
    NeighborGraph
        With cosine similarities. An approximate search may leave -1 at the end of a list.

    Raises
    ------
    InputError
        If ``X`` holds no such vectors, an argument is out of range, or ``index`` was not made of
        these rows.
    MemoryPlanError
        If an exact search does not fit the memory of the GPU.
    """
    _check_vectors(X)
    if k < 1:
        raise InputError(f"k counts the face itself and must be at least 1, got {k}.")
    if method not in _METHODS:
        raise InputError(f"method must be one of {', '.join(_METHODS)}, got {method!r}.")
    k = min(k, len(X))
    copies = find_copies(X)
    vectors = copies.distinct(X)
    width = min(k, len(vectors))
    pieces = pieces or Pieces()
    approximate = method == "approximate" or (method == "auto" and len(X) > EXACT_LIMIT)
    if index is not None:
        _check_index(index, X, copies.group)
        proposed = partial(index_lists, k=width, index=index, group=copies.group)
        ids, similarities = _filled(vectors, width, lambda: proposed, pieces, progress)
    elif approximate:
        ids, similarities = _approximate(vectors, width, seed, PASSES, pieces, progress)
    else:
        ids, similarities = _filled(
            vectors,
            width,
            lambda: partial(exact_lists, k=width, products=_products(vectors, device)),
            pieces,
            progress,
        )
    if copies.any:
        faces = np.arange(len(X))
        ids, similarities = copies.spread(ids, similarities, faces, copies.group, k)
    graph = NeighborGraph(ids, similarities)
    if index is not None or approximate:
        found = sampled_recall(graph, X, seed=seed)
        _logger.info("The approximate lists hold %.1f %% of a sample's neighbours.", 100 * found)
    return graph


def rebuild_neighbor_graph(
    X: _Vectors,
    around: _Ids,
    *,
    progress: Progress | None = None,
    pieces: Pieces | None = None,
) -> NeighborGraph:
    """Find the nearest neighbours of refined embeddings among the neighbours of neighbours.

    Refined embeddings move towards their neighbours, so that whoever comes near is a neighbour of one
    of them: for the people found it makes no difference whether all faces are compared
    (docs/clustering.md), and the time is linear in the faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d), C-contiguous
        Distinct refined embeddings as unit vectors.
    around : ndarray of int32, shape (n, k)
        Neighbours before, the face itself first, then the best; -1 = none. The lists of the first
        `REBUILD_WIDTH` are searched.
    progress, pieces
        As in :func:`build_neighbor_graph`.

    Returns
    -------
    NeighborGraph
        Of lists of length k with cosine similarities; -1 at the end where too few were compared.
    """
    _check_vectors(X)
    near = _among(around)
    return NeighborGraph(*_filled(X, around.shape[1], lambda: near, pieces or Pieces(), progress))


def sampled_recall(graph: NeighborGraph, X: _Vectors, sample: int = 1000, seed: int = 0) -> float:
    """Share of the true neighbours that a graph holds, by exact search for a sample of faces.

    Parameters
    ----------
    graph : NeighborGraph
        Lists over the rows of ``X``.
    X : ndarray of float32, shape (n, d), C-contiguous
        Embeddings as unit vectors.
    sample : int
        Number of faces searched, at most n.
    seed : int
        Chooses the faces.

    Returns
    -------
    float
        In [0, 1]; the face itself does not count.

    Raises
    ------
    InputError
        If ``X`` holds no unit vectors or another number of them.
    """
    _check_vectors(X)
    check_count(graph, len(X))
    faces = sample_faces(len(X), seed, sample)
    copies = find_copies(X)
    vectors = copies.distinct(X)
    k = min(graph.k, len(X))
    groups = copies.group[faces].astype(np.int64)
    ids, similarities = exact_lists(vectors, groups, min(k, len(vectors)))
    if copies.any:
        ids, _ = copies.spread(ids, similarities, faces, np.arange(len(faces)), k)
    return recall(ids, graph.ids[faces])


def check_neighbor_graph(graph: NeighborGraph, X: _Vectors) -> None:
    """Refuse a graph that was not made of these embeddings in this order.

    Parameters
    ----------
    graph : NeighborGraph
    X : ndarray of float32, shape (n, d)
        Embeddings as unit vectors.

    Raises
    ------
    InputError
        If ``graph`` does not have ``n`` lists, or what a sample of them holds as similarities is far
        from the cosines of the rows.
    """
    check_count(graph, len(X))
    rows = _probes(len(X))
    ids, similarities = graph.ids[rows, 1:], graph.similarities[rows, 1:]
    cosines = np.einsum("rd,rkd->rk", X[rows], X[ids])
    right = (np.abs(similarities - cosines) <= _COSINE_TOLERANCE)[ids >= 0]
    if right.size and right.mean() < _RIGHT_SHARE:
        raise InputError(
            f"Of {right.size} similarities in the neighbour graph {right.sum()} are cosines of the "
            f"embeddings: give the graph that was built from these rows in this order."
        )


def check_count(graph: NeighborGraph, n: int) -> None:
    """Refuse what is no graph, or one that was made for another number of faces."""
    if not isinstance(graph, NeighborGraph):
        raise InputError(
            f"graph must be a NeighborGraph, got {type(graph).__name__}: build or read one, or leave it "
            f"out."
        )
    if graph.n != n:
        raise InputError(
            f"The neighbour graph has {graph.n} faces, the embeddings have {n}: "
            f"give the graph that was built from these embeddings."
        )


def renumber(graph: NeighborGraph, faces: _Rows, place: _Rows) -> NeighborGraph:
    """Turn lists of all faces into lists of distinct faces.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of all n faces.
    faces, place : ndarray of int64
        As `nsrfc.graph.copies.canonical_rows` returns them.

    Returns
    -------
    NeighborGraph
        Of g faces in the order of ``faces``; of several copies in a list the first is kept, equal
        similarities stand in order of the new numbers, and -1 fills the end.
    """
    old, similarities = graph.ids[faces], graph.similarities[faces]
    ids = np.where(old >= 0, place[old], -1).astype(np.int32)
    by_id = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, by_id, axis=1)
    again = np.zeros(ids.shape, np.bool_)
    np.put_along_axis(again, by_id[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    ids[again] = -1
    # Lists are sorted by two keys: the face itself, descending similarity, holes; then the number.
    key = np.where(ids >= 0, -similarities, np.float32(np.inf))
    key[:, 0] = -np.inf
    order = np.lexsort((ids, key))
    ids = np.take_along_axis(ids, order, axis=1)
    kept = np.where(ids >= 0, np.take_along_axis(similarities, order, axis=1), np.float32(0))
    return NeighborGraph(ids, kept)


def _products(vectors: _Vectors, device: str) -> Products | None:
    """Products on the GPU, if it is one on which to search."""
    if device == "cpu" or (device == "auto" and len(vectors) < GPU_FROM):
        return None
    from nsrfc.device import find_device
    from nsrfc.graph.products import Products

    place = find_device(device)
    return None if place.type == "cpu" else Products(vectors, place)


def _approximate(
    vectors: _Vectors, k: int, seed: int, passes: int, pieces: Pieces, progress: Progress | None
) -> tuple[_Ids, _Vectors]:
    """Search the cells around each face, then ``passes`` times among the neighbours of neighbours."""

    def lists() -> _Lists:
        if passes == 0:
            index = inverted_file(vectors, seed, pieces.before(), progress)
            return partial(index_lists, k=k, index=index)
        return _among(_approximate(vectors, k, seed, passes - 1, pieces.before(), progress)[0])

    found = _filled(vectors, k, lists, pieces, progress)
    for needed_no_more in (pieces.before(), pieces.before().before()):
        needed_no_more.discard()
    return found


def _among(around: _Ids) -> _Lists:
    """Search among the neighbours of the nearest neighbours known."""
    k = around.shape[1]
    return partial(lists_among, k=k, around=around, width=min(REBUILD_WIDTH, k))


def _filled(
    vectors: _Vectors,
    k: int,
    lists: Callable[[], _Lists],
    pieces: Pieces,
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


def _check_vectors(X: _Vectors) -> None:
    if X.ndim != 2 or X.dtype != np.float32 or not X.flags.c_contiguous or X.size == 0:
        raise InputError(
            f"Embeddings must be a C-contiguous float32 array (n, d) with n, d >= 1, "
            f"got {X.dtype} {X.shape}."
        )
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    bad = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
    if len(bad):
        raise InputError(
            f"Embeddings must be unit vectors; row {bad[0]} has length {norms[bad[0]]:.4g} "
            f"({len(bad)} such rows): normalise them first."
        )


def _probes(n: int) -> _Rows:
    """Rows to look at, spread evenly over all."""
    return np.unique(np.linspace(0, n - 1, _PROBES).astype(np.int64))


def _check_index(index: faiss.Index, X: _Vectors, group: _Ids) -> None:
    """Refuse an index that was not made of these rows; ``group`` numbers the distinct ones."""
    import faiss

    if not isinstance(index, faiss.Index):
        raise InputError(f"index must be a faiss.Index, got {type(index).__name__}.")
    if (index.ntotal, index.d) != X.shape:
        raise InputError(
            f"The index holds {index.ntotal} vectors of dimension {index.d}, the embeddings are "
            f"{len(X)} of dimension {X.shape[1]}: build it from these embeddings."
        )
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise InputError("The index must use the inner product: build it with METRIC_INNER_PRODUCT.")
    rows = _probes(len(X))
    _, ids = index.search(X[rows], min(SPARE, len(X)))
    known = (ids >= 0) & (ids < len(X))
    found = known & (group[np.where(known, ids, 0)] == group[rows, None])
    if (ids >= len(X)).any() or found.any(axis=1).mean() < 0.5:
        raise InputError(
            "The index does not find the embeddings under their row numbers: build it from these "
            "rows in this order."
        )
