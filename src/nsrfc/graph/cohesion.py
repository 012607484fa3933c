"""Global connectivity without learned weights: groups join only if they resemble each other enough.

A single edge says little about two groups: one look-alike or one wrong image chains two people together.
Every edge is therefore judged by all pairs of faces that it would bring together. With s_AB the mean
similarity of a face of A to one of B, s_AA that of two different faces of A and c that of strangers::

    r_AB = (s_AB - c) / sqrt((s_AA - c) (s_BB - c))

compares the likeness between the groups to the likeness inside them: about 1 for two halves of a
person, 0 for strangers, whatever the embedder (step 3 of the method, which asks a network).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.graph.components import connected_components, relabel_by_first_appearance
from nsrfc.graph.union_find import root, roots
from nsrfc.records import EdgeList

__all__ = ["COHESION", "REFINED_COHESION", "join_alike_groups", "join_cohesive", "join_doubtful"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]

COHESION = 0.6
"""Least r at which an edge may join two groups of at least two faces. A lone face has no inside."""

REFINED_COHESION = 0.75
"""The same where embeddings are refined: the poses of one person have come near each other, and those of
strangers have not."""

DOUBTFUL_COHESION, DOUBTFUL_SIZE = 0.5, 5
"""r by the embeddings as given at which an edge in doubt may join two groups of at least so many faces,
if they are alike refined as well: of so many, their likeness says more than the edge."""

SAME_COHESION, SAME_SIZE = 0.75, 10
"""r at which two groups of at least so many faces are one person without an edge that says so: poses or
ages of somebody with more images than a list is long, so that no list reaches from one to the other."""

_TINY = 1e-4
_CHUNK = 8192


def join_cohesive(X: _Floats, edges: EdgeList, stranger: float, cohesion: float = COHESION) -> _Labels:
    """Follow edges, best first, and leave out those that would join unlike groups.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    edges : EdgeList
        Of equal scores the earlier comes first.
    stranger : float
        Mean similarity c of strangers.
    cohesion : float
        Least r of two groups that an edge may join.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.

    Notes
    -----
    Keeps the sum of every group: n d x 4 bytes and 3 d multiplications for each edge.
    """
    order = np.argsort(-edges.score, kind="stable")
    parent = np.arange(len(X))
    source, target = edges.source[order], edges.target[order]
    _follow(source, target, X.copy(), np.float32(stranger), np.float32(cohesion), parent)
    return relabel_by_first_appearance(roots(parent))


def join_alike_groups(X: _Floats, labels: _Labels, ids: _Ids, stranger: float) -> _Labels:
    """Join large groups that are as alike as the faces within them.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    labels : ndarray of int64, shape (n,)
        Groups 0..c-1.
    ids : ndarray of int32, shape (n, k)
        Neighbours, -1 = none: two groups are compared if a face of one lists a face of the other.
    stranger : float
        Mean similarity c of strangers.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    size = np.bincount(labels)
    a, b = np.divmod(_listed_pairs(labels, size, ids), len(size))
    likeness = _likeness(X, labels, a, b, stranger)
    alike = likeness >= SAME_COHESION
    return _joined(labels, a[alike], b[alike])


def join_doubtful(
    Z: _Floats, X: _Floats, labels: _Labels, edges: EdgeList, strangers: tuple[float, float]
) -> _Labels:
    """Join large groups that an edge in doubt ties, if they are alike both refined and as given.

    Averages of neighbours bring strangers together where the embedder fails; embeddings as given part
    the poses of one person. What is alike in both is one person.

    Parameters
    ----------
    Z, X : ndarray of float32, shape (n, w) and (n, d)
        Refined embeddings and those given, unit vectors.
    labels : ndarray of int64, shape (n,)
        Groups 0..c-1.
    edges : EdgeList
        Between faces; scores are not read.
    strangers : (float, float)
        Mean similarity c of strangers in both.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    size = np.bincount(labels)
    a, b = labels[edges.source], labels[edges.target]
    large = (a != b) & (np.minimum(size[a], size[b]) >= DOUBTFUL_SIZE)
    a, b = a[large], b[large]
    refined = _likeness(Z, labels, a, b, strangers[0])
    given = _likeness(X, labels, a, b, strangers[1])
    alike = (refined >= REFINED_COHESION) & (given >= DOUBTFUL_COHESION)
    return _joined(labels, a[alike], b[alike])


def _likeness(X: _Floats, labels: _Labels, a: _Labels, b: _Labels, stranger: float) -> _Floats:
    """Likeness r (m,) of the groups ``a`` (m,) with the groups ``b`` (m,), each of two faces or more."""
    from scipy.sparse import csr_array

    if len(a) == 0:
        return np.empty(0, np.float32)
    size = np.bincount(labels)
    sums = csr_array((np.ones(len(X), np.float32), np.argsort(labels, kind="stable"), _starts(size))) @ X
    inside = np.einsum("gd,gd->g", sums, sums)
    inside = (inside - size) / (size * np.maximum(size - 1.0, 1)) - stranger
    inside = np.maximum(inside, _TINY)
    between = _dots(sums, a, b) / (size[a] * size[b]) - stranger
    likeness: _Floats = (between / np.sqrt(inside[a] * inside[b])).astype(np.float32)
    return likeness


def _joined(labels: _Labels, a: _Labels, b: _Labels) -> _Labels:
    """Labels (n,) after groups ``a`` (m,) and groups ``b`` (m,) have become one."""
    pairs = EdgeList(a.astype(np.int32), b.astype(np.int32), np.zeros(len(a), np.float32))
    return relabel_by_first_appearance(connected_components(labels.max() + 1, pairs)[labels])


def _listed_pairs(labels: _Labels, size: _Labels, ids: _Ids) -> _Labels:
    """Pairs a < b of large groups of which one lists the other, as sorted numbers a * groups + b."""
    large = np.where(size >= SAME_SIZE, np.arange(len(size)), -1)[labels]
    found = []
    for start in range(0, len(ids), _CHUNK):
        own, listed = large[start : start + _CHUNK, None], ids[start : start + _CHUNK]
        other = np.where(listed >= 0, large[listed], -1)
        pair = np.minimum(own, other) * len(size) + np.maximum(own, other)
        found.append(np.unique(pair[(own != other) & (own >= 0) & (other >= 0)]))
    return np.unique(np.concatenate(found))


def _starts(size: _Labels) -> _Labels:
    return np.concatenate(([0], np.cumsum(size)))


@njit(cache=True, parallel=True)
def _dots(x: _Floats, a: _Labels, b: _Labels) -> _Floats:
    out = np.empty(len(a), np.float32)
    for i in prange(len(a)):
        out[i] = np.dot(x[a[i]], x[b[i]])
    return out


@njit(cache=True)
def _follow(
    source: _Ids,
    target: _Ids,
    sums: _Floats,
    stranger: np.float32,
    cohesion: np.float32,
    parent: _Labels,
) -> None:
    """Join what edges tie in ``parent``; ``sums`` is used up."""
    n, d = sums.shape
    size = np.ones(n, np.int64)
    for e in range(len(source)):
        a, b = root(parent, source[e]), root(parent, target[e])
        if a == b:
            continue
        if min(size[a], size[b]) > 1:
            between = within_a = within_b = np.float32(0)
            for c in range(d):
                between += sums[a, c] * sums[b, c]
                within_a += sums[a, c] * sums[a, c]
                within_b += sums[b, c] * sums[b, c]
            likeness = between / (size[a] * size[b]) - stranger
            inside_a = (within_a - size[a]) / (size[a] * (size[a] - 1)) - stranger
            inside_b = (within_b - size[b]) / (size[b] * (size[b] - 1)) - stranger
            if likeness < cohesion * np.sqrt(max(inside_a, _TINY) * max(inside_b, _TINY)):
                continue
        if size[a] < size[b]:
            a, b = b, a
        parent[b] = a
        size[a] += size[b]
        sums[a] += sums[b]
