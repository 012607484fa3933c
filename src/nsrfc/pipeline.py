"""From embeddings to people: the steps of the method in order, without learned weights.

1. Neighbour graph: the k nearest by cosine; similarities in deviations above what strangers show;
   embeddings whitened where that leaves less doubt, then refined to means of their neighbourhoods,
   twice; each time the graph is rebuilt on them.
2. Local density graph: density of every face, density edges and similarity edges.
3. Global connectivity: the odds that a density edge joins one person, from a law fitted to these edges;
   an edge that would join two groups unlike each other is left out.
4. Clusters: connected components of what is kept.

Nothing here reads a label, and no threshold is fixed in units of an embedder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, release, sample_faces
from nsrfc.config import ClusterConfig
from nsrfc.graph.cohesion import join_alike_groups, join_cohesive
from nsrfc.graph.components import confidence, drop_small, relabel_by_first_appearance
from nsrfc.graph.edges import density_edges, local_strength, neighbor_density, similarity_edges
from nsrfc.graph.neighborhood_means import average_neighbors, linkage
from nsrfc.graph.score_model import EdgeLaw, fit_edge_law, probability
from nsrfc.graph.score_normalization import measure_background, standardize
from nsrfc.graph.whitening import neighborhood_scatter, whiten
from nsrfc.knn.build import build_neighbor_graph, rebuild_neighbor_graph
from nsrfc.knn.checks import check_neighbor_graph
from nsrfc.knn.copies import canonical_rows, renumber
from nsrfc.progress import Progress
from nsrfc.records import Clustering, EdgeList, NeighborGraph
from nsrfc.rowstore import RowStore
from nsrfc.storage.artifacts import Artifacts, key_of
from nsrfc.storage.files import PathLike
from nsrfc.vectors import normalize

if TYPE_CHECKING:
    import faiss

__all__ = ["cluster"]

_Floats = npt.NDArray[np.float32]

WHITENING = (0, 0.5)
"""Powers of whitening, of which the faces at hand choose: not at all, or in full."""

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
    device: str = "auto",
    progress: Progress | None = None,
    cache: PathLike | None = None,
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
    device : str
        Where an exact search runs, as :func:`nsrfc.graph.build_neighbor_graph`; it changes no label.
    progress : Progress, optional
        Told of every stage; holds their seconds afterwards.
    cache : path-like, optional
        Folder where what takes long is kept piece by piece: a run that was cut off, given the same
        faces and settings again, goes on from there.

    Returns
    -------
    Clustering
        The same for every order of the rows.

    Raises
    ------
    InputError
        If ``X`` is not 2-D, holds rows that are zero, NaN or infinite, or does not fit the graph or
        index; or if another run works in ``cache``.
    """
    config = ClusterConfig.given(config)
    progress = progress or Progress()
    unit = normalize(X)
    release(X)
    faces, place = canonical_rows(unit)
    run = _Run(unit[faces], config, device, progress, Artifacts.at(cache))
    if index is not None and graph is None:
        graph = build_neighbor_graph(unit, config.k, index=index, progress=progress)
    if graph is not None:
        check_neighbor_graph(graph, unit)
        graph = renumber(graph, faces, place)
    del unit
    with run.artifacts.locked():
        labels, sure = run.cluster(graph)
    labels = relabel_by_first_appearance(labels[place])
    return Clustering(drop_small(labels, config.min_cluster_size), sure[place])


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

    def weights(self, law: EdgeLaw, width: int | None = None, log_odds: float = 0.0) -> _Floats:
        """Weights (n, width) of the first neighbours in each list: 1/2 at ``log_odds``."""
        weights = np.empty_like(self.strength[:, :width])
        for part in chunks(len(weights)):
            odds = law.log_odds(self.strength[part, :width])
            weights[part] = probability(odds - np.float32(log_odds))
        return weights

    def density_edges(self) -> EdgeList:
        """Return the density edges E_d, with strengths as scores."""
        law, density = self.law(self.top), np.empty(len(self.ids), np.float32)
        for part in chunks(len(density)):
            strength = self.strength[part]
            same = probability(law.log_odds(strength))
            density[part] = neighbor_density(strength, same)
        return density_edges(self.ids, self.strength, density)


@dataclass
class _Run:
    """The steps on distinct faces in canonical order.

    X is whitened on the way. _sample stands for strangers; _key is that of all results so far, on which
    the next depends.
    """

    X: _Floats
    config: ClusterConfig
    device: str
    progress: Progress
    artifacts: Artifacts
    _sample: npt.NDArray[np.int64] = field(init=False)
    _key: str = field(init=False)

    def __post_init__(self) -> None:
        self._sample = sample_faces(len(self.X), self.config.seed)

    def cluster(self, graph: NeighborGraph | None) -> tuple[npt.NDArray[np.int64], _Floats]:
        """Labels (n,) and confidence (n,)."""
        n, progress = len(self.X), self.progress
        given = () if graph is None else (graph.ids, graph.similarities)
        content = [self.artifacts.fingerprint(array) for array in (self.X, *given)]
        self._key = key_of("embeddings", {"sha256": content})
        graph = graph or self._search()
        listed, known = graph.ids, self._strengths(graph)
        del graph
        law = known.law(known.top)
        with progress.stage("whitening", n) as advance:
            scatter = neighborhood_scatter(self.X, known.ids, known.weights(law))
            white = whiten(self.X, scatter, WHITENING)
            advance(n)
        if white is not self.X:
            self.X = white
            # They would otherwise stand beside those that take their place.
            del known
            graph = self._rebuild(white, listed)
            listed, known = graph.ids, self._strengths(graph)
            del graph
            law = known.law(known.top)
        X, stranger = self.X, known.stranger
        del white
        for width, log_odds in REFINEMENTS:
            with progress.stage("refinement", n) as advance:
                weights = known.weights(law, width, log_odds)
                around = average_neighbors(X, known.ids[:, :width], weights)
                advance(n)
            listed_before = known.ids
            del known, weights
            graph = self._rebuild(around.mean, listed_before)
            del listed_before
            with progress.stage("strengths", n) as advance:
                known = self._measure(graph, linkage(graph, around), around.mean)
                del around, graph
                edges = known.density_edges()
                law = known.law(edges.score)
                advance(n)
        with progress.stage("clusters", n) as advance:
            candidates, odds = _judge(known, edges)
            del known
            labels = join_cohesive(X, candidates, stranger)
            labels = join_alike_groups(X, labels, listed, stranger)
            sure = confidence(labels, edges, probability(odds))
            advance(n)
        return labels, sure

    def _search(self) -> NeighborGraph:
        return build_neighbor_graph(
            self.X,
            self.config.k,
            method=self.config.search,
            device=self.device,
            seed=self.config.seed,
            progress=self.progress,
            pieces=self._pieces("neighbours"),
        )

    def _rebuild(self, X: _Floats, around: npt.NDArray[np.int32]) -> NeighborGraph:
        pieces = self._pieces("neighbours")
        return rebuild_neighbor_graph(X, around, progress=self.progress, pieces=pieces)

    def _strengths(self, graph: NeighborGraph) -> _Strengths:
        """Strengths of a graph of the faces themselves."""
        with self.progress.stage("strengths", len(self.X)) as advance:
            known = self._measure(graph, graph.similarities.copy(), self.X)
            advance(len(self.X))
        return known

    def _measure(self, graph: NeighborGraph, similarities: _Floats, X: _Floats) -> _Strengths:
        """Turn similarities of a graph, which are used up, into strengths, each list in their order."""
        # Pages of mapped graphs, read already, would stand beside what is made of them.
        release(graph.ids)
        release(graph.similarities)
        background = measure_background(X, X[self._sample], self._pieces("background"))
        ids, strength = np.empty_like(graph.ids), similarities
        for part in chunks(len(ids)):
            near = graph.ids[part]
            found = standardize(similarities[part], near, background[part], background)
            found[near < 0] = -np.inf
            found[:, 0] = np.inf
            order = np.argsort(-found, axis=1, kind="stable")
            ids[part] = np.take_along_axis(near, order, axis=1)
            strength[part] = np.take_along_axis(found, order, axis=1)
            release(graph.ids)
        return _Strengths(ids, strength, float(background.center.mean()), background.identical)

    def _pieces(self, stage: str) -> RowStore:
        """Open the next result; it depends on the faces, the settings and all results before it."""
        settings = self.config.model_dump(exclude={"min_cluster_size"})
        self._key = key_of(stage, {"of": self._key, **settings})
        return self.artifacts.pieces(stage, self._key)


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
