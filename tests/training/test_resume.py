"""The real command, killed while networks learn and while results are put in place, loses nothing.

Starting it takes seconds, so that the places to kill it at are those where something else could be lost.
`python -m benchmarks.kills` draws many more.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nsrfc
from benchmarks.kills import SETTINGS, Kill, changes, train
from nsrfc.errors import InputError
from nsrfc.model.bundle import load_model
from nsrfc.synthetic import generate
from nsrfc.training.config import TrainingConfig

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="this system does not tell which folder a handle is of"
)

FILES = ["README.md", "config.json", "curves.png", "model.safetensors", "training.json"]


def well(output: Path, *options: str) -> None:
    done = train(output, *options)
    assert done.returncode == 0, done.stderr


def killed(output: Path, change: str, *options: str, number: int = 1) -> None:
    done = train(output, *options, kill=Kill(change, number))
    assert done.returncode == -signal.SIGKILL, done.stderr


def weights(output: Path) -> dict[str, str]:
    """Fingerprints of the networks of the model in a folder."""
    return {str(name): found for name, found in load_model(output).fingerprints().items()}


def names(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, settings, and the folder `whole` of a training that was not disturbed."""
    folder: Path = tmp_path_factory.mktemp("training")
    faces = generate(400, "wild", dimension=12, seed=0)
    np.savez(folder / "faces.npz", embeddings=faces.embeddings, identities=faces.identities)
    (folder / "tiny.yaml").write_text(f"{SETTINGS}\ncheckpoint_seconds: 0\n")
    well(folder / "whole")
    assert names(folder / "whole") == FILES
    return folder


def trained(folder: Path, output: Path, seed: int) -> Callable[[], object]:
    faces = np.load(folder / "faces.npz", allow_pickle=False)
    config = TrainingConfig.load("default", folder / "tiny.yaml", {"seed": seed})
    return lambda: nsrfc.train(
        faces["embeddings"], faces["identities"], config, output, only="cgcn", device="cpu"
    )


def test_killed_while_networks_learn_and_at_the_end_it_ends_with_the_same_weights(folder: Path) -> None:
    whole, output = folder / "whole", folder / "killed"
    rng = np.random.default_rng(0)
    for network in ("cgcn", "cgcn-second", "lcenet"):
        made = f"rename .training/{network}.safetensors"
        number = int(rng.integers(2, 8))
        killed(output, made, number=number)
        assert changes(output).count(made) == number - 1
        assert names(output) == [".output.lock", ".training"]
    with pytest.raises(InputError, match="holds an unfinished training that differs in config"):
        trained(folder, output, 9)()
    killed(output, "rename .incoming/part/training.json")
    assert names(output) == [".incoming", ".output.lock", ".training"], "curves wait for the model"
    # The record of the training is removed, its checkpoints are not.
    killed(output, r"remove \.training/[\w-]+\.safetensors")
    assert names(output) == [".output.lock", ".training", *FILES]
    assert len(list((output / ".training").glob("*.safetensors"))) == 5
    assert weights(output) == weights(whole)
    other = folder / "other"
    for place in (output, other):
        trained(folder, place, 9)()
        assert names(place) == FILES
    assert weights(output) == weights(other) != weights(whole)


def test_killed_while_it_replaces_a_model_the_folder_holds_the_old_or_the_new_one(folder: Path) -> None:
    whole, output = folder / "replaced", folder / "replacing"
    for place in (whole, output):
        shutil.copytree(folder / "whole", place)
    well(whole, "--only", "pairs")
    assert weights(whole).keys() == {"cgcn", "pairs"}
    killed(output, "rename .incoming/whole", "--only", "pairs")
    assert weights(output) == weights(folder / "whole")
    killed(output, "rename model.safetensors", "--only", "pairs")
    assert weights(output) == weights(whole)
    well(output, "--only", "pairs")
    assert weights(output) == weights(whole)
    assert names(output) == FILES
