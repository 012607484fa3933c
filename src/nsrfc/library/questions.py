"""What to ask a human: the uncertain pairs of faces whose answer changes most.

Two kinds of answers change clusters. *Yes* joins two clusters that an edge connects, but that were left
apart; *no* divides a cluster where its faces hold together by an uncertain edge. With p the probability
that both ends of the edge are one person, and A and B the faces on its two sides, the expected number of
face pairs that an answer changes is the gain of the question::

    p |A| |B|          between two clusters, by the best edge of all that connect them
    (1 - p) |A| |B|    inside a cluster, by an edge of the spanning tree of strongest edges

Of each cluster, and of each pair of clusters, one question is asked at a time. Nothing is asked that is
known: by a word, a photo that shows both, or a date of birth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.graph.components import root
from nsrfc.library.acts import State
from nsrfc.library.decision import Decision
from nsrfc.runtime import compiled

__all__ = ["Question", "questions"]

_Rows = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]

LEAST = 0.01
"""Minimum gain of a question: below it, an answer hardly ever changes anything."""


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
    """

    a: int
    b: int
    groups: tuple[str, str]
    probability: float
    gain: float


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
    m log m time for m edges.
    """
    view = _View.of(decision, state, ids)
    tree = _tree(view)
    cut, cut_gain = _between(view)
    held, held_gain = _within(view, tree)
    edges, gain = np.concatenate((cut, held)), np.concatenate((cut_gain, held_gain))
    order = np.argsort(-gain, kind="stable")
    order = order[gain[order] >= LEAST][: max(limit, 0)]
    found = []
    for number in order.tolist():
        edge = edges[number]
        sides = _two_clusters(view, edge) if number < len(cut) else tree.sides(view, edge)
        one, other = (view.typical(side) for side in sides)
        groups = view.group[view.labels[one]], view.group[view.labels[other]]
        faces = int(decision.faces[one]), int(decision.faces[other])
        found.append(Question(*faces, groups, float(decision.edges.score[edge]), float(gain[number])))
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
    faces : ndarray of int64, shape (u,)
        Number of faces of each unit.
    size : ndarray of int64, shape (c,)
        Number of faces of each cluster.
    group : list of str
        Id of the group of each cluster.
    hidden : ndarray of bool, shape (c,)
    confirmed : ndarray of bool, shape (n,)
        Whether a face was confirmed as a person.
    unsure : ndarray of int64, shape (q, 2)
        Rows of faces of which nobody can tell whether they are one person.
    """

    decision: Decision
    labels: _Rows
    of_units: _Rows
    faces: _Rows
    size: _Rows
    group: list[str]
    hidden: npt.NDArray[np.bool_]
    confirmed: npt.NDArray[np.bool_]
    unsure: _Rows

    @classmethod
    def of(cls, decision: Decision, state: State, ids: _Rows) -> _View:
        labels, faces = decision.labels, decision.faces
        first = np.unique(labels, return_index=True)[1]
        group = [f"c{cluster}" for cluster in ids[first].tolist()]
        hidden = np.zeros(len(group), np.bool_)
        confirmed = np.zeros(len(faces), np.bool_)
        for person in state.persons.values():
            own = np.flatnonzero(np.isin(faces, np.fromiter(person.faces, np.int64)))
            confirmed[own] = True
            # All of them share a cluster, and nobody else's are in it.
            for cluster in labels[own[:1]].tolist():
                group[cluster], hidden[cluster] = person.id, person.hidden
        unsure = np.array(sorted(state.unsure), np.int64).reshape(-1, 2)
        unsure = np.searchsorted(faces, unsure[np.isin(unsure, faces).all(axis=1)])
        weight = np.bincount(decision.unit, minlength=len(decision.vectors))
        size = np.bincount(labels)
        return cls(decision, labels, decision.of_units, weight, size, group, hidden, confirmed, unsure)

    def typical(self, side: npt.NDArray[np.bool_]) -> int:
        """Row of the face that shows a side (n,) best: a confirmed one where there are some."""
        rows = np.flatnonzero(side)
        known = rows[self.confirmed[rows]]
        rows = known if len(known) else rows
        vectors = self.decision.vectors[self.decision.unit[rows]]
        return int(rows[(vectors @ vectors.sum(axis=0)).argmax()])


def _between(view: _View) -> tuple[_Rows, _Doubles]:
    """Best edge (m,) of every pair of clusters that may be asked about, and the gain of each."""
    edges, count = view.decision.edges, len(view.size)
    a, b = view.of_units[edges.source], view.of_units[edges.target]
    cut = np.flatnonzero((a != b) & (a >= 0) & (b >= 0))
    cut = cut[np.argsort(-edges.score[cut], kind="stable")]
    pair = _pairs(a[cut], b[cut], count)
    _, first = np.unique(pair, return_index=True)
    cut, pair = cut[first], pair[first]
    a, b = a[cut], b[cut]
    known = view.decision.known.between(view.labels)
    said = np.concatenate((known.apart.astype(np.int64), view.labels[view.unsure]))
    apart = np.isin(pair, _pairs(said[:, 0], said[:, 1], count)) | view.hidden[a] | view.hidden[b]
    apart |= (known.person[a] >= 0) & (known.person[b] >= 0)
    apart |= (known.first[a] < known.born[b]) | (known.first[b] < known.born[a])
    cut, a, b = cut[~apart], a[~apart], b[~apart]
    gain = edges.score[cut].astype(np.float64) * (view.size[a] * view.size[b])
    return cut, gain


def _pairs(a: _Rows, b: _Rows, count: int) -> _Rows:
    """One number (m,) for each pair of clusters."""
    return np.minimum(a, b) * count + np.maximum(a, b)


def _two_clusters(view: _View, edge: int) -> tuple[npt.NDArray[np.bool_], ...]:
    """Faces (n,) of the two clusters that an edge connects."""
    edges = view.decision.edges
    ends = view.of_units[edges.source[edge]], view.of_units[edges.target[edge]]
    return ends[0] == view.labels, ends[1] == view.labels


@dataclass(frozen=True)
class _Tree:
    """Inside every cluster, the spanning tree of strongest edges; all hang on one node above them.

    Its nodes are groups of units that are known to be one person.

    Attributes
    ----------
    node : ndarray of int64, shape (u,)
        Node of each unit.
    edges : ndarray of int64, shape (m,)
        Edges of the decision.
    below : ndarray of int64, shape (m,)
        The lower node of each edge.
    order : ndarray of int32, shape (g + 1,)
        Nodes from the top down.
    above : ndarray of int32, shape (g + 1,)
        The next higher node of each.
    """

    node: _Rows
    edges: _Rows
    below: _Rows
    order: npt.NDArray[np.int32]
    above: npt.NDArray[np.int32]

    def sums(self, values: _Rows) -> _Rows:
        """Sum the values of units (u,) at and below each node: (g + 1,)."""
        found = np.zeros(len(self.order), np.int64)
        np.add.at(found, self.node, values)
        _add_up(self.order, self.above, found)
        return found

    def sides(self, view: _View, edge: int) -> tuple[npt.NDArray[np.bool_], ...]:
        """Faces (n,) of a cluster on either side of one of its edges."""
        low = self.below[np.flatnonzero(self.edges == edge)[0]]
        cluster = view.of_units[view.decision.edges.source[edge]]
        under = np.zeros(len(self.order), np.bool_)
        under[low] = True
        _mark_down(self.order, self.above, under)
        side, own = under[self.node][view.decision.unit], view.labels == cluster
        return side & own, ~side & own


def _tree(view: _View) -> _Tree:
    from scipy.sparse import coo_array, csgraph

    decision = view.decision
    node = decision.known.onto(decision.unit, len(view.faces)).group
    nodes = int(node.max(initial=-1)) + 1
    edges = decision.edges
    a, b = node[edges.source], node[edges.target]
    cluster = view.of_units[edges.source]
    inside = np.flatnonzero((cluster == view.of_units[edges.target]) & (cluster >= 0) & (a != b))
    inside = inside[np.argsort(-edges.score[inside], kind="stable")]
    parent = np.arange(nodes)
    kept = inside[_joining(a[inside], b[inside], parent)]
    tops = np.flatnonzero(parent == np.arange(nodes))
    ends = np.append(a[kept], np.full(len(tops), nodes)), np.append(b[kept], tops)
    graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(nodes + 1, nodes + 1)).tocsr()
    order, above = csgraph.breadth_first_order(graph, nodes, directed=False)
    below = np.where(above[a[kept]] == b[kept], a[kept], b[kept])
    return _Tree(node, kept, below, order, above)


def _within(view: _View, tree: _Tree) -> tuple[_Rows, _Doubles]:
    """Edge (m,) of most gain inside each cluster that may be asked about, and the gain of each."""
    decision = view.decision
    cluster = view.of_units[decision.edges.source[tree.edges]]
    low = tree.sums(view.faces)[tree.below]
    gain = (1.0 - decision.edges.score[tree.edges]) * (low * (view.size[cluster] - low))
    # An edge lies between two faces that nobody can tell apart if just one of them is below it: their
    # numbers then do not cancel out. They are large and random, so that no others do.
    numbers = np.random.default_rng(0).integers(1, 1 << 40, len(view.unsure))
    marks = np.zeros(len(view.faces), np.int64)
    np.add.at(marks, decision.unit[view.unsure[:, 0]], numbers)
    np.add.at(marks, decision.unit[view.unsure[:, 1]], -numbers)
    asked = (tree.sums(marks)[tree.below] == 0) & ~view.hidden[cluster]
    edges, cluster, gain = tree.edges[asked], cluster[asked], gain[asked]
    order = np.lexsort((-gain, cluster))
    best = order[np.unique(cluster[order], return_index=True)[1]]
    return edges[best], gain[best]


@compiled()
def _joining(a: _Rows, b: _Rows, parent: _Rows) -> npt.NDArray[np.bool_]:
    """Whether each edge (m,) joins two trees when its turn comes."""
    joins = np.zeros(len(a), np.bool_)
    for edge in range(len(a)):
        one, other = root(parent, a[edge]), root(parent, b[edge])
        if one != other:
            parent[other] = one
            joins[edge] = True
    return joins


@compiled()
def _add_up(order: npt.NDArray[np.int32], above: npt.NDArray[np.int32], values: _Rows) -> None:
    """Add to each node (n,) what is below it."""
    for place in range(len(order) - 1, 0, -1):
        values[above[order[place]]] += values[order[place]]


@compiled()
def _mark_down(
    order: npt.NDArray[np.int32], above: npt.NDArray[np.int32], marked: npt.NDArray[np.bool_]
) -> None:
    """Mark each node (n,) that is below a marked one."""
    for place in range(1, len(order)):
        node = order[place]
        marked[node] = marked[node] or marked[above[node]]
