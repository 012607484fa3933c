"""Several sets of faces, of different embedders, teach one network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nsrfc.steps import Faces
from torch import Tensor, nn

from nsrfc import learned
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import canonical_rows
from nsrfc.methods.networks import padded
from nsrfc.model.bundle import load_model
from nsrfc.model.settings import NETWORKS, STEPS, NetworkName
from nsrfc.networks.structure.edges import StructureEdges
from nsrfc.networks.structure.lists import StructurePairs
from nsrfc.synthetic import generate
from nsrfc.training.checkpoint import CheckpointFolder
from nsrfc.training.config import TrainingConfig
from nsrfc.training.loop import seed_of
from nsrfc.training.networks import new_network
from nsrfc.training.result import trained_model
from nsrfc.training.tasks import EdgeTask, ListTask, People, Together, edge_task, list_task
from nsrfc.training.trainer import Course, Labelled

K = 10
LOOP = {"epochs": 1, "batch": 16}
SMALL: dict[str, Any] = {"of_a_set": 60, "sets_in_batch": 3, "loop": LOOP}
LISTS = {**SMALL, "network": {"width": 8, "heads": 2, "hidden": 8}}
CONFIG = TrainingConfig.load(
    "universal",
    None,
    {
        "k": K,
        "cgcn": {**SMALL, "network": {"hidden": 8}},
        "pairs": LISTS,
        "lcenet": LISTS,
        "pcenet": {**SMALL, "network": {"reach": 5, "width": 8, "heads": 2, "hidden": 8}},
    },
)
SETS = (150, 12), (90, 20), (120, 7)
"""Faces and dimension."""


def labelled(n: int, dimension: int, seed: int = 0) -> Labelled:
    found = generate(n, "wild", dimension=dimension, seed=seed)
    rows = canonical_rows(found.embeddings)[0]
    return found.embeddings[rows], found.identities[rows]


def people_of(n: int, dimension: int) -> People:
    X, identity = labelled(n, dimension)
    faces = Faces(X, *padded(build_neighbor_graph(X, K), K))
    return People(faces, identity, faces.ids)


@pytest.fixture(scope="module")
def sets() -> list[People]:
    return [people_of(*shape) for shape in SETS]


@pytest.fixture(scope="module", params=["lists", "edges"])
def tasks(request: pytest.FixtureRequest, sets: list[People]) -> list[ListTask] | list[EdgeTask]:
    torch.manual_seed(0)
    if request.param == "edges":
        judge = StructureEdges(reach=5).eval()
        return [EdgeTask(judge, people, people, CONFIG.pcenet, 0) for people in sets]
    network = StructurePairs().eval()
    return [ListTask("pairs", network, people, people, CONFIG.pairs, 0) for people in sets]


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


def test_one_set_alone_is_a_task_of_its_own(sets: list[People]) -> None:
    pairs, edges = StructurePairs(), StructureEdges(reach=5)
    assert isinstance(list_task("pairs", pairs, sets, sets[:1], CONFIG.pairs, 0), Together)
    assert isinstance(list_task("pairs", pairs, sets[:1], sets[:1], CONFIG.pairs, 0), ListTask)
    assert isinstance(edge_task(edges, sets, sets[:1], CONFIG.pcenet, 0), Together)
    assert isinstance(edge_task(edges, sets[:1], sets[:1], CONFIG.pcenet, 0), EdgeTask)


def taught(folder: Path, wanted: tuple[NetworkName, ...], *, starting: bool = False) -> Course:
    course = Course(
        config=CONFIG,
        checkpoints=CheckpointFolder(folder, {}),
        device=torch.device("cpu"),
        build=lambda name, refined: new_network(CONFIG, name, None, refined),
        known={},
        wanted=wanted,
        given=dict.fromkeys(STEPS, True),
        starting=starting,
    )
    course.run([labelled(*shape) for shape in SETS], [labelled(*shape, seed=1) for shape in SETS[:2]])
    return course


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


def test_training_further_moves_weights_half_the_way(tmp_path: Path) -> None:
    anew = taught(tmp_path / "anew", ("pairs",)).networks["pairs"]
    further = taught(tmp_path / "further", ("pairs",), starting=True).networks["pairs"]
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(CONFIG.seed, "pairs"))
        before = weights(new_network(CONFIG, "pairs", None, refined=False))
    learned_anew = weights(anew)
    assert any(not torch.equal(before[name], value) for name, value in learned_anew.items())
    for name, value in weights(further).items():
        torch.testing.assert_close(value, (before[name] + learned_anew[name]) / 2)


def test_sets_of_different_dimensions_make_a_model_for_any(tmp_path: Path) -> None:
    course = taught(tmp_path / "work", NETWORKS)
    assert set(course.curves) == {"cgcn", "cgcn-second", "pairs", "lcenet", "pcenet"}
    model = trained_model(course, None, {"faces": "generated"})
    assert model.settings.dimension is None
    model.save_pretrained(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.settings == model.settings
    assert again.settings.groups
    assert again.settings.weighted
    for dimension in (5, 12, 64):
        X, _ = labelled(60, dimension, seed=2)
        labels = learned.cluster(X, again).labels
        assert labels.shape == (60,)
        np.testing.assert_array_equal(labels, learned.cluster(X, model).labels)
