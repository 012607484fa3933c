"""Plans of shared runs: what they add up to, how they grow, and what a shared run really writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from nsrfc.cli import app
from nsrfc.execution.shards import ShardExecutor
from nsrfc.methods.base import Run
from nsrfc.model.bundle import load_model
from nsrfc.pipeline import cluster
from nsrfc.resources.clustering import plan
from nsrfc.resources.sharing import share
from nsrfc.synthetic import generate

from ..commands import run, run_json

MODELS = [None, "universal"]


@given(st.integers(1, 2**31 - 1), st.integers(1, 2048), st.integers(1, 1000))
def test_more_workers_take_less_time_and_the_same_files(n: int, dimension: int, workers: int) -> None:
    planned = plan(n, dimension)
    few, many = share(planned, workers, None), share(planned, 2 * workers, None)
    assert many.seconds <= few.seconds
    assert many.disk_bytes == few.disk_bytes
    assert many.seconds > 0
    for one, other in zip(few.stages, many.stages, strict=True):
        assert one.tasks == other.tasks
        assert (one.tasks == 0) == (one.written_bytes == 0)
    assert json.loads(json.dumps(few.as_dict()))["disk_bytes"] == few.disk_bytes


@pytest.mark.parametrize("model", MODELS)
def test_a_shared_run_writes_about_what_is_planned(model: str | None, tmp_path: Path) -> None:
    n, dimension = 3_000, 64
    faces = generate(n, "wild", dimension=dimension, seed=3).embeddings
    cluster(faces, model, run=Run(cache=tmp_path, executor=ShardExecutor(0, 1)))
    written = sum(path.stat().st_size for path in tmp_path.glob("*-*/*.npy"))
    settings = None if model is None else load_model(model).settings
    planned = share(plan(n, dimension, model=settings), 1, settings)
    assert 0.3 * planned.disk_bytes < written < planned.disk_bytes


def test_the_command_plans_a_billion_faces() -> None:
    arguments = "plan", "-n", "1e9", "--dimension", "512", "--executor", "ray", "--workers", "16"
    record = run_json(*arguments)
    assert record["n"] == 10**9
    assert "16 workers" in run(*arguments)
    assert "GPUs were not measured" in run(*arguments, "--gpus", "8")
    for number in ("1.5", "0", "1e10", "many"):
        found = CliRunner().invoke(app, ["plan", "-n", number, "--dimension", "512"])
        assert found.exit_code == 2
        assert "whole number" in found.stderr
