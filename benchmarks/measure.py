"""What a run takes: seconds of its stages and of the whole, by the clock and of all cores; memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import numpy.typing as npt

from nsrfc.metrics import evaluate
from nsrfc.progress import Progress
from nsrfc.resources.machine import peak_memory
from nsrfc.resources.plan import Plan

from .work import Work

__all__ = ["Measurement", "Process", "Spent", "Stage", "StageClock", "now", "process", "run"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

OTHERS = "others"


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of all cores of this process together."""

    seconds: float = 0.0
    processor_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.processor_seconds + other.processor_seconds)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.seconds - other.seconds, self.processor_seconds - other.processor_seconds)


def now() -> Spent:
    """Return the time, to be subtracted from a later one."""
    return Spent(time.perf_counter(), time.process_time())


@dataclass(frozen=True)
class Process(Spent):
    """What a process took: its time, and the most memory it had."""

    peak_bytes: int = 0


def process(
    words: Sequence[str],
    environment: Mapping[str, str] | None = None,
    said: IO[str] | int = subprocess.DEVNULL,
) -> Process:
    """Run a command and say what it took. Its output is dropped, its standard error goes to ``said``.

    Raises
    ------
    subprocess.CalledProcessError
        If it failed; a negative code is a signal.
    """
    started = time.perf_counter()
    with subprocess.Popen(
        words,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=said,
    ) as running:
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, list(words))
    seconds = time.perf_counter() - started
    return Process(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


class StageClock(Progress):
    """Time of each stage, without that of stages inside it.

    Attributes
    ----------
    spent : dict of str to Spent
    """

    def __init__(self) -> None:
        super().__init__()
        self.spent: dict[str, Spent] = {}
        self._inside = Spent()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Open a stage; as `nsrfc.progress.Progress.stage`."""
        before, self._inside = self._inside, Spent()
        started = now()
        with super().stage(name, total) as advance:
            yield advance
        taken = now() - started
        self.spent[name] = self.spent.get(name, Spent()) + taken - self._inside
        self._inside = before + taken


@dataclass(frozen=True)
class Stage(Spent):
    """Time and least work of a stage; None where its work is not stated."""

    work: Work | None = None


@dataclass(frozen=True)
class Measurement:
    """What a run took.

    Attributes
    ----------
    seconds, processor_seconds : float
        As of :class:`Spent`.
    stages : dict of str to Stage
        The last is what stands outside the others.
    before_bytes, peak_bytes : int or None
        Most memory of the process before the run, when the faces and libraries had been loaded, and
        after it. None where the system does not tell.
    planned_seconds, planned_bytes : float or int, or None
        What `nsrfc.resources.clustering` expected, where it speaks of this.
    pairwise_f, bcubed_f : float or None
        None where there are no labels or they mean nothing.
    parts : dict of str to Stage
        Parts of stages, timed beside them.
    sample : int or None
        Faces that were worked on, if all seconds are extrapolated from them.
    """

    seconds: float
    processor_seconds: float
    stages: dict[str, Stage]
    before_bytes: int | None
    peak_bytes: int | None
    planned_seconds: float | None = None
    planned_bytes: int | None = None
    pairwise_f: float | None = None
    bcubed_f: float | None = None
    parts: dict[str, Stage] = field(default_factory=dict)
    sample: int | None = None


def run(
    action: Callable[[StageClock], Labels | None],
    identities: Labels | None = None,
    work: Callable[[], Mapping[str, Work]] = dict,
    planned: Plan | None = None,
) -> Measurement:
    """Do something and say what it took.

    Parameters
    ----------
    action : callable
        Given a clock for its stages; returns the cluster of each face, or nothing.
    identities : ndarray of int64, shape (n,), optional
        To score the clusters with.
    work : callable
        Gives the least work of the stages, once they are done.
    planned : Plan, optional
    """
    before, clock = peak_memory(), StageClock()
    started = now()
    labels = action(clock)
    whole = now() - started
    peak, least = peak_memory(), work()
    clock.spent[OTHERS] = whole - sum(clock.spent.values(), Spent())
    scores = None if labels is None or identities is None else evaluate(identities, labels)
    return Measurement(
        whole.seconds,
        whole.processor_seconds,
        {
            name: Stage(spent.seconds, spent.processor_seconds, least.get(name))
            for name, spent in clock.spent.items()
        },
        before,
        peak,
        None if planned is None else planned.seconds,
        None if planned is None else planned.peak_bytes,
        None if scores is None else scores.pairwise.f,
        None if scores is None else scores.bcubed.f,
    )
