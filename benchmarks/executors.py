"""What sharing a run costs: the same faces in shards by one process, several, Ray, and a job array.

    python -m benchmarks.executors [--faces COUNT] [--shards COUNT] [--workers COUNT] [--json FILE]

Every run is a command of its own; what the file already holds is not run again. Time of processors is
that of the command and of all its workers; the system does not add up those of Ray. Written are the
files of stages. "Ready" is what the command takes with 100 faces: start, and for Ray its own start.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.runs import LABELS, write_json
from nsrfc.synthetic import generate

__all__ = ["Figures", "main"]

FEW = 100


@dataclass(frozen=True)
class Figures:
    """What a run took.

    Attributes
    ----------
    what : str
    seconds, processor_seconds, ready_seconds : float
        By the clock, of all processors, and with hardly any faces.
    stage_bytes : int
        Files of stages.
    labels : str
        Fingerprint of the labels.
    """

    what: str
    seconds: float
    processor_seconds: float
    ready_seconds: float
    stage_bytes: int
    labels: str


def executors(workers: int) -> dict[str, list[list[str]]]:
    """Return the options of every way, one list for each process."""
    return {
        "one process": [[]],
        f"local, {workers} workers": [["--workers", f"{workers}"]],
        f"ray, {workers} workers": [["--executor", "ray", "--workers", f"{workers}"]],
        f"array of {workers}": [["--shard", f"{part}/{workers}"] for part in range(workers)],
    }


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.executors",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--faces", type=int, default=2_000_000, metavar="COUNT")
    parser.add_argument("--dimension", type=int, default=256, metavar="COUNT")
    parser.add_argument("--shards", type=int, default=16, metavar="COUNT")
    parser.add_argument("--workers", type=int, default=2, metavar="COUNT")
    parser.add_argument("--model", default="none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures of these runs")
    arguments = parser.parse_args()
    asked = {name: value for name, value in vars(arguments).items() if name != "json"}
    done = _read(arguments.json, asked)
    with tempfile.TemporaryDirectory() as place:
        few, all_faces = Path(place) / "few", Path(place) / "faces"
        _write(few, FEW, arguments.dimension, 1)
        if len(done) < len(executors(arguments.workers)):
            _write(all_faces, arguments.faces, arguments.dimension, arguments.shards)
        for what, options in executors(arguments.workers).items():
            if what in done:
                continue
            _, ready, _ = _run(few, options, arguments.model)
            labels, seconds, stage_bytes = _run(all_faces, options, arguments.model)
            done[what] = Figures(what, *seconds, ready[0], stage_bytes, labels)
            if arguments.json:
                write_json(
                    arguments.json, {"asked": asked, "runs": [asdict(each) for each in done.values()]}
                )
    _print(list(done.values()))


def _read(file: Path | None, asked: Mapping[str, object]) -> dict[str, Figures]:
    if file is None or not file.exists():
        return {}
    held = json.loads(file.read_text(encoding="utf-8"))
    if held["asked"] != asked:
        raise SystemExit(f"{file} holds figures of {held['asked']}: give another file.")
    return {run["what"]: Figures(**run) for run in held["runs"]}


def _write(folder: Path, n: int, dimension: int, shards: int) -> None:
    folder.mkdir()
    faces = generate(n, "ms1m", dimension=dimension, seed=0).embeddings
    for number, part in enumerate(np.array_split(faces, shards)):
        np.save(folder / f"img_emb_{number}.npy", part)


def _run(
    faces: Path, options: Sequence[Sequence[str]], model: str
) -> tuple[str, tuple[float, float], int]:
    """Run the processes; return a fingerprint of the labels, seconds, and bytes of the stages."""
    with tempfile.TemporaryDirectory(dir=faces.parent) as place:
        output, kept = Path(place) / "people", Path(place) / "kept"
        words = [sys.executable, "-m", "nsrfc", "cluster", str(faces), "-m", model, "-o", str(output)]
        started, before = time.perf_counter(), _processor_seconds()
        with ThreadPoolExecutor(len(options)) as pool:
            list(pool.map(_command, [[*words, "--cache", str(kept), *own] for own in options]))
        seconds = time.perf_counter() - started, _processor_seconds() - before
        stage_bytes = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
        return fingerprint(np.load(output / LABELS)), seconds, stage_bytes


def _command(words: Sequence[str]) -> None:
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed: {done.stderr}")


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(runs: Sequence[Figures]) -> None:
    alone = runs[0]
    print("| run | s | processor s | of one process | ready, s | written, MiB | labels |")
    print("|---|---|---|---|---|---|---|")
    for run in runs:
        same = "the same" if run.labels == alone.labels else "OTHERS"
        print(
            f"| {run.what} | {run.seconds:.1f} | {run.processor_seconds:.1f} "
            f"| {100 * run.processor_seconds / alone.processor_seconds:.0f} % | {run.ready_seconds:.1f} "
            f"| {run.stage_bytes / 2**20:,.0f} | {same} |"
        )
    print(f"\n{os.cpu_count()} cores")


if __name__ == "__main__":
    main()
