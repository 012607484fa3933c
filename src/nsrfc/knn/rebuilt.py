"""The graph rebuilt on refined embeddings, among the neighbours of neighbours."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.knn.checks import check_unit
from nsrfc.knn.exact import Lists, filled, lists_among
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.rowstore import MemoryRows, RowStore

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]


__all__ = ["REBUILD_WIDTH", "lists_around", "rebuild_neighbor_graph"]

REBUILD_WIDTH = 10
"""Neighbours whose lists are searched when a graph is rebuilt, the face itself included."""


def rebuild_neighbor_graph(
    X: _Vectors,
    around: _Ids,
    *,
    progress: Progress | None = None,
    pieces: RowStore | None = None,
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
    check_unit(X)
    near = lists_around(around)
    return NeighborGraph(*filled(X, around.shape[1], lambda: near, pieces or MemoryRows(), progress))


def lists_around(around: _Ids) -> Lists:
    """Search among the neighbours of the nearest neighbours known."""
    k = around.shape[1]
    return partial(lists_among, k=k, around=around, width=min(REBUILD_WIDTH, k))
