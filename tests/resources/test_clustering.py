"""What a run is expected to take, and the refusal of one that would take too much."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError, MemoryPlanError
from nsrfc.knn.build import EXACT_LIMIT
from nsrfc.methods.base import Run
from nsrfc.pipeline import cluster
from nsrfc.resources.clustering import fitted, plan, plan_reranking, plan_search
from nsrfc.resources.machine import parse_bytes, peak_memory
from nsrfc.rowstore import Arrays
from nsrfc.storage.artifacts import Artifacts
from nsrfc.storage.embeddings import write_embeddings
from nsrfc.storage.scratch import ScratchRows
from nsrfc.synthetic import generate


def test_memory_grows_in_proportion_to_the_faces() -> None:
    at = [plan(n, 256).peak_bytes for n in (100_000, 200_000, 300_000)]
    assert at[1] - at[0] == at[2] - at[1] > 0


@pytest.mark.parametrize("given", [False, True])
def test_more_of_anything_takes_more_memory(given: bool) -> None:
    def peak(n: int, d: int, k: int) -> int:
        return plan(n, d, ClusterConfig(k=k), given_k=k if given else None).peak_bytes

    base = peak(50_000, 128, 40)
    assert peak(100_000, 128, 40) > base
    assert peak(50_000, 256, 40) > base
    assert peak(50_000, 128, 80) > base


def test_search_becomes_approximate_where_the_pipeline_makes_it_so() -> None:
    assert plan(EXACT_LIMIT, 256).method == "exact"
    assert plan(EXACT_LIMIT + 1, 256).method == "approximate"
    assert plan(EXACT_LIMIT + 1, 256, ClusterConfig(search="exact")).method == "exact"
    assert plan(10, 256, given_k=10).method == "given"


def test_k_is_clamped_to_the_faces() -> None:
    assert plan(7, 16).k == 7
    assert plan(7, 16) == plan(7, 16, ClusterConfig(k=7))


def test_a_given_graph_saves_time_and_a_search_alone_is_less_than_the_whole() -> None:
    whole = plan(50_000, 256)
    assert plan(50_000, 256, given_k=80).seconds < whole.seconds
    assert plan_search(50_000, 256).seconds < whole.seconds
    assert plan_search(50_000, 256).peak_bytes < whole.peak_bytes
    assert plan_reranking(50_000, 80).peak_bytes < whole.peak_bytes


def test_longer_lists_than_are_used_take_memory_while_they_are_read() -> None:
    exact, longer, longest = (plan(50_000, 32, given_k=k) for k in (80, 200, 800))
    assert exact.peak_bytes <= longer.peak_bytes < longest.peak_bytes
    held = [sum(stage.held_bytes for stage in each.stages) for each in (exact, longer, longest)]
    assert held[0] == held[1] == held[2], "what is left of them is what the rules use"
    shorter = plan(50_000, 32, given_k=20)
    assert sum(stage.held_bytes for stage in shorter.stages) < held[0]


@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_results_that_are_kept_take_disk_in_proportion_to_the_faces(search: str) -> None:
    config = ClusterConfig.of(search=search)
    small, large = (plan(n, 256, config) for n in (100_000, 200_000))
    assert large.disk_bytes == 2 * small.disk_bytes > 0
    assert small.as_dict()["disk_bytes"] == small.disk_bytes
    assert plan(100_000, 256, config, given_k=80).disk_bytes < small.disk_bytes, "no search is kept"


def test_a_run_that_does_not_fit_the_memory_has_its_arrays_in_files() -> None:
    config, planned = ClusterConfig(), plan(1_000_000, 256)
    chosen = fitted(planned, config, planned.peak_bytes - 1)
    assert chosen == planned.in_files()
    assert chosen.mapped
    assert chosen.peak_bytes < planned.peak_bytes / 2
    assert chosen.disk_bytes > planned.disk_bytes + planned.peak_bytes / 2
    assert chosen.as_dict()["mapped"] is True


def test_refusal_names_a_number_of_faces_that_fit() -> None:
    def needed(n: int) -> int:
        planned = plan(n, 256)
        return min(planned.peak_bytes, planned.in_files().peak_bytes)

    limit = parse_bytes("800MiB")
    with pytest.raises(MemoryPlanError) as refused:
        fitted(plan(1_000_000, 256), ClusterConfig(), limit)
    faces = re.search(r"allowed: ([\d,]+) faces would fit", str(refused.value)).groups()[0]  # type: ignore[union-attr]
    n = int(faces.replace(",", ""))
    assert needed(n) <= limit < needed(n + 1)


def test_refusal_says_when_nothing_fits() -> None:
    with pytest.raises(MemoryPlanError, match="nothing would fit"):
        fitted(plan(1000, 256), ClusterConfig(), parse_bytes("1MiB"))


def test_a_plan_within_the_limit_passes() -> None:
    planned = plan(1000, 256)
    assert fitted(planned, ClusterConfig(), planned.peak_bytes) == planned
    assert fitted(planned, ClusterConfig(), None) == planned


@pytest.mark.parametrize(("n", "d"), [(0, 3), (3, 0)])
def test_a_plan_of_nothing_is_refused(n: int, d: int) -> None:
    with pytest.raises(InputError, match="at least one face"):
        plan(n, d)


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
    from nsrfc.model.settings import ModelSettings

    def refinement(n: int, family: str, *, whiten: bool = False) -> float:
        steps = every_step | {"used": every_step["used"] | {"whiten": whiten}}
        model = ModelSettings(family=family, dimension=256, **steps)  # type: ignore[arg-type]
        stages = {stage.name: stage for stage in plan(n, 256, model=model).stages}
        return stages["refinement"].seconds

    assert refinement(100_000, "structure") == pytest.approx(2 * refinement(50_000, "structure"))
    white = [refinement(n, "structure", whiten=True) for n in (50_000, 100_000)]
    assert white[1] == pytest.approx(2 * white[0])
    assert refinement(100_000, "coordinates") > 2.1 * refinement(50_000, "coordinates"), "all pairs"


def test_comparing_clusters_takes_their_sums(every_step: dict[str, Any]) -> None:
    from nsrfc.model.settings import ClusterComparison, ModelSettings

    without, compared = (
        plan(
            50_000,
            256,
            model=ModelSettings(
                family="structure", dimension=None, cluster_comparison=comparison, **every_step
            ),
        )
        for comparison in (None, ClusterComparison())
    )
    assert compared.stages[:-1] == without.stages
    assert compared.stages[-1].name == "clusters"
    assert compared.stages[-1].work_bytes > 2 * 50_000 * 256
    assert compared.seconds > without.seconds


def test_every_network_keeps_its_results_on_disk(every_step: dict[str, Any]) -> None:
    from nsrfc.model.settings import ModelSettings

    model = ModelSettings(family="structure", dimension=None, **every_step)
    kept = {stage.name: stage.disk_bytes for stage in plan(50_000, 256, model=model).stages}
    assert kept["refinement"] >= 4 * 50_000 * 256, "the refined vectors"
    assert kept["pairs"] == kept["lcenet"] >= 4 * 50_000 * 80, "a probability of each neighbour"
    assert kept["neighbours"] >= 8 * 50_000 * 80
    assert kept["edges"] > 0
    assert kept["model"] == kept["density graph"] == 0


def test_what_a_run_keeps_on_disk_is_what_was_planned(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", generate(3000, "wild", dimension=64, seed=0).embeddings)
    command = [sys.executable, "-m", "nsrfc", "cluster", "faces.npy", "-o", "people", "--cache", "kept"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    planned = json.loads((tmp_path / "people" / "run.json").read_text())["plan"]["disk_bytes"]
    found = sum(path.stat().st_size for path in (tmp_path / "kept").rglob("*") if path.is_file())
    assert 0.8 * found <= planned <= 1.5 * found


class DiskUse:
    """The most bytes that mapped arrays and kept results take at any time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.mapped, self.most = folder, 0, 0
        make, keep = ScratchRows.array, Artifacts.keep

        def array(
            rows: ScratchRows, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
        ) -> npt.NDArray[Any]:
            made = make(rows, name, shape, dtype)
            if isinstance(made, np.memmap):
                self.add(made.nbytes)
                # The file is gone with its map.
                weakref.finalize(made.base, self.add, -made.nbytes)
            return made

        def keeping(results: Artifacts, stage: str, key: str, arrays: Arrays) -> None:
            keep(results, stage, key, arrays)
            self.add(0)

        monkeypatch.setattr(ScratchRows, "array", array)
        monkeypatch.setattr(Artifacts, "keep", keeping)

    def add(self, more: int) -> None:
        """Count bytes, and look at what is kept."""
        self.mapped += more
        kept = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        self.most = max(self.most, self.mapped + kept)


@pytest.mark.parametrize("model", [None, "universal"])
@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_arrays_in_files_take_no_more_disk_than_planned(
    model: str | None, search: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if model is not None:
        pytest.importorskip("torch")
    n, config = 6000, ClusterConfig.of(search=search)
    X, used = generate(n, "wild", dimension=256, seed=0).embeddings, DiskUse(tmp_path, monkeypatch)
    cluster(X, model, config, run=Run(cache=tmp_path, mapped=True))
    settings = None
    if model is not None:
        from nsrfc.model.bundle import load_model

        settings = load_model(model).settings
    planned = plan(n, 256, config, model=settings).in_files()
    assert used.most > 5 * X.nbytes
    assert used.most <= planned.disk_bytes


def run_of_two_threads(folder: Path, faces: str) -> dict[str, Any]:
    """Run the command with several threads, as users do: threads take memory. Return its record."""
    command = [sys.executable, "-m", "nsrfc", "cluster", faces, "--model", "none", "-o", "people"]
    threads = {f"{library}_NUM_THREADS": "2" for library in ("OMP", "OPENBLAS", "NUMBA")}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | threads)
    record: dict[str, Any] = json.loads((folder / "people" / "run.json").read_text())
    return record


def test_fifty_thousand_faces_take_no_more_memory_than_planned(tmp_path: Path) -> None:
    if peak_memory() is None:
        pytest.skip("this system does not tell the peak memory of a process")
    np.save(tmp_path / "faces.npy", generate(50_000, "wild", dimension=64, seed=0).embeddings)
    record = run_of_two_threads(tmp_path, "faces.npy")
    assert record["peak_bytes"] <= 1.2 * record["plan"]["peak_bytes"]


def test_a_table_takes_no_more_memory_than_planned(tmp_path: Path) -> None:
    """Its library and its lists stand beside the array that is made of them."""
    if peak_memory() is None:
        pytest.skip("this system does not tell the peak memory of a process")
    faces = generate(20_000, "wild", dimension=256, seed=0).embeddings
    ids = np.array([f"face {number}.jpg" for number in range(len(faces))])
    write_embeddings(tmp_path / "faces.parquet", faces, ids=ids)
    record = run_of_two_threads(tmp_path, "faces.parquet")
    assert record["peak_bytes"] <= record["plan"]["peak_bytes"]
