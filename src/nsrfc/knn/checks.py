"""Checks of neighbour graphs and indexes that a user gives: they must belong to the embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.knn.exact import SPARE, proposed
from nsrfc.records import NeighborGraph

if TYPE_CHECKING:
    import faiss

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]


__all__ = ["check_count", "check_index", "check_neighbor_graph"]

_PROBES = 16

_COSINE_TOLERANCE = 0.02

_RIGHT_SHARE = 0.9


def check_neighbor_graph(graph: NeighborGraph, X: _Vectors) -> None:
    """Refuse a graph that was not built from these embeddings in this order.

    Parameters
    ----------
    graph : NeighborGraph
    X : ndarray of float32, shape (n, d)
        Embeddings as unit vectors.

    Raises
    ------
    InputError
        If ``graph`` does not have ``n`` lists, or the similarities in a sample of them differ from the
        cosines of the rows.
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
    """Refuse anything but a graph of ``n`` faces."""
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


def _probes(n: int) -> _Rows:
    """Rows to check, spread evenly over all."""
    return np.unique(np.linspace(0, n - 1, _PROBES).astype(np.int64))


def check_index(index: faiss.Index, X: _Vectors, group: _Ids) -> None:
    """Refuse an index that was not built from these rows; ``group`` numbers the distinct ones."""
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
    ids = proposed(index, X[rows], SPARE)
    found = (ids >= 0) & (group[ids] == group[rows, None])
    if found.any(axis=1).mean() < 0.5:
        raise InputError(
            "The index does not find the embeddings under their row numbers: build it from these "
            "rows in this order."
        )
