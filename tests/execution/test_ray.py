"""Tasks on a real Ray, started here with fewer CPUs than the machine may have."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.chunks import STEP
from nsrfc.errors import OptionalDependencyError
from nsrfc.execution.ray import RayExecutor
from nsrfc.methods.base import Run
from nsrfc.pipeline import cluster
from nsrfc.synthetic import generate

from ..commands import refused

if find_spec("ray") is None:
    pytest.skip("Ray is in the extra ray", allow_module_level=True)


@pytest.fixture(scope="module")
def executor() -> Iterator[RayExecutor]:
    found = RayExecutor(2)
    yield found
    found.close()


@pytest.fixture(scope="module")
def faces() -> npt.NDArray[np.float32]:
    return generate(2 * STEP + 200, "wild", dimension=32, seed=5).embeddings


@pytest.mark.parametrize("model", [None, "universal"])
def test_ray_finds_what_one_process_finds(
    model: str | None, faces: npt.NDArray[np.float32], executor: RayExecutor, tmp_path: Path
) -> None:
    found = cluster(faces, model, run=Run(cache=tmp_path, executor=executor))
    alone = cluster(faces, model)
    np.testing.assert_array_equal(found.labels, alone.labels)
    np.testing.assert_array_equal(found.confidence, alone.confidence)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are looked for in /proc")
def test_a_killed_worker_of_ray_is_replaced(
    faces: npt.NDArray[np.float32], executor: RayExecutor, tmp_path: Path
) -> None:
    killed = threading.Event()

    def kill() -> None:
        while not killed.wait(0.005):
            workers = list(_at_work())
            if list(tmp_path.glob("pairs-*")) and workers:
                os.kill(workers[0], signal.SIGKILL)
                killed.set()

    threading.Thread(target=kill, daemon=True).start()
    found = cluster(faces, "universal", run=Run(cache=tmp_path, executor=executor))
    assert killed.is_set()
    np.testing.assert_array_equal(found.labels, cluster(faces, "universal").labels)


def _at_work() -> Iterator[int]:
    """Yield the workers that run a task of ours: Ray may be at work for others on this machine."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and b"ray::_run_block" in (process / "cmdline").read_bytes():
                number = int(process.name)
                if os.getpid() in _ancestors(number):
                    yield number
        except OSError:
            continue


def _ancestors(process: int) -> Iterator[int]:
    while process > 1:
        stat = Path(f"/proc/{process}/stat").read_text()
        process = int(stat.rpartition(")")[2].split()[1])
        yield process


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_refused(address: str, tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", np.eye(4, dtype=np.float32))
    arguments = "--executor", "ray", "--address", address
    assert address in refused("cluster", tmp_path / "faces.npy", "-o", tmp_path / "people", *arguments)
    assert not (tmp_path / "people").exists()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionalDependencyError, match=r"nsrfc\[ray\]"):
        RayExecutor(2)


def test_the_command_runs_on_a_cluster_and_leaves_it(
    faces: npt.NDArray[np.float32], executor: RayExecutor, tmp_path: Path
) -> None:
    import ray

    del executor
    np.save(tmp_path / "faces.npy", faces)
    address = ray.get_runtime_context().gcs_address
    assert address.startswith("127.0.0.1:"), "nobody beyond this machine reaches it"
    words = ["--model", "none", "--executor", "ray", "--address", address, "--workers", "2"]
    command = [sys.executable, "-m", "nsrfc", "cluster", "faces.npy", "-o", "people", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    labels = np.load(tmp_path / "people" / "labels.npy")
    np.testing.assert_array_equal(labels, cluster(faces, None).labels)
    assert ray.is_initialized()
