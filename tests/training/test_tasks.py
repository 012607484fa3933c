"""What the networks learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nsrfc.methods.base import Run
from nsrfc.methods.structure import StructureMethod
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.lcenet import LCENet
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.networks.published.pcenet import PCENet
from nsrfc.networks.structure import StructureEdges, StructurePairs, StructureRefinement
from nsrfc.records import Neighborhood
from nsrfc.training.config import CGCNSettings, TrainingConfig
from nsrfc.training.loop import Task
from nsrfc.training.sample import Sample
from nsrfc.training.tasks import (
    EdgeTask,
    ListTask,
    RefineTask,
    Shuffle,
    Together,
    edge_task,
    hard_pairs,
    list_task,
    refinement_tasks,
)

from .samples import method_of, sample_of

K, D = 12, 16
PIECES = {"form": "pieces", "piece": 128, "loop": {"batch": 4}}
SMALL = {"loop": {"batch": 32}}
CONFIG = TrainingConfig.load(
    "paper", None, {"cgcn": PIECES, "pairs": SMALL, "lcenet": SMALL, "pcenet": SMALL}
)
SHORT: dict[str, Any] = {"of_a_set": 60, "sets_in_batch": 3, "loop": {"epochs": 1, "batch": 16}}
SHORT_EPOCHS = TrainingConfig.load("universal", None, {"pairs": SHORT, "pcenet": SHORT})


@pytest.fixture(scope="module")
def sample() -> Sample:
    return sample_of(400, D, K)


def tasks_of_all_networks(sample: Sample) -> Iterator[Task]:
    torch.manual_seed(0)
    small: dict[str, Any] = {"heads": 2, "hidden": 8}
    pieces = CONFIG.cgcn
    assert isinstance(pieces, CGCNSettings)
    subgraphs = pieces.model_copy(update={"form": "subgraphs"})
    both = sample, sample
    for form in (pieces, subgraphs):
        yield RefineTask(method_of("coordinates", K, {"cgcn": CGCN(D)}), *both, form, 0)
    published, structure = method_of("coordinates", K), method_of("structure", K)
    yield ListTask("pairs", published, PairNetwork(D, **small), *both, CONFIG.pairs, 0)
    yield ListTask("lcenet", published, LCENet(D, K, **small), *both, CONFIG.lcenet, 0)
    connected = method_of("coordinates", K, {"pcenet": PCENet(D, K, classifier_hidden=8, **small)})
    yield EdgeTask(connected, *both, CONFIG.pcenet, 0)
    yield ListTask("pairs", structure, StructurePairs(), *both, CONFIG.pairs, 0)
    yield EdgeTask(method_of("structure", K, {"pcenet": StructureEdges()}), *both, CONFIG.pcenet, 0)


def test_a_refinement_of_two_scorers_learns_the_second_on_what_the_first_gives(sample: Sample) -> None:
    network, run = StructureRefinement(), Run()
    method = method_of("structure", K, {"cgcn": network})
    assert isinstance(method, StructureMethod)
    found = refinement_tasks(method, [sample], [sample], CONFIG.pairs, run, 0)
    first = next(found)
    assert first.network is network.first
    assert not run.progress.seconds, "nothing is searched yet"
    with torch.no_grad():
        network.eval()
        network.first.evidence.even.sub_(0.3)  # finds neighbours likely, which show a scatter
    second = next(found)
    assert second.network is network.second
    assert isinstance(second, ListTask)
    assert set(run.progress.seconds) == {"neighbours"}
    white = method.whitened(sample.near, Run())
    assert not np.array_equal(white.vectors, sample.near.vectors)
    assert np.array_equal(second.validation.near.vectors, white.vectors)
    assert np.array_equal(second.validation.near.ids, white.ids)
    expected = ListTask("", method, network.second, second.validation, sample, CONFIG.pairs, 0)
    assert equal(tensors(second.batch(0, 0)), tensors(expected.batch(0, 0)))
    assert next(found, None) is None


def test_every_task_lowers_its_loss_and_a_batch_is_a_function_of_its_place(sample: Sample) -> None:
    for task in tasks_of_all_networks(sample):
        task.network.train()
        torch.manual_seed(0)
        losses = []
        optimizer = torch.optim.AdamW(task.network.parameters(), 3e-3)
        for _ in range(8):
            loss = task.loss(task.batch(1, 0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0], task.name
        task.network.eval()
        task.batch(0, 0)
        with torch.no_grad():
            first, again = task.loss(task.batch(1, 0)), task.loss(task.batch(1, 0))
            assert torch.equal(first, again), task.name
            assert 0 <= task.score() <= 1


def test_an_epoch_shows_every_number_once() -> None:
    shuffle = Shuffle(10, 4, seed=0, pool=20, drawn=5)
    first, second = (
        np.concatenate([shuffle(epoch, step) for step in range(shuffle.steps)]) for epoch in (0, 1)
    )
    for order in (first, second):
        assert sorted(order[order < 10]) == list(range(10))
        drawn = order[order >= 10]
        assert len(set(drawn)) == len(drawn) == 5
        assert drawn.max() < 30
    assert not np.array_equal(first, second)


def test_a_short_epoch_shows_some_numbers_and_the_next_one_others() -> None:
    shuffle = Shuffle(10, 4, seed=0, pool=20, drawn=5, most=7)
    assert shuffle.steps == 2
    orders = [
        np.concatenate([shuffle(epoch, step) for step in range(shuffle.steps)]) for epoch in range(20)
    ]
    for order in orders:
        assert len(set(order)) == len(order) == 7
    assert not np.array_equal(orders[0], orders[1])
    assert set(np.concatenate(orders)) >= set(range(10))
    again = Shuffle(10, 4, seed=0, pool=20, drawn=5, most=7)
    assert np.array_equal(again(3, 1), shuffle(3, 1)), "whatever was asked for before"
    ample, whole = Shuffle(10, 4, seed=0, most=11), Shuffle(10, 4, seed=0)
    assert ample.steps == whole.steps
    assert np.array_equal(ample(1, 2), whole(1, 2))


def test_hard_pairs_are_the_strongest_stranger_and_the_weakest_own_photo() -> None:
    ids = np.array([[0, 1, 2, 3], [1, 0, 2, -1], [2, 0, 1, 3], [3, 0, 1, 2]], np.int32)
    similarities = np.array(
        [[1, 0.9, 0.8, 0.7], [1, 0.9, 0.5, 0], [1, 0.8, 0.5, 0.1], [1, 0.7, 0.3, 0.1]], np.float32
    )
    X = np.eye(4, dtype=np.float32)
    near = Neighborhood(X, X, ids, similarities, ids)
    pairs = hard_pairs(Sample(near, np.array([0, 0, 1, 0]), ids), method_of("structure", 4))
    found = {*zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)}
    assert {(0, 2), (1, 2), (2, 0), (3, 2)} <= found, "strangers"
    assert {(0, 3), (1, 0), (3, 1)} <= found, "own photos"
    assert len(pairs) == 7, "face 2 has no own photo"


SETS = (150, 12), (90, 20), (120, 7)
"""Faces and dimension."""


@pytest.fixture(scope="module")
def sets() -> list[Sample]:
    return [sample_of(*shape, 10) for shape in SETS]


@pytest.fixture(scope="module", params=["lists", "edges"])
def tasks(request: pytest.FixtureRequest, sets: list[Sample]) -> list[ListTask] | list[EdgeTask]:
    torch.manual_seed(0)
    if request.param == "edges":
        method = method_of("structure", 10, {"pcenet": StructureEdges(reach=5).eval()})
        return [EdgeTask(method, one, one, SHORT_EPOCHS.pcenet, 0) for one in sets]
    method, network = method_of("structure", 10), StructurePairs().eval()
    return [ListTask("pairs", method, network, one, one, SHORT_EPOCHS.pairs, 0) for one in sets]


def tensors(batch: tuple[tuple[Tensor, ...], Tensor]) -> list[Tensor]:
    """Return inputs and targets, each with the samples along its first axis."""
    inputs, target = batch
    return [*inputs, target.movedim(1, 0)]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def test_an_epoch_holds_every_batch_of_every_set_once(tasks: list[ListTask] | list[EdgeTask]) -> None:
    together = Together(tasks, tasks, 1, seed=0)
    found = [tensors(together.batch(2, step)) for step in range(together.steps)]
    wanted = [tensors(task.batch(2, step)) for task in tasks for step in range(task.steps)]
    assert len(found) == len(wanted)
    for batch in wanted:
        assert sum(equal(batch, other) for other in found) == 1


def test_a_batch_holds_what_its_tasks_gather(tasks: list[ListTask] | list[EdgeTask]) -> None:
    alone, together = (Together(tasks, tasks, parts, seed=0) for parts in (1, 3))
    assert together.steps == -(-alone.steps // 3)
    for step in range(together.steps):
        parts = range(3 * step, min(3 * step + 3, alone.steps))
        joined = zip(*(tensors(alone.batch(1, part)) for part in parts), strict=True)
        assert equal(tensors(together.batch(1, step)), [torch.cat(part) for part in joined])


def test_a_batch_follows_from_its_place_whatever_was_gathered_before(
    tasks: list[ListTask] | list[EdgeTask],
) -> None:
    resumed, whole = (Together(tasks, tasks, 2, seed=0) for _ in range(2))
    for step in range(whole.steps):
        whole.batch(0, step)
    last = whole.steps - 1
    expected = tensors(whole.batch(1, last))
    assert equal(tensors(resumed.batch(1, last)), expected)
    assert not equal(tensors(whole.batch(2, last)), expected), "another epoch, another order"


def test_the_score_is_the_mean_over_the_sets_that_validate(
    tasks: list[ListTask] | list[EdgeTask],
) -> None:
    together = Together(tasks, tasks[:2], 2, seed=0)
    scores = [task.score() for task in tasks]
    assert together.score() == pytest.approx((scores[0] + scores[1]) / 2)
    with torch.no_grad():
        assert torch.isfinite(together.loss(together.batch(0, 0)))


@pytest.mark.parametrize("kind", ["lists", "edges"])
def test_many_lists_or_edges_are_judged_by_a_sample_of_them(
    sets: list[Sample], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, pairs = sets[:1], StructurePairs().eval()
    method = method_of("structure", 10, {"pcenet": StructureEdges(reach=5).eval()})

    def scores(most: int) -> list[float]:
        monkeypatch.setattr("nsrfc.training.tasks.MOST_SCORED", most)
        lists, edges = SHORT_EPOCHS.pairs, SHORT_EPOCHS.pcenet
        return [
            list_task("pairs", method, pairs, one, one, lists, seed).score()
            if kind == "lists"
            else edge_task(method, one, one, edges, seed).score()
            for seed in (0, 0, 1)
        ]

    with torch.no_grad():
        first, again, other = scores(50)
        assert first == again != other
        assert len(set(scores(10_000))) == 1, "of all of them, whatever the seed"


def test_one_set_alone_is_a_task_of_its_own(sets: list[Sample]) -> None:
    pairs = StructurePairs()
    method = method_of("structure", 10, {"pairs": pairs, "pcenet": StructureEdges(reach=5)})
    lists, edges, one = SHORT_EPOCHS.pairs, SHORT_EPOCHS.pcenet, sets[:1]
    assert isinstance(list_task("pairs", method, pairs, sets, one, lists, 0), Together)
    assert isinstance(list_task("pairs", method, pairs, one, one, lists, 0), ListTask)
    assert isinstance(edge_task(method, sets, one, edges, 0), Together)
    assert isinstance(edge_task(method, one, one, edges, 0), EdgeTask)
