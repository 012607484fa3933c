"""What the machine can do at best: its rates of multiplying matrices and of copying memory.

No stage can be faster than its FLOPs over the one and its bytes over the other. All cores are used, and
the best of several tries counts, since other work can only make a try slower.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nsrfc.resources.machine import available_cores

__all__ = ["Rates", "best_seconds", "measure_machine"]

MATRIX = 1536
"""Rows of the matrices multiplied."""

COPIED_BYTES = 1 << 27
"""Four times the largest cache that is common."""

TRIES = 4


@dataclass(frozen=True)
class Rates:
    """What the machine does in a second at best.

    Attributes
    ----------
    multiplied : float
        FLOP of a matrix product in float32, a multiply-add counting two.
    copied : float
        Bytes read and bytes written of a copy, together.
    """

    multiplied: float
    copied: float


def measure_machine() -> Callable[[], dict[str, Any]]:
    """Prepare the measurement of this machine: a description and its :class:`Rates`."""
    return lambda: {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "rates": asdict(Rates(_matrix_rate(), _copy_rate())),
    }


def best_seconds(work: Callable[[], object], tries: int = TRIES) -> float:
    """Seconds of the fastest of several tries, after one that does not count."""
    work()
    seconds = []
    for _ in range(tries):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _matrix_rate() -> float:
    """FLOP per second of a matrix product of numpy in float32."""
    a = np.random.default_rng(0).random((MATRIX, MATRIX)).astype(np.float32)
    return 2 * MATRIX**3 / best_seconds(lambda: a @ a)


def _copy_rate() -> float:
    """Bytes per second, each core copying a part."""
    parts = available_cores()
    source = [np.ones(COPIED_BYTES // parts, np.uint8) for _ in range(parts)]
    target = [np.zeros_like(part) for part in source]
    with ThreadPoolExecutor(parts) as pool:
        seconds = best_seconds(lambda: list(pool.map(np.copyto, target, source)))
    return 2 * COPIED_BYTES / seconds


def _processor() -> str:
    """Name of the processor, as well as the system tells it."""
    names = Path("/proc/cpuinfo")
    if names.exists():
        for line in names.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
