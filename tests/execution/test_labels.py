"""Labels are the same to the last bit wherever tasks run, and whatever happened on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.chunks import STEP
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.execution.base import Executor
from nsrfc.execution.local import LocalExecutor
from nsrfc.execution.shards import ShardExecutor
from nsrfc.execution.work import Work
from nsrfc.knn import cells
from nsrfc.methods.base import Run
from nsrfc.model.bundle import NSRFC
from nsrfc.pipeline import cluster
from nsrfc.records import Clustering
from nsrfc.synthetic import generate

from ..models import PUBLISHED, STRUCTURE, D, make_model

N = 2 * STEP + 200
"""Faces enough for three blocks."""

MODELS: dict[str, NSRFC | str | None] = {
    "rules": None,
    "shipped": "universal",
    "structure": make_model(STRUCTURE),
    "published": make_model(PUBLISHED),
}

STAGES = {
    "rules": {
        *("unit", "faces", "neighbours", "scenes", "folded"),
        *("scores", "whitened", "averaged", "density"),
    },
    "shipped": {"structure", "pairs"},
    "structure": {"lcenet"},
}
"""Stages with tasks for workers, of models those that the ones before do not have."""

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> Vectors:
    """Faces with copies, a scene of near-copies, and a bad row."""
    X = generate(N, "wild", dimension=D, seed=5).embeddings
    scene = X[:1] + np.random.default_rng(0).normal(0, 1e-3, (20, D)).astype(np.float32)
    return np.concatenate((X, X[:50], scene, np.zeros((1, D), np.float32)))


CONFIG = ClusterConfig(on_bad_rows="skip")


@pytest.fixture(scope="module")
def alone(faces: Vectors) -> dict[str, Clustering]:
    """What one process finds without files."""
    return {name: cluster(faces, model, CONFIG) for name, model in MODELS.items()}


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalExecutor]:
    """Three processes, which all tests share."""
    executor = LocalExecutor(3, threads=1)
    yield executor
    executor.close()


def assert_same(found: Clustering, expected: Clustering) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


class InOrder:
    """Runs tasks in this process, and notes how many; or ends it after so many."""

    part = None

    def __init__(self, most: float = np.inf) -> None:
        self.most, self.made = most, 0

    def run(self, work: Work, blocks: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Make the files of blocks."""
        for block in blocks:
            if self.made >= self.most:
                raise KeyboardInterrupt
            self.made += 1
            yield block, work.make(block)

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("name", MODELS)
def test_processes_find_what_one_finds(
    name: str, faces: Vectors, alone: dict[str, Clustering], workers: LocalExecutor, tmp_path: Path
) -> None:
    run = Run(cache=tmp_path, executor=workers)
    assert_same(cluster(faces, MODELS[name], CONFIG, run=run), alone[name])


@pytest.mark.parametrize("crowded", [cells.CROWDED, 2])
def test_an_approximate_search_is_shared_too(
    crowded: int,
    faces: Vectors,
    workers: LocalExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "CROWDED", crowded)
    config = ClusterConfig(on_bad_rows="skip", search="approximate")
    run = Run(cache=tmp_path, executor=workers)
    assert_same(cluster(faces, None, config, run=run), cluster(faces, None, config))


def test_processes_of_a_job_array_share_the_work(
    faces: Vectors, alone: dict[str, Clustering], tmp_path: Path
) -> None:
    def part(number: int) -> Clustering:
        run = Run(cache=tmp_path, executor=ShardExecutor(number, 4))
        return cluster(faces, None, CONFIG, run=run)

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(part, (0, 2)):
            assert_same(found, alone["rules"])
    made = [len(path.read_text().split()) for path in tmp_path.glob("*/manifest-[02].jsonl")]
    assert len(made) > 10, "both have made something, and the work of those that never came"


def test_who_comes_last_finds_everything_made(
    faces: Vectors, alone: dict[str, Clustering], tmp_path: Path
) -> None:
    for number in (1, 0):
        run = Run(cache=tmp_path, executor=ShardExecutor(number, 2))
        assert_same(cluster(faces, None, CONFIG, run=run), alone["rules"])
    of_last = list(tmp_path.glob("*/manifest-0.jsonl"))
    assert not of_last


@pytest.mark.parametrize("name", ["rules", "shipped"])
def test_an_interrupted_run_goes_on_with_what_is_missing(
    name: str, faces: Vectors, alone: dict[str, Clustering], tmp_path: Path
) -> None:
    whole = InOrder()
    assert_same(_found(faces, name, whole, tmp_path / "whole"), alone[name])
    for most in range(1, whole.made, 8):
        cut, rest = InOrder(most), InOrder()
        with pytest.raises(KeyboardInterrupt):
            _found(faces, name, cut, tmp_path / f"{most}")
        assert_same(_found(faces, name, rest, tmp_path / f"{most}"), alone[name])
        assert cut.made + rest.made == whole.made, "nothing is made twice"


def _found(faces: Vectors, name: str, executor: Executor, folder: Path) -> Clustering:
    return cluster(faces, MODELS[name], CONFIG, run=Run(cache=folder, executor=executor))


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(("name", "shifts"), [("rules", 3), ("shipped", 1), ("structure", 1)])
def test_damaged_files_are_noticed_and_made_again(
    name: str,
    shifts: int,
    faces: Vectors,
    alone: dict[str, Clustering],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _found(faces, name, InOrder(), tmp_path)
    # Scores of edges are kept once more, for other thresholds: their tasks are not asked again.
    paths = [path for path in sorted(tmp_path.glob("*/*.npy")) if path.parent.name[:5] != "edges"]
    made = {path: path.read_bytes() for path in paths}
    assert len(made) > 20
    for shift in range(shifts):
        for number, path in enumerate(made):
            (flip, cut_short, Path.unlink)[(number + shift) % 3](path)
        again = InOrder()
        assert_same(_found(faces, name, again, tmp_path), alone[name])
        assert {path: path.read_bytes() for path in made} == made
        assert again.made > 0
    assert "made again" in caplog.text


def test_only_what_is_damaged_is_made_again(
    faces: Vectors, alone: dict[str, Clustering], tmp_path: Path
) -> None:
    _found(faces, "rules", InOrder(), tmp_path)
    for path in tmp_path.glob("averaged-*/mean.npy"):
        flip(path)
    again = InOrder()
    assert_same(_found(faces, "rules", again, tmp_path), alone["rules"])
    assert again.made == 2, "the last block of both"


def test_a_damaged_file_of_a_block_is_made_again(
    faces: Vectors, alone: dict[str, Clustering], tmp_path: Path
) -> None:
    cut = InOrder(2)
    with pytest.raises(KeyboardInterrupt):
        _found(faces, "rules", cut, tmp_path)
    (first, second) = sorted(tmp_path.glob("*/*.rows"))
    first.write_bytes(first.read_bytes()[:-3])
    second.write_bytes(b"")
    assert_same(_found(faces, "rules", InOrder(), tmp_path), alone["rules"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
@pytest.mark.parametrize("name", STAGES)
def test_workers_that_are_killed_in_every_stage_are_replaced(
    name: str, faces: Vectors, alone: dict[str, Clustering], tmp_path: Path
) -> None:
    executor, killed = LocalExecutor(2, threads=1), set[str]()

    def kill() -> None:
        while not done.wait(0.005):
            for folder in tmp_path.glob("*-*"):
                stage, workers = folder.name.split("-")[0], multiprocessing.active_children()
                if stage in STAGES[name] - killed and workers:
                    killed.add(stage)
                    os.kill(workers[0].pid or 0, signal.SIGKILL)

    done = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert_same(_found(faces, name, executor, tmp_path), alone[name])
    finally:
        done.set()
        killer.join()
        executor.close()
    assert killed == STAGES[name]


PARENT = """
import multiprocessing, os, signal, sys, threading, time
from pathlib import Path
import numpy as np
from nsrfc.execution.local import LocalExecutor
from nsrfc.methods.base import Run
from nsrfc.pipeline import cluster

def end():
    while not list(Path(sys.argv[1]).glob(sys.argv[3])):
        time.sleep(0.005)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    threading.Thread(target=end).start()
    X = np.random.default_rng(0).standard_normal((3000, 16))
    model = None if sys.argv[2] == "none" else sys.argv[2]
    cluster(X, model, run=Run(cache=sys.argv[1], executor=LocalExecutor(2, threads=1)))
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(("model", "stage"), [(None, "scores"), ("universal", "pairs")])
def test_workers_end_with_a_killed_parent_and_their_work_is_kept(
    model: str | None, stage: str, tmp_path: Path
) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    words = tmp_path / "parent.py", tmp_path / "cache", model or "none", f"{stage}-*/*.rows"
    command: list[str | Path] = [sys.executable, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert done.returncode == -signal.SIGKILL
    workers = [Path(f"/proc/{process}/stat") for process in done.stdout.split()]
    assert len(workers) == 2
    until = time.monotonic() + 60
    while any(_lives(worker) for worker in workers):
        assert time.monotonic() < until, "a worker outlives its parent"
        time.sleep(0.05)
    X = np.random.default_rng(0).standard_normal((3000, 16))
    whole, rest = InOrder(), InOrder()
    for executor, folder in ((whole, "whole"), (rest, "cache")):
        found = cluster(X, model, run=Run(cache=tmp_path / folder, executor=executor))
        assert_same(found, cluster(X, model))
    assert rest.made < whole.made


def _lives(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_tasks_need_a_folder() -> None:
    with pytest.raises(InputError, match="cache"):
        _ = Run(executor=ShardExecutor(0, 2)).results


@pytest.mark.parametrize("text", ["", "3", "3/", "/3", "4/3", "-1/3", "1/0", "a/b", "1/2/3", "²/3"])
def test_what_is_no_part_of_an_array_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shard"):
        ShardExecutor.named(text)


def test_parts_are_counted_from_0_or_from_1() -> None:
    assert [ShardExecutor.named(f"{part}/4").part for part in range(1, 5)] == [1, 2, 3, 0]
    assert ShardExecutor.named("0/4").part == 0
