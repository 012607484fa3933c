"""Arrays in scratch files hold what arrays in memory would, and leave nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.rowstore import Gathered, MemoryRows
from nsrfc.storage import scratch
from nsrfc.storage.scratch import ScratchRows, mapped_copy
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize


def test_an_array_is_filled_and_read_and_no_file_is_seen(tmp_path: Path) -> None:
    array = ScratchRows(tmp_path / "new").array("x", (1000, 3), np.float64)
    array[:] = np.arange(3000).reshape(1000, 3)
    assert isinstance(array, np.memmap)
    assert array[999].tolist() == [2997, 2998, 2999]
    if sys.platform != "win32":
        assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0)])
def test_nothing_needs_no_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert ScratchRows(tmp_path).array("x", shape).shape == shape


def test_rows_are_moved_as_in_memory(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((5000, 20)).astype(np.float32)
    rows = np.random.default_rng(1).permutation(5000)[:4321]
    moved = ScratchRows(tmp_path).moved(Gathered(vectors, rows))
    np.testing.assert_array_equal(moved, vectors[rows])
    np.testing.assert_array_equal(MemoryRows().moved(Gathered(vectors.copy(), rows)), moved)


def test_a_copy_is_mapped_once(tmp_path: Path) -> None:
    numbers = np.arange(3001, dtype=np.float32)
    copy = mapped_copy(numbers, tmp_path)
    np.testing.assert_array_equal(copy, numbers)
    assert isinstance(copy, np.memmap)
    assert mapped_copy(copy, tmp_path) is copy


def test_a_full_disk_is_reported_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, size: int) -> None:
        del descriptor, size
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "take_room", full)
    with pytest.raises(InputError, match="make room"):
        ScratchRows(tmp_path).array("x", (5,))


def scenes(n: int) -> npt.NDArray[np.float32]:
    """Faces with exact copies and near-copies."""
    X = generate(n, "wild", seed=3).embeddings
    noise = np.random.default_rng(4).standard_normal((60, X.shape[1])) * 0.002
    return np.concatenate((X, X[:40], X[100:160] + noise.astype(np.float32)))


@pytest.mark.parametrize("model", [None, "universal"])
@pytest.mark.parametrize("search", ["exact", "approximate"])
def test_labels_of_a_mapped_run_are_those_of_one_in_memory(
    tmp_path: Path, model: str | None, search: str
) -> None:
    if model is not None:
        pytest.importorskip("torch")
    X, config = scenes(1500), ClusterConfig.of(search=search)
    expected = nsrfc.cluster(X, model, config)
    found = nsrfc.cluster(X, model, config, run=Run(cache=tmp_path, mapped=True))
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    # Stages that were kept are those of any run.
    again = nsrfc.cluster(X, model, config, run=Run(cache=tmp_path))
    np.testing.assert_array_equal(again.labels, expected.labels)


def test_known_neighbors_do_for_a_mapped_run(tmp_path: Path) -> None:
    X = scenes(800)
    graph = build_neighbor_graph(normalize(X), 80)
    expected = nsrfc.cluster(X, None, graph=graph)
    found = nsrfc.cluster(X, None, graph=graph, run=Run(cache=tmp_path, mapped=True))
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_a_mapped_run_needs_a_folder() -> None:
    with pytest.raises(InputError, match="give a cache folder"):
        nsrfc.cluster(np.eye(4, dtype=np.float32), None, run=Run(mapped=True))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_vectors_and_lists_of_a_mapped_run_take_no_memory_of_their_own(tmp_path: Path) -> None:
    """Memory that is no page of a file, at its most, of runs of 30,000 faces in a process each."""
    np.save(tmp_path / "X.npy", generate(30_000, "wild", seed=5).embeddings)

    def most(mapped: bool) -> int:
        code = f"""
import threading, time
import numpy as np, nsrfc
from nsrfc.methods.base import Run
most = [0]
def watch():
    while True:
        with open("/proc/self/status") as status:
            held = next(line for line in status if line.startswith("RssAnon"))
        most[0] = max(most[0], int(held.split()[1]))
        time.sleep(0.005)
threading.Thread(target=watch, daemon=True).start()
X = np.load({str(tmp_path / "X.npy")!r}, mmap_mode="r")
nsrfc.cluster(X, None, run=Run(cache={str(tmp_path / str(mapped))!r}, mapped={mapped}))
print(most[0])
"""
        words: list[Any] = [sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
        return 1024 * int(done.stdout)

    vectors = 4 * 30_000 * 256
    assert most(mapped=True) < most(mapped=False) - vectors
