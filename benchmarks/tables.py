"""Tables in markdown of what ``python -m benchmarks --json`` wrote, and of records of single runs."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nsrfc.cli.options import NO_MODEL

from .machine import Rates
from .work import Work

__all__ = [
    "OURS",
    "STAGED",
    "STEPS",
    "TITLES",
    "Record",
    "Series",
    "growth",
    "line",
    "machine",
    "methods",
    "number",
    "plans",
    "run_record",
    "series",
    "shared_pass",
    "sizes",
    "stages",
]

LEAST = 0.0001
"""What is smaller is written as such."""

MODEL = "universal"
"""What ``nsrfc cluster`` takes if it is given no model."""

Record = dict[str, Any]
Series = dict[str, dict[int, float]]
"""Seconds of a stage or method by the number of faces."""

OURS = "nsrfc"
STEPS = "steps"
TITLES = {
    OURS: "**nsrfc, label-free**",
    "default": "nsrfc, model of the preset `default`",
    "paper": "nsrfc, model of the preset `paper`",
    "subgraphs": "C-GCN alone, on subgraphs of 801 faces",
    "DBSCAN": "DBSCAN (scikit-learn)",
    "HDBSCAN": "HDBSCAN (scikit-learn)",
    "fast_hdbscan": "fast_hdbscan, by default",
    "fast_hdbscan, leaf": "fast_hdbscan, leaves",
    "fast_hdbscan, given": "fast_hdbscan, leaves, same neighbours",
    "Infomap": "Infomap",
    "HAC": "average linkage (scipy)",
}
"""Of the methods that cluster faces, or stand for a part of one that does."""

STAGED = {OURS: "label-free", STEPS: "steps", "default": "`default`", "paper": "`paper`"}
"""Of the methods whose stages are shown."""


def machine(record: Record) -> str:
    """Say where and on what was measured, in a paragraph."""
    about, versions = record["machine"], record["versions"]
    rates = Rates(**about["rates"])
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['memory_bytes'] / 2**30:.0f} GiB of "
        f"memory, {about['system']}; {libraries}. Best rates of this machine in the same run: "
        f"{rates.multiplied / 1e9:.0f} GFLOP/s of a matrix product in float32, "
        f"{rates.copied / 1e9:.1f} GB/s read and written by a copy.\n\n"
        f"Faces are generated: preset `{record['preset']}`, {record['dimension']} dimensions, seed "
        f"{record['seed']}. Limit of a run: {record['limit']:,.0f} s."
    )


def line(entry: Record) -> str:
    """Say in a line how a run went."""
    how = entry.get("note") or f"{number(entry['seconds'])} s, {_mebibytes(entry['peak_bytes'])} MiB"
    return f"{entry['faces']:,} faces, {entry['method']}: {how}"


def sizes(record: Record) -> list[int]:
    """Return the numbers of faces, ascending."""
    return sorted({entry["faces"] for entry in record["runs"]})


def methods(record: Record, n: int) -> str:
    """Every method at one size."""
    runs = [entry for entry in _at(record, n) if entry["method"] in TITLES]
    ours = next((entry.get("seconds") for entry in runs if entry["method"] == OURS), None)
    head = ["", "setting", "s", "processor s", "peak, MiB", "F_P", "F_B", "times nsrfc"]
    rows = []
    for entry in runs:
        setting = record["settings"].get(entry["method"], "")
        if "note" in entry:
            rows.append([TITLES[entry["method"]], setting, entry["note"], *[""] * 5])
            continue
        if entry["sample"]:
            setting = f"{entry['sample']} faces, extrapolated"
        rows.append(
            [
                TITLES[entry["method"]],
                setting,
                number(entry["seconds"]),
                number(entry["processor_seconds"]),
                _mebibytes(entry["peak_bytes"]),
                _percent(entry["pairwise_f"]),
                _percent(entry["bcubed_f"]),
                number(entry["seconds"] / ours) if ours else "",
            ]
        )
    return table(head, rows, words=2)


def plans(record: Record) -> str:
    """Set what was planned beside what it took."""
    head = ["", "faces", "s", "planned, s", "loaded, MiB", "peak, MiB", "planned, MiB"]
    rows = [
        [
            TITLES[entry["method"]],
            f"{entry['faces']:,}",
            number(entry["seconds"]),
            number(entry["planned_seconds"]),
            _mebibytes(entry["before_bytes"]),
            _mebibytes(entry["peak_bytes"]),
            _mebibytes(entry["planned_bytes"]),
        ]
        for entry in record["runs"]
        if entry.get("planned_bytes") is not None
    ]
    return table(head, rows)


def stages(record: Record, n: int) -> str:
    """Every stage at one size, with its floor."""
    rates = Rates(**record["machine"]["rates"])
    head = [
        "", "stage", "s", "microseconds per face and core", "GFLOP", "GB", "floor, s",
        "floor, % of s", "floor of",
    ]  # fmt: skip
    rows = []
    for entry in _at(record, n):
        title = STAGED.get(entry["method"])
        shown = entry["stages"] | entry["parts"] if title and "note" not in entry else {}
        for name, stage in shown.items():
            cells = [
                str(title),
                name,
                number(stage["seconds"]),
                number(1e6 * stage["processor_seconds"] / n),
            ]
            rows.append(cells + (_floor(stage, rates) if stage["work"] else [""] * 5))
    return table(head, rows, words=2)


def shared_pass(record: Record, n: int) -> str | None:
    """Compare the two forms of the C-GCN; None where one was not run."""
    runs = {entry["method"]: entry for entry in _at(record, n) if "note" not in entry}
    if not runs.keys() >= {"paper", "subgraphs"}:
        return None
    shared = runs["paper"]["stages"]["refinement"]["seconds"] / n
    subgraph = runs["subgraphs"]["seconds"] / n
    return (
        f"C-GCN per face: {1e6 * shared:,.0f} microseconds in one pass over the graph, "
        f"{1e3 * subgraph:,.1f} milliseconds on subgraphs, {subgraph / shared:,.0f} times as long."
    )


def series(record: Record) -> Series:
    """Seconds of all methods, and of the stages of those that have some."""
    found: Series = {}
    for entry in record["runs"]:
        if "note" in entry:
            continue
        n, method = entry["faces"], entry["method"]
        if method in TITLES:
            found.setdefault(TITLES[method], {})[n] = entry["seconds"]
        if method in STAGED:
            for name, stage in entry["stages"].items():
                found.setdefault(f"{STAGED[method]}: {name}", {})[n] = stage["seconds"]
    return found


def growth(record: Record) -> str:
    """Slopes of log seconds over log faces, from each size to the next."""
    steps, every = list(pairwise(sizes(record))), series(record)
    if not steps:
        return "One size shows no growth."
    head = ["", *(f"{small:,} to {large:,}" for small, large in steps)]
    rows = [[name, *(_slope(seconds, *step) for step in steps)] for name, seconds in every.items()]
    return table(head, [row for row in rows if any(row[1:])])


def run_record(path: Path, record: Record) -> str:
    """Say how a run of ``nsrfc cluster`` went, from its ``run.json``."""
    planned, model = record["plan"], record["model"]
    seconds = dict(record["seconds"])
    whole = seconds.pop("total")
    found, peak = record["result"], record["peak_bytes"]
    rows = [[name, number(taken)] for name, taken in seconds.items()]
    rows += [["**all**", f"**{number(whole)}**"], ["planned", number(planned["seconds"])]]
    title = "label-free" if model is None else f"with the model {model}"
    return (
        f"### {planned['n']:,} faces, {title}\n\n"
        f"```sh\n{_command(path, record)}\n```\n\n"
        f"{table(['stage', 's'], rows)}\n\n"
        f"Peak memory {_mebibytes(peak)} MiB, {_mebibytes(planned['peak_bytes'])} MiB planned; "
        f"{planned['dimension']} dimensions, {planned['k']} neighbours, search {planned['method']}. "
        f"{found['people']:,} people, the largest with {found['largest']:,} faces, and "
        f"{found['singletons']:,} faces alone."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """Lay out a table whose first columns are words and whose others are numbers."""
    rules = ["---"] * words + ["---:"] * (len(head) - words)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rules, *rows))


def number(value: float) -> str:
    """Write a number in about three digits."""
    if 0 < value < LEAST:
        return f"< {LEAST}"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{min(4, max(0, digits))}f}"


def _at(record: Record, n: int) -> Iterator[Record]:
    return (entry for entry in record["runs"] if entry["faces"] == n)


def _floor(stage: Record, rates: Rates) -> list[str]:
    """Cells about the least work of a stage."""
    work = Work(**stage["work"])
    multiplying, moving = work.seconds(rates)
    floor = max(multiplying, moving)
    return [
        number(work.flop / 1e9),
        number(work.bytes / 1e9),
        number(floor),
        f"{100 * floor / stage['seconds']:,.1f}" if stage["seconds"] else "",
        "FLOP" if multiplying >= moving else "bytes",
    ]


def _slope(seconds: dict[int, float], small: int, large: int) -> str:
    if not (seconds.get(small) and seconds.get(large)):
        return ""
    return f"{math.log(seconds[large] / seconds[small]) / math.log(large / small):.2f}"


def _command(path: Path, record: Record) -> str:
    """Word the command that left a record."""
    config, model = record["config"], record["model"]
    words = ["nsrfc", "cluster", record["input"]["path"], "-o", str(path.parent)]
    for option, value, default in (
        ("--model", model or NO_MODEL, MODEL),
        ("--threshold", config["threshold"], None),
        ("--tau", config["tau"], None),
        ("--precision", config["precision"], None),
        ("--k", config["k"], None),
        ("--search", config["search"], "auto"),
        ("--min-cluster-size", config["min_cluster_size"], 1),
        ("--seed", config["seed"], 0),
        ("--knn", record["knn"], None),
        ("--index", record["index"], None),
    ):
        words += [] if value == default else [option, str(value)]
    return shlex.join(words)


def _mebibytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
