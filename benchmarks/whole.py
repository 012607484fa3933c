"""Whole runs from the shell, with start, reading and writing, beside an earlier build and Infomap.

    python -m benchmarks.whole [--sizes COUNT ...] [--before PYTHON] [--json FILE]

PYTHON is the interpreter of an environment that holds the earlier build. Faces are generated. Every run
is a process of its own, and compiled code is cached by a run before. At the end the first run on a
machine, which compiles, is compared with the second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import evaluate
from nsrfc.research import baselines
from nsrfc.storage.runs import LABELS, write_json
from nsrfc.vectors import normalize

from .faces import FaceSet, generated
from .measure import process
from .rivals import COSINE

__all__ = ["Run", "command", "main"]

SIZES = 10_000, 50_000, 200_000

FEW = 1_000
"""Faces of the runs whose start counts most."""

K = 80

MODELS = "none", "universal"


@dataclass(frozen=True)
class Run:
    """What a process took.

    Attributes
    ----------
    what : str
    faces : int
    seconds, processor_seconds : float
        By the clock, and of all cores.
    peak_bytes : int
    pairwise_f, bcubed_f : float
    """

    what: str
    faces: int
    seconds: float
    processor_seconds: float
    peak_bytes: int
    pairwise_f: float
    bcubed_f: float


def command(
    what: str, words: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Run:
    """Run a command that clusters the faces of a folder and writes ``labels.npy`` into another.

    ``words`` are those before the file of faces and the folder of results.
    """
    faces = FaceSet.load(folder)
    with tempfile.TemporaryDirectory() as results:
        output = Path(results) / "run"
        taken = process([*words, str(folder / "X.npy"), "-o", str(output)], environment)
        scores = evaluate(faces.identities, np.load(output / LABELS, allow_pickle=False))
    return Run(
        what,
        len(faces.X),
        taken.seconds,
        taken.processor_seconds,
        taken.peak_bytes,
        scores.pairwise.f,
        scores.bcubed.f,
    )


def runs(sizes: Sequence[int], before: str | None) -> Iterator[Run]:
    """Run everything at every size, small sizes first."""
    builds = {"nsrfc": sys.executable, **({} if before is None else {"nsrfc before": before})}
    wanted = {
        f"{name}, model {model}": [python, "-m", "nsrfc", "cluster", "-m", model]
        for model in MODELS
        for name, python in builds.items()
    }
    wanted["Infomap"] = [sys.executable, "-m", "benchmarks.whole", "--infomap"]
    with generated(FEW) as folder:
        for what, words in wanted.items():
            command(what, words, folder)
    for n in sizes:
        with generated(n) as folder:
            for what, words in wanted.items():
                yield command(what, words, folder)
    with generated(FEW) as folder:
        for model in MODELS:
            words = wanted[f"nsrfc, model {model}"]
            with tempfile.TemporaryDirectory() as compiled:
                for turn in ("first", "second"):
                    what = f"{turn} run, model {model}"
                    yield command(what, words, folder, {"NUMBA_CACHE_DIR": compiled})


def infomap(file: Path, output: Path) -> None:
    """Cluster by Infomap on the neighbours that nsrfc finds; clusters are written as nsrfc does."""
    X = normalize(np.load(file, allow_pickle=False))
    graph = build_neighbor_graph(X, min(K, len(X)))
    output.mkdir()
    np.save(output / LABELS, baselines.infomap(graph, COSINE["Infomap"]), allow_pickle=False)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.whole",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="COUNT", help="faces")
    parser.add_argument("--before", metavar="PYTHON", help="interpreter with an earlier build")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--infomap", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.infomap:
        infomap(arguments.infomap, arguments.output)
        return
    print("| run | faces | s | processor s | peak, MiB | F_P | F_B |\n|---|---|---|---|---|---|---|")
    done = []
    for run in runs(arguments.sizes, arguments.before):
        done.append(run)
        print(
            f"| {run.what} | {run.faces:,} | {run.seconds:.1f} | {run.processor_seconds:.1f} "
            f"| {run.peak_bytes / 2**20:,.0f} | {100 * run.pairwise_f:.1f} | {100 * run.bcubed_f:.1f} |",
            flush=True,
        )
        if arguments.json:
            write_json(arguments.json, {"runs": [asdict(each) for each in done]})


if __name__ == "__main__":
    main()
