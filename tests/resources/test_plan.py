"""Plans: sums of their stages, growth with what is given, and what a run really keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.errors import MemoryPlanError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.model.settings import NETWORKS, STEPS, ClusterComparison, Family, ModelSettings, Step
from nsrfc.resources.clustering import fitted, plan
from nsrfc.resources.costs import COSTS
from nsrfc.resources.plan import RUNTIME_BYTES, Plan, Stage, largest_fitting, refusal
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..models import FAMILIES, STRUCTURE, D, K, make_model

STAGES = st.lists(
    st.builds(
        Stage,
        st.just("stage"),
        st.integers(0, 1000),
        st.integers(0, 1000),
        st.floats(0, 9),
        st.integers(0, 1000),
        st.integers(0, 1000),
    ),
    min_size=1,
    max_size=6,
)


@given(STAGES)
def test_the_peak_is_the_most_that_stands_at_any_time(stages: list[Stage]) -> None:
    planned = Plan(1, 1, 1, "exact", tuple(stages))
    at_work = [
        sum(before.held_bytes for before in stages[: place + 1]) + stage.work_bytes
        for place, stage in enumerate(stages)
    ]
    assert planned.peak_bytes == RUNTIME_BYTES + max(at_work)
    on_disk = [
        sum(before.disk_bytes for before in stages[: place + 1]) + stage.disk_work_bytes
        for place, stage in enumerate(stages)
    ]
    assert planned.disk_bytes == max(on_disk)
    assert planned.seconds == pytest.approx(sum(stage.seconds for stage in stages))
    record = json.loads(json.dumps(planned.as_dict()))
    assert (record["peak_bytes"], record["disk_bytes"]) == (planned.peak_bytes, planned.disk_bytes)
    assert tuple(Stage(**stage) for stage in record["stages"]) == planned.stages


@given(st.integers(0, 500), st.integers(-5, 600))
def test_the_largest_number_that_fits_is_found(upper: int, most: int) -> None:
    asked: list[int] = []

    def fits(number: int) -> bool:
        asked.append(number)
        return number <= most

    expected = max((number for number in range(1, upper + 1) if number <= most), default=0)
    assert largest_fitting(upper, fits) == expected
    assert len(asked) <= 10


def test_a_refusal_says_what_is_needed_what_is_allowed_and_what_would_fit() -> None:
    planned = Plan(1_234_567, 512, 80, "exact", (Stage("vectors", 3 * 2**30 - RUNTIME_BYTES, 0, 1.0),))
    message = str(refusal(planned, 2**30, 7))
    assert message == (
        "1,234,567 faces of dimension 512 with k = 80 are expected to need 3.00 GiB, and 1.00 GiB are "
        "allowed: 7 faces would fit."
    )
    assert str(refusal(planned, 2**30, 0)).endswith("nothing would fit, so allow more.")


def settings_of(family: Family, *steps: Step, **changes: Any) -> ModelSettings:  # noqa: ANN401
    whole: dict[str, Any] = {
        "family": family,
        "dimension": 256,
        "k": 80,
        "networks": {name: {} for name in NETWORKS},
        "used": dict.fromkeys(steps, True),
    }
    return ModelSettings(**(whole | changes))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_a_model_takes_memory_and_disk_in_proportion_to_the_faces(family: Family, search: str) -> None:
    """Beyond what is worked on at a time."""
    model = settings_of(family, *STEPS, cluster_comparison=ClusterComparison())
    config = ClusterConfig.of(search=search)
    plans = [plan(n, 256, config, model=model) for n in (100_000, 200_000, 300_000)]
    peaks = [each.peak_bytes for each in plans]
    assert peaks[1] - peaks[0] == peaks[2] - peaks[1] > 0
    assert plans[1].disk_bytes == 2 * plans[0].disk_bytes > 0
    assert plans[2].disk_bytes == 3 * plans[0].disk_bytes
    if search == "approximate" and family == "structure":
        assert plans[2].seconds < 10 * plans[0].seconds, "never all pairs"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_refusal_with_a_model_names_faces_and_no_k(family: Family) -> None:
    model = settings_of(family, *STEPS)
    planned, config = plan(1_000_000, 256, model=model), ClusterConfig()
    limit = planned.in_files().peak_bytes // 2
    with pytest.raises(MemoryPlanError, match=r"allowed: [\d,]+ faces would fit\.$") as refused:
        fitted(planned, config, limit, model=model)
    n = int(str(refused.value).split("allowed: ")[1].split(" ")[0].replace(",", ""))
    needed = [plan(faces, 256, model=model).in_files().peak_bytes for faces in (n, n + 1)]
    assert needed[0] <= limit < needed[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_brings_its_k_and_what_is_known_already_is_not_searched(family: Family) -> None:
    model = settings_of(family, "pairs", k=30)
    searched, given = plan(5000, 256, model=model), plan(5000, 256, model=model, given_k=30)
    assert (searched.k, searched.method) == (30, "exact")
    assert (given.k, given.method) == (30, "given")
    assert given.seconds < searched.seconds
    assert given.disk_bytes < searched.disk_bytes
    names = [stage.name for stage in searched.stages]
    assert names == ["model", "vectors", "neighbours", "near-copies", "pairs", "density graph"]


@pytest.mark.parametrize("family", FAMILIES)
def test_costs_of_a_family_grow_with_the_work(family: Family) -> None:
    costs = COSTS[family]
    for seconds in (costs.list_seconds, costs.edge_seconds):
        assert seconds(2000, 80, 256) == pytest.approx(2 * seconds(1000, 80, 256))
        assert seconds(1000, 80, 256) > 0
    assert costs.list_bytes(2000) >= costs.list_bytes(1000) >= 0
    assert costs.refining_seconds(2000, 80, 256) == pytest.approx(
        2 * costs.refining_seconds(1000, 80, 256)
    )
    assert costs.refining_bytes(2000, 80, 256) == 2 * costs.refining_bytes(1000, 80, 256) > 0
    assert costs.token_values(80, 256) > 0


def test_structure_hangs_on_the_lists_and_coordinates_on_the_vectors() -> None:
    structure, published = COSTS["structure"], COSTS["coordinates"]
    assert structure.list_seconds(1000, 80, 64) == structure.list_seconds(1000, 80, 512)
    assert structure.list_seconds(1000, 160, 64) == pytest.approx(
        2 * structure.list_seconds(1000, 80, 64)
    )
    assert published.list_seconds(1000, 80, 512) == pytest.approx(
        8 * published.list_seconds(1000, 80, 64)
    )
    assert published.refining_seconds(100, 80, 512) == pytest.approx(
        4 * published.refining_seconds(100, 80, 256)
    )
    assert (structure.width_factor, published.width_factor) == (1, 2)
    assert published.searches_anew
    assert not structure.searches_anew


KEPT: dict[str, tuple[dict[str, Any] | None, ClusterConfig]] = {
    "rules": (None, ClusterConfig()),
    "rules with short lists": (None, ClusterConfig(k=20)),
    "structure": (STRUCTURE, ClusterConfig()),
    "coordinates": (FAMILIES["coordinates"], ClusterConfig()),
    "pairs alone": (STRUCTURE | {"used": {"pairs": True}}, ClusterConfig()),
    "no refinement": (STRUCTURE | {"used": {"pairs": True, "connect": True}}, ClusterConfig()),
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_a_run_keeps_is_what_was_planned(kind: str, tmp_path: Path) -> None:
    """Never less than nine tenths of it are planned, and not twice as much."""
    settings, config = KEPT[kind]
    model = None if settings is None else make_model(settings)
    X = generate(600, "wild", dimension=D, seed=0).embeddings
    nsrfc.cluster(X, model, config, run=Run(device="cpu", cache=tmp_path))
    planned = plan(600, D, config, model=None if model is None else model.settings)
    assert planned.k == (config.k or 80 if model is None else K)
    found = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 0.9 * found <= planned.disk_bytes <= 2 * found


@pytest.mark.parametrize("copies", [False, True])
def test_neighbours_that_are_given_are_searched_again_only_beside_near_copies(
    tmp_path: Path, *, copies: bool
) -> None:
    model = make_model(STRUCTURE, used={"pairs": True})
    X = np.random.default_rng(0).normal(size=(600, D)).astype(np.float32)
    X[:300] = X[300:] + 0.01 * X[:300] if copies else X[:300]
    X = normalize(X)
    nsrfc.cluster(X, model, graph=build_neighbor_graph(X, K), run=Run(device="cpu", cache=tmp_path))
    found = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 0.9 * found <= plan(600, D, model=model.settings, given_k=K).disk_bytes
    assert bool(list(tmp_path.glob("neighbours-*"))) == copies
