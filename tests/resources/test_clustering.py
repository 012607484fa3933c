"""What a run is expected to take, and the refusal of one that would take too much."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError, MemoryPlanError
from nsrfc.knn.build import EXACT_LIMIT
from nsrfc.resources.clustering import check_plan, plan, plan_reranking, plan_search
from nsrfc.resources.machine import parse_bytes, peak_memory
from nsrfc.synthetic import generate


def test_memory_grows_in_proportion_to_the_faces() -> None:
    at = [plan(n, 256).peak_bytes for n in (100_000, 200_000, 300_000)]
    assert at[1] - at[0] == at[2] - at[1] > 0


@pytest.mark.parametrize("given", [False, True])
def test_more_of_anything_takes_more_memory(given: bool) -> None:
    def peak(n: int, d: int, k: int) -> int:
        return plan(n, d, ClusterConfig(k=k), given_graph=given).peak_bytes

    base = peak(50_000, 128, 40)
    assert peak(100_000, 128, 40) > base
    assert peak(50_000, 256, 40) > base
    assert peak(50_000, 128, 80) > base


def test_search_becomes_approximate_where_the_pipeline_makes_it_so() -> None:
    assert plan(EXACT_LIMIT, 256).method == "exact"
    assert plan(EXACT_LIMIT + 1, 256).method == "approximate"
    assert plan(EXACT_LIMIT + 1, 256, ClusterConfig(search="exact")).method == "exact"
    assert plan(10, 256, given_graph=True).method == "given"


def test_k_is_clamped_to_the_faces() -> None:
    assert plan(7, 16).k == 7
    assert plan(7, 16) == plan(7, 16, ClusterConfig(k=7))


def test_a_given_graph_saves_time_and_a_search_alone_is_less_than_the_whole() -> None:
    whole = plan(50_000, 256)
    assert plan(50_000, 256, given_graph=True).seconds < whole.seconds
    assert plan_search(50_000, 256).seconds < whole.seconds
    assert plan_search(50_000, 256).peak_bytes < whole.peak_bytes
    assert plan_reranking(50_000, 80).peak_bytes < whole.peak_bytes


def test_refusal_names_a_number_of_faces_and_a_k_that_fit() -> None:
    config = ClusterConfig()
    limit = parse_bytes("800MiB")
    planned = plan(100_000, 256, config)
    with pytest.raises(MemoryPlanError) as refused:
        check_plan(planned, config, limit)
    faces, k = re.search(r"([\d,]+) faces or k = (\d+) would fit", str(refused.value)).groups()  # type: ignore[union-attr]
    n = int(faces.replace(",", ""))
    assert plan(n, 256).peak_bytes <= limit < plan(n + 1, 256).peak_bytes
    smaller = [plan(100_000, 256, ClusterConfig(k=int(k) + more)).peak_bytes for more in (0, 1)]
    assert smaller[0] <= limit < smaller[1]


def test_refusal_says_when_nothing_fits() -> None:
    with pytest.raises(MemoryPlanError, match="nothing would fit"):
        check_plan(plan(1000, 256), ClusterConfig(), parse_bytes("1MiB"))


def test_a_plan_within_the_limit_passes() -> None:
    planned = plan(1000, 256)
    check_plan(planned, ClusterConfig(), planned.peak_bytes)
    check_plan(planned, ClusterConfig(), None)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8GiB", 8 * 2**30),
        ("8 gib", 8 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("500MB", 500_000_000),
        ("2k", 2000),
        ("123", 123),
        ("1e9", 10**9),
    ],
)
def test_amounts_of_memory(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "0", "8 Pib", "1..2", "1e999", "nan", "8ib"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InputError, match="amount of memory"):
        parse_bytes(text)


@pytest.mark.parametrize(("n", "d"), [(0, 3), (3, 0)])
def test_a_plan_of_nothing_is_refused(n: int, d: int) -> None:
    with pytest.raises(InputError, match="at least one face"):
        plan(n, d)


def test_peak_memory_is_that_of_this_process_not_of_its_parent() -> None:
    before = peak_memory()
    if before is None:
        pytest.skip("this system does not tell the peak memory of a process")
    held = bytearray(400 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    after = peak_memory()
    assert after is not None
    assert after >= len(held)
    if sys.platform == "linux":
        code = "from nsrfc.resources.clustering import peak_memory; print(peak_memory())"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(child.stdout) < len(held)


@pytest.mark.parametrize("family", ["structure", "coordinates"])
def test_a_model_takes_more_and_every_step_of_it_counts(family: str) -> None:
    pytest.importorskip("torch")
    from nsrfc.model.settings import NETWORKS, STEPS, ModelSettings

    def planned(*steps: str) -> tuple[int, float]:
        settings = {"networks": {name: {} for name in NETWORKS}, "used": dict.fromkeys(steps, True)}
        model = ModelSettings(family=family, dimension=256, k=80, **settings)  # type: ignore[arg-type]
        whole = plan(50_000, 256, model=model)
        return whole.peak_bytes, whole.seconds

    none, every = planned(), planned(*STEPS)
    assert every > none
    for step in ("refine", "pairs", "density", "connect"):
        assert planned(step)[1] > none[1], step
    assert planned()[0] > plan_search(50_000, 256).peak_bytes
    listed = 4 * 4096 * 80 * 256
    assert planned("refine")[0] > plan_search(50_000, 256).peak_bytes + listed, "rescored by parts"


@pytest.fixture
def every_step() -> dict[str, Any]:
    pytest.importorskip("torch")
    from nsrfc.model.settings import NETWORKS, STEPS

    networks: dict[str, dict[str, int]] = {name: {} for name in NETWORKS}
    return {"networks": networks, "used": dict.fromkeys(STEPS, True)}


def test_a_model_for_any_dimension_is_planned_by_that_of_the_data(every_step: dict[str, Any]) -> None:
    from nsrfc.model.settings import ModelSettings

    model, tied = (
        ModelSettings(family="structure", dimension=dimension, **every_step) for dimension in (None, 256)
    )
    assert plan(50_000, 256, model=model) == plan(50_000, 256, model=tied)
    assert plan(50_000, 512, model=model).peak_bytes > plan(50_000, 256, model=model).peak_bytes


def test_networks_on_structure_rebuild_graphs_in_linear_time(every_step: dict[str, Any]) -> None:
    """But for whitened vectors, which are searched like embeddings."""
    from nsrfc.model.settings import ModelSettings

    def refinement(n: int, family: str, *, whiten: bool = False) -> float:
        steps = every_step | {"used": every_step["used"] | {"whiten": whiten}}
        model = ModelSettings(family=family, dimension=256, **steps)  # type: ignore[arg-type]
        stages = {stage.name: stage for stage in plan(n, 256, model=model).stages}
        return stages["refinement"].seconds

    assert refinement(100_000, "structure") == pytest.approx(2 * refinement(50_000, "structure"))
    white = [refinement(n, "structure", whiten=True) for n in (50_000, 100_000)]
    assert white[1] > 2.1 * white[0], "all pairs"
    assert refinement(100_000, "coordinates") > 2.1 * refinement(50_000, "coordinates"), "all pairs"


def test_comparing_groups_takes_a_copy_of_the_vectors(every_step: dict[str, Any]) -> None:
    from nsrfc.model.settings import ModelSettings

    without, compared = (
        plan(
            50_000,
            256,
            model=ModelSettings(family="structure", dimension=None, groups=groups, **every_step),
        )
        for groups in (False, True)
    )
    assert compared.stages[:-1] == without.stages
    assert compared.stages[-1].name == "groups"
    assert compared.stages[-1].work_bytes > 4 * 50_000 * 256
    assert compared.seconds > without.seconds


def test_fifty_thousand_faces_take_no_more_memory_than_planned(tmp_path: Path) -> None:
    if peak_memory() is None:
        pytest.skip("this system does not tell the peak memory of a process")
    np.save(tmp_path / "faces.npy", generate(50_000, "wild", dimension=64, seed=0).embeddings)
    command = [sys.executable, "-m", "nsrfc", "cluster", "faces.npy", "--model", "none", "-o", "people"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    record = json.loads((tmp_path / "people" / "run.json").read_text())
    assert record["peak_bytes"] <= 1.2 * record["plan"]["peak_bytes"]
