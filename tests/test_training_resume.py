"""The real command, killed while each network learns, ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

SETTINGS = """
k: 10
checkpoint_seconds: 0
keep_all: true
cgcn: {network: {hidden: 8}, loop: {epochs: 2, batch: 64}}
pairs: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 2, batch: 64}}
lcenet: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 2, batch: 64}}
pcenet: {network: {reach: 5, width: 8, heads: 2, hidden: 8}, loop: {epochs: 2, batch: 64}}
"""
TRAIN = ["train", "faces.npz", "faces.npz", "--config", "tiny.yaml", "--device", "cpu", "-o"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def start(*args: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nsrfc", *args],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generated = "generate -n 400 --preset wild --dimension 12 -o faces.npz"
    finish(start(*generated.split(), folder=tmp_path))
    (tmp_path / "tiny.yaml").write_text(SETTINGS)
    return tmp_path


def test_killed_in_every_network_it_ends_with_the_same_weights(folder: Path) -> None:
    finish(start(*TRAIN, "whole", folder=folder))
    checkpoints = folder / "killed" / ".training"
    for network in ("cgcn", "cgcn-second", "pairs", "lcenet", "pcenet"):
        process = start(*TRAIN, "killed", folder=folder)
        while not (checkpoints / f"{network}.safetensors").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert [path.name for path in (folder / "killed").iterdir() if path.is_file()] == []
    finish(start(*TRAIN, "killed", folder=folder))
    assert not checkpoints.exists()
    whole, killed = (load_file(folder / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert len(whole) > 50
    for name, value in whole.items():
        assert value.equal(killed[name]), name


def test_another_training_does_not_go_on_with_these_checkpoints(folder: Path) -> None:
    process = start(*TRAIN, "model", folder=folder)
    while not (folder / "model" / ".training" / "cgcn.safetensors").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate()
    assert process.returncode == 130
    assert "Interrupted." in shown
    other = start(*TRAIN, "model", "--seed", "9", folder=folder)
    _, shown = other.communicate()
    assert other.returncode == 2
    assert "holds an unfinished training that differs in config" in shown
