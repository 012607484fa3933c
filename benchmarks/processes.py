"""Work in a process of its own, whose peak memory is that of the work, and with a time limit."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from nsrfc.errors import NsrfcError

__all__ = ["Failure", "in_own_process"]

Result = TypeVar("Result")
Prepare = Callable[..., Callable[[], Result]]


@dataclass(frozen=True)
class Failure:
    """Why there is no result.

    Attributes
    ----------
    note : str
        In words, for a table.
    """

    note: str


def in_own_process(
    prepare: Prepare[Result], *arguments: object, limit: float | None = None
) -> Result | Failure:
    """Do some work in a new process.

    Parameters
    ----------
    prepare : callable
        Called there with the arguments; returns the work, a callable without arguments. It is a function
        of a module, since it is sent by name.
    *arguments
    limit : float, optional
        Seconds after which the work is killed; preparing does not count.

    Returns
    -------
    What the work returned, or why it did not.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_prepare_and_work, args=(sending, prepare, arguments), daemon=True)
    process.start()
    sending.close()
    try:
        refused = receiving.recv()
        if refused is not None:
            return Failure(refused.note)
        if not receiving.poll(limit):
            return Failure(f"did not finish in {limit:,.0f} s")
        result: Result | Failure = receiving.recv()
        return result
    except EOFError:
        process.join()
        # A negative code is a signal, and the system's is 9.
        reason = "killed, as a rule for lack of memory" if process.exitcode == -9 else "failed"
        return Failure(f"{reason} (exit code {process.exitcode})")
    finally:
        process.kill()
        process.join()
        receiving.close()


def _prepare_and_work(sending: Connection, prepare: Prepare[Any], arguments: tuple[object, ...]) -> None:
    """Send None when the work is prepared, then what it returns; or a Failure in the place of either."""
    try:
        work = prepare(*arguments)
        sending.send(None)
        sending.send(work())
    except NsrfcError as error:
        sending.send(Failure(str(error)))
