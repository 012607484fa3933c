"""What to ask a human: the uncertain pairs of faces whose answer changes most.

Two kinds of answers change clusters. *Yes* joins two clusters that an edge connects, but that were left
apart; *no* divides a cluster where the faces on two sides of an edge are two persons. Two things tell of
two sides A and B whether they are one person: the probability q of the strongest edge between them, and
their normalised similarity r (:class:`nsrfc.library.trees.Comparison`). Their log-odds add up::

    log(p / (1 - p)) = log(q / (1 - q)) / T + 4 log(r / (1 - r))

T is 1 for well calibrated edges; it divides log-odds that are larger than usual, as those of rules are.
The gain of a question is the expected number of face pairs that its answer changes::

    p |A| |B|          between two clusters
    (1 - p) |A| |B|    inside a cluster, between the sides of an edge of its spanning tree

Of each cluster, and of each pair of clusters, one question is asked at a time. Nothing is asked that is
known: by a word, a photo that shows both, or a date of birth. ``python -m benchmarks.people questions``
shows what answers bring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from nsrfc.graph.connectivity import dots
from nsrfc.library.acts import State
from nsrfc.library.decision import Decision
from nsrfc.library.identity import group_ids
from nsrfc.library.trees import LINK, ClusterSums, Comparison, Tree, spanning_tree

__all__ = ["Question", "chance", "questions"]

_Rows = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

LEAST = 0.001
"""Minimum gain of a question: below it, an answer hardly ever changes anything."""

SIMILARITY = 4.0
"""Factor of the log-odds of a normalised similarity: 0.3 then means 3 %, 0.7 means 97 %."""

USUAL = 6.0
"""Median size of the log-odds of edges between clusters, where they are well calibrated."""


@dataclass(frozen=True)
class Question:
    """Whether two faces are one person.

    Attributes
    ----------
    a, b : int
        The faces: typical ones of the two sides, or confirmed ones where there are some.
    groups : tuple of str
        Ids of the groups of ``a`` and ``b``, such as ``p7`` or ``c12``; the same twice: whether a group
        is one person.
    probability : float
        That they are one person.
    gain : float
        Expected number of face pairs that the answer changes.
    odds : (float, float)
        What edge and normalised similarity add to the log-odds of ``probability``.
    """

    a: int
    b: int
    groups: tuple[str, str]
    probability: float
    gain: float
    odds: tuple[float, float] = (0.0, 0.0)


def questions(decision: Decision, state: State, ids: _Rows, limit: int) -> list[Question]:
    """Return what to ask, those of most gain first.

    Parameters
    ----------
    decision : Decision
    state : State
        What was said.
    ids : ndarray of int64, shape (n,)
        Id of the cluster of each face.
    limit : int
        Maximum number of questions.

    Notes
    -----
    m log m time for m edges; 4 u d bytes for u units.
    """
    view = _View.of(decision, state, ids)
    between, within = _between(view), _within(view)
    gain = np.concatenate((between.gain, within.gain))
    order = np.argsort(-gain, kind="stable")
    found, first = [], len(between.gain)
    for number in order[gain[order] >= LEAST][: max(limit, 0)].tolist():
        candidates: _Between | _Within = between if number < first else within
        place = number if number < first else number - first
        one, other = (view.typical(side) for side in candidates.sides(view, place))
        groups = view.group[view.labels[one]], view.group[view.labels[other]]
        faces = int(decision.faces[one]), int(decision.faces[other])
        p = float(candidates.chance[place])
        odds = float(view.log_odds(candidates.edges[place : place + 1])[0])
        parts = odds, float(logit(p)) - odds
        found.append(Question(*faces, groups, p, float(gain[number]), parts))
    return found


def chance(log_odds: _Doubles, similarity: _Doubles) -> _Doubles:
    """Probability (m,) that two sides are one person, by an edge's log-odds and their similarity."""
    bounded = similarity.clip(1e-3, 1 - 1e-3)
    found: _Doubles = expit(log_odds + SIMILARITY * (np.log(bounded) - np.log1p(-bounded)))
    return found


@dataclass(frozen=True)
class _View:
    """Clusters 0..c-1, and what is known of them.

    Attributes
    ----------
    decision : Decision
    labels : ndarray of int64, shape (n,)
        Cluster of each face.
    of_units : ndarray of int64, shape (u,)
        Cluster of each unit; -1 of one without faces.
    size : ndarray of int64, shape (c,)
        Number of faces of each cluster.
    group : list of str
        Id of the group of each cluster.
    hidden : ndarray of bool, shape (c,)
    confirmed : ndarray of bool, shape (n,)
        Whether a face was confirmed as a person.
    unsure : ndarray of int64, shape (q, 2)
        Rows of faces of which nobody can tell whether they are one person.
    clusters : ClusterSums
        Of the units.
    comparison : Comparison
    """

    decision: Decision
    labels: _Rows
    of_units: _Rows
    size: _Rows
    group: list[str]
    hidden: _Mask
    confirmed: _Mask
    unsure: _Rows
    clusters: ClusterSums
    comparison: Comparison

    @classmethod
    def of(cls, decision: Decision, state: State, ids: _Rows) -> _View:
        labels, faces = decision.labels, decision.faces
        group = group_ids(ids, labels, faces, state)
        hidden = np.array([each in state.persons and state.persons[each].hidden for each in group])
        confirmed = np.isin(faces, np.fromiter(state.person_of, np.int64))
        unsure = np.array(sorted(state.unsure), np.int64).reshape(-1, 2)
        unsure = np.searchsorted(faces, unsure[np.isin(unsure, faces).all(axis=1)])
        of_units, size = decision.of_units, np.bincount(labels)
        clusters = ClusterSums.sum_up(decision.vectors, of_units)
        comparison = Comparison.of(clusters, decision.impostor_mean)
        known = group, hidden, confirmed, unsure
        return cls(decision, labels, of_units, size, *known, clusters, comparison)

    @cached_property
    def cut(self) -> _Rows:
        """Edges (m,) between clusters."""
        edges = self.decision.edges
        a, b = self.of_units[edges.source], self.of_units[edges.target]
        return np.flatnonzero((a != b) & (a >= 0) & (b >= 0))

    @cached_property
    def temperature(self) -> float:
        """What log-odds of edges are divided by."""
        score = self.decision.edges.score[self.cut]
        return max(1.0, float(np.median(np.abs(_log_odds(score)))) / USUAL) if len(score) else 1.0

    def log_odds(self, edges: _Rows) -> _Doubles:
        """Log-odds (m,) of edges, given by their numbers; 0 of a link."""
        score = self.decision.edges.score[np.maximum(edges, 0)]
        return np.where(edges == LINK, 0, _log_odds(score) / self.temperature)

    def typical(self, side: _Mask) -> int:
        """Row of the face that shows a side (n,) best: a confirmed one where there are some."""
        rows = np.flatnonzero(side)
        known = rows[self.confirmed[rows]]
        rows = known if len(known) else rows
        vectors = self.decision.vectors[self.decision.unit[rows]]
        return int(rows[(vectors @ vectors.sum(axis=0)).argmax()])


def _log_odds(score: npt.NDArray[np.float32]) -> _Doubles:
    """Log-odds (m,) of probabilities in single precision, all finite."""
    precise, smallest = np.finfo(np.float32).epsneg, np.finfo(np.float32).tiny
    chance = score.astype(np.float64)
    return np.asarray(np.log(np.maximum(chance, smallest)) - np.log(np.maximum(1 - chance, precise)))


@dataclass(frozen=True)
class _Between:
    """Pairs of clusters: the best edge of each (m,), the chance that they are one person, the gain."""

    edges: _Rows
    chance: _Doubles
    gain: _Doubles

    def sides(self, view: _View, place: int) -> tuple[_Mask, _Mask]:
        """Faces (n,) of the two clusters."""
        edges, edge = view.decision.edges, self.edges[place]
        one, other = view.of_units[edges.source[edge]], view.of_units[edges.target[edge]]
        return view.labels == one, view.labels == other


def _between(view: _View) -> _Between:
    edges, count = view.decision.edges, len(view.size)
    cut = view.cut[np.argsort(-edges.score[view.cut], kind="stable")]
    pair = _pairs(view.of_units[edges.source[cut]], view.of_units[edges.target[cut]], count)
    _, first = np.unique(pair, return_index=True)
    cut, pair = cut[first], pair[first]
    a, b = view.of_units[edges.source[cut]], view.of_units[edges.target[cut]]
    known = view.decision.known.between(view.labels)
    said = np.concatenate((known.apart.astype(np.int64), view.labels[view.unsure]))
    apart = np.isin(pair, _pairs(said[:, 0], said[:, 1], count)) | view.hidden[a] | view.hidden[b]
    apart |= (known.person[a] >= 0) & (known.person[b] >= 0)
    apart |= (known.first[a] < known.born[b]) | (known.first[b] < known.born[a])
    cut, a, b = cut[~apart], a[~apart], b[~apart]
    clusters = view.clusters
    product = dots(clusters.sums, a, b).astype(np.float64)
    similarity = view.comparison.similarity(clusters.at(a), clusters.at(b), product)
    found = chance(view.log_odds(cut), similarity)
    return _Between(cut, found, found * (view.size[a] * view.size[b]))


def _pairs(a: _Rows, b: _Rows, count: int) -> _Rows:
    """One number (m,) for each pair of clusters."""
    return np.minimum(a, b) * count + np.maximum(a, b)


@dataclass(frozen=True)
class _Within:
    """Clusters (m,), an edge in the tree of each, its place there, chance and gain of its two sides."""

    tree: Tree
    cluster: _Rows
    places: _Rows
    edges: _Rows
    chance: _Doubles
    gain: _Doubles

    def sides(self, view: _View, place: int) -> tuple[_Mask, _Mask]:
        """Faces (n,) of a cluster on either side of the edge."""
        side = self.tree.side(int(self.places[place]))[view.decision.unit]
        own = view.labels == self.cluster[place]
        return own & side, own & ~side


def _within(view: _View) -> _Within:
    decision = view.decision
    node = decision.known.onto(decision.unit, len(view.of_units)).group
    tree = spanning_tree(view.of_units, decision.edges, node, decision.vectors, view.comparison)
    cluster = tree.of_edges(view.of_units)
    weight = np.bincount(decision.unit, minlength=len(view.of_units))
    faces = tree.sums(weight)
    similarity = tree.similarity(decision.vectors, view.clusters, view.comparison)
    found = chance(view.log_odds(tree.edges), similarity)
    gain = (1 - found) * (faces * (view.size[cluster] - faces))
    # An edge lies between two faces that nobody can tell apart if just one of them is below it: their
    # numbers then do not cancel out. They are large and random, so that no others do.
    numbers = np.random.default_rng(0).integers(1, 1 << 40, len(view.unsure))
    marks = np.zeros(len(view.of_units), np.int64)
    np.add.at(marks, decision.unit[view.unsure[:, 0]], numbers)
    np.add.at(marks, decision.unit[view.unsure[:, 1]], -numbers)
    asked = np.flatnonzero((tree.sums(marks) == 0) & ~view.hidden[cluster])
    order = asked[np.lexsort((-gain[asked], cluster[asked]))]
    best = order[np.unique(cluster[order], return_index=True)[1]]
    return _Within(tree, cluster[best], best, tree.edges[best], found[best], gain[best])
