"""The real command, killed while each network learns, ends as if nothing had happened.

Starting it takes seconds, so one run of it shows all there is to show.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import nsrfc
from nsrfc.errors import InputError
from nsrfc.synthetic import generate
from nsrfc.training.config import TrainingConfig

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
    faces = generate(400, "wild", dimension=12, seed=0)
    np.savez(tmp_path / "faces.npz", embeddings=faces.embeddings, identities=faces.identities)
    (tmp_path / "tiny.yaml").write_text(SETTINGS)
    return tmp_path


def test_stopped_in_every_network_it_ends_with_the_same_weights(folder: Path) -> None:
    finish(start(*TRAIN, "whole", folder=folder))
    stopped = folder / "stopped"
    checkpoints = stopped / ".training"
    for network in ("cgcn", "cgcn-second", "pairs", "lcenet", "pcenet"):
        process = start(*TRAIN, "stopped", folder=folder)
        while not (checkpoints / f"{network}.safetensors").exists():
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.002)
        interrupted = network == "cgcn-second"
        process.send_signal(signal.SIGINT if interrupted else signal.SIGKILL)
        _, shown = process.communicate()
        assert process.returncode == (130 if interrupted else -signal.SIGKILL)
        assert ("Interrupted." in shown) == interrupted
        assert [path.name for path in stopped.iterdir() if path.is_file()] == []

    faces = np.load(folder / "faces.npz", allow_pickle=False)
    other = TrainingConfig.load("default", folder / "tiny.yaml", {"seed": 9})
    with pytest.raises(InputError, match="holds an unfinished training that differs in config"):
        nsrfc.train(faces["embeddings"], faces["identities"], other, stopped, device="cpu")

    finish(start(*TRAIN, "stopped", folder=folder))
    assert not checkpoints.exists()
    weights, again = (load_file(place / "model.safetensors") for place in (folder / "whole", stopped))
    assert weights.keys() == again.keys()
    assert len(weights) > 50
    for name, value in weights.items():
        assert value.equal(again[name]), name
