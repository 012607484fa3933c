"""Compiled code without a place to keep it; workers that were forked, spawned or are threads."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nsrfc
from nsrfc.synthetic import generate

TIMEOUT = 600
NOTICE = "Compiled code cannot be kept"


def python(*args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a session of its own, so that no worker outlives a test that hangs."""
    variables = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    process = subprocess.Popen(
        [sys.executable, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables | environment,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        pytest.fail(f"It hangs.\n{stdout}\n{stderr}")
    assert "Traceback" not in stderr, stderr
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def notices(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, done.stderr
    return done.stderr.count(NOTICE)


@pytest.mark.skipif(sys.platform == "win32", reason="a file can be in the way of no folder there")
def test_without_a_home_or_a_writable_installation(tmp_path: Path) -> None:
    package = tmp_path / "installed" / "nsrfc"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(nsrfc.__file__).parent, package, ignore=ignore)
    # Permissions do not bind root; a file where a folder should be does.
    for folder in {path.parent for path in package.rglob("*.py")}:
        (folder / "__pycache__").touch()
    homeless = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "PYTHONPATH": str(package.parent)}
    faces = tmp_path / "faces.npy"
    np.save(faces, generate(40, "wild", dimension=16, seed=0).embeddings)

    done = python("-m", "nsrfc", "knn", faces, "-o", tmp_path / "graph.npz", **homeless)
    assert notices(done) == 1
    line = next(line for line in done.stderr.splitlines() if NOTICE in line)
    assert "NUMBA_CACHE_DIR" in line
    assert "some seconds longer" in line
    assert (tmp_path / "graph.npz").exists()

    given = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    assert notices(python("-m", "nsrfc", "plan", faces, **homeless, **given)) == 0


PROGRAM = """
import sys
from nsrfc.runtime import compiled
if len(sys.argv) > 1:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
@compiled()
def f(x):
    return x + 1
@compiled()
def g(x):
    return x + 1
print(f(1), g(1))
"""


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[str], list[Path]]:
    return lambda kind: sorted((tmp_path / "kept").rglob(f"*.{kind}"))


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(tmp_path: Path) -> Run:
    """Run a program with two compiled functions; its disk takes files of so many bytes, if given."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return lambda *size: python(path, *size, NUMBA_CACHE_DIR=str(tmp_path / "kept"))


needs_limit = pytest.mark.skipif(sys.platform == "win32", reason="file sizes cannot be limited there")


@needs_limit
def test_a_full_disk_costs_time_only(program: Run, kept: Callable[[str], list[Path]]) -> None:
    # There is room for the index, but not for the code.
    done = program("5000")
    assert done.stdout.split() == ["2", "2"]
    assert notices(done) == 1
    assert not kept("nbc")
    done = program()
    assert done.stdout.split() == ["2", "2"]
    assert notices(done) == 0
    assert len(kept("nbc")) == 2


@needs_limit
def test_code_of_an_older_source_is_never_run(program: Run, tmp_path: Path) -> None:
    program()
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.replace("x + 1", "x + 5"), encoding="utf-8")
    # The index is replaced, and leads to the code that could not be.
    assert program("5000").stdout.split() == ["6", "6"]
    assert program().stdout.split() == ["6", "6"]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def emptied(data: bytes) -> bytes:
    return data[:0]


def altered(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 255 for byte in data[middle : middle + 40]) + data[middle + 40 :]


@pytest.mark.parametrize("damage", [cut, emptied, altered])
def test_damaged_files_are_made_anew(
    program: Run, kept: Callable[[str], list[Path]], damage: Callable[[bytes], bytes]
) -> None:
    program()
    files = kept("nbi")[0], kept("nbc")[1]
    damaged = [damage(path.read_bytes()) for path in files]
    for path, data in zip(files, damaged, strict=True):
        path.write_bytes(data)
    done = program()
    assert done.stdout.split() == ["2", "2"]
    assert notices(done) == 0
    assert all(path.read_bytes() != data for path, data in zip(files, damaged, strict=True))


WORKERS = """
import json, multiprocessing as mp, sys, threading
from concurrent.futures import ThreadPoolExecutor
from joblib import Parallel, delayed
import numpy as np
import nsrfc
from nsrfc.synthetic import generate

def work(known, X, new):
    return [
        labels
        for each in known
        for labels in (nsrfc.FaceClusterer(model=each.model).fit_predict(X), each.predict(new))
    ]

def inherited(*_):
    return work(KNOWN, X, NEW)

def in_a_thread(*args):
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work, *args).result()

def in_a_fork(*args):
    with mp.get_context("fork").Pool(1) as pool:
        return pool.apply(inherited)

def same(found):
    return all(map(np.array_equal, found, EXPECTED))

if __name__ == "__main__":
    models, ways = json.loads(sys.argv[1])
    faces = generate(240, "wild", seed=0).embeddings
    X, NEW = faces[:200], faces[200:]
    KNOWN = [nsrfc.FaceClusterer(model=model).fit(X) for model in models]
    EXPECTED = [labels for each in KNOWN for labels in (each.labels_, each.predict(NEW))]
    args, jobs = (KNOWN, X, NEW), {}
    for way in ways:
        if way in ("loky", "multiprocessing", "threading"):
            found = Parallel(n_jobs=2, backend=way)(delayed(work)(*args) for _ in range(2))
        elif way == "threads":
            with ThreadPoolExecutor(3) as threads:
                found = list(threads.map(lambda _: work(*args), range(3)))
        elif way == "fork":
            with mp.get_context(way).Pool(1) as pool:
                found = [pool.apply(job, args) for job in (work, inherited, in_a_thread)]
        elif way == "fork in a thread":
            with ThreadPoolExecutor(1) as threads:
                found = [threads.submit(in_a_fork).result()]
        else:
            with mp.get_context(way).Pool(1) as pool:
                found = [pool.apply(work, args)]
        print(way if all(map(same, found)) else way + " differs", flush=True)
"""

THREADS = ["threads", "threading"]
PROCESSES = ["fork", "fork in a thread", "multiprocessing", "spawn", "forkserver", "loky"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    models, ways = [None, "universal"], THREADS + PROCESSES
    program = tmp_path / "workers.py"
    program.write_text(WORKERS, encoding="utf-8")
    # With one thread in all, nothing could hang.
    several = {f"{name}_NUM_THREADS": "2" for name in ("OMP", "NUMBA", "MKL", "OPENBLAS")}
    done = python(program, json.dumps([models, ways]), **several)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ways
