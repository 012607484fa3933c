"""From embeddings to people: the steps of the method in order, without learned weights.

1. Neighbour graph: the k nearest by cosine; similarities in deviations above what strangers show;
   embeddings refined to means of their neighbourhoods and the graph rebuilt on them, twice.
2. Local density graph: density of every face, density edges and similarity edges.
3. Global connectivity: the odds that a density edge joins one person, from a law fitted to these edges;
   an edge that would join two groups unlike each other is left out.
4. Clusters: connected components of what is kept.

Nothing here reads a label, and no threshold is fixed in units of an embedder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.config import ClusterConfig
from nsrfc.data.embeddings import normalize
from nsrfc.graph.background import SAMPLE, measure_background, standardize
from nsrfc.graph.cohesion import join_alike_groups, join_cohesive
from nsrfc.graph.components import drop_small, relabel_by_first_appearance
from nsrfc.graph.copies import canonical_rows
from nsrfc.graph.edges import density_edges, local_strength, neighbor_density, similarity_edges
from nsrfc.graph.mixture import EdgeLaw, fit_edge_law, probability
from nsrfc.graph.neighbors import build_neighbor_graph, check_neighbor_graph, renumber
from nsrfc.graph.refinement import average_neighbors, linkage
from nsrfc.graph.structures import Clustering, EdgeList, NeighborGraph
from nsrfc.progress import Progress

if TYPE_CHECKING:
    import faiss

__all__ = ["cluster"]

_Floats = npt.NDArray[np.float32]

REFINEMENTS = ((10, -1.0), (20, 1.0))
"""Neighbours that each refinement averages, and the log-odds at which one weighs a half. The first is
generous, to reach the poor images of a person; the second, on cleaner lists, is cautious."""

FOLLOWED = -1.0
"""Log-odds from which on a density edge is followed. Some edges more likely wrong than right may pass,
since the groups that they would join are compared first."""

SIMILARITY_MARGIN = 1.0
"""Local strength above the threshold of density edges at which a pair is linked at once."""


def cluster(
    X: npt.ArrayLike,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    index: faiss.Index | None = None,
    progress: Progress | None = None,
) -> Clustering:
    """Group faces by person.

    Parameters
    ----------
    X : array-like of float, shape (n, d)
        Embeddings, of any length; may be memory-mapped. Never written to.
    config : ClusterConfig, optional
    graph : NeighborGraph, optional
        The neighbours of these rows, if they are known already.
    index : faiss.Index, optional
        An index over the unit vectors of these rows, to be searched instead.
    progress : Progress, optional
        Told of every stage; holds their seconds afterwards.

    Returns
    -------
    Clustering
        The same for every order of the rows.

    Raises
    ------
    InputError
        If ``X`` is not 2-D, holds rows that are zero, NaN or infinite, or does not fit the graph or
        index.
    """
    config = config or ClusterConfig()
    progress = progress or Progress()
    unit = normalize(X)
    faces, place = canonical_rows(unit)
    distinct = unit[faces]
    if index is not None and graph is None:
        graph = build_neighbor_graph(unit, config.k, index=index, progress=progress)
    if graph is not None:
        check_neighbor_graph(graph, len(unit))
        graph = renumber(graph, faces, place)
    del unit
    labels, confidence = _cluster_distinct(distinct, graph, config, progress)
    labels = relabel_by_first_appearance(labels[place])
    return Clustering(drop_small(labels, config.min_cluster_size), confidence[place])


@dataclass(frozen=True)
class _Strengths:
    """A neighbour graph in units of the background.

    ids and strength (n, k), strongest first; mean similarity of strangers; strength of two identical
    faces.
    """

    ids: npt.NDArray[np.int32]
    strength: _Floats
    stranger: float
    identical: float

    @property
    def top(self) -> _Floats:
        """Strength (n,) of each face's best neighbour; -inf where there is none."""
        best: _Floats = self.strength[:, 1:].max(axis=1, initial=-np.inf)
        return best

    def law(self, strength: _Floats) -> EdgeLaw:
        """Fit the odds that an edge joins one person to the strengths of one edge per face."""
        return fit_edge_law(strength, len(self.ids), self.identical)

    def density_edges(self) -> EdgeList:
        """Return the density edges E_d, with strengths as scores."""
        same = probability(self.law(self.top).log_odds(self.strength))
        return density_edges(self.ids, self.strength, neighbor_density(self.strength, same))


def _cluster_distinct(
    X: _Floats, graph: NeighborGraph | None, config: ClusterConfig, progress: Progress
) -> tuple[npt.NDArray[np.int64], _Floats]:
    """Labels (n,) and confidence (n,) of distinct faces in canonical order."""
    n = len(X)
    sample = np.sort(np.random.default_rng(config.seed).permutation(n)[:SAMPLE])

    def search(vectors: _Floats) -> NeighborGraph:
        return build_neighbor_graph(
            vectors, config.k, method=config.search, seed=config.seed, progress=progress
        )

    graph = graph or search(X)
    with progress.stage("strengths", n) as advance:
        known = first = _measure(graph, graph.similarities, X, sample)
        law = known.law(known.top)
        advance(n)
    for width, log_odds in REFINEMENTS:
        with progress.stage("refinement", n) as advance:
            weights = probability(law.log_odds(known.strength[:, :width]) - np.float32(log_odds))
            around = average_neighbors(X, known.ids[:, :width], weights)
            advance(n)
        graph = search(around.mean)
        with progress.stage("strengths", n) as advance:
            known = _measure(graph, linkage(graph, around), around.mean, sample)
            edges = known.density_edges()
            law = known.law(edges.score)
            advance(n)
    with progress.stage("clusters", n) as advance:
        candidates, odds = _judge(known, edges)
        labels = join_cohesive(X, candidates, first.stranger)
        labels = join_alike_groups(X, labels, first.ids, first.stranger)
        confidence = _confidence(labels, edges, odds)
        advance(n)
    return labels, confidence


def _measure(
    graph: NeighborGraph, similarities: _Floats, X: _Floats, sample: npt.NDArray[np.int64]
) -> _Strengths:
    """Similarities of a graph as strengths, and each list in their order."""
    background = measure_background(X, X[sample])
    strength = standardize(graph.ids, similarities, background)
    strength[graph.ids < 0] = -np.inf
    strength[:, 0] = np.inf
    order = np.argsort(-strength, axis=1, kind="stable")
    return _Strengths(
        np.take_along_axis(graph.ids, order, axis=1),
        np.take_along_axis(strength, order, axis=1),
        float(background.center.mean()),
        background.identical,
    )


def _judge(known: _Strengths, edges: EdgeList) -> tuple[EdgeList, _Floats]:
    """Edges that may join people, with local strengths as scores, and log-odds of all density edges."""
    top = known.top
    strength = local_strength(edges.source, edges.target, edges.score, top)
    law = known.law(strength)
    odds = law.log_odds(strength)
    kept = EdgeList(edges.source, edges.target, strength).where(odds >= FOLLOWED)
    return kept + similarity_edges(
        known.ids, known.strength, top, law.threshold + SIMILARITY_MARGIN
    ), odds


def _confidence(labels: npt.NDArray[np.int64], edges: EdgeList, odds: _Floats) -> _Floats:
    """Probability (n,) that what became of each face's density edge is right."""
    joined = labels[edges.source] == labels[edges.target]
    confidence = np.ones(len(labels), np.float32)
    confidence[edges.source] = probability(np.where(joined, odds, -odds))
    return confidence
