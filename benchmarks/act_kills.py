"""Kill a process that works on a library at random moments, and count what was lost.

    python -m benchmarks.act_kills --kills 50

The process names, merges, splits, undoes, adds faces and clusters anew, and says what has been done;
after a random time it is killed (SIGKILL). The library must open, hold everything that was said to be
done, and be sound (`Library.check`); the next process must be able to go on. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from nsrfc import Library
from nsrfc.errors import InputError
from nsrfc.synthetic import generate

__all__ = ["kill_once", "new_library"]

FACES, DIMENSION = 300, 32


def new_library(folder: Path) -> Library:
    """Make a library that processes work on."""
    library = Library.create(folder)
    library.add(generate(FACES, "wild", dimension=DIMENSION, seed=0).embeddings)
    library.cluster(None)
    return library


def kill_once(folder: Path, seed: int) -> list[str]:
    """Let a process work on a library, kill it, and return what is wrong afterwards."""
    wait = np.random.default_rng(seed).uniform(0, 3)
    command = [
        sys.executable,
        "-m",
        "benchmarks.act_kills",
        "--work",
        str(folder),
        "--seed",
        str(seed),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        done = [line.split() for line in process.stdout.read().splitlines()]
    library = Library.open(folder)
    wrong = [problem.what for problem in library.check()]
    known = {str(entry.number) for entry in library.history()}
    wrong += [f"act {what} is lost" for kind, what in done if kind == "act" and what not in known]
    faces = max((int(what) for kind, what in done if kind == "faces"), default=0)
    if len(library.faces) < faces:
        wrong.append(f"{faces - len(library.faces)} faces are lost")
    if len(library.clusters) != len(library.faces):
        wrong.append("clusters are not those of the faces")
    return wrong


def work(folder: Path, seed: int) -> None:
    """Say things, add faces and cluster anew, until killed."""
    rng, library = np.random.default_rng(seed), Library.open(folder)
    library.groups()
    print("ready", flush=True)
    while True:
        kind = rng.choice(
            ["name", "merge", "split", "undo", "add", "cluster"], p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1]
        )
        groups = library.groups()
        one, other = (groups[number] for number in rng.choice(len(groups), 2, replace=False))
        try:
            if kind == "name":
                library.name(one.id, f"person {rng.integers(10**9)}")
            elif kind == "merge":
                library.merge(one.id, other.id)
            elif kind == "split":
                library.split(one.id, one.faces[:1])
            elif kind == "undo":
                library.undo()
            elif kind == "add":
                ids = library.add(rng.standard_normal((3, DIMENSION)))
                print("faces", ids[-1] + 1, flush=True)
            else:
                library.cluster(None)
        except InputError:
            continue  # it contradicts what was said before
        if kind not in ("add", "cluster"):
            print("act", library.history()[-1].number, flush=True)


def main() -> None:
    """Run the benchmark, or the process that is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(given.work, given.seed)
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "library"
        new_library(folder)
        for seed in range(given.seed, given.seed + given.kills):
            found = kill_once(folder, seed)
            wrong += found
            print(f"kill {seed}: {'; '.join(found) or 'nothing lost'}", flush=True)
        library = Library.open(folder)
        library.cluster(None)
        print(f"{given.kills} kills, {len(wrong)} faults; {len(library.history()):,} acts, all kept")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
