"""A plan: the stages of a run with their memory, time and disk, and the error that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from nsrfc.errors import MemoryPlanError

__all__ = [
    "LISTS",
    "MAPPED_BYTES_PER_FACE",
    "MODEL",
    "RUNTIME_BYTES",
    "Plan",
    "Stage",
    "largest_fitting",
    "refusal",
]

RUNTIME_BYTES = 400 * 2**20
"""Interpreter, libraries, and what they keep of memory that was freed, most of it after Parquet files,
or after compiling, which only the first run after an installation needs."""


MAPPED_BYTES_PER_FACE = 1_100
"""Memory of a run whose arrays of vectors and lists are mapped from files, by the rules: edges, hashes
and orders."""

MODEL, LISTS = "model", "neighbours"
"""Stages of libraries and weights, and of the search."""


@dataclass(frozen=True)
class Stage:
    """A part of a run.

    Attributes
    ----------
    name : str
    held_bytes : int
        Arrays that it leaves in memory for later stages.
    work_bytes : int
        Additional arrays while it runs.
    seconds : float
    disk_bytes : int
        Results that it leaves on disk, if there is a cache.
    disk_work_bytes : int
        Additional files while it runs.
    """

    name: str
    held_bytes: int
    work_bytes: int
    seconds: float
    disk_bytes: int = 0
    disk_work_bytes: int = 0


@dataclass(frozen=True)
class Plan:
    """Expected memory, time and disk of a run.

    Attributes
    ----------
    n, dimension, k : int
        Number of faces, embedding dimension (0 without embeddings), neighbours per face.
    method : str
        How neighbours are found: "exact", "approximate", or "given".
    stages : tuple of Stage
        In order.
    mapped : bool
        Whether arrays of vectors and lists are mapped from files, see `in_files`.
    face_bytes : int
        What stages work on in memory then, per face, at most.
    """

    n: int
    dimension: int
    k: int
    method: str
    stages: tuple[Stage, ...]
    mapped: bool = False
    face_bytes: int = MAPPED_BYTES_PER_FACE

    @property
    def peak_bytes(self) -> int:
        """Expected peak memory of the process."""
        return RUNTIME_BYTES + _most((each.held_bytes, each.work_bytes) for each in self.stages)

    @property
    def disk_bytes(self) -> int:
        """Expected peak of the disk space of results, if they are kept, and of mapped arrays."""
        return _most((each.disk_bytes, each.disk_work_bytes) for each in self.stages)

    def in_files(self) -> Plan:
        """Return the plan of the same run with arrays of vectors and lists mapped from files.

        What they take of memory can be freed at any time. Without much of it, they are read again.
        """
        if self.mapped:
            return self
        most = self.face_bytes * self.n

        def mapped(stage: Stage) -> Stage:
            if stage.name == MODEL or (stage.name == LISTS and self.method == "given"):
                return stage  # Given lists stay in the memory of whoever gives them.
            return replace(
                stage,
                held_bytes=0,
                work_bytes=min(stage.work_bytes, most),
                # Results that are kept are mapped where they are.
                disk_bytes=max(stage.disk_bytes, stage.held_bytes),
                disk_work_bytes=stage.disk_work_bytes + stage.work_bytes,
            )

        return replace(self, stages=tuple(mapped(stage) for stage in self.stages), mapped=True)

    @property
    def seconds(self) -> float:
        """Expected duration on this machine."""
        return sum(stage.seconds for stage in self.stages)

    def within(self, allowed: int | None) -> Plan:
        """Return the plan itself if it fits the memory that is allowed, else `in_files`."""
        return self if allowed is None or self.peak_bytes <= allowed else self.in_files()

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, ready for JSON."""
        in_files = self.in_files()
        return {
            **asdict(self),
            "stages": [asdict(stage) for stage in self.stages],
            "peak_bytes": self.peak_bytes,
            "disk_bytes": self.disk_bytes,
            "seconds": self.seconds,
            "in_files": {"peak_bytes": in_files.peak_bytes, "disk_bytes": in_files.disk_bytes},
        }


def _most(stages: Iterable[tuple[int, int]]) -> int:
    """Return the most that stands at any time: what stages leave, and what one works on."""
    left, most = 0, 0
    for leaves, works_on in stages:
        left += leaves
        most = max(most, left + works_on)
    return most


def refusal(planned: Plan, limit: int, faces: int) -> MemoryPlanError:
    """Return the error for a run that needs more than ``limit`` bytes; so many ``faces`` would fit."""
    advice = f"{faces:,} faces would fit" if faces else "nothing would fit, so allow more"
    return MemoryPlanError(
        f"{planned.n:,} faces of dimension {planned.dimension} with k = {planned.k} are expected "
        f"to need {planned.peak_bytes / 2**30:.2f} GiB, and {limit / 2**30:.2f} GiB are allowed: "
        f"{advice}."
    )


def largest_fitting(upper: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number in 0..upper that fits; 0 always does."""
    low, high = 0, upper
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
