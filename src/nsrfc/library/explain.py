"""Why two faces are together or apart.

*Together*: of all chains of edges inside their cluster, the one whose weakest edge is strongest; of
several, one with the fewest edges. Its weakest edge is the bridge: if a human denies it, the two faces
part, unless an equally strong chain leads around it.

*Apart*: the strongest such chain through all edges, and what stopped the clusters at its weakest edge
that was cut: a word of a human, a photo, a date of birth, a probability below the threshold, or the
comparison of the two clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from nsrfc.graph.components import connected_components, root
from nsrfc.library.acts import State
from nsrfc.library.added import Added
from nsrfc.library.consistency import Facts, acts_between, reasons_apart
from nsrfc.library.decision import Decision
from nsrfc.library.evidence import Kept
from nsrfc.library.trees import ClusterSums, Comparison
from nsrfc.runtime import compiled

__all__ = ["Explanation", "Material", "Obstacle", "Step", "StepKind", "explain", "strongest_path"]

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]

StepKind = Literal[
    "density", "similarity", "added", "confirmed together", "same scene", "similar clusters"
]

ObstacleKind = Literal[
    "word", "photo", "birth", "probability", "comparison", "score", "only added", "no edge"
]


@dataclass(frozen=True)
class Step:
    """Two faces, and what connects them.

    Attributes
    ----------
    a, b : int
        Faces.
    kind : str
        An edge: "density", "similarity" or "added"; or "confirmed together" by a human, "same scene" for
        near-copies, "similar clusters" for two parts of a cluster that no edge connects.
    probability : float or None
        That they are one person, of an edge.
    cosine : float
        Of the faces as given.
    ranks : (int or None, int or None)
        Place of ``b`` among the neighbours of ``a``, 1 = the nearest, and the reverse; None = not there.
    shared : int
        Number of neighbours that both have.
    similarity : float or None
        Normalised similarity of two parts of a cluster.
    acts : tuple of int
        What confirmed them together.
    cut : bool
        Whether the two are in different clusters.
    """

    a: int
    b: int
    kind: StepKind
    probability: float | None
    cosine: float
    ranks: tuple[int | None, int | None]
    shared: int
    similarity: float | None = None
    acts: tuple[int, ...] = ()
    cut: bool = False

    def in_words(self) -> str:
        """Describe the step in a line."""
        told = [f"{self.kind} edge" if self.probability is not None else self.kind]
        if self.acts:
            told[0] += f" by act {', '.join(map(str, self.acts))}"
        if self.probability is not None:
            told.append(f"probability {_share(self.probability)}")
        if self.similarity is not None:
            told.append(f"normalised similarity {self.similarity:.2f}")
        told.append(f"cosine {self.cosine:.3f}")
        ranks = [
            f"{face} has {other} as neighbour {rank}"
            for face, other, rank in zip((self.a, self.b), (self.b, self.a), self.ranks, strict=True)
            if rank is not None
        ]
        told += [" and ".join(ranks) or "neither lists the other", f"{self.shared} shared neighbours"]
        return f"{self.a} - {self.b}: {', '.join(told)}{', cut' if self.cut else ''}"


@dataclass(frozen=True)
class Obstacle:
    """What keeps two clusters apart.

    Attributes
    ----------
    kind : str
        A "word" of a human, a "photo", a date of "birth"; the "probability" of an edge is below the
        threshold; by "comparison" the normalised similarity of the clusters is too low, or their mean
        "score"; "only added" faces connect them; or there is "no edge".
    why : str
        In words.
    act : int or None
        What was said.
    value, minimum : float or None
        What was measured, and what it would have to be.
    """

    kind: ObstacleKind
    why: str
    act: int | None = None
    value: float | None = None
    minimum: float | None = None


@dataclass(frozen=True)
class Explanation:
    """Why two faces are together or apart.

    Attributes
    ----------
    a, b : int
    groups : (str, str)
        Ids of their groups.
    path : tuple of Step
        The strongest chain from ``a`` to ``b``; empty if there is none.
    weakest : Step or None
        Its weakest edge: of faces that are together the bridge, of others among those that were cut.
    obstacle : Obstacle or None
        What keeps them apart; None if they are together.
    """

    a: int
    b: int
    groups: tuple[str, str]
    path: tuple[Step, ...]
    weakest: Step | None
    obstacle: Obstacle | None

    @property
    def together(self) -> bool:
        """Whether they are in one cluster."""
        return self.obstacle is None

    def in_words(self) -> str:
        """Explain in a few lines."""
        chain = [f"  {step.in_words()}" for step in self.path]
        weakest = self.weakest
        if self.obstacle is None:
            head = f"Faces {self.a} and {self.b} are together in {self.groups[0]}, connected by:"
            end = "Nothing but a word of a human separates them."
            if weakest is not None and weakest.acts:
                acts = " or ".join(map(str, weakest.acts))
                end = f"To separate them, undo act {acts}."
            elif weakest is not None and weakest.probability is not None:
                end = (
                    f"What holds them together is at its weakest between {weakest.a} and {weakest.b} "
                    f"({_share(weakest.probability)}): say that these are different persons to separate "
                    f"them."
                )
            return "\n".join((head, *chain, end))
        one, other = self.groups
        head = f"Faces {self.a} and {self.b} are apart, in {one} and {other}: {self.obstacle.why}."
        return "\n".join((head, *(("The strongest connection is:", *chain) if chain else ())))


def _share(probability: float) -> str:
    """Write a probability so that only certainty is 1."""
    if probability < 0.001:
        return "below 0.001"
    return "above 0.999" if 0.999 < probability < 1 else f"{probability:.3g}"


@dataclass(frozen=True)
class Material:
    """What an explanation is made of.

    Attributes
    ----------
    kept : Kept
    added : Added or None
    decision : Decision
    state : State
    facts : Facts
    groups : sequence of str
        Id of the group of each cluster 0..c-1.
    given : callable
        Returns unit vectors (m, d) of faces (m,) as given.
    """

    kept: Kept
    added: Added | None
    decision: Decision
    state: State
    facts: Facts
    groups: Sequence[str]
    given: Callable[[_Rows], _Floats]

    @cached_property
    def of_units(self) -> _Rows:
        """Cluster (u,) of each unit."""
        return self.decision.of_units

    @cached_property
    def first(self) -> _Rows:
        """Row (u,) of the first face of each unit; -1 of one without faces."""
        units, rows = np.unique(self.decision.unit, return_index=True)
        found = np.full(len(self.of_units), -1, np.int64)
        found[units] = rows
        return found

    def list_of(self, face: int) -> tuple[int, _Rows]:
        """Return the number of a face among scenes and added units, and its list, itself first."""
        kept, added = self.kept, self.added
        place = int(np.searchsorted(kept.faces, face))
        if place < len(kept.faces) and kept.faces[place] == face:
            scene = int(kept.scene[place])
            return scene, np.asarray(kept.near.nearest[scene], np.int64)
        assert added is not None
        unit = int(added.unit[np.searchsorted(added.faces, face)])
        return added.scenes + unit, np.append(added.scenes + unit, added.ids[unit])

    def step(
        self, a: int, b: int, kind: StepKind, probability: float | None = None, cut: bool = False
    ) -> Step:
        """Describe two faces."""
        one, other = self.given(np.array([a, b]))
        (own_a, list_a), (own_b, list_b) = self.list_of(a), self.list_of(b)
        ranks = _place(list_a, own_b), _place(list_b, own_a)
        both = np.intersect1d(list_a[1:], list_b[1:])
        acts: tuple[int, ...] = ()
        if kind == "confirmed together":
            acts = tuple(acts_between(self.state, self.facts, a, b))
        shared = int(np.isin(both, (-1, own_a, own_b), invert=True).sum())
        return Step(a, b, kind, probability, float(one @ other), ranks, shared, None, acts, cut)


def _place(listed: _Rows, own: int) -> int | None:
    found = np.flatnonzero(listed == own)
    return int(found[0]) if len(found) else None


def explain(material: Material, a: int, b: int) -> Explanation:
    """Say why two faces are together or apart.

    Parameters
    ----------
    material : Material
    a, b : int
        Two different faces.

    Notes
    -----
    m log m time for m edges, of the cluster if they are together.
    """
    decision = material.decision
    row_a, row_b = (int(np.searchsorted(decision.faces, face)) for face in (a, b))
    one, other = int(decision.labels[row_a]), int(decision.labels[row_b])
    groups = material.groups[one], material.groups[other]
    if decision.unit[row_a] == decision.unit[row_b]:
        return Explanation(a, b, groups, (material.step(a, b, "same scene"),), None, None)
    path = _path(material, row_a, row_b, one if one == other else None)
    if one == other:
        path = path or (_similar_parts(material, row_a, row_b),)
        return Explanation(a, b, groups, path, _weakest(path), None)
    weakest = _weakest(tuple(step for step in path if step.cut))
    said = reasons_apart(material.state, material.facts, *_members(material, one, other))
    obstacle = next((Obstacle(*reason) for reason in said), None)
    if obstacle is None and weakest is None:
        obstacle = Obstacle("no edge", "no chain of neighbours connects them")
    elif obstacle is None and weakest is not None:
        obstacle = _obstacle(material, weakest)
    return Explanation(a, b, groups, path, weakest, obstacle)


def _weakest(path: tuple[Step, ...]) -> Step | None:
    """Step that is easiest to take away: the edge of least probability, or a word if there is none."""
    if not path:
        return None
    return min(path, key=lambda step: 2.0 if step.probability is None else step.probability)


def _path(material: Material, row_a: int, row_b: int, cluster: int | None) -> tuple[Step, ...]:
    """Strongest chain, inside a cluster or anywhere."""
    decision, units = material.decision, len(material.of_units)
    edges, kind = decision.edges, decision.kind
    there = material.first >= 0
    if cluster is not None:
        there = material.of_units == cluster
    chosen = np.flatnonzero(there[edges.source] & there[edges.target])
    # Whatever was confirmed together hangs on a node of its own.
    group = decision.known.group
    words = np.flatnonzero(there[decision.unit] & (np.bincount(group)[group] > 1))
    source = np.concatenate((edges.source[chosen].astype(np.int64), decision.unit[words]))
    target = np.concatenate((edges.target[chosen].astype(np.int64), units + group[words]))
    score = np.append(edges.score[chosen], np.full(len(words), np.inf, np.float32))
    ends = int(decision.unit[row_a]), int(decision.unit[row_b])
    found = strongest_path(units + len(decision.known.person), source, target, score, *ends)
    if found is None:
        return ()
    nodes = [ends[0]]
    for number in found.tolist():
        nodes.append(int(source[number] + target[number]) - nodes[-1])
    face = {node: int(decision.faces[material.first[node]]) for node in nodes if node < units}
    face |= {ends[0]: int(decision.faces[row_a]), ends[1]: int(decision.faces[row_b])}
    steps = []
    for number, (x, y) in zip(found.tolist(), pairwise(nodes), strict=True):
        if y >= units:
            held = face[x]
        elif x >= units:
            steps.append(material.step(held, face[y], "confirmed together"))
        else:
            edge = chosen[number]
            cut = bool(material.of_units[x] != material.of_units[y])
            name = _KINDS[kind[edge]]
            steps.append(material.step(face[x], face[y], name, float(edges.score[edge]), cut))
    return tuple(steps)


_KINDS: tuple[StepKind, ...] = ("density", "similarity", "added")


def strongest_path(n: int, source: _Rows, target: _Rows, score: _Floats, a: int, b: int) -> _Rows | None:
    """Find the path whose weakest edge is strongest; of several, one with the fewest edges.

    Parameters
    ----------
    n : int
        Number of nodes.
    source, target : ndarray of int64, shape (m,)
    score : ndarray of float32, shape (m,)
    a, b : int
        Two different nodes.

    Returns
    -------
    ndarray of int64, shape (p,), or None
        Edges in order, by their numbers; None if nothing connects the two.
    """
    from scipy.sparse import coo_array, csgraph

    order = np.argsort(-score, kind="stable")
    place = _connected_at(source, target, order, np.arange(n), a, b)
    if place < 0:
        return None
    strong = order[: int(np.searchsorted(-score[order], -score[order[place]], side="right"))]
    ends = source[strong], target[strong]
    graph = coo_array((np.ones(len(strong), np.float32), ends), shape=(n, n)).tocsr()
    before = csgraph.breadth_first_order(graph, a, directed=False)[1]
    nodes = [b]
    while nodes[-1] != a:
        nodes.append(int(before[nodes[-1]]))
    on_path = np.zeros(n, np.bool_)
    on_path[nodes] = True
    # The strongest edge comes first, also of several between the same nodes.
    strong = strong[on_path[source[strong]] & on_path[target[strong]]]
    low, high = np.minimum(source[strong], target[strong]), np.maximum(source[strong], target[strong])
    found = [
        strong[np.flatnonzero((low == min(x, y)) & (high == max(x, y)))[0]]
        for x, y in pairwise(reversed(nodes))
    ]
    return np.array(found, np.int64)


@compiled()
def _connected_at(source: _Rows, target: _Rows, order: _Rows, parent: _Rows, a: int, b: int) -> int:
    """Place in the order of the edge that connects two nodes; -1 = none does."""
    for place in range(len(order)):
        one, other = root(parent, source[order[place]]), root(parent, target[order[place]])
        if one != other:
            parent[other] = one
            if root(parent, a) == root(parent, b):
                return place
    return -1


def _members(material: Material, *clusters: int) -> list[npt.NDArray[np.bool_]]:
    """Whether each face ever added (n,) is in a cluster, for each of some."""
    found = []
    for cluster in clusters:
        there = np.zeros(len(material.facts.photo), np.bool_)
        there[material.decision.faces[material.decision.labels == cluster]] = True
        found.append(there)
    return found


def _similar_parts(material: Material, row_a: int, row_b: int) -> Step:
    """Describe two faces of a cluster that no chain connects, by the parts that they are in."""
    decision = material.decision
    edges = decision.edges
    own = material.of_units[edges.source] == material.of_units[edges.target]
    part = connected_components(len(material.of_units), edges.where(own))
    one, other = (part == part[decision.unit[row]] for row in (row_a, row_b))
    similarity, _ = _compared(decision.vectors, one, other, decision.impostor_mean, 1.0)
    a, b = (int(decision.faces[row]) for row in (row_a, row_b))
    return replace(material.step(a, b, "similar clusters"), similarity=similarity)


def _obstacle(material: Material, step: Step) -> Obstacle:
    """Say what stopped two clusters at an edge between them, of which nothing else is known."""
    decision, kept = material.decision, material.kept
    rows = np.searchsorted(decision.faces, (step.a, step.b))
    one, other = (int(cluster) for cluster in decision.labels[rows])
    said = reasons_apart(material.state, material.facts, *_members(material, one, other))
    for reason in said:
        return Obstacle(*reason)
    assert step.probability is not None
    between = f"the edge between {step.a} and {step.b}"
    least = decision.threshold if step.kind == "added" else kept.method.least_probability
    if step.kind != "similarity" and step.probability < least:
        why = f"{between} has probability {_share(step.probability)}, and {least:.3g} is needed"
        return Obstacle("probability", why, None, step.probability, least)
    if step.kind == "added" and all(_found(material, cluster) for cluster in (one, other)):
        why = (
            f"{between} is of a face that was added since they were found; cluster again to compare them"
        )
        return Obstacle("only added", why)
    return _by_comparison(material, step, one, other)


def _found(material: Material, cluster: int) -> bool:
    """Whether a cluster has several scenes, so that the run found it."""
    return int((material.of_units[: material.decision.scenes] == cluster).sum()) > 1


def _by_comparison(material: Material, step: Step, one: int, other: int) -> Obstacle:
    """Say how the clusters compare, as they were when the edge was considered: as far as is known."""
    kept, comparison = material.kept, material.kept.method.cluster_comparison
    what = f"the edge between {step.a} and {step.b} was not followed"
    if comparison is None or kept.near.impostors is None:
        return Obstacle("comparison", what)
    if step.kind == "added":
        X, cluster, impostors = material.decision.vectors, material.of_units, kept.given_impostors
        minimum = comparison.minimum
    else:
        scenes = np.flatnonzero(material.first[: material.decision.scenes] >= 0)
        faces = material.decision.faces[material.first[scenes]]
        X = np.asarray(kept.near.vectors[kept.scene[np.searchsorted(kept.faces, faces)]])
        cluster, impostors = material.of_units[scenes], kept.near.impostors[0]
        minimum = comparison.refined_minimum if kept.near.refined else comparison.minimum
    sides = cluster == one, cluster == other
    similarity, score = _compared(X, *sides, impostors.mean, impostors.deviation)
    if similarity >= minimum and score < comparison.minimum_score:
        least = comparison.minimum_score
        why = f"{what}, as the clusters have a mean score of {score:.1f}, below {least:.1f}"
        return Obstacle("score", why, None, score, least)
    low = f", below {minimum:.2f}" if similarity < minimum else " now, but it was lower at its turn"
    why = f"{what}, as the clusters have a normalised similarity of {similarity:.2f}{low}"
    return Obstacle("comparison", why, None, similarity, minimum)


def _compared(
    X: _Floats,
    one: npt.NDArray[np.bool_],
    other: npt.NDArray[np.bool_],
    impostor_mean: float,
    deviation: float,
) -> tuple[float, float]:
    """Normalised similarity and mean score of two groups of unit vectors (n, d)."""
    clusters = ClusterSums.sum_up(X, np.where(one, 0, np.where(other, 1, -1)))
    comparison = Comparison.of(clusters, impostor_mean)
    product = np.array([clusters.sums[0] @ clusters.sums[1]], np.float64)
    a, b = clusters.at(np.array([0])), clusters.at(np.array([1]))
    across = float(product[0]) / float(a.size[0] * b.size[0])
    return float(comparison.similarity(a, b, product)[0]), (across - impostor_mean) / deviation
