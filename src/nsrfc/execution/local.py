"""Tasks in several processes of this machine."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from nsrfc.errors import InputError

if TYPE_CHECKING:
    from nsrfc.execution.work import Work

__all__ = ["LocalExecutor"]

ATTEMPTS = 3
"""How often workers that died without making anything are replaced."""

_THREADS = "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"

_logger = logging.getLogger(__name__)


class LocalExecutor:
    """Processes of this machine, which are kept for all stages.

    Workers are new processes, not forks: threads do not survive a fork. One that is killed is replaced.

    Parameters
    ----------
    workers : int
    threads : int, optional
        Threads of each; the cores of this machine are divided by default.
    """

    part = None

    def __init__(self, workers: int, threads: int | None = None) -> None:
        if workers < 1:
            raise InputError(f"There must be at least one worker, got {workers}.")
        self.workers = workers
        self.threads = threads or max(1, _cores() // workers)
        self._pool: ProcessPoolExecutor | None = None

    def run(self, work: Work, blocks: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Make the files of blocks in the workers.

        Raises
        ------
        InputError
            If workers die again and again.
        """
        packed, missing, failed = work.packed(), set(blocks), 0
        while missing:
            before = len(missing)
            try:
                for block, sha256 in self._submitted(packed, sorted(missing)):
                    missing.discard(block)
                    yield block, sha256
            except BrokenProcessPool:
                self.close()
                failed = failed + 1 if len(missing) == before else 0
                if failed == ATTEMPTS:
                    raise InputError(
                        f"{ATTEMPTS} times all workers were killed before one made anything, mostly for "
                        f"lack of memory: run the same command again with fewer --workers."
                    ) from None
                _logger.warning("A worker was killed; its tasks are run again.")

    def close(self) -> None:
        """End the workers, also those that are at work: what they have not finished is made again."""
        if self._pool is not None:
            # Python 3.14 has a method for it.
            workers = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.kill()
            self._pool = None

    def _submitted(self, packed: bytes, blocks: Sequence[int]) -> Iterator[tuple[int, str]]:
        from nsrfc.execution.work import run_block

        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, _prepare, (self.threads,))
        numbers: dict[Future[str], int] = {
            self._pool.submit(run_block, packed, block): block for block in blocks
        }
        for done in as_completed(numbers):
            yield numbers[done], done.result()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prepare(threads: int) -> None:
    """Prepare a worker: before any library is loaded that reads how many threads it may have."""
    for name in _THREADS:
        os.environ[name] = str(threads)
    # An interrupt from the keyboard reaches all processes; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end() -> None:
        # A killed parent cannot end its workers.
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
