"""Settings of a model: what each may be, what follows from them, and how a wrong one is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nsrfc.errors import InputError
from nsrfc.model.bundle import load_model
from nsrfc.model.settings import (
    NETWORKS,
    STEPS,
    ClusterComparison,
    ModelSettings,
    NetworkName,
    Step,
)

from ..models import PUBLISHED, STRUCTURE, make_model

SHARES = [
    name for name in ClusterComparison.model_fields if not name.endswith(("_size", "_score", "_odds"))
]
SIZES = [name for name in ClusterComparison.model_fields if name.endswith("_size")]

WRONG: list[tuple[str, Any]] = [
    ("family", "convolutional"),
    ("family", None),
    ("dimension", 0),
    ("dimension", "many"),
    ("dimension", 2.5),
    ("k", 0),
    ("k", None),
    ("search", "fast"),
    ("rerank", "perhaps"),
    ("networks", ["pairs"]),
    ("networks.transformer", {}),
    ("networks.pairs.width", "wide"),
    ("used.guess", True),
    ("used.pairs", "often"),
    ("unrefined", ["gcn"]),
    ("mutual", "sometimes"),
    ("weighted", 3),
    ("cluster_comparison", "yes"),
    ("cluster_comparison.minimum", 1.5),
    ("cluster_comparison.likeness", 0.5),
    ("veto", None),
    ("tau", "low"),
    ("calibration", [1.0]),
    ("calibration", None),
    ("connect", -0.1),
    ("connect", None),
    ("precision", [[0.9]]),
    ("precision", 0.9),
    ("bogus", 1),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    make_model(STRUCTURE, cluster_comparison=ClusterComparison()).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda each: str(each))
def test_a_wrong_setting_in_a_file_is_one_sentence_with_the_name_of_both(
    folder: Path, name: str, value: object
) -> None:
    path = folder / "config.json"
    before = path.read_text()
    config = json.loads(before)
    del config["sha256"]
    *above, last = name.split(".")
    settings = config["settings"]
    for each in above:
        settings = settings[each]
    settings[last] = value
    path.write_text(json.dumps(config))
    try:
        with pytest.raises(InputError) as refused:
            load_model(folder)
    finally:
        path.write_text(before)
    message = str(refused.value)
    assert message.startswith(f"{path}: {name.partition('.')[0]}")
    assert last in message.removeprefix(str(path))
    assert "\n" not in message
    assert message.endswith("train or convert the model anew.")
    load_model(folder)


def test_settings_come_back_from_a_file_as_they_were(folder: Path) -> None:
    whole = ModelSettings(
        family="structure",
        dimension=None,
        k=11,
        scored=7,
        search="exact",
        rerank=True,
        networks={"cgcn": {"whitening": [0.0, 0.25], "own": 0.5}, "pairs": {"width": 16}},
        used={"refine": True, "whiten": False},
        unrefined=("lcenet",),
        mutual="published",
        weighted=True,
        cluster_comparison=ClusterComparison(minimum=0.1, uncertain_size=9),
        veto=False,
        tau=0.7,
        calibration=(0.5, 1.2, -1.0),
        connect=0.25,
        precision=((0.8, 0.1), (0.9, 0.4)),
    )
    changed = {*whole.model_dump(exclude_defaults=True)}
    assert changed == {*ModelSettings.model_fields}, "every setting has another value than by default"
    assert ModelSettings.model_validate(json.loads(json.dumps(whole.model_dump(mode="json")))) == whole


def test_a_former_calibration_has_no_weight_for_the_score_model() -> None:
    former = {"family": "structure", "dimension": None, "calibration": [0.5, -1.0]}
    assert ModelSettings.model_validate(former).calibration == (0.5, 0.0, -1.0)


@pytest.mark.parametrize("value", [-0.01, np.nan, np.inf, "half", None])
def test_a_minimum_score_is_a_finite_number_from_none_up(value: object) -> None:
    assert ClusterComparison(minimum_score=2.5).minimum_score == 2.5
    with pytest.raises(ValidationError, match="minimum_score"):
        ClusterComparison.model_validate({"minimum_score": value})


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_shares_of_a_comparison_lie_between_none_and_all(name: str, value: float) -> None:
    assert getattr(ClusterComparison.model_validate({name: value}), name) == value


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.01, 1.01, np.nan, np.inf, "half", None])
def test_other_shares_of_a_comparison_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        ClusterComparison.model_validate({name: value})


@pytest.mark.parametrize("name", SIZES)
def test_clusters_that_are_compared_have_an_inside(name: str) -> None:
    assert getattr(ClusterComparison.model_validate({name: 2}), name) == 2
    for value in (1, 0, -3, 2.5):
        with pytest.raises(ValidationError, match=name):
            ClusterComparison.model_validate({name: value})


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_used_where_it_is_wanted_and_its_network_is_there(step: Step) -> None:
    def uses(networks: list[NetworkName], used: dict[Step, bool]) -> bool:
        settings = ModelSettings(
            family="structure", dimension=None, networks={name: {} for name in networks}, used=used
        )
        return settings.uses(step)

    others = [name for name in NETWORKS if name != STEPS[step]]
    assert uses([STEPS[step]], {step: True})
    assert not uses(others, {step: True})
    assert not uses([STEPS[step]], {step: False})
    assert not uses([STEPS[step]], {other: True for other in STEPS if other != step})


def test_names_of_networks_are_in_the_order_of_the_steps() -> None:
    assert get_args(NetworkName) == NETWORKS
    assert list(dict.fromkeys(STEPS.values())) == list(NETWORKS)
    assert get_args(Step) == tuple(STEPS)


def test_a_c_gcn_on_coordinates_doubles_what_is_read_after_it() -> None:
    published = make_model(PUBLISHED, unrefined=("lcenet",)).settings
    widths = [published.width(name) for name in NETWORKS]
    assert widths == [32, 64, 32, 64]
    assert [make_model(PUBLISHED, used={}).settings.width(name) for name in NETWORKS] == [32] * 4
    anyone = make_model(STRUCTURE, dimension=None).settings
    assert [anyone.width(name, 48) for name in NETWORKS] == [48] * 4


PRECISION = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda pair: pair[0]
)


@given(PRECISION, st.floats(0, 1))
def test_the_threshold_of_a_precision_is_the_lowest_that_reached_it(
    pairs: list[tuple[float, float]], wanted: float
) -> None:
    steps = tuple(zip(sorted(p for p, _ in pairs), sorted(c for _, c in pairs), strict=True))
    settings = ModelSettings(family="structure", dimension=None, precision=steps)
    reaching = [connect for precision, connect in steps if precision >= wanted]
    if not reaching:
        with pytest.raises(InputError, match=f"at most {steps[-1][0]:.3f}") as refused:
            settings.connect_for(wanted)
        assert "\n" not in str(refused.value)
        return
    assert settings.connect_for(wanted) == min(reaching)
    decided = settings.decided(None, 0.3, wanted)
    assert (decided.connect, decided.tau) == (min(reaching), 0.3)
    assert settings.decided(None, None) == settings


def test_a_model_that_measured_no_precision_promises_none() -> None:
    with pytest.raises(InputError, match=r"precision 0\.5 was not reached .* \(at most 0\.000\)"):
        ModelSettings(family="structure", dimension=None).decided(None, None, 0.5)
