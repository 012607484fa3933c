"""What each network learns from: the tasks of the training loop.

    RefineTask      C-GCN           pieces of the graph; triplet and margin loss
    ListTask        pair network    lists; cross-entropy over the listed neighbours
                    LCENet
    EdgeTask        PCENet          density edges and hard pairs; cross-entropy
    Together        any of these, on several sets of faces at once

A task gathers its batches on the fly and never loops over faces. It scores its network by how well it
ranks pairs of validation people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from nsrfc.graph.density_graph import mutual_probability
from nsrfc.graph.subgraphs import local_adjacency, subgraphs
from nsrfc.networks.published.adjacency import Adjacency, DenseAdjacency, SparseAdjacency
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.losses import cgcn_loss
from nsrfc.networks.structure.lists import StructureRefinement
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.steps import (
    EdgeJudge,
    Faces,
    Search,
    device_of,
    edges_of,
    list_probability,
    listed_cosines,
    lists_of,
    log_odds,
    padded,
    refine,
    sparse,
)
from nsrfc.training.config import CGCNSettings, EdgeSettings, ListSettings
from nsrfc.training.loop import Task
from nsrfc.training.pieces import cut_piece, grow_piece
from nsrfc.training.thresholds import ranking_quality

__all__ = [
    "EdgeTask",
    "ListTask",
    "People",
    "RefineTask",
    "Shuffle",
    "Together",
    "edge_task",
    "hard_pairs",
    "list_task",
    "refinement_tasks",
]

_Ids = npt.NDArray[np.int32]
_Identities = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.int64]

GraphBatch = tuple[Tensor, Adjacency, Adjacency, Tensor]
JudgedBatch = tuple[tuple[Tensor, ...], Tensor]


@dataclass(frozen=True)
class People:
    """Labelled faces: those that teach, or those that validate.

    Attributes
    ----------
    faces : Faces
    identity : ndarray of int64, shape (n,)
    lists : ndarray of int32, shape (n, k)
        The neighbours that the C-GCN convolves over: re-ranked, or those of ``faces``.
    """

    faces: Faces
    identity: _Identities
    lists: _Ids

    @property
    def graph(self) -> NeighborGraph:
        """The neighbours by cosine; only for lists that descend."""
        return NeighborGraph(self.faces.ids, self.faces.similarities)

    @property
    def listed(self) -> npt.NDArray[np.bool_]:
        """Whether there is a neighbour, the face itself not counted, shape (n, k)."""
        listed = self.faces.ids >= 0
        listed[:, 0] = False
        return listed

    @property
    def same(self) -> npt.NDArray[np.bool_]:
        """Whether a listed neighbour is the same person, shape (n, k)."""
        same: npt.NDArray[np.bool_] = self.identity[self.faces.ids] == self.identity[:, None]
        return same & self.listed


class Shuffle:
    """Numbers 0..n-1 in a new order every epoch, in batches; a function of seed, epoch and step.

    Parameters
    ----------
    n : int
        Numbers that every epoch holds.
    batch : int
    seed : int
    pool, drawn : int
        Every epoch holds ``drawn`` of the numbers n..n+pool-1 beside them.
    most : int, optional
        Numbers in an epoch, at most: others in each.
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
        """Batches of an epoch."""
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
    network : CGCN
    train, validation : People
    settings : CGCNSettings
    seed : int
    """

    name = "cgcn"

    def __init__(
        self, network: CGCN, train: People, validation: People, settings: CGCNSettings, seed: int
    ) -> None:
        self.network: nn.Module = network
        self.train, self.validation, self.settings, self.seed = train, validation, settings, seed
        self.local = local_adjacency(train.faces.ids, train.faces.similarities)
        n, batch = len(train.identity), settings.loop.batch
        self._starts = Shuffle(n, batch, seed)
        faces_of_a_step = batch if settings.form == "subgraphs" else settings.piece
        self.steps = min(self._starts.steps, max(1, round(n / faces_of_a_step)))

    def batch(self, epoch: int, step: int) -> GraphBatch:
        """Gather a piece of the graph, or a batch of subgraphs: x, local, listed, identity."""
        starts = self._starts(epoch, step)
        if self.settings.form == "subgraphs":
            return self._subgraphs(starts)
        rng = np.random.default_rng([self.seed, epoch, step])
        nodes = grow_piece(self.train.lists, starts, self.settings.piece, rng)
        piece = cut_piece(self.train.lists, self.local, nodes)
        device = device_of(self.network)
        return (
            torch.from_numpy(self.train.faces.vectors[nodes]).to(device),
            sparse(piece.local, device),
            SparseAdjacency.from_lists(torch.from_numpy(piece.lists).to(device)),
            torch.from_numpy(self.train.identity[nodes]).to(device),
        )

    def loss(self, batch: GraphBatch) -> Tensor:
        """Triplet and margin loss, every face of the batch being an anchor."""
        x, local, listed, identity = batch
        refined: Tensor = self.network(x, local, listed)
        return cgcn_loss(refined, identity)

    def score(self) -> float:
        """How well refined cosines rank the pairs of the lists as they were."""
        people = self.validation
        faces = people.faces
        Z = refine(self.network, faces.vectors, people.graph, people.lists, _no_search)
        return listed_ranking(people, listed_cosines(Z, faces.ids))

    def _subgraphs(self, centers: _Rows) -> GraphBatch:
        cut = subgraphs(self.train.lists, self.local, centers)
        device = device_of(self.network)
        x = self.train.faces.vectors[cut.nodes]
        x[cut.nodes < 0] = 0
        identity = np.where(cut.nodes >= 0, self.train.identity[cut.nodes], -1)
        return (
            torch.from_numpy(x).to(device),
            DenseAdjacency(torch.from_numpy(cut.adjacency).to(device)),
            DenseAdjacency(torch.from_numpy(cut.mask).to(device)),
            torch.from_numpy(identity).to(device),
        )


class ListTask:
    """A network that judges the neighbours in a list: the pair network or LCENet.

    Parameters
    ----------
    name : str
    network : Module
        See :func:`nsrfc.steps.lists_of`.
    train, validation : People
    settings : ListSettings
    seed : int
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        train: People,
        validation: People,
        settings: ListSettings,
        seed: int,
    ) -> None:
        self.name, self.network, self.train, self.validation = name, network, train, validation
        self._rows = Shuffle(len(train.identity), settings.loop.batch, seed, most=settings.of_a_set)
        self.steps = self._rows.steps
        self._gather = lists_of(network, train.faces)
        self._same, self._listed = train.same, train.listed

    def batch(self, epoch: int, step: int) -> JudgedBatch:
        """Gather lists; of their neighbours, target and weight (2, b, k)."""
        rows = self._rows(epoch, step)
        same, listed = self._same[rows], self._listed[rows]
        target = np.stack((same, listed)).astype(np.float32)
        return self._gather(rows), torch.from_numpy(target)

    def loss(self, batch: JudgedBatch) -> Tensor:
        """Cross-entropy over the listed neighbours, the face itself not counted."""
        return _cross_entropy(self.network, batch)

    def score(self) -> float:
        """How well the network ranks the listed pairs."""
        return listed_ranking(self.validation, list_probability(self.network, self.validation.faces))


class EdgeTask:
    """A network that judges edges: PCENet.

    It learns from the density edges, which it will judge, and from hard pairs, which hold more
    strangers.

    Parameters
    ----------
    network : Module
        See :func:`nsrfc.steps.edges_of`.
    train, validation : People
    settings : EdgeSettings
    seed : int
    """

    name = "pcenet"

    def __init__(
        self, network: nn.Module, train: People, validation: People, settings: EdgeSettings, seed: int
    ) -> None:
        self.network, self.validation = network, validation
        self._judge = EdgeJudge(network, validation.faces, settings.veto)
        density = train.faces.density_graph().density_edges
        hard = hard_pairs(train)
        edges = density + hard
        drawn = round(settings.hard_pairs * len(density))
        self._chosen = Shuffle(
            len(density), settings.loop.batch, seed, len(hard), drawn, settings.of_a_set
        )
        self.steps = self._chosen.steps
        self._gather = edges_of(network, train.faces)
        self._source, self._target = edges.source, edges.target
        self._same = train.identity[edges.source] == train.identity[edges.target]
        self._validating = validation.faces.density_graph().density_edges

    def batch(self, epoch: int, step: int) -> JudgedBatch:
        """Gather edges; their target and weight (2, b)."""
        edges = self._chosen(epoch, step)
        same = self._same[edges]
        target = np.stack((same, np.ones_like(same))).astype(np.float32)
        return self._gather(self._source[edges], self._target[edges]), torch.from_numpy(target)

    def loss(self, batch: JudgedBatch) -> Tensor:
        """Cross-entropy over the edges."""
        return _cross_entropy(self.network, batch)

    def score(self) -> float:
        """How well the network ranks the density edges."""
        edges, identity = self._validating, self.validation.identity
        return ranking_quality(self._judge(edges), identity[edges.source] == identity[edges.target])


class Together:
    """One network on several sets of faces at once: a batch holds some lists, or edges, of many sets.

    Parameters
    ----------
    tasks : sequence of ListTask or EdgeTask
        Of one network, each on its own set.
    judges : sequence of ListTask or EdgeTask
        Of that network, on sets that validate: the score is the mean of theirs.
    parts : int
        Batches of the tasks that make one.
    seed : int
    """

    def __init__(
        self,
        tasks: Sequence[ListTask | EdgeTask],
        judges: Sequence[ListTask | EdgeTask],
        parts: int,
        seed: int,
    ) -> None:
        self.name, self.network = tasks[0].name, tasks[0].network
        self._tasks, self._judges = tasks, judges
        number = np.repeat(np.arange(len(tasks)), [task.steps for task in tasks])
        step = np.concatenate([np.arange(task.steps) for task in tasks])
        self._places = np.stack((number, step), axis=1)
        self._order = Shuffle(len(number), parts, seed)
        self.steps = self._order.steps

    def batch(self, epoch: int, step: int) -> JudgedBatch:
        """Gather what some tasks gather, one after the other."""
        places = self._places[self._order(epoch, step)]
        batches = [self._tasks[number].batch(epoch, part) for number, part in places]
        inputs, targets = zip(*batches, strict=True)
        joined = tuple(torch.cat(part) for part in zip(*inputs, strict=True))
        return joined, torch.cat(targets, dim=1)

    def loss(self, batch: JudgedBatch) -> Tensor:
        """Cross-entropy over all of them."""
        return _cross_entropy(self.network, batch)

    def score(self) -> float:
        """How well the network ranks pairs, in the mean over the sets that validate."""
        return float(np.mean([judge.score() for judge in self._judges]))


def refinement_tasks(
    network: nn.Module,
    train: Sequence[People],
    validation: Sequence[People],
    settings: CGCNSettings | ListSettings,
    search: Search,
    seed: int,
) -> Iterator[Task]:
    """Yield what the refinement learns, one task after the other.

    A C-GCN has one. The refinement of the family "structure" learns to judge the lists of the
    embeddings, then those of what it makes of them: a task is made when the one before it is done.
    """
    if isinstance(settings, CGCNSettings):
        assert isinstance(network, CGCN)
        (one,), (other,) = train, validation
        yield RefineTask(network, one, other, settings, seed)
        return
    assert isinstance(network, StructureRefinement)
    yield list_task("cgcn", network.first, train, validation, settings, seed)

    def whitened(people: People) -> People:
        vectors = network.whiten(people.faces.vectors, people.graph)
        faces = Faces(vectors, *padded(search(vectors), people.faces.ids.shape[1]))
        return People(faces, people.identity, faces.ids)

    learning, judging = ([whitened(people) for people in side] for side in (train, validation))
    yield list_task("cgcn-second", network.second, learning, judging, settings, seed)


def list_task(
    name: str,
    network: nn.Module,
    train: Sequence[People],
    validation: Sequence[People],
    settings: ListSettings,
    seed: int,
) -> Task:
    """Make the task of a network that judges lists, on one set of faces or on several."""

    def make(train: People, validation: People) -> ListTask:
        return ListTask(name, network, train, validation, settings, seed)

    return _task(make, train, validation, settings.sets_in_batch, seed)


def edge_task(
    network: nn.Module,
    train: Sequence[People],
    validation: Sequence[People],
    settings: EdgeSettings,
    seed: int,
) -> Task:
    """Make the task of a network that judges edges, on one set of faces or on several."""

    def make(train: People, validation: People) -> EdgeTask:
        return EdgeTask(network, train, validation, settings, seed)

    return _task(make, train, validation, settings.sets_in_batch, seed)


def hard_pairs(people: People) -> EdgeList:
    """Pair every face with its strongest stranger and its weakest own photo in its list.

    Parameters
    ----------
    people : People

    Returns
    -------
    EdgeList
        With a_ij p_ij as scores; nothing for a face that lists no stranger, or no photo of its own.
    """
    faces, same = people.faces, people.same
    strength = faces.a * mutual_probability(faces.ids, faces.S, faces.mutual)
    stranger = people.listed & ~same
    found = []
    for wanted, order in ((stranger, -strength), (same, strength)):
        source = np.flatnonzero(wanted.any(axis=1)).astype(np.int32)
        column = np.where(wanted, order, np.inf).argmin(axis=1)[source]
        found.append(EdgeList(source, faces.ids[source, column], strength[source, column]))
    return found[0] + found[1]


def listed_ranking(people: People, score: npt.NDArray[np.float32]) -> float:
    """How well scores (n, k) rank the listed pairs."""
    listed = people.listed
    return ranking_quality(score[listed], people.same[listed])


def _task(
    make: Callable[[People, People], ListTask] | Callable[[People, People], EdgeTask],
    train: Sequence[People],
    validation: Sequence[People],
    sets_in_batch: int,
    seed: int,
) -> Task:
    if len(train) == 1:
        return make(train[0], validation[0])
    tasks, judges = ([make(people, people) for people in side] for side in (train, validation))
    return Together(tasks, judges, sets_in_batch, seed)


def _cross_entropy(network: nn.Module, batch: JudgedBatch) -> Tensor:
    inputs, target = batch
    odds = log_odds(network, inputs).float()
    same, weight = target.to(odds.device)
    total = functional.binary_cross_entropy_with_logits(odds, same, weight, reduction="sum")
    mean: Tensor = total / weight.sum().clamp(min=1e-6)
    return mean


def _no_search(vectors: npt.NDArray[np.float32]) -> NeighborGraph:
    del vectors
    raise AssertionError("A C-GCN searches no neighbours.")
