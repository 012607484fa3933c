"""Training on two processes gives what one gives, but for rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.kills import SETTINGS
from nsrfc.synthetic import generate

TOLERANCE = 0.02
"""Of F on validation identities, in 0..1: sums of gradients are rounded otherwise, and training goes on
from there."""


def trained(folder: Path, output: str, *launcher: str) -> dict[str, Any]:
    words = ["nsrfc", "train", "faces.npz", "faces.npz", "-o", output, "--config", "tiny.yaml", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun needs gloo's sockets")
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    faces = generate(400, "wild", dimension=12, seed=0)
    np.savez(tmp_path / "faces.npz", embeddings=faces.embeddings, identity=faces.identities)
    (tmp_path / "tiny.yaml").write_text(SETTINGS)
    alone = trained(tmp_path, "alone")
    launcher = "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"
    both = trained(tmp_path, "both", *launcher)
    assert both["validation"].keys() == alone["validation"].keys()
    for step, quality in alone["validation"].items():
        assert both["validation"][step] == pytest.approx(quality, abs=TOLERANCE), step
    names = [sorted(path.name for path in (tmp_path / each).iterdir()) for each in ("alone", "both")]
    assert names[0] == names[1]
    for one, other in zip(*(curves(tmp_path / each) for each in ("alone", "both")), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=TOLERANCE)


def curves(model: Path) -> list[dict[str, float]]:
    record = json.loads((model / "training.json").read_text())
    return [epoch for curve in record["curves"].values() for epoch in curve]
