"""Seconds of each stage with a model on CUDA, in float32 and bfloat16, beside the chip's matrix rate.

    python -m benchmarks.gpu [--faces COUNT] [--presets NAME ...] [--json FILE]

Faces are generated, models have random weights, and neighbours are searched exactly, which multiplies in
float16 with either dtype. The share is that of the least FLOP of a stage, see
`benchmarks.network_work`, over its seconds and the rate of a large matrix product in the same numbers,
measured in the same run; whatever a stage does on the CPU is part of its seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.errors import InputError
from nsrfc.storage.runs import versions, write_json
from nsrfc.training.config import PRESETS

from . import tables
from .faces import FULL, generated
from .machine import best_seconds
from .processes import Failure, in_own_process
from .speed import learned

if TYPE_CHECKING:
    import torch

__all__ = ["compare", "describe_chip"]

DEVICE = "cuda"
DTYPES = ("float32", "bfloat16")

MATRIX = 8192
"""Rows of the matrices multiplied."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--faces", type=int, default=FULL, metavar="COUNT", help="generated faces")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS, metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    chip = in_own_process(describe_chip)
    if isinstance(chip, Failure):
        raise SystemExit(chip.note)
    record: dict[str, Any] = {"chip": chip, "versions": versions(), "runs": []}
    for entry in compare(arguments.faces, arguments.presets, DEVICE):
        print(tables.line(entry), flush=True)
        record["runs"].append(entry)
        if arguments.json:
            write_json(arguments.json, record)
    rates = ", ".join(f"{rate / 1e12:.1f} TFLOP/s in {dtype}" for dtype, rate in chip["rates"].items())
    print(f"\n{chip['name']}: {rates} of a matrix product\n\n{stages(record)}")


def describe_chip() -> Callable[[], dict[str, Any]]:
    """Prepare the measurement of the GPU: its name, and FLOP per second by dtype.

    Raises
    ------
    InputError
        If there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise InputError(
            "There is no CUDA here: run this on a machine with an NVIDIA GPU and a torch built for it."
        )
    return lambda: {
        "name": torch.cuda.get_device_name(),
        "rates": {dtype: _matrix_rate(getattr(torch, dtype)) for dtype in DTYPES},
    }


def compare(n: int, presets: Sequence[str], device: str) -> Iterator[dict[str, Any]]:
    """Run every preset with every dtype, each in a process of its own."""
    with generated(n) as folder:
        for preset in presets:
            for dtype in DTYPES:
                outcome = in_own_process(learned, folder, preset, device, dtype, "exact")
                yield {"method": f"{preset}, {dtype}", "dtype": dtype, "faces": n, **asdict(outcome)}


def stages(record: tables.Record) -> str:
    """Lay out all stages, with their share of the matrix rate."""
    rows = []
    for entry in record["runs"]:
        rate = record["chip"]["rates"][entry["dtype"]]
        for name, stage in entry.get("stages", {}).items():
            work = stage["work"]
            share = f"{100 * work['flop'] / rate / stage['seconds']:.1f}" if work else ""
            rows.append([entry["method"], name, tables.number(stage["seconds"]), share])
    return tables.table(["model", "stage", "s", "share of the matrix rate, %"], rows, words=2)


def _matrix_rate(dtype: torch.dtype) -> float:
    """FLOP per second of a large product."""
    import torch

    a = torch.randn(MATRIX, MATRIX, device=DEVICE, dtype=dtype)

    def multiply() -> None:
        a @ a
        torch.cuda.synchronize()

    return 2 * MATRIX**3 / best_seconds(multiply)


if __name__ == "__main__":
    main()
