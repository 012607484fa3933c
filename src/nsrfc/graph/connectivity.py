"""Global connectivity: edges are followed in order, and scored only if they can change the clusters.

Certain edges come first, then uncertain ones, each kind by descending score. An edge whose ends are
already joined when its turn comes is skipped: it changes nothing, so it is never scored. An edge that is
kept joins the clusters of its ends, if their normalised similarity is high enough
(:class:`ClusterTest`).

Uncertain edges are scored in rounds, as networks work on batches. A round scores an edge if its ends
would be in different clusters even if all edges before it were kept; other edges wait. An edge is
decided once no undecided edge before it touches its clusters. The scored edges and the clusters are
therefore the same as if edges were followed one by one: batches cost no additional scores.

After all edges were followed, large clusters are compared once more: they may be parts of one identity
that no certain edge connects.

What is known of faces (:class:`nsrfc.graph.constraints.Constraints`) is obeyed at every join.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import ROWS, chunks, release
from nsrfc.graph.components import relabel_by_first_appearance, root, roots
from nsrfc.graph.surplus import surplus_from
from nsrfc.records import EdgeList, ImpostorScores
from nsrfc.runtime import compiled

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nsrfc.graph.constraints import Constraints

__all__ = [
    "ClusterTest",
    "Connected",
    "connect",
    "dots",
    "group_matrix",
    "group_sums",
    "join_uncertain",
    "join_unlinked",
    "normalized_similarity",
]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]
_Known = tuple[_Labels, _Doubles, _Doubles, _Labels, _Labels, _Labels, _Labels, _Labels]
_Sums = tuple[_Floats, _Floats, _Ids, _Numbers]

_LEAST_WITHIN = 1e-4
"""Lower bound of s_AA - c, so that quotients stay finite."""

_REFUSED, _UNKNOWN, _HOLDS = -1, 0, 1
_DECIDED, _WAITS, _ASKED = 0, 1, 2


@dataclass(frozen=True)
class ClusterTest:
    """Whether two clusters may be joined, by the mean similarity of all their faces.

    With s_AB the mean similarity of a face of A to one of B, s_AA that of two different faces of A, and
    c that of impostor pairs, the normalised similarity of two clusters is::

        r_AB = (s_AB - c) / sqrt((s_AA - c) (s_BB - c))

    It is about 1 for two halves of an identity and 0 for different identities, for every embedder. A
    cluster of poor images has a low s_AA, so that r is high for anything: the mean score
    z_AB = (s_AB - c) / d, with d the deviation of impostor pairs, must be high enough as well. A single
    face has no s_AA and may always be joined.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors by which faces are compared.
    impostors : ImpostorScores
        c and d.
    minimum : float
        Minimum r of two clusters of at least two faces each.
    minimum_score : float
        Minimum z of them.
    """

    vectors: _Floats
    impostors: ImpostorScores
    minimum: float
    minimum_score: float

    @property
    def limits(self) -> _Floats:
        """Limits that :func:`_similar_enough` reads (3,): c, the minimum r, and that of s_AB - c."""
        score = self.minimum_score * self.impostors.deviation
        return np.array([self.impostors.mean, self.minimum, score], np.float32)


@dataclass(frozen=True)
class Connected:
    """Clusters, and the probabilities of the edges scored.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance.
    probability : ndarray of float32, shape (m,)
        Of the uncertain edges; NaN for skipped edges.
    """

    labels: _Labels
    probability: _Floats

    @property
    def skipped(self) -> int:
        """Number of skipped edges."""
        return int(np.isnan(self.probability).sum())


def connect(
    n: int,
    certain: EdgeList,
    uncertain: EdgeList,
    scorer: Callable[[_Numbers], _Floats],
    threshold: float,
    test: ClusterTest | None = None,
    constraints: Constraints | None = None,
) -> Connected:
    """Cluster faces by following edges.

    Parameters
    ----------
    n : int
        Number of faces.
    certain : EdgeList
        Edges that are kept without being scored.
    uncertain : EdgeList
        m edges that are scored.
    scorer : callable
        Returns the probabilities of uncertain edges, given by their numbers. The probability of an edge
        must not depend on the other edges in the call.
    threshold : float
        Minimum probability of an uncertain edge that is kept.
    test : ClusterTest, optional
        Without it every edge that is kept joins its ends: the clusters are connected components.
    constraints : Constraints, optional
        Groups are joined before any edge is followed, whether they are similar or not.

    Returns
    -------
    Connected
        Clusters as if every edge had been scored.

    Notes
    -----
    Of edges with equal scores the earlier one comes first. A test needs the vector sum of every cluster
    of several faces, at most 2 n d bytes, and 3 d multiplications for each edge between clusters.
    """
    clusters = _Clusters(n, test, constraints)
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
    """The clusters while edges are followed."""

    def __init__(self, n: int, test: ClusterTest | None, constraints: Constraints | None = None) -> None:
        self.parent, self._size = np.arange(n), np.ones(n, np.int64)
        self._limits = np.zeros(3, np.float32) if test is None else test.limits
        vectors = np.empty((n, 0), np.float32) if test is None else test.vectors
        # Vector sums of clusters of several faces, in the order in which these appear. The system gives
        # memory to rows that are written to, and these are far fewer.
        sums = np.empty((n // 2, vectors.shape[1]), np.float32)
        self._sums = vectors, sums, np.zeros(n, np.int32), np.zeros(1, np.int64)
        self._known = _nothing()
        if constraints is not None:
            self._join_groups(constraints)

    def _join_groups(self, constraints: Constraints) -> None:
        """Join every group at its first face, and hold there what is known of it."""
        group, (vectors, sums, row, count) = constraints.group, self._sums
        first, size = np.unique(group, return_index=True)[1], np.bincount(group)
        several = np.flatnonzero(size > 1)
        self.parent = first[group]
        self._size[first] = size
        row[first[several]] = np.arange(len(several))
        count[0] = len(several)
        if len(several):
            sums[: len(several)] = group_sums(vectors, group)[several]
        self._known = _known_at(constraints, first, len(group))

    def follow(
        self, edges: EdgeList, order: _Numbers, decision: npt.NDArray[np.int8] | None
    ) -> npt.NDArray[np.uint8]:
        """Follow edges in order as far as decisions (m,) are known; return the state of each edge."""
        decision = np.full(len(edges), _HOLDS, np.int8) if decision is None else decision
        kind = np.empty(len(order), np.uint8)
        opened = np.zeros(len(self.parent), np.bool_)
        forests, members = (self.parent, self.parent.copy()), (self._size, self._sums)
        state = forests, members, self._known, opened
        _follow(edges.source, edges.target, order, decision, self._limits, *state, kind)
        return kind


def _nothing() -> _Known:
    none, dates = np.empty(0, np.int64), np.empty(0)
    return none, dates, dates, none, none, none, none, none


def _known_at(constraints: Constraints, first: _Labels, n: int) -> _Known:
    """Hold what is known at the first face of every group; other groups are linked lists.

    Arrays of the faces (n,): person, date of the earliest face, date of birth, first and last entry of
    the list, -1 = none, and its length; and of the entries (2 m,): a face of the other group, and the
    next entry.
    """
    person, earliest = np.full(n, -1, np.int64), np.full(n, np.inf)
    born = np.full(n, -np.inf)
    person[first], earliest[first], born[first] = (
        constraints.person,
        constraints.first,
        constraints.born,
    )
    pairs = constraints.apart.astype(np.int64)
    own = first[np.concatenate((pairs[:, 0], pairs[:, 1]))]
    other = first[np.concatenate((pairs[:, 1], pairs[:, 0]))]
    order = np.argsort(own, kind="stable")
    own, other = own[order], other[order]
    entries = np.arange(len(own))
    following = np.where(np.append(own[1:] == own[:-1], False), entries + 1, -1)[: len(own)]
    head, tail, length = (
        np.full(n, -1, np.int64),
        np.full(n, -1, np.int64),
        np.bincount(own, minlength=n),
    )
    head[own[::-1]] = entries[::-1]
    tail[own] = entries
    return person, earliest, born, head, tail, length, other, following


@compiled()
def _follow(
    source: _Ids,
    target: _Ids,
    order: _Numbers,
    decision: npt.NDArray[np.int8],
    limits: _Floats,
    forests: tuple[_Labels, _Labels],
    members: tuple[_Labels, _Sums],
    known: _Known,
    opened: npt.NDArray[np.bool_],
    kind: npt.NDArray[np.uint8],
) -> None:
    """Decide edges in order.

    The first of the two forests holds the clusters, the second the clusters if every undecided edge were
    kept. ``opened`` marks clusters that an undecided edge touches, and that may therefore still change
    before the turn of a later edge. ``members`` are the sizes of clusters by root; and the vectors of
    the faces, the vector sums of clusters of several, the row of each of these sums by root, and their
    number.
    """
    (parent, optimistic), (size, sums) = forests, members
    compared, constrained = sums[0].shape[1] > 0, len(known[0]) > 0
    for position, edge in enumerate(order):
        a, b = root(parent, np.int64(source[edge])), root(parent, np.int64(target[edge]))
        if a == b or decision[edge] == _REFUSED:
            kind[position] = _DECIDED
        elif decision[edge] == _HOLDS and not ((compared or constrained) and (opened[a] or opened[b])):
            kind[position] = _DECIDED
            allowed = not constrained or _may_be_one(a, b, parent, known)
            if allowed and (not compared or _similar_enough(a, b, size, sums, limits)):
                if size[a] < size[b]:
                    a, b = b, a
                parent[b] = a
                _add(a, b, size, sums)
                size[a] += size[b]
                if constrained:
                    _hand_over(b, a, known)
                optimistic[root(optimistic, b)] = root(optimistic, a)
        else:
            one, other = root(optimistic, a), root(optimistic, b)
            kind[position] = _ASKED if decision[edge] == _UNKNOWN and one != other else _WAITS
            optimistic[one] = other
            opened[a] = opened[b] = True


@compiled()
def _may_be_one(a: int, b: int, parent: _Labels, known: _Known) -> bool:
    """Whether nothing that is known keeps the clusters with roots ``a`` and ``b`` apart."""
    person, earliest, born, head, _, length, other, following = known
    if person[a] >= 0 and person[b] >= 0:
        return bool(person[a] == person[b])
    if earliest[a] < born[b] or earliest[b] < born[a]:
        return False
    if length[a] > length[b]:
        a, b = b, a
    entry = head[a]
    while entry >= 0:
        if root(parent, other[entry]) == b:
            return False
        entry = following[entry]
    return True


@compiled()
def _hand_over(b: int, a: int, known: _Known) -> None:
    """Let root ``a`` know what root ``b`` knows."""
    person, earliest, born, head, tail, length, _, following = known
    person[a] = max(person[a], person[b])
    earliest[a] = min(earliest[a], earliest[b])
    born[a] = max(born[a], born[b])
    length[a] += length[b]
    if head[a] < 0:
        head[a], tail[a] = head[b], tail[b]
    elif head[b] >= 0:
        following[tail[a]] = head[b]
        tail[a] = tail[b]


@compiled()
def _add(a: int, b: int, size: _Labels, sums: _Sums) -> None:
    """Add the vector sum of cluster ``b`` to that of cluster ``a``, which is at least as large."""
    vectors, several, row, count = sums
    if size[a] == 1:
        row[a] = count[0]
        count[0] += 1
    into, added = row[a], row[b]
    for c in range(vectors.shape[1]):
        own = vectors[a, c] if size[a] == 1 else several[into, c]
        several[into, c] = own + (vectors[b, c] if size[b] == 1 else several[added, c])


@compiled()
def _similar_enough(a: int, b: int, size: _Labels, sums: _Sums, limits: _Floats) -> bool:
    """Whether the clusters with roots ``a`` and ``b`` may be joined."""
    if min(size[a], size[b]) == 1:
        return True
    _, several, row, _ = sums
    one, other = row[a], row[b]
    between = within_a = within_b = np.float32(0)
    for c in range(several.shape[1]):
        between += several[one, c] * several[other, c]
        within_a += several[one, c] * several[one, c]
        within_b += several[other, c] * several[other, c]
    impostor_mean, minimum, least = limits[0], limits[1], limits[2]
    across = between / (size[a] * size[b]) - impostor_mean
    inside_a = (within_a - size[a]) / (size[a] * (size[a] - 1)) - impostor_mean
    inside_b = (within_b - size[b]) / (size[b] * (size[b] - 1)) - impostor_mean
    inside = np.sqrt(max(inside_a, _LEAST_WITHIN) * max(inside_b, _LEAST_WITHIN))
    return bool(across >= max(least, minimum * inside))


_ROWS = 8192


def join_unlinked(
    labels: _Labels,
    ids: _Ids,
    size: int,
    *views: tuple[_Floats, float, float],
    constraints: Constraints | None = None,
) -> _Labels:
    """Join large clusters that no edge connects, if they are similar in any view.

    They are poses or ages of an identity: with more photos than a list is long, so that no list connects
    them, or so compact that the edge between them seems poor beside those within. How similar is similar
    enough, the pairs of clusters tell (:func:`nsrfc.graph.surplus.surplus_from`).

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1.
    ids : ndarray of int32, shape (n, k)
        Neighbours, -1 = none: two clusters are compared if a face of one lists a face of the other.
    size : int
        Minimum size of either cluster.
    *views : (ndarray of float32, shape (n, w); float; float)
        Unit vectors, their mean similarity of impostor pairs, and the normalised similarity that is
        enough whatever the pairs tell.
    constraints : Constraints, optional
        The clusters that are most similar in any view are joined first.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    sizes = np.bincount(labels)
    a, b = np.divmod(_listed_pairs(labels, sizes, ids, size), len(sizes))
    most, similar = np.full(len(a), -np.inf, np.float32), np.zeros(len(a), np.bool_)
    for X, impostor_mean, enough in views:
        similarity = normalized_similarity(X, labels, a, b, impostor_mean)
        most = np.maximum(most, similarity)
        similar |= similarity >= min(enough, surplus_from(similarity))
    return _joined(labels, a, b, most, similar, constraints)


def join_uncertain(
    labels: _Labels,
    edges: EdgeList,
    size: int,
    *views: tuple[_Floats, float, float],
    constraints: Constraints | None = None,
) -> _Labels:
    """Join large clusters that an uncertain edge connects, if they are similar in every view.

    Refined embeddings bring impostors together where the embedder fails; embeddings as given separate
    the poses of one identity. Clusters that are similar by both are taken as one identity.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1.
    edges : EdgeList
        Between faces; scores are not read.
    size : int
        Minimum size of either cluster.
    *views : (ndarray of float32, shape (n, w); float; float)
        Unit vectors, their mean similarity of impostor pairs, minimum normalised similarity.
    constraints : Constraints, optional
        The clusters that are most similar in the view where they are least are joined first.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    sizes = np.bincount(labels)
    a, b = labels[edges.source], labels[edges.target]
    large = (a != b) & (np.minimum(sizes[a], sizes[b]) >= size)
    a, b = a[large], b[large]
    least, similar = np.full(len(a), np.inf, np.float32), np.ones(len(a), np.bool_)
    for X, impostor_mean, minimum in views:
        similarity = normalized_similarity(X, labels, a, b, impostor_mean)
        least = np.minimum(least, similarity)
        similar &= similarity >= minimum
    return _joined(labels, a, b, least, similar, constraints)


def normalized_similarity(
    X: _Floats, labels: _Labels, a: _Labels, b: _Labels, impostor_mean: float
) -> _Floats:
    """Normalised similarity r (m,) of clusters ``a`` (m,) and ``b`` (m,), each of at least two faces."""
    if len(a) == 0:
        return np.empty(0, np.float32)
    size, sums = np.bincount(labels), group_sums(X, labels)
    within = np.einsum("gd,gd->g", sums, sums)
    within = (within - size) / (size * np.maximum(size - 1.0, 1)) - impostor_mean
    within = np.maximum(within, _LEAST_WITHIN)
    across = dots(sums, a, b) / (size[a] * size[b]) - impostor_mean
    similarity: _Floats = (across / np.sqrt(within[a] * within[b])).astype(np.float32)
    return similarity


def group_sums(X: _Floats, group: _Labels) -> _Floats:
    """Sum the rows (n, d) of each group 0..g-1: (g, d)."""
    sums: _Floats = group_matrix(group) @ X
    return sums


def group_matrix(group: _Labels) -> csr_array[np.float32]:
    """Return the matrix (g, n) whose product with rows (n, d) sums them by group 0..g-1 (n,)."""
    from scipy.sparse import csr_array

    starts = np.concatenate(([0], np.cumsum(np.bincount(group))))
    members = np.argsort(group, kind="stable")
    return csr_array((np.ones(len(group), np.float32), members, starts))


def _joined(
    labels: _Labels,
    a: _Labels,
    b: _Labels,
    similarity: _Floats,
    similar: npt.NDArray[np.bool_],
    constraints: Constraints | None,
) -> _Labels:
    """Labels (n,) after joining clusters ``a`` (m,) and ``b`` (m,) that are ``similar``, best first."""
    pairs = EdgeList(a.astype(np.int32), b.astype(np.int32), similarity).where(similar)
    known = None if constraints is None else constraints.between(labels)
    clusters = _Clusters(labels.max() + 1, None, known)
    clusters.follow(pairs, np.argsort(-pairs.score, kind="stable"), None)
    return relabel_by_first_appearance(roots(clusters.parent)[labels])


def _listed_pairs(labels: _Labels, sizes: _Labels, ids: _Ids, size: int) -> _Labels:
    """Pairs a < b of large clusters where one lists the other, as sorted numbers a * clusters + b."""
    large = np.where(sizes >= size, np.arange(len(sizes)), -1)[labels]
    found = []
    for part in chunks(len(ids), _ROWS):
        own, listed = large[part, None], ids[part]
        other = np.where(listed >= 0, large[listed], -1)
        pair = np.minimum(own, other) * len(sizes) + np.maximum(own, other)
        found.append(_distinct(pair[(own != other) & (own >= 0) & (other >= 0)]))
        release(ids)
    return _distinct(np.concatenate(found))


def _distinct(numbers: _Labels) -> _Labels:
    """Return each number once, ascending; `np.unique` hashes them, which takes forty times as long."""
    ordered = np.sort(numbers)
    first = np.ones(min(1, len(ordered)), np.bool_)
    found: _Labels = ordered[np.concatenate((first, np.diff(ordered) > 0))]
    return found


def dots(x: _Floats, a: npt.NDArray[np.integer], b: npt.NDArray[np.integer]) -> _Floats:
    """Products (m,) of rows ``a`` (m,) and ``b`` (m,) of ``x`` (n, d)."""
    out = np.empty(len(a), np.float32)
    for part in chunks(len(a), ROWS):
        np.einsum("md,md->m", x[a[part]], x[b[part]], out=out[part])
    return out
