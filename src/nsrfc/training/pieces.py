"""Connected pieces of a neighbour graph, on which a C-GCN is trained.

A piece holds a few faces, their neighbours, and neighbours of those: most photos of some identities
together with their hardest impostors, which is what the loss compares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

__all__ = ["Piece", "cut_piece", "grow_piece"]

_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]

_HOP = 10


@dataclass(frozen=True)
class Piece:
    """Some faces of a graph and the edges between them, renumbered 0..m-1.

    Attributes
    ----------
    nodes : ndarray of int64, shape (m,)
        The faces, ascending.
    local : csr_array of float32, shape (m, m)
        Local adjacency between them.
    lists : ndarray of int32, shape (m, k)
        Their lists; -1 where a neighbour is outside the piece.
    """

    nodes: _Rows
    local: csr_array
    lists: _Ids


def grow_piece(lists: _Ids, starts: _Rows, size: int, rng: np.random.Generator) -> _Rows:
    """Collect the faces around some faces.

    The first hop takes their whole lists, later hops the 10 nearest of each face added last. Of the hop
    that would exceed the size, a random part is taken.

    Parameters
    ----------
    lists : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    starts : ndarray of int, shape (s,)
    size : int
        Number of faces; fewer are returned if no others can be reached.
    rng : Generator

    Returns
    -------
    ndarray of int64, shape (m,)
        Ascending.
    """
    nodes = np.unique(starts).astype(np.int64)[:size]
    reached, width = nodes, lists.shape[1]
    while len(nodes) < size and len(reached):
        near = np.unique(lists[reached, :width])
        reached = np.setdiff1d(near[near >= 0], nodes, assume_unique=True).astype(np.int64)
        if len(reached) > size - len(nodes):
            reached = rng.permutation(reached)[: size - len(nodes)]
        nodes = np.union1d(nodes, reached)
        width = _HOP + 1
    return nodes


def cut_piece(lists: _Ids, local: csr_array, nodes: _Rows) -> Piece:
    """Cut some faces out of a graph.

    Parameters
    ----------
    lists : ndarray of int32, shape (n, k)
        -1 = none.
    local : csr_array of float32, shape (n, n)
        See :func:`~nsrfc.graph.subgraphs.local_adjacency`.
    nodes : ndarray of int64, shape (m,)
        Ascending.

    Returns
    -------
    Piece
    """
    wanted = lists[nodes]
    place = np.minimum(np.searchsorted(nodes, wanted), len(nodes) - 1)
    inside = np.where(nodes[place] == wanted, place, -1).astype(np.int32)
    within = csr_array(local[nodes][:, nodes])
    within.sort_indices()
    return Piece(nodes, within, inside)
