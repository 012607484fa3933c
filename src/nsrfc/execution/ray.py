"""Tasks on Ray: a cluster that is there, or Ray started on this machine (extra ``nsrfc[ray]``).

Ray runs a task again if its worker or its machine dies. It only carries the tasks: arrays are in files,
in a folder that all machines see.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nsrfc.errors import InputError, OptionalDependencyError

if TYPE_CHECKING:
    from nsrfc.execution.work import Work

__all__ = ["RayExecutor"]

_OUTWARD = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Without it Ray listens on 127.0.0.1 alone, also on Linux. It is read when Ray is imported; an address
of this machine that is given to `ray.init` is replaced by the outward one (Ray 2.60)."""

REACH_SECONDS = 20.0
"""How long a cluster may take to answer."""

RETRIES = 3
"""How often Ray runs a task again whose worker died."""


class RayExecutor:
    """Workers of a Ray cluster.

    Parameters
    ----------
    workers : int
        Tasks at a time.
    address : str, optional
        Of a cluster: "auto", or such as "ray://head:10001". Without it Ray is started here.
    gpus : float
        GPUs, or the share of one, that a task needs.

    Raises
    ------
    OptionalDependencyError
        If Ray is not installed.
    InputError
        If there is no such cluster.
    """

    part = None

    def __init__(self, workers: int, address: str | None = None, gpus: float = 0) -> None:
        if address is None:
            os.environ.setdefault(_OUTWARD, "0")
        try:
            import ray
        except ImportError:
            raise OptionalDependencyError("ray", "ray") from None
        self._ray, self._workers = ray, workers
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
        if address is None:
            quiet |= {"num_cpus": workers, "include_dashboard": False}
        try:
            _check_reachable(address)
            ray.init(address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"--address {address}: there is no such Ray cluster: start it, or leave the address out."
            ) from error
        options = {"num_cpus": 1, "num_gpus": gpus, "max_retries": RETRIES}
        self._task = ray.remote(**options)(_run_block)

    def run(self, work: Work, blocks: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Make the files of blocks in the workers.

        Raises
        ------
        InputError
            If workers die again and again.
        """
        ray, packed = self._ray, self._ray.put(work.packed())
        waiting, numbers = list(reversed(blocks)), dict[Any, int]()
        while waiting or numbers:
            while waiting and len(numbers) < self._workers:
                block = waiting.pop()
                numbers[self._task.remote(packed, block)] = block
            (done,), _ = ray.wait(list(numbers), num_returns=1)
            try:
                yield numbers.pop(done), ray.get(done)
            except ray.exceptions.WorkerCrashedError as error:
                raise InputError(
                    f"Workers died {1 + RETRIES} times with the same task, mostly for lack of memory: "
                    f"run the same command again with fewer --workers."
                ) from error

    def close(self) -> None:
        """Leave the cluster, or end Ray if it was started here."""
        self._ray.shutdown()


def _check_reachable(address: str | None) -> None:
    """Raise OSError if nothing answers at an address, for which Ray would wait for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()


def _run_block(packed: bytes, block: int) -> str:
    from nsrfc.execution.work import run_block

    return run_block(packed, block)
