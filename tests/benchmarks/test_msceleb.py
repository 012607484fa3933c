"""The table of the paper on generated faces, and where F is lost, on a few faces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import losses
from nsrfc.config import ClusterConfig
from nsrfc.methods.base import Run
from nsrfc.metrics import evaluate
from nsrfc.ms1m.files import read_part
from nsrfc.pipeline import cluster
from nsrfc.storage.runs import read_labels
from nsrfc.synthetic import generate

ROOT = Path(__file__).parents[2]


def benchmark(*args: str | Path, name: str = "msceleb", code: int = 0) -> tuple[str, str]:
    """Run a benchmark; return its output and its standard error."""
    words = [sys.executable, "-m", f"benchmarks.{name}", *map(str, args)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_a_table_is_made_once_and_printed_again(tmp_path: Path) -> None:
    asked = ["--preset", "wild", "--scale", "0.001", "--parts", "1", "--methods"]
    printed, said = benchmark(tmp_path, *asked, "rules", "DBSCAN")
    assert said.splitlines() == [f"part1_test: {step}" for step in ("faces", "lists", "rules", "DBSCAN")]
    part = read_part(tmp_path, "part1_test")
    assert len(part.vectors) == 584
    scores = evaluate(part.identities, read_labels(tmp_path / "rules" / "part1_test"))
    ours = f"{100 * scores.pairwise.f:.1f}/{100 * scores.bcubed.f:.1f}"
    assert f"| **rules** | {ours} |" in printed
    assert "| DBSCAN, published | 67.9/67.2 |" in printed
    kept = json.loads((tmp_path / "results" / "part1_test.rules.json").read_text())
    assert kept["pairwise"]["f"] == scores.pairwise.f
    assert kept["peak_bytes"] > 2**20
    assert json.loads((tmp_path / "results" / "part1_test.lists.json").read_text())["recall"] > 0.9

    again, said = benchmark(tmp_path, *asked, "rules", "DBSCAN", "K-Means")
    assert said.splitlines() == ["part1_test: K-Means"]
    assert "K-Means, here" in again
    assert benchmark(tmp_path, "--print")[0] == again
    assert "another preset or scale" in benchmark(tmp_path, "--scale", "0.5", code=2)[1]

    twin = ["--twin", str(tmp_path), "--seed", "1"]
    kept = ["--cache", str(tmp_path / "cache"), "--json", str(tmp_path / "losses.json")]
    stages, _ = benchmark(*twin, *kept, "--models", "none", name="losses")
    assert f"| impostors | {100 * scores.pairwise.f:.2f} | {100 * scores.bcubed.f:.2f} |" in stages
    rows = json.loads((tmp_path / "losses.json").read_text())["runs"][0]["rows"]
    assert rows["impostors"]["pairwise_f"] == scores.pairwise.f
    assert "--cache" in benchmark(*twin, name="losses", code=2)[1]


def test_what_failed_does_not_stop_the_others(tmp_path: Path) -> None:
    asked = ["--preset", "wild", "--scale", "0.001", "--parts", "1", "--methods"]
    benchmark(tmp_path, *asked, "DBSCAN")
    (tmp_path / "knns" / "part1_test" / "faiss_k_80.npz").write_bytes(b"damaged")
    printed, said = benchmark(tmp_path, *asked, "HDBSCAN", "Infomap")
    assert "HDBSCAN failed with 1" in said
    assert "| HDBSCAN | 584 | failed with 1 |" in printed
    assert said.splitlines()[-2] == "part1_test: Infomap"
    assert "DBSCAN, here" in printed


@pytest.mark.parametrize("model", ["none", "universal"])
def test_stages_end_with_the_answer_of_the_method(model: str) -> None:
    if model != "none":
        pytest.importorskip("torch")
    faces = generate(700, "wild", seed=1)
    found = dict(losses.stages(faces.embeddings, faces.identities, model, "approximate", Run()))
    edges = found.pop("edges")
    assert isinstance(edges, losses.Edges)
    assert edges.all >= edges.genuine >= edges.genuine_kept
    assert edges.kept >= edges.genuine_kept > 0
    labels = {name: one for name, one in found.items() if not isinstance(one, losses.Edges)}
    answer = cluster(
        faces.embeddings, None if model == "none" else model, ClusterConfig(search="approximate")
    )
    assert evaluate(answer.labels, labels["impostors"]).ari == 1
    for name in ("search", "refinement", "density graph"):
        assert evaluate(faces.identities, labels[name]).pairwise.precision == 1
    assert all(len(one) == 700 for one in labels.values())
    assert np.unique(labels["search"]).size < 700
