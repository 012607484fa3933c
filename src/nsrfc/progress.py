"""Progress reporting: a small class that times the stages of a run and prints nothing by default.

A step opens a stage and advances it. To display progress, subclass and override :meth:`Progress.show`,
as the command line does with bars.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nsrfc.runtime import trim

__all__ = ["Progress"]


class Progress:
    """Time the stages of a run and show nothing; free memory goes back to the system after each.

    Attributes
    ----------
    seconds : dict of str to float
        Wall-clock seconds of each finished stage, in order.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Open a stage of ``total`` items and yield ``advance(items_done_since_last_call)``.

        A total of 0 stands for one that is not known.
        """
        started = time.perf_counter()
        with self.show(name, total) as advance:
            yield advance
        trim()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    @contextmanager
    def show(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Display a stage; this class displays nothing."""
        yield lambda _: None
