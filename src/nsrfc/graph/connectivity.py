"""Global connectivity: edges are followed one by one, and scored only where they can change the answer.

Certain edges come first, then uncertain ones, each kind by descending score. At its turn an edge whose
ends are joined already changes nothing, and nobody asks whether it holds: it is skipped. One that holds
joins the clusters of its ends, if these are alike enough (:class:`ClusterTest`).

Uncertain edges are scored in rounds, since networks want batches. A round asks about an edge if its ends
would be apart even if all edges before it held; the others wait. It decides an edge once nothing before
it is open that touches its clusters. So the edges asked about, and the clusters, are those of following
edges one by one: skipping changes nothing, and a batch costs no score more.

Large clusters are compared once more after all edges were followed: they may be parts of one identity
that no edge ties.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.chunks import chunks
from nsrfc.graph.components import connected_components, relabel_by_first_appearance, root, roots
from nsrfc.records import EdgeList

__all__ = [
    "ClusterTest",
    "Connected",
    "connect",
    "join_uncertain",
    "join_unlinked",
    "normalized_similarity",
]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.int64]

_LEAST_WITHIN = 1e-4
"""Similarity above impostors that faces of a cluster have at least, so that no quotient grows huge."""

_REFUSED, _UNKNOWN, _HOLDS = -1, 0, 1
_DECIDED, _WAITS, _ASKED = 0, 1, 2


@dataclass(frozen=True)
class ClusterTest:
    """Whether two clusters may become one: they are compared as wholes, not by one pair of faces.

    With s_AB the mean similarity of a face of A to one of B, s_AA that of two different faces of A and c
    that of impostor pairs, the normalised similarity of two clusters is::

        r_AB = (s_AB - c) / sqrt((s_AA - c) (s_BB - c))

    about 1 for two halves of an identity and 0 for impostors, whatever the embedder. A lone face has no
    inside, and may join.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors by which faces are compared.
    impostor_mean : float
        c.
    minimum : float
        Least r of two clusters of at least two faces each.
    """

    vectors: _Floats
    impostor_mean: float
    minimum: float


@dataclass(frozen=True)
class Connected:
    """Clusters, and what was found on the way.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance.
    probability : ndarray of float32, shape (m,)
        Of the uncertain edges; NaN for those that were skipped.
    """

    labels: _Labels
    probability: _Floats

    @property
    def skipped(self) -> int:
        """Number of uncertain edges that nobody asked about."""
        return int(np.isnan(self.probability).sum())


def connect(
    n: int,
    certain: EdgeList,
    uncertain: EdgeList,
    scorer: Callable[[_Numbers], _Floats],
    threshold: float,
    test: ClusterTest | None = None,
) -> Connected:
    """Follow edges.

    Parameters
    ----------
    n : int
        Number of faces.
    certain : EdgeList
        Edges that hold.
    uncertain : EdgeList
        Of m edges.
    scorer : callable
        Gives the probabilities of the uncertain edges whose numbers it is given; that of an edge is the
        same whatever others it is asked about.
    threshold : float
        Probability from which on an edge holds.
    test : ClusterTest, optional
        Without it every edge that holds joins: the clusters are connected components.

    Returns
    -------
    Connected
        Clusters as if every edge had been scored.

    Notes
    -----
    Of equal scores the earlier edge comes first. With a test the sum of every cluster is kept: n d x 4
    bytes, and 3 d multiplications for each edge between clusters.
    """
    clusters = _Clusters(n, test)
    clusters.follow(certain, np.argsort(-certain.score, kind="stable"), None)
    probability = np.full(len(uncertain), np.nan, np.float32)
    decision = np.full(len(uncertain), _UNKNOWN, np.int8)
    waiting = np.argsort(-uncertain.score, kind="stable")
    while len(waiting):
        kind = clusters.follow(uncertain, waiting, decision)
        asked = waiting[kind == _ASKED]
        if len(asked):
            probability[asked] = scorer(asked)
            decision[asked] = np.where(probability[asked] >= threshold, _HOLDS, _REFUSED)
        waiting = waiting[kind != _DECIDED]
    return Connected(relabel_by_first_appearance(roots(clusters.parent)), probability)


class _Clusters:
    """Clusters while edges are followed."""

    def __init__(self, n: int, test: ClusterTest | None) -> None:
        self.parent = np.arange(n)
        self._size = np.ones(n, np.int64)
        self._sums = np.empty((n, 0), np.float32) if test is None else test.vectors.copy()
        self._limits = np.array(
            [0, 0] if test is None else [test.impostor_mean, test.minimum], np.float32
        )

    def follow(
        self, edges: EdgeList, order: _Numbers, decision: npt.NDArray[np.int8] | None
    ) -> npt.NDArray[np.uint8]:
        """Follow edges in order, as far as their verdicts (m,) are known; say what becomes of each."""
        decision = np.full(len(edges), _HOLDS, np.int8) if decision is None else decision
        kind = np.empty(len(order), np.uint8)
        opened = np.zeros(len(self.parent), np.bool_)
        state = (self.parent, self.parent.copy()), self._size, self._sums, opened
        _follow(edges.source, edges.target, order, decision, self._limits, *state, kind)
        return kind


@njit(cache=True, nogil=True)
def _follow(
    source: _Ids,
    target: _Ids,
    order: _Numbers,
    decision: npt.NDArray[np.int8],
    limits: _Floats,
    forests: tuple[_Labels, _Labels],
    size: _Labels,
    sums: _Floats,
    opened: npt.NDArray[np.bool_],
    kind: npt.NDArray[np.uint8],
) -> None:
    """Decide edges in order.

    Of the two forests the first are the clusters, the second becomes what they would be if every open
    edge held. ``opened`` marks clusters that an open edge touches, of which it is not known yet what
    they will be at the turn of a later edge.
    """
    parent, optimistic = forests
    compared = sums.shape[1] > 0
    for position, edge in enumerate(order):
        a, b = root(parent, source[edge]), root(parent, target[edge])
        if a == b or decision[edge] == _REFUSED:
            kind[position] = _DECIDED
        elif decision[edge] == _HOLDS and not (compared and (opened[a] or opened[b])):
            kind[position] = _DECIDED
            if not compared or _similar_enough(a, b, size, sums, limits):
                if size[a] < size[b]:
                    a, b = b, a
                parent[b] = a
                size[a] += size[b]
                if compared:
                    sums[a] += sums[b]
                optimistic[root(optimistic, b)] = root(optimistic, a)
        else:
            one, other = root(optimistic, a), root(optimistic, b)
            kind[position] = _ASKED if decision[edge] == _UNKNOWN and one != other else _WAITS
            optimistic[one] = other
            opened[a] = opened[b] = True


@njit(cache=True, nogil=True)
def _similar_enough(a: int, b: int, size: _Labels, sums: _Floats, limits: _Floats) -> bool:
    """Whether the clusters with roots ``a`` and ``b`` may become one."""
    if min(size[a], size[b]) == 1:
        return True
    between = within_a = within_b = np.float32(0)
    for c in range(sums.shape[1]):
        between += sums[a, c] * sums[b, c]
        within_a += sums[a, c] * sums[a, c]
        within_b += sums[b, c] * sums[b, c]
    impostor_mean, minimum = limits[0], limits[1]
    across = between / (size[a] * size[b]) - impostor_mean
    inside_a = (within_a - size[a]) / (size[a] * (size[a] - 1)) - impostor_mean
    inside_b = (within_b - size[b]) / (size[b] * (size[b] - 1)) - impostor_mean
    inside = np.sqrt(max(inside_a, _LEAST_WITHIN) * max(inside_b, _LEAST_WITHIN))
    return bool(across >= minimum * inside)


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
    similar = normalized_similarity(X, labels, a, b, impostor_mean) >= minimum
    return _joined(labels, a[similar], b[similar])


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
        similar = normalized_similarity(X, labels, a, b, impostor_mean) >= minimum
        a, b = a[similar], b[similar]
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
