"""The four steps by rules: statistics of the faces to be clustered, without learned weights.

1. Neighbour graph: the k nearest by cosine; similarities as normalised scores. Embeddings are
   whitened if that separates genuine from impostor pairs better, then replaced by means of their
   neighbourhoods, twice; each time the graph is rebuilt on them.
2. Local density graph: density of every face, density edges and similarity edges.
3. Connectivity: the log-odds that a density edge is a genuine pair, by a score model of these edges.
4. Clusters: connected components of the edges that are kept. An edge that would join two clusters whose
   normalised similarity is too low is left out.

No threshold depends on the scale of an embedder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import release
from nsrfc.graph.connectivity import ClusterTest, connect, join_unlinked
from nsrfc.graph.density_graph import (
    density_edges,
    local_score,
    similarity_edges,
)
from nsrfc.graph.neighborhood_means import Neighborhoods
from nsrfc.graph.scores import (
    ScoreModel,
    fit_score_model,
    impostor_scores,
    probability,
)
from nsrfc.graph.whitening import MEASURED, Scatter, best_power, neighborhood_scatter, whiten
from nsrfc.knn.rebuilt import rebuild_neighbor_graph
from nsrfc.methods.base import EdgeScorer, Run
from nsrfc.methods.row_tasks import AverageTask, DensityTask, ScoreTask
from nsrfc.methods.search import search
from nsrfc.model.settings import ClusterComparison
from nsrfc.records import (
    Components,
    DensityGraph,
    EdgeList,
    ImpostorScores,
    NeighborGraph,
    Neighborhood,
    ScorePrior,
)
from nsrfc.rowstore import Arrays, Columns, RowStore
from nsrfc.vectors import typical_faces

if TYPE_CHECKING:
    from nsrfc.graph.constraints import Constraints
    from nsrfc.methods.placement import Chance, Placement

__all__ = ["Rules"]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]

REFINED = 3.0
"""Factor of the standard errors of what is known of an embedder's scores, for refined embeddings."""


@dataclass(frozen=True)
class Rules:
    """Clustering without learned weights.

    Attributes
    ----------
    k : int
        Neighbours per face, the face itself included; clamped to the number of faces.
    whitening : tuple of float
        Candidate powers of whitening, one of which is chosen for the data: none, or full.
    refinements : tuple of (int, float)
        For each refinement, the number of neighbours averaged, and the log-odds at which one has weight
        1/2. The first is permissive, to include poor images; the second, on cleaner lists, is stricter.
    followed : float
        Minimum log-odds of a density edge that is followed. It may be below 0, because the clusters are
        compared before an edge joins them.
    margin : float
        A pair is a similarity edge if its local score exceeds the threshold of the score model of
        density edges by this much.
    cluster_comparison : ClusterComparison
        When two clusters are similar enough to be joined.
    search : {"auto", "exact", "approximate"}
        How neighbours are found.
    seed : int
        Seed of the sample for score normalisation, and of the approximate search.
    prior : ScorePrior, optional
        What is known of the scores of the embeddings as given.
    """

    k: int = 80
    whitening: tuple[float, ...] = (0, 0.5)
    refinements: tuple[tuple[int, float], ...] = ((10, -1.0), (20, 1.0))
    followed: float = -1.0
    margin: float = 1.0
    cluster_comparison: ClusterComparison = field(default_factory=ClusterComparison)
    search: str = "auto"
    seed: int = 0
    prior: ScorePrior | None = None

    def record(self) -> Mapping[str, Any]:
        """Return name and settings of the method as JSON values."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}
        settings["cluster_comparison"] = self.cluster_comparison.model_dump()
        prior = settings.pop("prior")
        return {"name": "rules", "settings": settings, "embedder": prior and prior.as_dict()}

    @classmethod
    def recorded(cls, settings: Mapping[str, Any], prior: ScorePrior | None) -> Self:
        """Make the method of recorded settings, also after JSON."""
        values = dict(settings)
        values["cluster_comparison"] = ClusterComparison(**values["cluster_comparison"])
        values["whitening"] = tuple(values["whitening"])
        values["refinements"] = tuple((width, odds) for width, odds in values["refinements"])
        return cls(**values, prior=prior)

    def neighborhood(self, faces: _Floats, graph: NeighborGraph | None, run: Run) -> Neighborhood:
        """Find neighbours, whiten, and refine twice.

        Similarities are normalised scores, and each list is sorted by them. ``faces`` are overwritten by
        the whitened embeddings, unless whitening does not help: they are not needed again.
        """
        lists = graph or search(faces, self, run)
        del graph
        steps = _Steps(self, run, faces, lists)
        scored = steps.scored(lists, impostor_scores(faces, self.seed, self.prior))
        with run.progress.stage("whitening", len(faces)) as advance:
            model = scored.model()
            some = scored.of(typical_faces(faces, self.seed, MEASURED))
            scatter = neighborhood_scatter(faces, some.ids, some.weights(model))
            # Where nothing is whitened, the same scores are made once more; otherwise they would be in
            # the way.
            del scored, some
            power = steps.power(faces, scatter)
            faces = steps.whitened(faces, scatter, power)
            advance(len(faces))
        if power:
            lists = steps.rebuilt(faces, lists.ids)
        # Refinement hardly changes the scores of impostor pairs, but whitening makes another space.
        prior = None if power else self.prior
        impostors = impostor_scores(faces, self.seed, prior)
        scored = steps.scored(lists, impostors)
        nearest, model = lists.ids, scored.model()
        del lists
        prior = prior and prior.widened(REFINED)
        for turn, (width, log_odds) in enumerate(self.refinements):
            if turn:
                model = scored.model(steps.density_edges(scored).score)
            with run.progress.stage("refinement", len(faces)) as advance:
                before = scored.ids
                around = steps.averaged(faces, scored, model, width, log_odds)
                del scored
                advance(len(faces))
            rebuilt = steps.rebuilt(around.mean, before)
            del before
            refined = impostor_scores(around.mean, self.seed, prior)
            scored = steps.scored(rebuilt, refined, around)
            del rebuilt, around
        return Neighborhood(
            faces,
            faces,
            scored.ids,
            scored.score,
            nearest,
            impostors=(impostors, impostors),
            identical=scored.identical,
            key=steps.key,
        )

    def affinity(self, near: Neighborhood, run: Run) -> _Floats:
        """Return the normalised scores."""
        del run
        return near.similarities

    def density_graph(self, near: Neighborhood, affinity: _Floats, run: Run) -> DensityGraph:
        """Make the density graph of normalised scores; its edges have local scores."""
        assert near.impostors is not None
        scored = _Scored(near.ids, affinity, near.impostors[0], near.identical)
        store = run.results.passing("density", run.results.key("density", {"of": near.key}))
        with run.progress.stage("density", len(near.ids)) as advance:
            density = scored.density(store)
            edges = density_edges(near.ids, affinity, density)
            top = scored.top
            local = local_score(edges.source, edges.target, edges.score, top)
            threshold = scored.model(local).threshold + self.margin
            key = run.results.key("similar", {"of": near.key})
            find = partial(similarity_edges, near.ids, affinity, top, threshold)
            similar = EdgeList(**run.results.once("similar", key, lambda: vars(find())))
            advance(len(near.ids))
        edges = EdgeList(edges.source, edges.target, local)
        return DensityGraph(density, edges, similar, threshold)

    def edge_scorer(self, near: Neighborhood, density: DensityGraph, run: Run) -> EdgeScorer:
        """Score edges by a score model fitted to all density edges."""
        del run
        chance = _probabilities(near, density, density.density_edges)
        return lambda chosen: chance[chosen]

    def components(
        self,
        near: Neighborhood,
        density: DensityGraph,
        scorer: EdgeScorer,
        run: Run,
        constraints: Constraints | None = None,
    ) -> Components:
        """Follow edges by descending local score, if the two clusters are similar enough."""
        n, edges = len(near.vectors), density.density_edges
        chance = scorer(np.arange(len(edges)))
        with run.progress.stage("clusters", n) as advance:
            followed = edges.where(chance >= self.least_probability)
            assert near.impostors is not None
            vectors, (impostors, _) = near.vectors, near.impostors
            comparison = self.cluster_comparison
            every, none = followed + density.similarity_edges, edges.where(np.arange(0))
            test = ClusterTest(vectors, impostors, comparison.minimum, comparison.minimum_score)

            def joined() -> Arrays:
                labels = connect(n, every, none, scorer, 0, test, constraints).labels
                view = vectors, impostors.mean, comparison.unlinked_minimum
                size = comparison.unlinked_size
                labels = join_unlinked(labels, near.nearest, size, view, constraints=constraints)
                return {"labels": labels}

            # What is known of faces is in no key.
            key = run.results.key("labels", {"of": near.key})
            found = run.results.once("labels", key, joined) if constraints is None else joined()
            labels = found["labels"]
            advance(n)
        similar = density.similarity_edges
        alike = _probabilities(near, density, similar)
        return Components(labels, edges.scored(chance), similar.scored(alike))

    @property
    def threshold(self) -> float:
        """Minimum probability at which a new face joins a known one."""
        return 0.5

    @property
    def least_probability(self) -> float:
        """Minimum probability of a density edge that is followed."""
        return float(probability(np.array(self.followed, np.float32)))

    def chance(self, near: Neighborhood, run: Run) -> Chance:
        """Score new faces by a score model of the known ones."""
        from nsrfc.methods.placement import score_model_chance

        del run
        return score_model_chance(near.faces, near.similarities[:, 1:], self.seed, self.prior)

    def placement(self, faces: _Floats, labels: npt.NDArray[np.int64], run: Run) -> Placement:
        """Assign new faces by a score model of the known ones."""
        from nsrfc.methods.placement import Placement, sampled_chance

        del run
        chance = sampled_chance(faces, self.seed, self.prior)
        return Placement(faces, labels, min(self.k, len(faces)), self.threshold, chance)


def _probabilities(near: Neighborhood, density: DensityGraph, edges: EdgeList) -> _Floats:
    """Probabilities (m,) of edges with local scores, by a score model of all density edges."""
    model = fit_score_model(density.density_edges.score, len(near.vectors), near.identical)
    return probability(model.log_odds(edges.score))


@dataclass(frozen=True)
class _Scored:
    """Neighbour lists sorted by normalised score (n, k); -inf where there is no neighbour."""

    ids: _Ids
    score: _Floats
    impostors: ImpostorScores
    identical: float

    def of(self, rows: npt.NDArray[np.int64]) -> _Scored:
        """Return the lists of some faces."""
        return replace(self, ids=self.ids[rows], score=self.score[rows])

    @property
    def top(self) -> _Floats:
        """Score (n,) of each face's best neighbour; -inf if it has none."""
        best: _Floats = self.score[:, 1:].max(axis=1, initial=-np.inf)
        return best

    def model(self, score: _Floats | None = None) -> ScoreModel:
        """Fit a score model to one edge of each face, by default that to its best neighbour."""
        return fit_score_model(self.top if score is None else score, len(self.ids), self.identical)

    def weights(self, model: ScoreModel) -> _Floats:
        """Weights (n, k) of the neighbours in each list."""
        return probability(model.log_odds(self.score))

    def density(self, store: RowStore) -> _Floats:
        """Density (n,) of every face."""
        task, columns = partial(DensityTask, self.score, self.model()), {"density": ((), np.float32)}
        density: _Floats = store.fill(len(self.ids), columns, task)["density"]
        return density


class _Steps:
    """The parts of step 1; the cache key of each result includes the keys of all results before it."""

    def __init__(self, method: Rules, run: Run, faces: _Floats, lists: NeighborGraph) -> None:
        self._method, self._run = method, run
        self._settings = method.record()
        content = [run.results.fingerprint(array) for array in (faces, lists.ids, lists.similarities)]
        self.key = run.results.key("embeddings", {"sha256": content})

    def rebuilt(self, vectors: _Floats, before: _Ids) -> NeighborGraph:
        """Find the neighbours of vectors among the neighbours of neighbours."""
        store = self._run.results.pieces("neighbours", self._next("neighbours"))
        return rebuild_neighbor_graph(vectors, before, progress=self._run.progress, pieces=store)

    def power(self, vectors: _Floats, scatter: Scatter | None) -> float:
        """Choose how much vectors are whitened."""
        powers = self._method.whitening if scatter is not None else ()
        white = {power: whiten(vectors, scatter, power, store=self._white(power)) for power in powers}
        key = self._run.results.key("power", {"of": self.key})

        def chosen() -> Arrays:
            return {"power": np.array([best_power(vectors, scatter, powers, white.__getitem__)])}

        return float(self._run.results.once("power", key, chosen)["power"][0])

    def whitened(self, vectors: _Floats, scatter: Scatter | None, power: float) -> _Floats:
        """Whiten vectors; those given are overwritten, if they can be."""
        out = vectors if vectors.flags.writeable else None
        store = self._white(power)
        self._next("whitened")
        return whiten(vectors, scatter, power, out, store)

    def _white(self, power: float) -> RowStore:
        key = self._run.results.key("whitened", {"of": self.key, "power": power})
        return self._run.results.passing("whitened", key)

    def scored(
        self, graph: NeighborGraph, impostors: ImpostorScores, around: Neighborhoods | None = None
    ) -> _Scored:
        """Turn similarities of a graph, or those ``around`` its faces, into normalised scores."""
        # Free the pages of mapped graphs that were already read.
        release(graph.ids)
        release(graph.similarities)
        columns: Columns = {"ids": ((graph.k,), np.int32), "score": ((graph.k,), np.float32)}
        task = partial(ScoreTask, graph, impostors, around)
        store = self._passing("scores")
        stage = partial(self._run.progress.stage, "scores", graph.n)
        found = store.fill(graph.n, columns, task, stage)
        return _Scored(found["ids"], found["score"], impostors, impostors.identical)

    def density_edges(self, scored: _Scored) -> EdgeList:
        """Return the density edges, with normalised scores."""
        density = scored.density(self._passing("density"))
        return density_edges(scored.ids, scored.score, density)

    def averaged(
        self, X: _Floats, scored: _Scored, model: ScoreModel, width: int, log_odds: float
    ) -> Neighborhoods:
        """Average faces with their first neighbours; one has weight 1/2 at ``log_odds``."""
        width = min(width, scored.ids.shape[1])
        columns: Columns = {
            "mean": (X.shape[1:], np.float32),
            "norm": ((), np.float32),
            "total": ((), np.float32),
            "ids": ((width,), np.int32),
            "weights": ((width,), np.float32),
        }
        task = partial(AverageTask, X, scored.ids, scored.score, model, width, log_odds)
        return Neighborhoods(**self._passing("averaged").fill(len(X), columns, task))

    def _passing(self, stage: str) -> RowStore:
        return self._run.results.passing(stage, self._next(stage))

    def _next(self, stage: str) -> str:
        """Key of the next result; it depends on faces, settings and all results before it."""
        self.key = self._run.results.key(stage, {"of": self.key, **self._settings})
        return self.key
