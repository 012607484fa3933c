"""Two runs in one folder: the second is told, and nothing of the first is spoilt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc.errors import InputError
from nsrfc.methods.base import Run
from nsrfc.storage.locks import locked
from nsrfc.synthetic import generate


@pytest.fixture(scope="module")
def X() -> npt.NDArray[np.float32]:  # noqa: N802
    return generate(600, "wild", dimension=32, seed=0).embeddings


def test_a_folder_is_refused_while_another_process_works_there(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from nsrfc.storage.locks import locked
with locked(Path({str(tmp_path / "cache")!r}), "run"):
    print("locked", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    with pytest.raises(InputError, match="in use by another run"), locked(tmp_path / "cache", "run"):
        pass
    other.kill()
    other.communicate()
    with locked(tmp_path / "cache", "run"):
        assert (tmp_path / "cache").is_dir()


def test_nothing_is_left_of_a_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", "run"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b", "run"):
        (tmp_path / "a" / "b" / "result").touch()
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "b", "result"}


@pytest.mark.parametrize("model", [None, "universal"])
def test_a_second_run_is_refused_and_may_go_on_later(
    X: npt.NDArray[np.float32], model: str | None, tmp_path: Path
) -> None:
    def labels(cache: Path | None) -> npt.NDArray[np.int64]:
        return nsrfc.cluster(X, model, run=Run(cache=cache)).labels

    with locked(tmp_path / "cache", "run"), pytest.raises(InputError, match="give another folder"):
        labels(tmp_path / "cache")
    assert np.array_equal(labels(tmp_path / "cache"), labels(None))
    assert np.array_equal(labels(tmp_path / "cache"), labels(None))
