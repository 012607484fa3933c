"""Large clusters compared after all edges were followed: parts of one identity that no edge ties.

The measure is that of :class:`nsrfc.graph.connectivity.ClusterTest`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.chunks import chunks
from nsrfc.graph.components import connected_components, relabel_by_first_appearance
from nsrfc.records import EdgeList

__all__ = ["join_uncertain", "join_unlinked", "normalized_similarity"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]

_LEAST_WITHIN = 1e-4
_ROWS = 8192


def join_unlinked(
    X: _Floats, labels: _Labels, ids: _Ids, impostor_mean: float, minimum: float, size: int
) -> _Labels:
    """Join large clusters that are as similar as the faces within them.

    They are poses or ages of somebody with more photos than a list is long, so that no list reaches from
    one to the other.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1.
    ids : ndarray of int32, shape (n, k)
        Neighbours, -1 = none: two clusters are compared if a face of one lists a face of the other.
    impostor_mean : float
        Mean similarity of impostor pairs.
    minimum : float
        Least normalised similarity of two clusters that are joined.
    size : int
        Fewest faces of either.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    sizes = np.bincount(labels)
    a, b = np.divmod(_listed_pairs(labels, sizes, ids, size), len(sizes))
    alike = normalized_similarity(X, labels, a, b, impostor_mean) >= minimum
    return _joined(labels, a[alike], b[alike])


def join_uncertain(
    labels: _Labels,
    edges: EdgeList,
    size: int,
    *views: tuple[_Floats, float, float],
) -> _Labels:
    """Join large clusters that an uncertain edge ties, if they are similar in every view.

    Averages of neighbours bring impostors together where the embedder fails; embeddings as given part
    the poses of one person. What is similar in both is one identity.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1.
    edges : EdgeList
        Between faces; scores are not read.
    size : int
        Fewest faces of either cluster.
    *views : (ndarray of float32, shape (n, w); float; float)
        Unit vectors, mean similarity of impostor pairs by them, least normalised similarity.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    sizes = np.bincount(labels)
    a, b = labels[edges.source], labels[edges.target]
    large = (a != b) & (np.minimum(sizes[a], sizes[b]) >= size)
    a, b = a[large], b[large]
    for X, impostor_mean, minimum in views:
        alike = normalized_similarity(X, labels, a, b, impostor_mean) >= minimum
        a, b = a[alike], b[alike]
    return _joined(labels, a, b)


def normalized_similarity(
    X: _Floats, labels: _Labels, a: _Labels, b: _Labels, impostor_mean: float
) -> _Floats:
    """Normalised similarity r (m,) of clusters ``a`` (m,) and ``b`` (m,), each of two faces or more."""
    from scipy.sparse import csr_array

    if len(a) == 0:
        return np.empty(0, np.float32)
    size = np.bincount(labels)
    starts = np.concatenate(([0], np.cumsum(size)))
    members = np.argsort(labels, kind="stable")
    sums = csr_array((np.ones(len(X), np.float32), members, starts)) @ X
    within = np.einsum("gd,gd->g", sums, sums)
    within = (within - size) / (size * np.maximum(size - 1.0, 1)) - impostor_mean
    within = np.maximum(within, _LEAST_WITHIN)
    across = _dots(sums, a, b) / (size[a] * size[b]) - impostor_mean
    similarity: _Floats = (across / np.sqrt(within[a] * within[b])).astype(np.float32)
    return similarity


def _joined(labels: _Labels, a: _Labels, b: _Labels) -> _Labels:
    """Labels (n,) after clusters ``a`` (m,) and clusters ``b`` (m,) have become one."""
    pairs = EdgeList(a.astype(np.int32), b.astype(np.int32), np.zeros(len(a), np.float32))
    return relabel_by_first_appearance(connected_components(labels.max() + 1, pairs)[labels])


def _listed_pairs(labels: _Labels, sizes: _Labels, ids: _Ids, size: int) -> _Labels:
    """Pairs a < b of large clusters of which one lists the other, as sorted numbers a * clusters + b."""
    large = np.where(sizes >= size, np.arange(len(sizes)), -1)[labels]
    found = []
    for part in chunks(len(ids), _ROWS):
        own, listed = large[part, None], ids[part]
        other = np.where(listed >= 0, large[listed], -1)
        pair = np.minimum(own, other) * len(sizes) + np.maximum(own, other)
        found.append(np.unique(pair[(own != other) & (own >= 0) & (other >= 0)]))
    return np.unique(np.concatenate(found))


@njit(cache=True, parallel=True)
def _dots(x: _Floats, a: _Labels, b: _Labels) -> _Floats:
    out = np.empty(len(a), np.float32)
    for i in prange(len(a)):
        out[i] = np.dot(x[a[i]], x[b[i]])
    return out
