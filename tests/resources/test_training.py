"""What a training is expected to take, and the refusal of one that would take too much."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")

from nsrfc.cli import app  # noqa: E402
from nsrfc.errors import InputError, MemoryPlanError  # noqa: E402
from nsrfc.model.settings import NETWORKS  # noqa: E402
from nsrfc.resources.clustering import plan  # noqa: E402
from nsrfc.resources.training import check_training_plan, plan_training  # noqa: E402
from nsrfc.training.config import TrainingConfig  # noqa: E402
from nsrfc.training.networks import new_network  # noqa: E402

TINY = """
k: 10
cgcn: {network: {hidden: 8}, loop: {epochs: 1}}
pairs: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 1}}
lcenet: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 1}}
pcenet: {network: {reach: 5, width: 8, heads: 2, hidden: 8}, loop: {epochs: 1}}
"""

PRESETS = pytest.mark.parametrize("preset", ["default", "paper", "universal"])


@PRESETS
def test_memory_grows_in_proportion_to_the_faces(preset: str) -> None:
    config = TrainingConfig.load(preset)
    at = [plan_training(n, 256, config).peak_bytes for n in (100_000, 200_000, 300_000)]
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=1)
    assert at[1] > at[0]


@PRESETS
def test_the_arrays_that_stand_to_the_end_have_room(preset: str) -> None:
    n, d, config = 50_000, 256, TrainingConfig.load(preset)
    width = 2 * d if preset == "paper" else d
    networks = [new_network(config, name, d, refined=True) for name in NETWORKS]
    weights = sum(weight.nbytes for network in networks for weight in network.parameters())
    both_groups = 4 * n * (d + width) + 8 * n * config.k  # embeddings, refined ones, their lists
    probabilities = 2 * 4 * n * config.k
    planned = plan_training(n, d, config)
    assert planned.peak_bytes > 4 * n * d + both_groups + probabilities + weights
    assert planned.peak_bytes > plan(n, d).peak_bytes, "training takes more than clustering"


@PRESETS
def test_more_of_anything_takes_more(preset: str) -> None:
    def taken(n: int = 20_000, d: int = 128, **changes: Any) -> tuple[int, float]:  # noqa: ANN401
        planned = plan_training(n, d, TrainingConfig.load(preset, None, changes))
        return planned.peak_bytes, planned.seconds

    memory, seconds = taken(k=40)
    for more in (taken(40_000, k=40), taken(d=256, k=40), taken(k=80)):
        assert more[0] > memory
        assert more[1] > seconds
    longer = taken(k=40, pairs={"loop": {"epochs": 20}})
    assert longer[0] == memory
    assert longer[1] > seconds
    assert taken(k=40, pcenet={"loop": {"batch": 8192}})[0] > memory


def test_short_epochs_take_less_time() -> None:
    def seconds(count: int | None) -> float:
        config = TrainingConfig.load("default", None, {"pairs": {"of_a_set": count}})
        return plan_training(20_000, 128, config).seconds

    assert seconds(600) < seconds(6000) < seconds(None) == seconds(20_000)


def test_comparing_clusters_takes_time_and_memory() -> None:
    compared, without = (
        plan_training(
            20_000, 1024, TrainingConfig.load("default", None, {"cluster_comparison": comparison})
        )
        for comparison in (dict[str, float](), None)
    )
    for one, other in zip(compared.stages[2:], without.stages[2:], strict=True):
        assert one.work_bytes >= other.work_bytes
        assert one.seconds > other.seconds
    assert compared.stages[-1].work_bytes > without.stages[-1].work_bytes


@PRESETS
def test_one_network_takes_less_than_all(preset: str) -> None:
    config = TrainingConfig.load(preset)
    whole = plan_training(20_000, 128, config)
    assert [stage.name for stage in whole.stages][-4:] == list(NETWORKS)
    first = plan_training(20_000, 128, config, "cgcn")
    assert first.stages == whole.stages[:-3]
    third = plan_training(20_000, 128, config, "lcenet")
    assert third.peak_bytes <= whole.peak_bytes
    assert third.stages[-2].seconds < whole.stages[-3].seconds, "a known network only judges"
    assert third.stages[-1].seconds == whole.stages[-2].seconds


@PRESETS
def test_refusal_names_a_number_of_faces_that_fit(preset: str) -> None:
    config = TrainingConfig.load(preset)
    planned = plan_training(1_000_000, 256, config)
    limit = planned.peak_bytes // 2
    with pytest.raises(MemoryPlanError) as refused:
        check_training_plan(planned, config, limit)
    found = re.search(r"allowed: ([\d,]+) faces would fit\.$", str(refused.value))
    assert found is not None
    n = int(found[1].replace(",", ""))
    assert plan_training(n, 256, config).peak_bytes <= limit
    assert plan_training(n + 10, 256, config).peak_bytes > limit
    check_training_plan(planned, config, planned.peak_bytes)
    check_training_plan(planned, config, None)
    with pytest.raises(MemoryPlanError, match="nothing would fit"):
        check_training_plan(planned, config, 2**20)


@PRESETS
def test_a_handful_of_faces(preset: str) -> None:
    config = TrainingConfig.load(preset)
    assert plan_training(1, 1, config).peak_bytes < plan_training(100, 1, config).peak_bytes
    with pytest.raises(InputError, match="at least one face"):
        plan_training(0, 3, config)


def test_train_says_what_it_expects_and_refuses_beyond_the_limit(tmp_path: Path) -> None:
    def invoke(*args: str | Path) -> Any:  # noqa: ANN401
        return CliRunner().invoke(app, list(map(str, args)))

    faces, config = tmp_path / "faces.npz", tmp_path / "tiny.yaml"
    config.write_text(TINY)
    invoke("generate", "-n", "300", "--preset", "wild", "--dimension", "16", "-o", faces)
    train = ("train", faces, faces, "--config", config, "--device", "cpu", "-o", tmp_path / "model")
    refused = invoke(*train, "--max-memory", "100MiB")
    assert refused.exit_code == 2
    expected, error = refused.stderr.splitlines()
    assert expected.startswith("Expected: ")
    assert error.startswith("Error: 300 faces of dimension 16 with k = 10")
    assert error.count(". ") == 0, "one sentence"
    assert not (tmp_path / "model").exists()
    assert "amount of memory" in invoke(*train, "--max-memory", "lots").stderr

    done = invoke(*train, "--max-memory", "4GiB", "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("Expected: ")
    assert "edges were skipped" not in done.stderr, "thresholds are tried some hundred times"
    record = json.loads(done.stdout)
    planned = plan_training(300, 16, TrainingConfig.load("default", config))
    assert record["plan"] == json.loads(json.dumps(planned.as_dict()))
