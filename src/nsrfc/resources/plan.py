"""A plan: the stages of a run, what each will hold and take, and the sentence that refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from nsrfc.errors import MemoryPlanError

__all__ = ["RUNTIME_BYTES", "Plan", "Stage", "largest_fitting", "refusal"]

RUNTIME_BYTES = 360 * 2**20
"""Interpreter, libraries, and the compiler that the first run after an installation wakes; later runs
take about 150 MiB less."""


@dataclass(frozen=True)
class Stage:
    """A part of a run.

    Attributes
    ----------
    name : str
    held_bytes : int
        Arrays that it leaves standing for the stages after it.
    work_bytes : int
        Arrays that it needs beside them while it runs.
    seconds : float
    disk_bytes : int
        Results that it keeps on disk, where there is a folder for them.
    """

    name: str
    held_bytes: int
    work_bytes: int
    seconds: float
    disk_bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """What a run is expected to take.

    Attributes
    ----------
    n, dimension, k : int
        Faces, length of a vector (0 if there are none), neighbours per face.
    method : str
        How neighbours are found: "exact", "approximate", or "given".
    stages : tuple of Stage
        In order.
    """

    n: int
    dimension: int
    k: int
    method: str
    stages: tuple[Stage, ...]

    @property
    def peak_bytes(self) -> int:
        """Highest expected memory of the process."""
        held, peak = 0, 0
        for stage in self.stages:
            held += stage.held_bytes
            peak = max(peak, held + stage.work_bytes)
        return RUNTIME_BYTES + peak

    @property
    def disk_bytes(self) -> int:
        """Disk that the results of all stages take, where they are kept."""
        return sum(stage.disk_bytes for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Expected duration on this machine."""
        return sum(stage.seconds for stage in self.stages)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, ready for JSON."""
        return {
            **asdict(self),
            "stages": [asdict(stage) for stage in self.stages],
            "peak_bytes": self.peak_bytes,
            "disk_bytes": self.disk_bytes,
            "seconds": self.seconds,
        }


def refusal(planned: Plan, limit: int, ways: list[str]) -> MemoryPlanError:
    """Word that a run needs more than ``limit`` bytes, and the ways in which it would fit."""
    advice = f"{' or '.join(ways)} would fit" if ways else "nothing would fit, so allow more"
    return MemoryPlanError(
        f"{planned.n:,} faces of dimension {planned.dimension} with k = {planned.k} are expected "
        f"to need {planned.peak_bytes / 2**30:.2f} GiB, and {limit / 2**30:.2f} GiB are allowed: "
        f"{advice}."
    )


def largest_fitting(upper: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number in 0..upper for which ``fits`` holds, 0 counting as fitting."""
    low, high = 0, upper
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
