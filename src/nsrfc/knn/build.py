"""The k nearest neighbours of every face by cosine: exact, approximate or by a given index.

For every list, whichever way it was searched:

- column 0 is the face itself with similarity 1, and only exact copies have similarity 1 as well;
- the others descend by the float64 dot product of the two rows, which depends neither on the search
  nor on chunk size, number of threads or row order; ties are in order of row number;
- the similarity is that product as float32 in [-1, 1], lowered by the last bit if rounding would make it
  equal to that of a nearer face: rounding makes no ties, which only row numbers could break;
- an exact list is the true one: a search in float32, or in half precision where that is faster, proposes
  more faces than needed, and is repeated with more of them if rounding could have missed one.

Exact copies are searched once and share their list, so that any number of them is allowed.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import sample_faces
from nsrfc.errors import InputError
from nsrfc.knn.cells import lists_nearby
from nsrfc.knn.copies import DistinctFaces, find_copies, renumber
from nsrfc.knn.exact import Lists, Products, exact_lists, filled, halved_products, index_lists, recall
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.rowstore import MemoryRows, NoResults, Results, RowStore
from nsrfc.runtime import fork_safe, may_have_gpu
from nsrfc.vectors import check_unit

if TYPE_CHECKING:
    import faiss

__all__ = ["EXACT_LIMIT", "build_neighbor_graph", "known_neighbors", "sampled_recall"]

EXACT_LIMIT = 100_000
"""Up to this many faces ``method="auto"`` searches exactly."""


GPU_FROM = 20_000
"""Minimum number of faces for which ``device="auto"`` looks for a GPU; for fewer, starting it takes
longer."""

_METHODS = ("auto", "exact", "approximate")

_logger = logging.getLogger(__name__)

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]


@fork_safe()
def build_neighbor_graph(
    X: _Vectors,
    k: int = 80,
    *,
    method: str = "auto",
    index: faiss.Index | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
    pieces: RowStore | None = None,
) -> NeighborGraph:
    """Find the k nearest neighbours of every face.

    Memory beside ``X``: 8 n k bytes for the result, and a copy of ``X`` if some of its rows are equal;
    for the approximate method another copy, and as much as the result.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d), C-contiguous
        Embeddings as unit vectors.
    k : int
        Length of a list, the face itself included; clamped to n.
    method : {"auto", "exact", "approximate"}
        ``exact`` compares all pairs. ``approximate`` searches a few cells of several partitions, then
        among the neighbours of the neighbours found (NN-descent, Dong, Moses and Li, WWW 2011), and logs
        its recall; it is deterministic for the same rows and seed. ``auto`` is exact up to `EXACT_LIMIT`
        faces.
    index : faiss.Index, optional
        An index over the same rows with inner product as its metric; it is searched with its own
        settings, and ``method`` is ignored.
    device : str
        Where an exact search runs: from `GPU_FROM` faces on, "auto" uses a GPU if there is one. The
        lists are the same on every device. An approximate search runs on the CPU.
    seed : int
        Seed of the approximate method.
    progress : Progress, optional
        Reports the stages "index" and "neighbours", counted in distinct faces.
    pieces : RowStore, optional
        Where the lists of distinct faces are kept, so that an interrupted search resumes.

    Returns
    -------
    NeighborGraph
        With cosine similarities. An approximate search may leave -1 at the end of a list.

    Raises
    ------
    InputError
        If ``X`` holds no such vectors, an argument is out of range, or ``index`` was not built from
        these rows.
    MemoryPlanError
        If an exact search does not fit the memory of the GPU.
    """
    check_unit(X)
    _check_arguments(k, method)
    copies, k = find_copies(X), min(k, len(X))
    vectors, store = copies.distinct(X), pieces or MemoryRows()
    width = min(k, len(vectors))
    approximate = method == "approximate" or (method == "auto" and len(X) > EXACT_LIMIT)

    def searched() -> Lists:
        if index is not None:
            return partial(index_lists, k=width, index=index, group=copies.group)
        return partial(exact_lists, k=width, products=_products(vectors, device))

    if index is not None:
        from nsrfc.knn.checks import check_index

        check_index(index, X, copies.group)
    if approximate and index is None:
        ids, similarities = lists_nearby(vectors, width, seed, store, progress)
    else:
        ids, similarities = filled(vectors, width, searched, store, progress)
    if copies.any:
        ids, similarities = copies.spread(ids, similarities, np.arange(len(X)), copies.group, k)
    graph = NeighborGraph(ids, similarities)
    if index is not None or approximate:
        found = sampled_recall(graph, X, seed=seed)
        _logger.info("Recall of the approximate neighbours, on a sample: %.1f %%.", 100 * found)
    return graph


def _check_arguments(k: int, method: str) -> None:
    if k < 1:
        raise InputError(f"k counts the face itself and must be at least 1, got {k}.")
    if method not in _METHODS:
        raise InputError(f"method must be one of {', '.join(_METHODS)}, got {method!r}.")


def known_neighbors(
    faces: DistinctFaces,
    graph: NeighborGraph | None,
    index: faiss.Index | None,
    k: int,
    progress: Progress,
    results: Results | None = None,
) -> NeighborGraph | None:
    """Turn a neighbour graph or index given by the user into a graph of the distinct faces.

    Parameters
    ----------
    faces : DistinctFaces
    graph : NeighborGraph, optional
        Over the user's rows.
    index : faiss.Index, optional
        Over the unit vectors of these rows; it is searched for lists of length ``k``.
    k : int
        Length of the lists at most: longer ones are cut.
    progress : Progress
    results : Results, optional
        Where the lists are made; in memory by default.

    Returns
    -------
    NeighborGraph or None
        None if neither is given.

    Raises
    ------
    InputError
        If both are given, or do not fit these rows; or if rows were left out and an index is given, as
        the rows that it numbers are then not known.
    """
    if graph is not None and index is not None:
        raise InputError("graph and index both bring the neighbours: give one of them.")
    if index is not None:
        if faces.skipped.any():
            raise InputError(
                "index: rows of these faces were left out, and an index cannot number the others: give "
                "a graph, or remove the bad rows."
            )
        unit = faces.vectors[faces.place]
        graph = build_neighbor_graph(unit, k, index=index, progress=progress)
    if graph is None:
        return None
    from nsrfc.knn.checks import check_count, check_neighbor_graph

    check_count(graph, len(faces.place))
    results = results or NoResults()
    made_of = (graph.ids, graph.similarities, faces.rows, faces.place)
    key = results.key("known", {"of": [results.passing_fingerprint(array) for array in made_of]})
    graph = renumber(graph, faces.rows, faces.place, results.passing("known", key))
    check_neighbor_graph(graph, faces.vectors)
    return graph.first(k)


@fork_safe()
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
        Seed of the sample.

    Returns
    -------
    float
        In [0, 1]; the face itself does not count.

    Raises
    ------
    InputError
        If ``X`` does not hold n unit vectors.
    """
    from nsrfc.knn.checks import check_count

    check_unit(X)
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


def _products(vectors: _Vectors, device: str) -> Products | None:
    """Products in half precision, on a GPU or a processor that is fast at them; else None."""
    if device != "cpu" and (device != "auto" or (len(vectors) >= GPU_FROM and may_have_gpu())):
        from nsrfc.knn.gpu import products_on

        found = products_on(vectors, device)
        if found is not None:
            return found
    return halved_products(vectors, len(vectors))
