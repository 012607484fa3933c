"""Networks trained one after another, on several sets of faces of different embedders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nsrfc.knn.copies import canonical_rows
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.settings import NETWORKS, STEPS, NetworkName
from nsrfc.pipeline import cluster
from nsrfc.synthetic import generate
from nsrfc.training.checkpoint import CheckpointFolder
from nsrfc.training.config import TrainingConfig
from nsrfc.training.loop import seed_of
from nsrfc.training.networks import model_settings, new_network
from nsrfc.training.result import trained_model
from nsrfc.training.trainer import LabelledFaces, Trainer

K = 10
SMALL: dict[str, Any] = {"of_a_set": 60, "sets_in_batch": 3, "loop": {"epochs": 1, "batch": 16}}
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


def labelled(n: int, dimension: int, seed: int = 0) -> LabelledFaces:
    found = generate(n, "wild", dimension=dimension, seed=seed)
    rows = canonical_rows(found.embeddings)[0]
    return found.embeddings[rows], found.identities[rows]


def taught(
    folder: Path,
    wanted: tuple[NetworkName, ...],
    *,
    start: NSRFC | None = None,
    config: TrainingConfig = CONFIG,
) -> Trainer:
    trainer = Trainer(
        config=config,
        dimension=None,
        checkpoints=CheckpointFolder(folder, {}),
        device=torch.device("cpu"),
        known={},
        wanted=wanted,
        given=dict.fromkeys(STEPS, True),
        start=start,
    )
    trainer.train([labelled(*shape) for shape in SETS], [labelled(*shape, seed=1) for shape in SETS[:2]])
    return trainer


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


def learning(**loop: float) -> TrainingConfig:
    """Return the settings with another loop of the pair network."""
    pairs = CONFIG.pairs.model_copy(update={"loop": CONFIG.pairs.loop.model_copy(update=loop)})
    return CONFIG.model_copy(update={"pairs": pairs})


@pytest.fixture(scope="module")
def start() -> NSRFC:
    """Make a model of the pair network that training draws."""
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(CONFIG.seed, "pairs"))
        drawn = new_network(CONFIG, "pairs", None, refined=False)
    model = NSRFC(model_settings(CONFIG, None, ["pairs"], {}))
    model.network("pairs").load_state_dict(drawn.state_dict())
    return model


def test_training_further_moves_weights_half_the_way(start: NSRFC, tmp_path: Path) -> None:
    before, config = weights(start.network("pairs")), learning(epochs=3)
    anew = weights(taught(tmp_path / "anew", ("pairs",), config=config).networks["pairs"])
    further = taught(tmp_path / "further", ("pairs",), start=start, config=config).networks["pairs"]
    assert any(not torch.equal(before[name], value) for name, value in anew.items())
    for name, value in weights(further).items():
        torch.testing.assert_close(value, (before[name] + anew[name]) / 2)
    unmoved = weights(start.network("pairs"))
    assert all(torch.equal(before[name], value) for name, value in unmoved.items())


def test_a_network_that_learns_nothing_better_stays_as_it_was(start: NSRFC, tmp_path: Path) -> None:
    config = learning(learning_rate=1e-12)
    further = taught(tmp_path, ("pairs",), start=start, config=config).networks["pairs"]
    expected, found = start.network("pairs").state_dict(), further.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in found.items())


def test_sets_of_different_dimensions_make_a_model_for_any(tmp_path: Path) -> None:
    trainer = taught(tmp_path / "work", NETWORKS)
    assert set(trainer.curves) == {"cgcn", "cgcn-second", "pairs", "lcenet", "pcenet"}
    model = trained_model(trainer, None, {"faces": "generated"})
    assert model.settings.dimension is None
    model.save_pretrained(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.settings == model.settings
    assert again.settings.cluster_comparison
    assert again.settings.weighted
    for dimension in (5, 12, 64):
        X, _ = labelled(60, dimension, seed=2)
        labels = cluster(X, again).labels
        assert labels.shape == (60,)
        np.testing.assert_array_equal(labels, cluster(X, model).labels)
