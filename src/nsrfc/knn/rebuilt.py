"""The graph rebuilt on refined embeddings, searched among the neighbours of neighbours."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import ROWS, chunks
from nsrfc.knn.exact import filled, lists_among
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.rowstore import MemoryRows, RowStore
from nsrfc.vectors import check_unit

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]


__all__ = ["REBUILD_WIDTH", "listed_cosines", "rebuild_neighbor_graph"]

REBUILD_WIDTH = 10
"""Number of neighbours whose lists are searched when a graph is rebuilt, the face itself included."""


def rebuild_neighbor_graph(
    X: _Vectors,
    around: _Ids,
    *,
    progress: Progress | None = None,
    pieces: RowStore | None = None,
) -> NeighborGraph:
    """Find the nearest neighbours of refined embeddings among the neighbours of neighbours.

    Refinement moves embeddings towards their neighbours, so that new neighbours are neighbours of
    neighbours. The clusters are as good as with a comparison of all faces (docs/clustering.md), and the
    time is linear in the number of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d), C-contiguous
        Distinct refined embeddings as unit vectors.
    around : ndarray of int32, shape (n, k)
        Previous neighbours, the face itself first, then the best; -1 = none. The lists of the first
        `REBUILD_WIDTH` are searched.
    progress, pieces
        As in :func:`build_neighbor_graph`.

    Returns
    -------
    NeighborGraph
        Lists of length k with cosine similarities; -1 at the end if there were too few candidates.
    """
    check_unit(X)
    k = around.shape[1]
    near = partial(lists_among, k=k, around=around, width=min(REBUILD_WIDTH, k))
    return NeighborGraph(*filled(X, k, lambda: near, pieces or MemoryRows(), progress))


def listed_cosines(vectors: _Vectors, ids: _Ids) -> _Vectors:
    """Cosines (n, k) of unit vectors with their listed neighbours; 0 where there is none."""
    cosine = np.empty(ids.shape, np.float32)
    for part in chunks(len(ids), ROWS):
        cosine[part] = np.einsum("nd,nkd->nk", vectors[part], vectors[ids[part]], optimize=True)
    cosine[ids < 0] = 0
    return cosine
