"""The four steps by networks, whose inputs depend on their family (`structure`, `published`).

1. Neighbour graph: the k nearest by cosine; embeddings refined by the C-GCN and the graph rebuilt on
   them; a_ij, the probability that a face and its neighbour are a genuine pair, by the pair network.
2. Local density graph: S_ij by LCENet, density of every face, density edges and similarity edges.
3. Connectivity: PCENet scores the density edges that can still change the answer.
4. Clusters: connected components of the edges that are kept. An edge that would join two clusters whose
   normalised similarity is too low is left out.

A step that did not improve validation in training is left out (`ModelSettings.used`).

The input of each batch is gathered on the fly, so that no array of n k vectors is ever in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from torch import Tensor, nn

from nsrfc.graph.connectivity import ClusterTest, connect, dots, join_uncertain, join_unlinked
from nsrfc.graph.density_graph import build_density_graph
from nsrfc.graph.scores import fit_score_model, impostor_scores
from nsrfc.knn.rebuilt import listed_cosines
from nsrfc.methods.base import EdgeScorer, Run
from nsrfc.methods.network_tasks import (
    EdgeInputs,
    EdgeScoreTask,
    ListInputs,
    ListScoreTask,
    Scorer,
    device_of,
)
from nsrfc.methods.search import search
from nsrfc.model.bundle import network_fingerprint
from nsrfc.model.settings import (
    NETWORKS,
    UNCHANGED,
    Calibration,
    ClusterComparison,
    ModelSettings,
    NetworkName,
)
from nsrfc.records import (
    Components,
    DensityGraph,
    EdgeList,
    ImpostorScores,
    NeighborGraph,
    Neighborhood,
    ScorePrior,
)
from nsrfc.rowstore import Arrays, Columns, MemoryRows, RowStore
from nsrfc.vectors import normalize

if TYPE_CHECKING:
    from nsrfc.graph.constraints import Constraints
    from nsrfc.methods.placement import Chance, Placement

__all__ = [
    "NetworkMethod",
    "bounded",
    "calibrated",
    "clipped_logit",
    "padded",
]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.integer]

_SURE = 1e-6
"""Probabilities are clipped to this distance from 0 and 1 before their log-odds are taken."""

_BOUND = 6.0
"""Bound of the log-odds of a score model: beyond it few scores were seen when the model was fitted."""


@dataclass(frozen=True)
class NetworkMethod(ABC):
    """Clustering by a model.

    Attributes
    ----------
    settings : ModelSettings
    networks : mapping of name to Module
        In evaluation mode, all on one device.
    search : {"auto", "exact", "approximate"}
        How neighbours are found.
    seed : int
        Seed of the approximate search, and of the sample for impostor score statistics.
    prior : ScorePrior, optional
        What is known of the scores of the embeddings as given.
    """

    name: ClassVar[str]
    whitens: ClassVar[bool]
    """Whether the refinement may work in a whitened space."""

    settings: ModelSettings
    networks: Mapping[NetworkName, nn.Module]
    search: str = "auto"
    seed: int = 0
    prior: ScorePrior | None = None

    @property
    def k(self) -> int:
        """Length of a neighbour list, the face itself included."""
        return self.settings.k

    @property
    def width(self) -> int:
        """Nearest neighbours w that networks score, the face itself included."""
        return min(self.settings.scored or self.k, self.k)

    def record(self) -> Mapping[str, Any]:
        """Return name and settings of the method, and fingerprints of its networks, as JSON values."""
        return {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "networks": {name: self._fingerprint(name) for name in self.networks},
            **self._sampling,
            "embedder": self.prior and self.prior.as_dict(),
        }

    def with_settings(self, **changes: Any) -> Self:  # noqa: ANN401
        """Return the method with other settings and the same networks."""
        return replace(self, settings=self.settings.model_copy(update=changes))

    # Implemented by the families

    @abstractmethod
    def refined(
        self, near: Neighborhood, run: Run, *, whiten: bool, lists: _Ids | None = None
    ) -> _Floats:
        """Refine the vectors of a neighbourhood: unit vectors (n, w); they may be read-only.

        ``lists`` are those of :meth:`convolved_lists`, if already known.
        """

    @abstractmethod
    def rebuilt_graph(
        self, vectors: _Floats, before: _Ids, run: Run, store: RowStore | None = None
    ) -> NeighborGraph:
        """Find the neighbours of refined vectors; ``before`` are the previous neighbours."""

    @abstractmethod
    def list_inputs(
        self,
        network: nn.Module,
        near: Neighborhood,
        affinity: _Floats | None = None,
        run: Run | None = None,
    ) -> ListInputs:
        """Return a function that gathers the lists a network scores; ``affinity`` is for LCENet."""

    @abstractmethod
    def edge_inputs(
        self, near: Neighborhood, affinity: _Floats, genuine: _Floats, run: Run | None = None
    ) -> EdgeInputs:
        """Return a function that gathers the edges PCENet scores."""

    @staticmethod
    def log_odds(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """Log-odds that the pairs of a batch are genuine, on the device of the network."""
        device = device_of(network)
        odds: Tensor = network(*(part.to(device, non_blocking=True) for part in inputs))
        return odds

    def convolved_lists(self, near: Neighborhood, run: Run) -> _Ids:
        """Return the lists (n, k) that the refinement works on."""
        del run
        return near.ids

    # Step 1

    def neighborhood(self, faces: _Floats, graph: NeighborGraph | None, run: Run) -> Neighborhood:
        """Find neighbours, refine the embeddings, and rebuild the graph on them."""
        near = self.nearest(faces, graph, run)
        if not self.settings.uses("refine"):
            return near
        vectors, key = self.refined_vectors(near, run)
        if self.settings.uses("rebuild"):
            return self.rebuilt(near, vectors, run, key)
        return self.rescored(near, vectors, key)

    def refined_vectors(self, near: Neighborhood, run: Run) -> tuple[_Floats, str]:
        """Refine embeddings according to the settings: unit vectors (n, w), and their cache key."""
        whiten = self.settings.uses("whiten")
        parts = {"of": near.key, "whiten": whiten, "rerank": self.settings.rerank, **self._sampling}
        key = run.results.key("refined", {**parts, **self._made_with("cgcn", run)})

        def make() -> Arrays:
            n = len(near.ids)
            with run.progress.stage("refinement", n) as advance:
                vectors = self.refined(near, run, whiten=whiten)
                advance(n)
            # In bfloat16 the length is 1 only to a thousandth, not precise enough for a search.
            return {"vectors": vectors if run.dtype == "float32" else normalize(vectors)}

        return run.results.shared(run.results.get("refined", key, make)["vectors"]), key

    def nearest(self, faces: _Floats, graph: NeighborGraph | None, run: Run) -> Neighborhood:
        """Find the neighbours of the embeddings as given, in lists of length k."""
        graph = graph or search(faces, self, run)
        content = [run.results.fingerprint(part) for part in (faces, graph.ids, graph.similarities)]
        known = self.prior and self.prior.as_dict()
        key = run.results.key("neighbours", {"of": content, "embedder": known})
        ids, similarities = padded(graph, self.k)
        near = Neighborhood(faces, faces, ids, similarities, ids, key=key)
        impostors = self._impostors(faces, self.prior)
        if impostors is None:
            return near
        best = impostors.normalized(similarities[:, 1:2][ids[:, 1:2] >= 0])
        model = fit_score_model(best, len(faces), impostors.identical)
        return replace(near, impostors=(impostors, impostors), score_model=model)

    def rebuilt(self, near: Neighborhood, vectors: _Floats, run: Run, of: str = "") -> Neighborhood:
        """Return the neighbourhood of refined vectors, with their own neighbours."""
        key = run.results.key("neighbours", {"of": of, "k": self.k, **self._sampling})
        store = run.results.pieces("neighbours", key)
        lists = padded(self.rebuilt_graph(vectors, near.ids, run, store), self.k)
        return self._moved(near, vectors, lists, key)

    def rescored(self, near: Neighborhood, vectors: _Floats, of: str = "") -> Neighborhood:
        """Return the neighbourhood of refined vectors, with the previous lists."""
        lists = near.ids, listed_cosines(vectors, near.ids)
        return self._moved(near, vectors, lists, of)

    def affinity(self, near: Neighborhood, run: Run) -> _Floats:
        """a_ij (n, w) by the pair network; without it the cosine, negative ones as 0."""
        if not self.settings.uses("pairs"):
            return np.maximum(near.similarities[:, : self.width], 0)
        return self.list_probability("pairs", near, run)

    # Step 2

    def genuine_probability(self, near: Neighborhood, affinity: _Floats, run: Run) -> _Floats:
        """S_ij (n, w) by LCENet; without it a_ij."""
        if not self.settings.uses("density"):
            return affinity
        return self.list_probability("lcenet", near, run, affinity)

    def density_graph(self, near: Neighborhood, affinity: _Floats, run: Run) -> DensityGraph:
        """Make the density graph from a_ij and S_ij."""
        return self.graph_of(near, affinity, self.genuine_probability(near, affinity, run), run)

    def graph_of(
        self, near: Neighborhood, affinity: _Floats, genuine: _Floats, run: Run | None = None
    ) -> DensityGraph:
        """Make the density graph from given a_ij and S_ij (n, w)."""
        settings, width = self.settings, affinity.shape[1]
        weight = near.similarities[:, :width] if settings.weighted else None
        ids = near.ids[:, :width]
        results = (run or Run()).results
        content = [results.passing_fingerprint(part) for part in (ids, affinity, genuine)]
        rules = {"mutual": settings.mutual, "weighted": settings.weighted, "weight": near.key}
        store = results.passing("mutual", results.key("mutual", {"of": content, **rules}))
        return build_density_graph(ids, affinity, genuine, settings.tau, settings.mutual, weight, store)

    def list_probability(
        self, name: NetworkName, near: Neighborhood, run: Run, affinity: _Floats | None = None
    ) -> _Floats:
        """Score the listed neighbours with a network.

        Returns
        -------
        ndarray of float32, shape (n, w)
            Probability of a genuine pair: 1 for the face itself, 0 where there is no neighbour.
        """
        key = self._key(name, near, run)
        store = run.results.pieces(name, key)
        return self.list_scores(
            self.networks[name], self.read_by(name, near), run, affinity, name, store
        )

    def list_scores(
        self,
        network: nn.Module,
        near: Neighborhood,
        run: Run,
        affinity: _Floats | None = None,
        name: str = "lists",
        store: RowStore | None = None,
        rows: _Rows | None = None,
    ) -> _Floats:
        """Score the neighbours in all lists, or in some ``rows``, see :meth:`list_probability`."""
        ids = near.ids[:, : self.width]
        if rows is not None:
            ids = ids[rows]
        columns: Columns = {"probability": (ids.shape[1:], np.float32)}

        def task() -> ListScoreTask:
            gather = self.list_inputs(network, near, affinity, run)
            return ListScoreTask(self._scorer(network, run), gather, ids, run.batch, rows)

        stage = partial(run.progress.stage, name, len(ids))
        found = (store or MemoryRows()).fill(len(ids), columns, task, stage)
        scores: _Floats = found["probability"]
        return scores

    # Step 3

    def edge_scorer(self, near: Neighborhood, density: DensityGraph, run: Run) -> EdgeScorer:
        """Score with PCENet, or by a_ij p_ij without it. Both are calibrated."""
        edges = density.density_edges
        if not self.settings.uses("connect"):
            known = self.calibrated(near, edges)
            return lambda chosen: known[chosen]
        assert density.affinity is not None
        assert density.genuine_probability is not None
        rules = self.settings.model_dump(include={"mutual", "weighted", "veto"})
        key = run.results.key("edges", {"of": self._key("pcenet", near, run), **rules})
        kept = run.results.find("edges", key)
        # Edges skipped under other thresholds are scored when a run first needs them.
        scores = np.full(len(edges), np.nan, np.float32) if kept is None else kept["probability"]
        ask = self.edge_scores("pcenet", near, density.affinity, density.genuine_probability, run)

        def scorer(chosen: npt.NDArray[np.int64]) -> _Floats:
            new = chosen[np.isnan(scores[chosen])]
            if len(new):
                scores[new] = ask(edges.where(new))
                run.results.keep("edges", key, {"probability": scores})
            return self.calibrated(near, edges.where(chosen).scored(scores[chosen]))

        return scorer

    def edge_scores(
        self, name: NetworkName, near: Neighborhood, affinity: _Floats, genuine: _Floats, run: Run
    ) -> Callable[[EdgeList], _Floats]:
        """Return a function that scores edges with a network; features of all faces are computed once.

        The edges it is given have a_ij p_ij as scores. With `ModelSettings.veto` the network can only
        lower them: its probability is multiplied by the score. Otherwise it replaces the score, as
        published.
        """
        scorer, near = self._scorer(self.networks[name], run), self.read_by(name, near)
        gather = self.edge_inputs(near, affinity, genuine, run)
        columns: Columns = {"probability": ((), np.float32)}
        of = self._key(name, near, run)

        def scores(edges: EdgeList) -> _Floats:
            content = [run.results.fingerprint(ends) for ends in (edges.source, edges.target)]
            store = run.results.passing("edges", run.results.key("edges", {"of": of, "edges": content}))
            task = EdgeScoreTask(scorer, gather, edges, run.batch)
            found: _Floats = store.fill(len(edges), columns, lambda: task)["probability"]
            return found * edges.score if self.settings.veto else found

        return scores

    # Step 4

    def components(
        self,
        near: Neighborhood,
        density: DensityGraph,
        scorer: EdgeScorer,
        run: Run,
        constraints: Constraints | None = None,
    ) -> Components:
        """Join by similarity edges, then by density edges from `ModelSettings.connect` up, best first.

        With `ModelSettings.cluster_comparison` an edge is left out if the normalised similarity of its
        two clusters is too low; a similarity edge also if its own calibrated probability is below
        `ModelSettings.connect`; and large clusters of high normalised similarity are joined by an
        uncertain edge, or without any.

        Probabilities of all edges are returned beside the clusters. A skipped edge, whose ends were
        already joined, was not scored: its calibrated score a_ij p_ij is taken.
        """
        n, edges, settings = len(near.vectors), density.density_edges, self.settings
        similar = density.similarity_edges
        similar = similar.scored(self.calibrated(near, similar))
        comparison = settings.cluster_comparison
        test: ClusterTest | None = None
        if comparison is not None:
            minimum = comparison.refined_minimum if near.refined else comparison.minimum
            assert near.impostors is not None
            test = ClusterTest(near.vectors, near.impostors[0], minimum, comparison.minimum_score)
            similar = similar.where(similar.score >= settings.connect)
        with run.progress.stage("edges", len(edges)) as advance:

            def counted(chosen: npt.NDArray[np.int64]) -> _Floats:
                advance(len(chosen))
                return scorer(chosen)

            found = connect(n, similar, edges, counted, settings.connect, test, constraints)
            advance(found.skipped)
        labels = found.labels
        if comparison is not None:
            with run.progress.stage("clusters", n) as advance:
                unsure = self._uncertain(edges, found.probability, comparison)
                labels = self._joined_large(near, labels, unsure, comparison, constraints)
                advance(n)
        skipped = np.flatnonzero(np.isnan(found.probability))
        probability = found.probability.copy()
        probability[skipped] = self.calibrated(near, edges.where(skipped))
        return Components(labels, edges.scored(probability), similar, found.skipped)

    def calibrated(self, near: Neighborhood, edges: EdgeList) -> _Floats:
        """Calibrate the scores of edges: probabilities (m,), see :func:`calibrated`."""
        weights = self.settings.calibration
        known = weights[1] != 0 and near.score_model is not None
        odds = given_odds(near, edges) if known else None
        return calibrated(edges.score, weights, odds).clip(0, 1)

    def _uncertain(
        self, edges: EdgeList, probability: _Floats, comparison: ClusterComparison
    ) -> EdgeList:
        threshold = self.settings.connect
        least = comparison.uncertain_share * threshold
        return edges.where((probability < threshold) & (probability >= least))

    def _joined_large(
        self,
        near: Neighborhood,
        labels: npt.NDArray[np.int64],
        uncertain: EdgeList,
        comparison: ClusterComparison,
        constraints: Constraints | None,
    ) -> npt.NDArray[np.int64]:
        """Join large clusters of high normalised similarity, with or without an uncertain edge."""
        assert near.impostors is not None
        by_vectors, by_faces = near.impostors
        labels = join_uncertain(
            labels,
            uncertain,
            comparison.uncertain_size,
            (near.vectors, by_vectors.mean, comparison.refined_minimum),
            (near.faces, by_faces.mean, comparison.uncertain_minimum),
            constraints=constraints,
        )
        views = [(near.faces, by_faces.mean, comparison.unlinked_minimum)]
        if near.refined:
            views.append((near.vectors, by_vectors.mean, float("inf")))
        size = comparison.unlinked_size
        return join_unlinked(labels, near.nearest, size, *views, constraints=constraints)

    # New faces

    @property
    def threshold(self) -> float:
        """Minimum probability at which a new face joins a known one."""
        return self.settings.connect

    @property
    def least_probability(self) -> float:
        """Minimum probability of a density edge that is followed."""
        return self.settings.connect

    @property
    def cluster_comparison(self) -> ClusterComparison | None:
        """When two clusters are similar enough to be joined; None if they are not compared."""
        return self.settings.cluster_comparison

    def placement(self, faces: _Floats, labels: npt.NDArray[np.int64], run: Run) -> Placement:
        """Assign new faces by the probabilities of a network that scores lists of embeddings as given.

        The threshold is `ModelSettings.connect`. If all networks read refined embeddings, which a new
        face does not have, a score model of the known faces is used instead.
        """
        from nsrfc.methods.placement import Placement, sampled_chance

        if self.scores_given:
            chance = self.chance(self.nearest(faces, None, run), run)
        else:
            chance = sampled_chance(faces, self.seed, self.prior)
        return Placement(faces, labels, min(self.k - 1, len(faces)), self.threshold, chance)

    @property
    def scores_given(self) -> bool:
        """Whether a network scores lists of embeddings as given."""
        return False

    def chance(self, near: Neighborhood, run: Run) -> Chance:
        """Score new faces by a score model of the known ones."""
        from nsrfc.methods.placement import score_model_chance

        del run
        return score_model_chance(near.faces, near.similarities[:, 1:], self.seed, self.prior)

    # Helpers

    def read_by(self, name: NetworkName, near: Neighborhood) -> Neighborhood:
        """Return the neighbourhood as a network reads it: refined vectors, or embeddings as given."""
        if name not in self.settings.unrefined:
            return near
        impostors = None if near.impostors is None else (near.impostors[1], near.impostors[1])
        return replace(near, vectors=near.faces, impostors=impostors)

    def _scorer(self, network: nn.Module, run: Run) -> Scorer:
        return Scorer(network, self.log_odds, run.dtype)

    def _moved(
        self, near: Neighborhood, vectors: _Floats, lists: tuple[_Ids, _Floats], key: str
    ) -> Neighborhood:
        own = self._impostors(vectors)
        impostors = None if own is None or near.impostors is None else (own, near.impostors[1])
        return replace(
            near,
            vectors=vectors,
            ids=lists[0],
            similarities=lists[1],
            refined=True,
            impostors=impostors,
            key=key,
        )

    @property
    def _sampling(self) -> dict[str, object]:
        return {"search": self.search, "seed": self.seed}

    def _impostors(self, vectors: _Floats, prior: ScorePrior | None = None) -> ImpostorScores | None:
        if self.settings.cluster_comparison is None:
            return None
        return impostor_scores(vectors, self.seed, prior)

    def _key(self, name: NetworkName, near: Neighborhood, run: Run) -> str:
        """Key of a network's result on a neighbourhood, including the networks before it."""
        if not run.results.kept:
            return ""
        names = NETWORKS[1 : NETWORKS.index(name) + 1]
        made = {each: self._made_with(each, run) for each in names if each in self.networks}
        steps = {step: self.settings.uses(step) for step in ("pairs", "density")}
        return run.results.key(name, {"of": near.key, "networks": made, **steps})

    def _made_with(self, name: NetworkName, run: Run) -> dict[str, object]:
        """Return everything but the faces that a network's result depends on."""
        if not run.results.kept:
            return {}
        return {
            "network": self._fingerprint(name),
            "unrefined": name in self.settings.unrefined,
            "device": device_of(self.networks[name]).type,
            "dtype": run.dtype,
        }

    def _fingerprint(self, name: NetworkName) -> str:
        return network_fingerprint(self.settings, name, self.networks[name])


def given_odds(near: Neighborhood, edges: EdgeList) -> _Floats:
    """Log-odds (m,) of edges by the score model of the embeddings as given."""
    assert near.impostors is not None
    assert near.score_model is not None
    ends = edges.source.astype(np.int64), edges.target.astype(np.int64)
    return near.score_model.log_odds(near.impostors[1].normalized(dots(near.faces, *ends)))


def calibrated(probability: _Floats, calibration: Calibration, odds: _Floats | None = None) -> _Floats:
    """Calibrate probabilities: what the networks say, beside what the embeddings as given say.

    The networks see how neighbourhoods look, but not what share of these very faces has a genuine
    neighbour at all: among many identities of one photo each they are too sure of the best impostor. The
    score model is fitted to these faces, and knows that share. With q its probability::

        sigmoid(w_0 logit(p) + w_1 logit(q) + w_2)

    Parameters
    ----------
    probability : ndarray of float32, shape (m,)
        Scores p of edges, in 0..1.
    calibration : (float, float, float)
        w_0, above 0, w_1 and w_2.
    odds : ndarray of float32, shape (m,), optional
        logit(q), read from -6 to 6; without a score model the term of w_1 is left out.

    Returns
    -------
    ndarray of float32, shape (m,)
    """
    if calibration == UNCHANGED:
        return probability
    own, given, offset = calibration
    log_odds = own * clipped_logit(probability) + offset
    if odds is not None:
        log_odds += given * bounded(odds)
    found: _Floats = expit(log_odds).astype(np.float32)
    return found


def bounded(odds: _Floats) -> npt.NDArray[np.float64]:
    """Log-odds of a score model in double precision, bounded by `_BOUND`."""
    return np.clip(odds.astype(np.float64), -_BOUND, _BOUND)


def clipped_logit(probability: _Floats) -> npt.NDArray[np.float64]:
    """Log-odds in double precision, bounded by those of `_SURE`."""
    odds: npt.NDArray[np.float64] = logit(np.clip(probability.astype(np.float64), _SURE, 1 - _SURE))
    return odds


def padded(graph: NeighborGraph, k: int) -> tuple[_Ids, _Floats]:
    """Return ids and similarities as lists of length k, which some networks need.

    If there are fewer faces than k, lists are padded with -1 and 0; otherwise nothing is copied.
    """
    missing = k - graph.k
    if missing == 0:
        return graph.ids, graph.similarities
    width = ((0, 0), (0, missing))
    return np.pad(graph.ids, width, constant_values=-1), np.pad(graph.similarities, width)
