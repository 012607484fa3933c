"""Which method clusters, and what is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.methods.base import Run
from nsrfc.methods.network_tasks import device_of
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.published import PublishedMethod
from nsrfc.methods.registry import load_method, load_networks, method_class
from nsrfc.methods.rules import Rules
from nsrfc.methods.structure import StructureMethod
from nsrfc.model.bundle import NSRFC
from nsrfc.pipeline import cluster
from nsrfc.synthetic import generate

from ..models import FAMILIES, STRUCTURE, D, K, make_model


@pytest.mark.parametrize(
    ("family", "kind"), [("structure", StructureMethod), ("coordinates", PublishedMethod)]
)
def test_each_family_has_a_method(family: str, kind: type[NetworkMethod]) -> None:
    model = make_model(FAMILIES[family])
    assert method_class(model.settings.family) is kind
    method = load_method(model, ClusterConfig(search="exact", seed=5), D, Run())
    assert type(method) is kind
    assert (method.k, method.search, method.seed) == (K, "exact", 5)


def test_without_a_model_the_rules_cluster() -> None:
    config = ClusterConfig(k=20, search="exact", seed=5)
    assert load_method(None, config, D, Run()) == Rules(k=20, search="exact", seed=5)
    assert load_method(None, ClusterConfig(), D, Run()) == Rules()


def test_thresholds_of_the_configuration_take_the_place_of_the_models() -> None:
    model = make_model(STRUCTURE, precision=((0.8, 0.4), (0.9, 0.7)))

    def thresholds(**given: float) -> tuple[float, float | None]:
        settings = load_networks(model, ClusterConfig.of(**given), D, Run()).settings
        return settings.connect, settings.tau

    assert thresholds() == (0.3, 0.4)
    assert thresholds(threshold=0.6) == (0.6, 0.4)
    assert thresholds(threshold=0.0, tau=0.0) == (0.0, 0.0)
    assert thresholds(tau=0.9) == (0.3, 0.9)
    assert thresholds(precision=0.85) == (0.7, 0.4)
    assert (model.settings.connect, model.settings.tau) == (0.3, 0.4)


@pytest.mark.parametrize("needed", ["cgcn", "pairs"])
def test_a_network_that_is_needed_must_be_there(needed: Any) -> None:  # noqa: ANN401
    model = make_model(STRUCTURE, networks={"lcenet": {}})
    with pytest.raises(InputError, match=f"has no {needed} network"):
        load_networks(model, ClusterConfig(), D, Run(), needed)


def test_a_model_for_another_dimension_is_refused() -> None:
    model = make_model(STRUCTURE)
    with pytest.raises(InputError, match=f"dimension {D}, these have {D + 1}"):
        load_method(model, ClusterConfig(), D + 1, Run())


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    model = make_model(STRUCTURE)
    for given, run, words in (
        (model, Run(device="abacus"), "no device 'abacus'"),
        (model, Run(dtype="int8"), "dtype must be float32 or bfloat16, got 'int8'"),
        (tmp_path / "nowhere", Run(), "There is no folder"),
        (3, Run(), "got int"),
    ):
        with pytest.raises(InputError, match=words):
            load_method(given, ClusterConfig(), D, run)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_not_changed_by_its_use(family: str) -> None:
    model = make_model(FAMILIES[family]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cluster(generate(100, "wild", dimension=D, seed=1).embeddings, model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_that_is_ready_is_not_copied() -> None:
    model = make_model(STRUCTURE)
    networks = load_networks(model, ClusterConfig(), D, Run(device="cpu")).networks
    assert all(network is model.network(name) for name, network in networks.items())
    in_training: NSRFC = make_model(STRUCTURE).train()
    networks = load_networks(in_training, ClusterConfig(), D, Run(device="cpu")).networks
    assert not any(network.training for network in networks.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
def test_networks_move_to_the_device_of_the_run_and_the_model_stays() -> None:
    model = make_model(STRUCTURE)
    networks = load_networks(model, ClusterConfig(), D, Run(device="cuda")).networks
    assert all(device_of(network).type == "cuda" for network in networks.values())
    assert all(weight.device.type == "cpu" for weight in model.parameters())
