"""What this package does, as work for `benchmarks.processes`: each function prepares a run.

Preparing loads faces, compiles and warms up on a few of them, so that none of it is counted. Networks
have random weights: how long they take does not depend on them, but what they find has no meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.graph.components import connected_components
from nsrfc.graph.density_graph import build_density_graph
from nsrfc.graph.list_features import list_features, list_structure
from nsrfc.graph.neighborhood_means import average_neighbors, linkage
from nsrfc.graph.reciprocal import k_reciprocal_sets
from nsrfc.graph.reranking import rerank
from nsrfc.graph.scores import impostor_scores
from nsrfc.graph.subgraphs import local_adjacency, subgraphs
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.metrics import evaluate
from nsrfc.resources.clustering import plan

from . import work
from .faces import FaceSet
from .measure import Floats, Labels, Measurement, Spent, Stage, StageClock, now, run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nsrfc.model.bundle import NSRFC

__all__ = ["K", "graph_steps", "label_free", "learned", "subgraph_form", "untrained"]

K = 80
"""Neighbours per face, as everywhere in the method."""

WARM_UP_FACES = 200

AVERAGED = 20
"""Neighbours that the single step "averages" takes: those of the second refinement."""

ROWS = 1024
"""Lists described at a time, as the networks do."""

SUBGRAPH_NODES = 801
"""The published code pads every subgraph to so many faces."""

SUBGRAPHS, SUBGRAPH_BATCH = 32, 4
"""Faces whose subgraphs are convolved, and at a time."""

LINEAR = "linear layers of refinement"


def label_free(folder: Path) -> Callable[[], Measurement]:
    """Prepare the label-free clustering."""
    faces = FaceSet.load(folder)
    n, d = faces.X.shape
    nsrfc.cluster(faces.X[:WARM_UP_FACES].copy(), None)
    return lambda: run(
        lambda clock: nsrfc.cluster(faces.X, None, run=Run(progress=clock)).labels,
        faces.identities,
        lambda: work.label_free(n, d, K),
        plan(n, d),
    )


def learned(
    folder: Path, preset: str, device: str = "cpu", dtype: str = "float32", search: str = "auto"
) -> Callable[[], Measurement]:
    """Prepare the clustering with a model of a preset, every step of it being used."""
    from .network_work import learned as learned_work

    faces = FaceSet.load(folder)
    n, d = faces.X.shape
    model = untrained(preset, d, device)
    config = ClusterConfig.of(search=search)
    nsrfc.cluster(faces.X[:WARM_UP_FACES].copy(), model, run=Run(device, dtype))

    def measured() -> Measurement:
        scored = _ScoredEdges(model)
        layers = _LinearLayers(model) if preset == "paper" and device == "cpu" else None

        def action(clock: StageClock) -> Labels | None:
            how = Run(device, dtype, progress=clock)
            return nsrfc.cluster(faces.X, model, config, run=how).labels

        found = run(
            action,
            work=lambda: learned_work(model, n, d, scored.count, search),
            planned=plan(n, d, config, model=model.settings),
        )
        if layers is not None:
            found = replace(found, parts={LINEAR: layers.stage})
        return found

    return measured


def untrained(preset: str, dimension: int, device: str = "cpu") -> NSRFC:
    """Make a model as training with a preset would, with random weights.

    Parameters
    ----------
    preset : {"default", "paper", "universal"}
    dimension : int
        Length of an embedding.
    device : str
    """
    import torch

    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import NETWORKS, STEPS
    from nsrfc.training.config import TrainingConfig
    from nsrfc.training.networks import model_settings

    torch.manual_seed(0)
    config = TrainingConfig.load(preset)
    whitens = config.family == "structure"
    used = {step: step != "whiten" or whitens for step in STEPS}
    return NSRFC(model_settings(config, dimension, NETWORKS, used)).to(device).eval()


def graph_steps(folder: Path) -> Callable[[], Measurement]:
    """Prepare the steps on a neighbour graph that the above do not time apart, one after another."""
    faces = FaceSet.load(folder)
    _steps(faces.X[:WARM_UP_FACES].copy(), faces.identities[:WARM_UP_FACES])()
    return _steps(faces.X, faces.identities)


def _steps(X: Floats, identities: Labels) -> Callable[[], Measurement]:
    n, d = X.shape
    graph = build_neighbor_graph(X, K)
    structure = list_structure(graph.ids, graph.similarities, impostor_scores(X))
    weights = np.maximum(graph.similarities, 0)
    width, edges = min(AVERAGED, graph.k), 0

    def action(clock: StageClock) -> None:
        nonlocal edges
        rerank(graph, X=X, progress=clock)
        with clock.stage("list features", n):
            for start in range(0, n, ROWS):
                list_features(structure, np.arange(start, min(start + ROWS, n)))
        with clock.stage("averages", n):
            around = average_neighbors(X, graph.ids[:, :width], weights[:, :width])
        with clock.stage("linkage", n):
            linkage(graph.ids, graph.similarities, around)
        with clock.stage("density graph", n):
            density = build_density_graph(graph.ids, weights, weights)
        found = density.density_edges + density.similarity_edges
        edges = len(found)
        with clock.stage("components", n):
            labels = connected_components(n, found)
        with clock.stage("scores", n):
            evaluate(identities, labels)

    members = len(k_reciprocal_sets(graph)[1]) / n
    return lambda: run(action, work=lambda: work.graph_steps(n, d, graph.k, width, members, edges))


def subgraph_form(folder: Path) -> Callable[[], Measurement]:
    """Prepare the C-GCN in its published form: a padded subgraph around each of some faces."""
    import torch

    from nsrfc.networks.published.adjacency import DenseAdjacency
    from nsrfc.networks.published.cgcn import CGCN

    X = FaceSet.load(folder).X
    n = len(X)
    graph = build_neighbor_graph(X, K)
    lists = rerank(graph, X=X).ids
    local = local_adjacency(graph.ids, graph.similarities)
    torch.manual_seed(0)
    network = CGCN(X.shape[1]).eval()
    chosen = np.unique(np.linspace(0, n - 1, SUBGRAPHS).astype(np.int64))

    def convolve(some: Labels) -> None:
        for batch in np.array_split(some, -(-len(some) // SUBGRAPH_BATCH)):
            cut = subgraphs(lists, local, batch, width=SUBGRAPH_NODES)
            x = X[cut.nodes]
            x[cut.nodes < 0] = 0
            with torch.no_grad():
                network(
                    torch.from_numpy(x),
                    DenseAdjacency(torch.from_numpy(cut.adjacency)),
                    DenseAdjacency(torch.from_numpy(cut.mask)),
                )

    convolve(chosen[:SUBGRAPH_BATCH])

    def measured() -> Measurement:
        found = run(lambda clock: convolve(chosen))
        share = len(chosen) / n
        return replace(
            found,
            seconds=found.seconds / share,
            processor_seconds=found.processor_seconds / share,
            sample=len(chosen),
        )

    return measured


class _ScoredEdges:
    """Counts the edges that the last network of a model scores from now on."""

    def __init__(self, model: NSRFC) -> None:
        self.count = 0
        model.network("pcenet").register_forward_hook(self._add)

    def _add(self, _network: nn.Module, _inputs: object, logits: Tensor) -> None:
        self.count += len(logits)


class _LinearLayers:
    """Times the linear layers of the first network of a model from now on."""

    def __init__(self, model: NSRFC) -> None:
        from torch import nn

        self._spent, self._flop, self._started = Spent(), 0.0, Spent()
        for module in model.network("cgcn").modules():
            if isinstance(module, nn.Linear):
                module.register_forward_pre_hook(self._start)
                module.register_forward_hook(self._stop)

    @property
    def stage(self) -> Stage:
        """All of them so far."""
        work_done = work.Work(flop=self._flop)
        return Stage(self._spent.seconds, self._spent.processor_seconds, work_done)

    def _start(self, _layer: nn.Module, _inputs: object) -> None:
        self._started = now()

    def _stop(self, layer: nn.Linear, _inputs: object, output: Tensor) -> None:
        self._spent += now() - self._started
        self._flop += 2.0 * output.numel() * layer.in_features
