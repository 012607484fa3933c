"""Estimates of a run that several workers share: tasks, bytes, memory and hours of every stage.

Time of processors is that of :mod:`nsrfc.resources.clustering`, divided by the workers where tasks do
the work, and what files cost besides. It was measured on one machine: for a cluster it is on paper, and
a slow disk or network lengthens it (:attr:`Share.moved_bytes`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nsrfc.chunks import STEP
from nsrfc.knn.cells import CELLS, PARTITIONS, wide_passes
from nsrfc.model.settings import ModelSettings
from nsrfc.resources.clustering import TORCH_BYTES
from nsrfc.resources.machine import available_cores
from nsrfc.resources.plan import RUNTIME_BYTES, Plan
from nsrfc.rowstore import block_rows

__all__ = ["Share", "SharedPlan", "share"]

WORKER_BYTE_SECONDS = 2e-9
"""Writing a file of a task and hashing it, per byte, on one core."""

PLACING_BYTE_SECONDS = 2e-9
"""Reading it, checking its hash and putting it among the others, per byte, in one process."""

CANDIDATES_PER_NEIGHBOR = 2.1
"""Distinct faces among the neighbours of the first 10 neighbours, divided by the length of a list."""

STEP_BYTES_PER_NEIGHBOR = 200
"""Per neighbour of the faces that a task makes at a time: working copies and features."""

SEARCH_BYTES_PER_FACE = 12
"""What a worker prepares for all faces when it searches the lists of some."""

DRIVER_BYTES_PER_FACE = 250
"""Order, copies, cells and labels of all faces, in the process that gives tasks out."""

DRIVER_BYTES_PER_NEIGHBOR = 13
"""Per face and neighbour, there: edges and their order, if every face lists those that list it and all
of these pairs are edges."""

DRIVER_BYTES_PER_VALUE = 2
"""Per face and dimension, there: sums of the clusters that are compared, at most. Vectors are mapped."""


@dataclass(frozen=True)
class Share:
    """A stage of a run that is shared.

    Attributes
    ----------
    name : str
    tasks : int
        0 if the process that gives tasks out does the stage alone.
    read_bytes, written_bytes : int
        By all workers together, if nothing is read from memory twice; files of tasks are also read and
        written once more when they are put together.
    worker_bytes : int
        Memory of a worker, without the pages of mapped files.
    seconds : float
        By the clock.
    disk_bytes : int
        What stays until the run ends.
    """

    name: str
    tasks: int
    read_bytes: int
    written_bytes: int
    worker_bytes: int
    seconds: float
    disk_bytes: int

    @property
    def moved_bytes(self) -> int:
        """Bytes that a disk or network must carry, those of putting together included."""
        return self.read_bytes + 3 * self.written_bytes


@dataclass(frozen=True)
class SharedPlan:
    """Expected work of a shared run.

    Attributes
    ----------
    n, dimension, k, workers : int
    stages : tuple of Share
        In order.
    driver_bytes : int
        Memory of the process that gives tasks out, without the pages of mapped files.
    """

    n: int
    dimension: int
    k: int
    workers: int
    stages: tuple[Share, ...]
    driver_bytes: int

    @property
    def seconds(self) -> float:
        """Expected duration."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def disk_bytes(self) -> int:
        """Expected files at the end, and of the largest stage before they are put together."""
        parts = max(stage.written_bytes for stage in self.stages)
        return sum(stage.disk_bytes for stage in self.stages) + parts

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, ready for JSON."""
        return {**asdict(self), "seconds": self.seconds, "disk_bytes": self.disk_bytes}


def share(planned: Plan, workers: int, model: ModelSettings | None) -> SharedPlan:
    """Estimate a run that workers share.

    Parameters
    ----------
    planned : Plan
        Of one process on this machine.
    workers : int
        Each with one core.
    model : ModelSettings, optional
        None: the rules.
    """
    vectors, lists = 4 * planned.dimension, 8 * planned.k
    made = _made_bytes(planned, vectors, lists, model)
    gathered = int(CANDIDATES_PER_NEIGHBOR * planned.k) * vectors
    passes = _passes(planned, model)
    stages = []
    for stage in planned.stages:
        alone, tasks, written = stage.seconds * available_cores(), 0, 0
        worker = read = 0
        if stage.name in made:
            tasks, written = -(-planned.n // block_rows(planned.n, STEP)), planned.n * made[stage.name]
            read = planned.n * (vectors + lists + passes.get(stage.name, 0) * gathered)
            worker = RUNTIME_BYTES + STEP * planned.k * STEP_BYTES_PER_NEIGHBOR
            worker += SEARCH_BYTES_PER_FACE * planned.n
            worker += 0 if model is None else TORCH_BYTES
        seconds = (alone + WORKER_BYTE_SECONDS * written) / (workers if tasks else 1)
        seconds += PLACING_BYTE_SECONDS * written
        stages.append(Share(stage.name, tasks, read, written, worker, seconds, written))
    shape = planned.n, planned.dimension, planned.k
    driver = DRIVER_BYTES_PER_FACE + DRIVER_BYTES_PER_VALUE * planned.dimension
    driver = planned.n * (driver + DRIVER_BYTES_PER_NEIGHBOR * planned.k)
    return SharedPlan(*shape, workers, tuple(stages), RUNTIME_BYTES + driver)


def _made_bytes(planned: Plan, vectors: int, lists: int, model: ModelSettings | None) -> dict[str, int]:
    """Bytes that the tasks of every stage make, per face."""
    cells = 4 * PARTITIONS * (CELLS + 1)
    # The vectors once more, and a quarter of them: in the order of cells, and those that are averaged.
    passes = 2 + max(1, wide_passes(planned.n))
    searched = passes * lists + cells + 5 * vectors // 4 if planned.method == "approximate" else lists
    found = {
        # Unit vectors and their hashes; then the different ones in their order.
        "vectors": 2 * vectors + 16,
        "neighbours": 0 if planned.method == "given" else searched,
        # Scenes, their lists, and what these are found from.
        "near-copies": vectors + 2 * lists,
    }
    if model is None:
        # Three times scores, rebuilt lists and densities; whitened vectors; two means.
        return {**found, "clusters": 6 * lists + 3 * vectors + 12}
    described = lists + 36
    networks = {
        "refinement": 2 * described + 2 * vectors + 2 * lists,
        "pairs": described + lists // 2,
        "lcenet": lists // 2,
        "density graph": lists + 8,
        "edges": 4,
    }
    return {**found, **networks}


def _passes(planned: Plan, model: ModelSettings | None) -> dict[str, int]:
    """How often every stage searches among the neighbours of neighbours."""
    # The cells near a face hold as many others as four such searches, all its neighbours as three.
    passes = 4 + max(1, 3 * wide_passes(planned.n))
    searched = passes if planned.method == "approximate" else 0
    rebuilt = {"clusters": 3} if model is None else {"refinement": 2}
    return {"neighbours": searched, "near-copies": 1, **rebuilt}
