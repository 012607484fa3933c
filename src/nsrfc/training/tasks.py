"""The tasks of the training loop: batches, loss and validation score of each network.

    RefineTask      C-GCN           pieces of the graph; triplet and margin loss
    ListTask        pair network    lists; cross-entropy over the listed neighbours
                    LCENet
    EdgeTask        PCENet          density edges and hard pairs; cross-entropy
    Together        any of these, on several training sets at once

A task gathers its batches on the fly and never loops over faces. Its validation score is how well the
network ranks pairs of validation identities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from nsrfc.chunks import sample_faces
from nsrfc.graph.density_graph import mutual_probability
from nsrfc.graph.subgraphs import local_adjacency, subgraphs
from nsrfc.knn.rebuilt import listed_cosines
from nsrfc.methods.base import Run
from nsrfc.methods.network_tasks import device_of
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.published import sparse_adjacency
from nsrfc.methods.structure import StructureMethod
from nsrfc.networks.published.adjacency import Adjacency, DenseAdjacency, SparseAdjacency
from nsrfc.networks.published.losses import cgcn_loss
from nsrfc.records import EdgeList
from nsrfc.training import parallel
from nsrfc.training.config import CGCNSettings, EdgeSettings, ListSettings
from nsrfc.training.loop import Task
from nsrfc.training.pieces import cut_piece, grow_piece
from nsrfc.training.sample import Sample
from nsrfc.training.thresholds import ranking_quality

__all__ = [
    "MOST_SCORED",
    "EdgeTask",
    "ListTask",
    "RefineTask",
    "Shuffle",
    "Together",
    "edge_task",
    "hard_pairs",
    "list_task",
    "refinement_tasks",
]

MOST_SCORED = 50_000
"""Validation lists, or density edges, that a score is measured on; drawn once."""

_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]

GraphBatch = tuple[Tensor, Adjacency, Adjacency, Tensor]
ScoredBatch = tuple[tuple[Tensor, ...], Tensor]


class Shuffle:
    """The numbers 0..n-1 in batches, in a new order every epoch; a function of seed, epoch and step.

    Parameters
    ----------
    n : int
        Every epoch contains the numbers 0..n-1.
    batch : int
    seed : int
    pool, drawn : int
        Every epoch also contains ``drawn`` random numbers from n..n+pool-1.
    most : int, optional
        Maximum number of numbers in an epoch, of which each epoch has others.
    """

    def __init__(
        self, n: int, batch: int, seed: int, pool: int = 0, drawn: int = 0, most: int | None = None
    ) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self.pool, self.drawn = pool, min(pool, drawn)
        whole = n + self.drawn
        self.held = whole if most is None else min(most, whole)
        self._order = -1, np.empty(0, np.int64)

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-self.held // self.batch)

    def __call__(self, epoch: int, step: int) -> _Rows:
        """Return the numbers of a batch."""
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            drawn = self.n + rng.choice(self.pool, self.drawn, replace=False)
            numbers = rng.permutation(np.concatenate((np.arange(self.n), drawn)))
            self._order = epoch, numbers[: self.held]
        return self._order[1][step * self.batch : (step + 1) * self.batch]


class RefineTask:
    """The C-GCN, on connected pieces of the graph or on the published subgraphs.

    Parameters
    ----------
    method : NetworkMethod
        With the network as its C-GCN.
    training, validation : Sample
    settings : CGCNSettings
    seed : int
    """

    name = "cgcn"

    def __init__(
        self,
        method: NetworkMethod,
        training: Sample,
        validation: Sample,
        settings: CGCNSettings,
        seed: int,
    ) -> None:
        self.method, self.network = method, method.networks["cgcn"]
        self.training, self.validation, self.settings, self.seed = training, validation, settings, seed
        self.local = local_adjacency(training.near.ids, training.near.similarities)
        n, batch = len(training.identity), settings.loop.batch
        self._starts = Shuffle(n, batch, seed)
        faces_of_a_step = batch if settings.form == "subgraphs" else settings.piece
        self.steps = min(self._starts.steps, max(1, round(n / faces_of_a_step)))

    def batch(self, epoch: int, step: int) -> GraphBatch:
        """Gather a piece of the graph, or a batch of subgraphs: x, local, listed, identity."""
        starts = self._starts(epoch, step)
        if self.settings.form == "subgraphs":
            return self._subgraphs(starts)
        rng = np.random.default_rng([self.seed, epoch, step])
        nodes = grow_piece(self.training.lists, starts, self.settings.piece, rng)
        piece = cut_piece(self.training.lists, self.local, nodes)
        device = device_of(self.network)
        return (
            torch.from_numpy(self.training.near.vectors[nodes]).to(device),
            sparse_adjacency(piece.local, device),
            SparseAdjacency.from_lists(torch.from_numpy(piece.lists).to(device)),
            torch.from_numpy(self.training.identity[nodes]).to(device),
        )

    def loss(self, batch: GraphBatch) -> Tensor:
        """Triplet and margin loss, with every face of the batch as an anchor."""
        x, local, listed, identity = batch
        refined: Tensor = self.network(x, local, listed)
        # A piece of the graph is not divided: all processes have the same.
        return cgcn_loss(refined, identity) / parallel.count()

    def score(self) -> float:
        """How well cosines of refined embeddings rank the pairs of the original lists."""
        sample = self.validation
        refined = self.method.refined(sample.near, Run(), whiten=False, lists=sample.lists)
        return listed_ranking(sample, listed_cosines(refined, sample.near.ids))

    def _subgraphs(self, centers: _Rows) -> GraphBatch:
        cut = subgraphs(self.training.lists, self.local, centers)
        device = device_of(self.network)
        x = self.training.near.vectors[cut.nodes]
        x[cut.nodes < 0] = 0
        identity = np.where(cut.nodes >= 0, self.training.identity[cut.nodes], -1)
        return (
            torch.from_numpy(x).to(device),
            DenseAdjacency(torch.from_numpy(cut.adjacency).to(device)),
            DenseAdjacency(torch.from_numpy(cut.mask).to(device)),
            torch.from_numpy(identity).to(device),
        )


class ListTask:
    """A network that scores the neighbours in a list: the pair network or LCENet.

    Parameters
    ----------
    name : str
    method : NetworkMethod
        Gathers the input of the network.
    network : Module
    training, validation : Sample
    settings : ListSettings
    seed : int
    """

    def __init__(
        self,
        name: str,
        method: NetworkMethod,
        network: nn.Module,
        training: Sample,
        validation: Sample,
        settings: ListSettings,
        seed: int,
    ) -> None:
        self.name, self.method, self.network, self.validation = name, method, network, validation
        self._scored = sample_faces(len(validation.identity), seed, MOST_SCORED)
        self._rows = Shuffle(len(training.identity), settings.loop.batch, seed, most=settings.of_a_set)
        self.steps = self._rows.steps
        self._gather = method.list_inputs(network, training.near, training.affinity)
        self._genuine, self._listed = training.genuine, training.listed

    def batch(self, epoch: int, step: int) -> ScoredBatch:
        """Gather lists, and target and weight of their neighbours (2, b, k)."""
        rows = self._rows(epoch, step)[parallel.part()]
        target = np.stack((self._genuine[rows], self._listed[rows])).astype(np.float32)
        return self._gather(rows), torch.from_numpy(target)

    def loss(self, batch: ScoredBatch) -> Tensor:
        """Cross-entropy over the listed neighbours, the face itself not counted."""
        return _cross_entropy(self.method, self.network, batch)

    def score(self) -> float:
        """How well the network ranks the listed pairs."""
        sample, rows = self.validation, self._scored
        found = self.method.list_scores(self.network, sample.near, Run(), sample.affinity, rows=rows)
        return listed_ranking(sample, found, rows)


class EdgeTask:
    """A network that scores edges: PCENet.

    It is trained on density edges, which it will score, and on hard pairs, which contain more impostor
    pairs.

    Parameters
    ----------
    method : NetworkMethod
        With the network as its PCENet.
    training, validation : Sample
    settings : EdgeSettings
    seed : int
    """

    name = "pcenet"

    def __init__(
        self,
        method: NetworkMethod,
        training: Sample,
        validation: Sample,
        settings: EdgeSettings,
        seed: int,
    ) -> None:
        self.method, self.network, self.validation = method, method.networks["pcenet"], validation
        density = _density_edges(method, training)
        hard = hard_pairs(training, method)
        edges = density + hard
        drawn = round(settings.hard_pairs * len(density))
        self._chosen = Shuffle(
            len(density), settings.loop.batch, seed, len(hard), drawn, settings.of_a_set
        )
        self.steps = self._chosen.steps
        self._gather = method.edge_inputs(training.near, training.affinity, training.genuine_probability)
        self._source, self._target = edges.source, edges.target
        self._genuine = training.identity[edges.source] == training.identity[edges.target]
        scored = _density_edges(method, validation)
        self._scored = scored.where(sample_faces(len(scored), seed, MOST_SCORED))
        self._scores = method.edge_scores(
            "pcenet", validation.near, validation.affinity, validation.genuine_probability, Run()
        )

    def batch(self, epoch: int, step: int) -> ScoredBatch:
        """Gather edges, and their target and weight (2, b)."""
        edges = self._chosen(epoch, step)[parallel.part()]
        genuine = self._genuine[edges]
        target = np.stack((genuine, np.ones_like(genuine))).astype(np.float32)
        return self._gather(self._source[edges], self._target[edges]), torch.from_numpy(target)

    def loss(self, batch: ScoredBatch) -> Tensor:
        """Cross-entropy over the edges."""
        return _cross_entropy(self.method, self.network, batch)

    def score(self) -> float:
        """How well the network ranks the density edges."""
        edges, identity = self._scored, self.validation.identity
        return ranking_quality(self._scores(edges), identity[edges.source] == identity[edges.target])


class Together:
    """One network on several training sets at once: a batch contains lists, or edges, of several sets.

    Parameters
    ----------
    tasks : sequence of ListTask or EdgeTask
        Of one network, each on its own training set.
    validation : sequence of ListTask or EdgeTask
        Of that network, on validation sets: the score is their mean.
    parts : int
        Number of batches of the tasks in a batch.
    seed : int
    """

    def __init__(
        self,
        tasks: Sequence[ListTask | EdgeTask],
        validation: Sequence[ListTask | EdgeTask],
        parts: int,
        seed: int,
    ) -> None:
        self.name, self.method, self.network = tasks[0].name, tasks[0].method, tasks[0].network
        self._tasks, self._validation = tasks, validation
        number = np.repeat(np.arange(len(tasks)), [task.steps for task in tasks])
        step = np.concatenate([np.arange(task.steps) for task in tasks])
        self._places = np.stack((number, step), axis=1)
        self._order = Shuffle(len(number), parts, seed)
        self.steps = self._order.steps

    def batch(self, epoch: int, step: int) -> ScoredBatch:
        """Gather batches of some tasks and concatenate them."""
        places = self._places[self._order(epoch, step)]
        batches = [self._tasks[number].batch(epoch, part) for number, part in places]
        inputs, targets = zip(*batches, strict=True)
        joined = tuple(torch.cat(part) for part in zip(*inputs, strict=True))
        return joined, torch.cat(targets, dim=1)

    def loss(self, batch: ScoredBatch) -> Tensor:
        """Cross-entropy over the whole batch."""
        return _cross_entropy(self.method, self.network, batch)

    def score(self) -> float:
        """How well the network ranks pairs, averaged over the validation sets."""
        return float(np.mean([task.score() for task in self._validation]))


def refinement_tasks(
    method: NetworkMethod,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    settings: CGCNSettings | ListSettings,
    run: Run,
    seed: int,
) -> Iterator[Task]:
    """Yield the tasks of the refinement, one after the other.

    A C-GCN has one task. The refinement of the family "structure" first learns to score lists of the
    embeddings, then lists of whitened embeddings; the second task is made after the first was trained.
    """
    if isinstance(settings, CGCNSettings):
        (one,), (other,) = training, validation
        yield RefineTask(method, one, other, settings, seed)
        return
    structure = cast(StructureMethod, method)
    first, second = structure.refinement.first, structure.refinement.second
    yield list_task("cgcn", method, first, training, validation, settings, seed)

    def whitened(sample: Sample) -> Sample:
        near = structure.whitened(sample.near, run)
        return replace(sample, near=near, lists=near.ids)

    trained, validated = ([whitened(sample) for sample in side] for side in (training, validation))
    yield list_task("cgcn-second", method, second, trained, validated, settings, seed)


def list_task(
    name: str,
    method: NetworkMethod,
    network: nn.Module,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    settings: ListSettings,
    seed: int,
) -> Task:
    """Make the task of a network that scores lists, on one training set or several."""

    def make(training: Sample, validation: Sample) -> ListTask:
        return ListTask(name, method, network, training, validation, settings, seed)

    return _task(make, training, validation, settings.sets_in_batch, seed)


def edge_task(
    method: NetworkMethod,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    settings: EdgeSettings,
    seed: int,
) -> Task:
    """Make the task of a network that scores edges, on one training set or several."""

    def make(training: Sample, validation: Sample) -> EdgeTask:
        return EdgeTask(method, training, validation, settings, seed)

    return _task(make, training, validation, settings.sets_in_batch, seed)


def hard_pairs(sample: Sample, method: NetworkMethod) -> EdgeList:
    """Return the impostor pair of highest score and the genuine pair of lowest score in each list.

    Parameters
    ----------
    sample : Sample
    method : NetworkMethod
        Defines how p_ij is computed.

    Returns
    -------
    EdgeList
        With a_ij p_ij as scores; lists without an impostor pair, or without a genuine pair, give none of
        that kind.
    """
    ids, genuine = sample.near.ids, sample.genuine
    mutual = mutual_probability(ids, sample.genuine_probability, method.settings.mutual)
    score = sample.affinity * mutual
    found = []
    for wanted, order in ((sample.listed & ~genuine, -score), (genuine, score)):
        source = np.flatnonzero(wanted.any(axis=1)).astype(np.int32)
        column = np.where(wanted, order, np.inf).argmin(axis=1)[source]
        found.append(EdgeList(source, ids[source, column], score[source, column]))
    return found[0] + found[1]


def listed_ranking(
    sample: Sample, score: npt.NDArray[np.float32], rows: _Rows | slice = slice(None)
) -> float:
    """How well scores (m, k) of some lists rank their pairs."""
    listed = sample.listed[rows]
    return ranking_quality(score[listed], sample.genuine[rows][listed])


def _density_edges(method: NetworkMethod, sample: Sample) -> EdgeList:
    graph = method.graph_of(sample.near, sample.affinity, sample.genuine_probability)
    return graph.density_edges


def _task(
    make: Callable[[Sample, Sample], ListTask] | Callable[[Sample, Sample], EdgeTask],
    training: Sequence[Sample],
    validation: Sequence[Sample],
    sets_in_batch: int,
    seed: int,
) -> Task:
    if len(training) == 1:
        return make(training[0], validation[0])
    tasks, scoring = ([make(sample, sample) for sample in side] for side in (training, validation))
    return Together(tasks, scoring, sets_in_batch, seed)


def _cross_entropy(method: NetworkMethod, network: nn.Module, batch: ScoredBatch) -> Tensor:
    inputs, target = batch
    odds = method.log_odds(network, inputs).float()
    genuine, weight = target.to(odds.device)
    total = functional.binary_cross_entropy_with_logits(odds, genuine, weight, reduction="sum")
    mean: Tensor = total / parallel.summed(weight.sum()).clamp(min=1e-6)
    return mean
