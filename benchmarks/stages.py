"""Print seconds per stage and the peak memory of clustering generated faces, as markdown.

    python -m benchmarks.stages [--faces COUNT ...] [--json FILE]

Each size runs in a process of its own, which first clusters a few faces, so that no compilation is
counted. "Others" is what stands outside the stages, "before" the peak of the process when the faces
were generated: where the peak is no higher, clustering took less. "Planned" is what ``nsrfc plan`` says.
Where other work shares the cores, look at the processor seconds, all cores together.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from nsrfc.data.synthetic import generate
from nsrfc.pipeline import cluster
from nsrfc.plan import peak_memory, plan
from nsrfc.progress import Progress
from nsrfc.report.run import versions, write_json

FACES = (13_000, 100_000)
PRESET, DIMENSION = "wild", 256
WARM_UP_FACES = 1_000


@dataclass(frozen=True)
class Measured:
    """A run: wall-clock seconds of stages and all, seconds of all cores, bytes (None where not told)."""

    faces: int
    stages: dict[str, float]
    seconds: float
    processor_seconds: float
    planned_seconds: float
    before_bytes: int | None
    peak_bytes: int | None
    planned_bytes: int


def measure(n: int) -> Measured:
    """Cluster ``n`` generated faces in this process."""
    X = generate(n, PRESET, dimension=DIMENSION, seed=0).embeddings
    cluster(X[:WARM_UP_FACES].copy())
    before = peak_memory()
    progress = Progress()
    started, processor_started = time.perf_counter(), time.process_time()
    cluster(X, progress=progress)
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - processor_started
    planned = plan(n, DIMENSION)
    return Measured(
        faces=n,
        stages=progress.seconds,
        seconds=seconds,
        processor_seconds=processor_seconds,
        planned_seconds=planned.seconds,
        before_bytes=before,
        peak_bytes=peak_memory(),
        planned_bytes=planned.peak_bytes,
    )


def in_own_process(n: int) -> Measured:
    """Measure in a new process, whose peak memory is that of this run."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, n).result()


def table(runs: list[Measured]) -> str:
    """Lay out the runs, one a column."""
    stages = dict.fromkeys(name for run in runs for name in run.stages)
    totals: dict[str, Callable[[Measured], str]] = {
        "others, s": lambda run: f"{run.seconds - sum(run.stages.values()):.2f}",
        "**all, s**": lambda run: f"**{run.seconds:.2f}**",
        "all, processor s": lambda run: f"{run.processor_seconds:.2f}",
        "planned, s": lambda run: f"{run.planned_seconds:.2f}",
        "before, MiB": lambda run: mebibytes(run.before_bytes),
        "**peak, MiB**": lambda run: f"**{mebibytes(run.peak_bytes)}**",
        "planned, MiB": lambda run: mebibytes(run.planned_bytes),
    }
    lines = [["faces", *(f"{run.faces:,}" for run in runs)], ["---", *["---:"] * len(runs)]]
    lines += [[f"{name}, s", *(f"{run.stages.get(name, 0.0):.2f}" for run in runs)] for name in stages]
    lines += [[name, *map(value, runs)] for name, value in totals.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def mebibytes(count: int | None) -> str:
    """Write an amount of memory."""
    return "?" if count is None else f"{count / 2**20:,.0f}"


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--faces", nargs="+", type=int, default=FACES, metavar="COUNT", help="sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    runs = [in_own_process(n) for n in arguments.faces]
    print(f'Preset "{PRESET}", dimension {DIMENSION}, {os.cpu_count()} cores\n\n{table(runs)}')
    if arguments.json:
        record = {
            "versions": versions(),
            "cores": os.cpu_count(),
            "preset": PRESET,
            "dimension": DIMENSION,
            "runs": [asdict(run) for run in runs],
        }
        write_json(arguments.json, record)


if __name__ == "__main__":
    main()
