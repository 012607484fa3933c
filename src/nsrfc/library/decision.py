"""Step 4 of a library: clusters, from what a run found, what was added since, and what was said.

A *unit* is what is clustered as one: a scene of the run, or a face that was added. A scene of which
constraints keep faces apart is several units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.graph.connectivity import ClusterTest, connect
from nsrfc.graph.constraints import Constraints
from nsrfc.library.added import Added
from nsrfc.library.evidence import Kept
from nsrfc.methods.base import Run
from nsrfc.records import UNCLUSTERED, DensityGraph, EdgeList, Neighborhood

__all__ = ["Decision", "decide"]

_Labels = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Decision:
    """Clusters, and the edges that they were made of.

    Attributes
    ----------
    faces : ndarray of int64, shape (n,)
        Ids of the faces, ascending.
    unit : ndarray of int64, shape (n,)
        Unit 0..u-1 of each face.
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1 of the faces.
    edges : EdgeList
        Between units, with the probability that both ends are one person as score; similarity edges
        after the density edges, then edges of faces that were added.
    kind : ndarray of int8, shape (m,)
        0 for a density edge, 1 for a similarity edge, 2 for an edge of an added face.
    vectors : ndarray of float32, shape (u, d)
        Units as given, unit vectors.
    scenes : int
        Number of units that are no added faces; they come first.
    threshold : float
        Minimum probability of an edge that joins.
    known : Constraints
        What was known of the faces, as rows.
    impostor_mean : float
        Mean similarity of impostor pairs of units; 0 if unknown.
    """

    faces: _Labels
    unit: _Labels
    labels: _Labels
    edges: EdgeList
    kind: npt.NDArray[np.int8]
    vectors: _Floats
    scenes: int
    threshold: float
    known: Constraints
    impostor_mean: float

    @property
    def of_units(self) -> _Labels:
        """Cluster (u,) of each unit; -1 of one whose faces were all forgotten."""
        found = np.full(len(self.vectors), UNCLUSTERED, np.int64)
        found[self.unit] = self.labels
        return found


def decide(
    kept: Kept, added: Added | None, faces: _Labels, constraints: Constraints, run: Run
) -> Decision:
    """Cluster all faces.

    Parameters
    ----------
    kept : Kept
    added : Added or None
        Faces that were added since that run.
    faces : ndarray of int64, shape (n,)
        The faces to be clustered, ascending; all others are ignored.
    constraints : Constraints
        Of all faces of the library, by id.
    run : Run

    Returns
    -------
    Decision
        It depends on what was said and on which faces there are, but not on their order, nor on the
        batches in which they were added.
    """
    of_faces = constraints.among(faces)
    unit, scene, news = _units(kept, added, faces, of_faces)
    known = of_faces.onto(unit, len(scene) + len(news))
    there = np.zeros(len(known.group), np.bool_)
    there[unit] = True
    method, near = kept.method, _of_scenes(kept.near, scene)
    density, probability = _alive(kept, there)
    own = known.among(np.arange(len(scene)))
    found = method.components(near, density, lambda chosen: probability[chosen], run, own)
    labels, edges = found.labels, found.density_edges + found.similarity_edges
    kinds = [len(found.density_edges), len(found.similarity_edges), 0]
    vectors = near.faces
    if added is not None:
        vectors = np.concatenate((vectors, added.vectors[news]))
        more = added.edges(len(scene))
        # A scene whose faces were all forgotten connects nobody.
        more = more.where(there[more.source] & there[more.target])
        labels = _with_added(labels, more, vectors, kept, known)
        edges, kinds[2] = edges + more, len(more)
    each = relabel_by_first_appearance(labels[unit])
    kind = np.repeat(np.arange(3, dtype=np.int8), kinds)
    mean = 0.0 if near.impostors is None else near.impostors[1].mean
    shown = edges, kind, vectors, len(scene), method.threshold
    return Decision(faces, unit, each, *shown, of_faces, mean)


def _units(
    kept: Kept, added: Added | None, faces: _Labels, known: Constraints
) -> tuple[_Labels, _Labels, _Labels]:
    """Return the unit (n,) of each face; and of each unit the scene (o,) or the added unit (u - o,).

    The first g units are the scenes. Faces of a scene that constraints keep apart from its first face
    are units of their own, and so are copies among added faces.
    """
    g, m = len(kept.near.faces), 0 if added is None else len(added.vectors)
    old = np.isin(faces, kept.faces, assume_unique=True)
    group = np.empty(len(faces), np.int64)
    group[old] = kept.scene[np.searchsorted(kept.faces, faces[old])]
    if added is not None:
        group[~old] = g + added.unit[np.searchsorted(added.faces, faces[~old])]
    _, first, of = np.unique(group, return_index=True, return_inverse=True)
    leader = first[of]
    follows = np.flatnonzero(leader != np.arange(len(faces)))
    ends = follows.astype(np.int32), leader[follows].astype(np.int32)
    within = EdgeList(*ends, np.ones(len(follows), np.float32))
    parts = joined_by(within, None, known)
    outside = follows[parts[follows] != parts[leader[follows]]]
    pairs = np.stack((group[outside], parts[outside]), axis=1)
    more, number = np.unique(pairs, axis=0, return_inverse=True)
    origin = more[:, 0]
    # Scenes come first in `more`, too, so that their units stand before all added ones.
    more_old = int((origin < g).sum())
    place = np.arange(len(origin)) + g + np.where(np.arange(len(origin)) < more_old, 0, m)
    unit = np.where(group < g, group, group + more_old)
    unit[outside] = place[number.ravel()]
    scene = np.concatenate((np.arange(g), origin[:more_old]))
    return unit, scene, np.concatenate((np.arange(m), origin[more_old:] - g))


def _of_scenes(near: Neighborhood, scene: _Labels) -> Neighborhood:
    """Return the neighbourhood of units, by their scenes."""
    if len(scene) == len(near.faces):
        return near
    return replace(
        near,
        faces=near.faces[scene],
        vectors=near.vectors[scene],
        ids=near.ids[scene],
        similarities=near.similarities[scene],
        nearest=near.nearest[scene],
    )


def _alive(kept: Kept, there: npt.NDArray[np.bool_]) -> tuple[DensityGraph, _Floats]:
    """Return the density graph and probabilities without scenes whose faces were all forgotten."""
    density = kept.density
    one, other = (
        there[edges.source] & there[edges.target]
        for edges in (density.density_edges, density.similarity_edges)
    )
    graph = replace(
        density,
        density_edges=density.density_edges.where(one),
        similarity_edges=density.similarity_edges.where(other),
    )
    return graph, kept.probability[one]


def _with_added(
    labels: _Labels, edges: EdgeList, vectors: _Floats, kept: Kept, known: Constraints
) -> _Labels:
    """Join added units to the clusters (o,) of the others: (u,).

    Two clusters of several units each that a run found are left apart, as it had all their faces before
    it to compare. All are compared as given: what a run compares, an added face does not have.
    """
    method = kept.method
    own = labels.max(initial=-1) + 1 + np.arange(len(vectors) - len(labels))
    start = np.concatenate((labels, own))
    comparison, test = method.cluster_comparison, None
    if comparison is not None:
        impostors = kept.given_impostors
        test = ClusterTest(vectors, impostors, comparison.minimum, comparison.minimum_score)
    strong = edges.where(edges.score >= method.threshold)
    joined = known.joined(start)
    found = np.zeros(len(joined.person), np.bool_)
    found[joined.group[: len(labels)]] = np.bincount(labels)[labels] > 1
    apart = np.where(found | (joined.person >= 0), np.arange(len(found)), -1)
    return joined_by(strong, test, replace(joined, person=apart))


def joined_by(edges: EdgeList, test: ClusterTest | None, known: Constraints) -> _Labels:
    """Follow edges, best first, as far as constraints allow: clusters (n,)."""
    none = edges.where(np.arange(0))
    return connect(len(known.group), edges, none, lambda _: none.score, 0, test, known).labels
