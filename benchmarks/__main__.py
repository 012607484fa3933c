"""Seconds, memory and scores of every stage and of the whole, beside what a user would pick instead.

    python -m benchmarks [--sizes COUNT ...] [--full] [--methods NAME ...] [--limit SECONDS]
                         [--json FILE] [--page [FILE]]

Faces are generated. Each size and method runs in a process of its own and is killed when the limit
passes, but for the label-free clusterer, to which all are compared; a method that fails with some faces
is not tried with more. Rates of the machine are measured first. Where other work shares the cores, look
at the processor seconds, all cores together.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from nsrfc.errors import NsrfcError
from nsrfc.report.picture import require_matplotlib
from nsrfc.storage.runs import versions, write_json

from . import page, rivals, speed, tables
from .faces import DIMENSION, FULL, PRESET, SEED, generated
from .machine import measure_machine
from .measure import Measurement
from .processes import Failure, in_own_process

SIZES = (1_000, 10_000, 50_000, 200_000)
LIMIT = 600.0

METHODS: dict[str, Callable[[Path], Callable[[], Measurement]]] = {
    tables.OURS: speed.label_free,
    tables.STEPS: speed.graph_steps,
    "default": partial(speed.learned, preset="default"),
    "paper": partial(speed.learned, preset="paper"),
    "subgraphs": speed.subgraph_form,
    "DBSCAN": rivals.dbscan,
    "HDBSCAN": rivals.hdbscan,
    "fast_hdbscan": rivals.fast_hdbscan,
    "fast_hdbscan, leaf": partial(rivals.fast_hdbscan, selection="leaf"),
    "fast_hdbscan, given": partial(rivals.fast_hdbscan, selection="leaf", given=True),
    "Infomap": rivals.infomap,
    "HAC": rivals.linkage,
}


def main() -> None:
    """Measure what is asked for."""
    arguments = parse()
    try:
        if arguments.page:
            require_matplotlib()
        measure(arguments)
    except NsrfcError as error:
        raise SystemExit(str(error)) from None


def measure(arguments: argparse.Namespace) -> None:
    """Run, print, and write."""
    sizes = sorted({*arguments.sizes, *([FULL] if arguments.full else [])})
    machine = in_own_process(measure_machine)
    if isinstance(machine, Failure):
        raise NsrfcError(f"The machine could not be measured: {machine.note}.")
    record: dict[str, Any] = {
        "machine": machine,
        "versions": versions(),
        "preset": PRESET,
        "dimension": DIMENSION,
        "seed": SEED,
        "limit": arguments.limit,
        "settings": rivals.SETTINGS,
        "runs": [],
    }
    print(f"{tables.machine(record)}\n", flush=True)
    for entry in entries(sizes, arguments.methods, arguments.limit):
        print(tables.line(entry), flush=True)
        record["runs"].append(entry)
        if arguments.json:
            # After every run, so that what was measured stays when a long benchmark is interrupted.
            write_json(arguments.json, record)
    for name, block in page.blocks(record).items():
        if name != "machine":
            print(f"\n## {name.capitalize()}\n\n{block}")
    if arguments.page:
        page.write(arguments.page, record)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, metavar="COUNT", help="faces")
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} faces as well")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME",
        help=f"of {', '.join(METHODS)}",
    )  # fmt: skip
    parser.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="of each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--page", nargs="?", type=Path, const=page.PAGE, metavar="FILE",
        help=f"put the tables into this page, {page.PAGE.name} of the documentation by default",
    )  # fmt: skip
    return parser.parse_args()


def entries(sizes: Sequence[int], methods: Sequence[str], limit: float) -> Iterator[dict[str, Any]]:
    """Measure every method at every size, small sizes first."""
    failed: dict[str, int] = {}
    for n in sizes:
        with generated(n) as folder:
            for name in methods:
                outcome: Measurement | Failure
                if name in failed:
                    outcome = Failure(f"not tried, see {failed[name]:,} faces")
                else:
                    own_limit = None if name == tables.OURS else limit
                    outcome = in_own_process(METHODS[name], folder, limit=own_limit)
                    if isinstance(outcome, Failure):
                        failed[name] = n
                yield {"method": name, "faces": n, **asdict(outcome)}


if __name__ == "__main__":
    main()
