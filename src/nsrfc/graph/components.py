"""From edges to labels: connected components and numbering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.records import EdgeList
from nsrfc.runtime import compiled

__all__ = [
    "connected_components",
    "drop_small",
    "relabel_by_first_appearance",
    "root",
    "roots",
]


def connected_components(n: int, edges: EdgeList) -> npt.NDArray[np.int64]:
    """Label the connected components of a graph.

    Parameters
    ----------
    n : int
        Number of faces.
    edges : EdgeList
        Edges in any order and direction; repeated edges and loops are allowed, scores are not read.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.

    Raises
    ------
    InputError
        If an edge ends outside 0..n-1.
    """
    from scipy.sparse import coo_array, csgraph

    if len(edges):
        low = min(edges.source.min(), edges.target.min())
        high = max(edges.source.max(), edges.target.max())
        if low < 0 or high >= n:
            raise InputError(f"Edges must join faces 0..{n - 1}, found ends {low}..{high}.")
    if n == 0:
        return np.empty(0, np.int64)
    adjacency = coo_array(
        (np.ones(len(edges), np.int8), (edges.source, edges.target)), shape=(n, n)
    ).tocsr()
    # A pair repeated 256 times would add up to 0 in int8, and csgraph treats a stored 0 as no edge.
    adjacency.data[:] = 1
    _, labels = csgraph.connected_components(adjacency, directed=True, connection="weak")
    return relabel_by_first_appearance(labels)


def relabel_by_first_appearance(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Renumber labels 0..c-1 in the order in which they first appear; -1 stays -1.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Any integers; -1 means "in no cluster".

    Returns
    -------
    ndarray of int64, shape (n,)
        The same clusters under new numbers.
    """
    old = np.asarray(labels, dtype=np.int64)
    new = np.full(len(old), -1, np.int64)
    grouped = old != -1
    _, first, inverse = np.unique(old[grouped], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    new[grouped] = rank[inverse]
    return new


def drop_small(labels: npt.ArrayLike, min_size: int) -> npt.NDArray[np.int64]:
    """Set clusters of fewer than ``min_size`` faces to -1 and renumber the others.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
        Any integers; -1 means "in no cluster".
    min_size : int
        Minimum size of a cluster that is kept; 1 keeps all.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance, or -1.
    """
    numbered = relabel_by_first_appearance(labels)
    grouped = numbered >= 0
    small = np.bincount(numbered[grouped]) < min_size
    numbered[grouped] = np.where(small[numbered[grouped]], -1, numbered[grouped])
    return relabel_by_first_appearance(numbered)


def roots(parent: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Root (n,) of every face's tree."""
    above = parent[parent]
    while not np.array_equal(above, parent):
        parent, above = above, above[above]
    return parent


@compiled()
def root(parent: npt.NDArray[np.int64], face: int) -> int:
    """Root of a face's tree, with path halving."""
    while parent[face] != face:
        parent[face] = parent[parent[face]]
        face = parent[face]
    return face
