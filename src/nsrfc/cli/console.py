"""Shared by the commands: errors, progress, tables and JSON.

Results go to stdout; progress, plans and errors go to stderr, so that a pipe only gets results.
"""

from __future__ import annotations

import functools
import gc
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, ParamSpec

import typer
from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from nsrfc.errors import NsrfcError
from nsrfc.progress import Progress

if TYPE_CHECKING:
    from nsrfc.resources.plan import Plan

__all__ = [
    "ConsoleProgress",
    "announce",
    "bytes_text",
    "guarded",
    "loading",
    "print_json",
    "print_table",
    "printing",
    "seconds_text",
]

REFUSED = 2
INTERRUPTED = 130

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that errors which the user can fix are printed as a sentence on stderr.

    `NsrfcError` exits with code 2, an interrupt with 130. Other errors are bugs of the package and
    keep their traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _show_log()
        try:
            command(*args, **kwargs)
        except NsrfcError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(REFUSED) from None
        except MemoryError:
            typer.echo("Error: There is not enough memory: check what fits with nsrfc plan.", err=True)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            typer.echo("Interrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None

    return run


@contextmanager
def printing() -> Iterator[None]:
    """Avoid tracebacks if stdout cannot encode a character or cannot be written.

    Characters that stdout cannot encode are escaped; if it cannot be written, the process exits with
    code 2.
    """
    if not isinstance(sys.stdout, io.TextIOWrapper):
        yield
        return
    stdout = os.fdopen(
        sys.stdout.fileno(),
        "w",
        encoding=sys.stdout.encoding,
        errors="backslashreplace",
        closefd=False,
    )
    try:
        with redirect_stdout(stdout):
            yield
    except OSError:
        # If stdout has failed, its buffer still holds the text, and closing fails, too. Left open, it
        # would fail again when it is deleted, which Python 3.13 prints.
        try:
            stdout.close()
        except OSError as error:
            typer.echo(
                f"Error: The output cannot be printed ({error.strerror}): "
                f"make room or send it elsewhere.",
                err=True,
            )
            raise SystemExit(REFUSED) from None
        raise


@contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage among the million objects that libraries make when they are loaded."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class ConsoleProgress(Progress):
    """Show each stage as a bar with rate and remaining time, and print a line when it is done.

    Nothing is shown if the console is not a terminal.

    Parameters
    ----------
    console : rich.console.Console, optional
        stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._console = console or Console(stderr=True)
        self._bars: Bars | None = None

    @contextmanager
    def show(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Display a stage; a stage opened within another is shown below it."""
        if not self._console.is_terminal:
            yield lambda _: None
            return
        # rich allows only one live display: inner stages use that of the outermost one.
        bars, outermost = self._bars or self._new_bars(), self._bars is None
        if outermost:
            self._bars = bars
            bars.start()
        task = bars.add_task(name, total=total or None)
        try:
            yield lambda items: bars.advance(task, items)
            done = next(t for t in bars.tasks if t.id == task)
            count, elapsed = total or int(done.completed), seconds_text(done.elapsed or 0.0)
            self._console.print(f"{name:<24}[dim]{count:>12,}   {elapsed:>8}[/dim]", highlight=False)
        finally:
            bars.remove_task(task)
            if outermost:
                bars.stop()
                self._bars = None

    def _new_bars(self) -> Bars:
        return Bars(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            _RateColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )


class _RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        speed = task.speed or 0.0
        text = f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s"
        return Text(text if speed else "", style="progress.data.speed")


def announce(planned: Plan) -> None:
    """Print on stderr the expected memory and time."""
    files = f", {bytes_text(planned.disk_bytes)} in files" if planned.mapped else ""
    typer.echo(
        f"Expected: {bytes_text(planned.peak_bytes)} of memory{files} and about "
        f"{seconds_text(planned.seconds)} ({planned.n:,} faces, neighbours {planned.method}).",
        err=True,
    )


def print_json(record: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    typer.echo(json.dumps(record, indent=2))


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table on stdout; the first column is text, the others are numbers."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=any(columns := tuple(columns)))
    for position, name in enumerate(columns):
        table.add_column(name, justify="right" if position else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)  # names from a file may look like markup
    console.print(title, style="bold", soft_wrap=True)
    console.print(Padding(table, (0, 0, 1, 0)))


def bytes_text(count: float) -> str:
    """Format a number of bytes: ``512 MiB``, ``3.2 GiB``, ``12.5 TiB``."""
    if count < 2**30:
        return f"{count / 2**20:,.0f} MiB"
    return f"{count / 2**30:,.1f} GiB" if count < 10 * 2**40 else f"{count / 2**40:,.1f} TiB"


def seconds_text(seconds: float) -> str:
    """Format a duration: ``3.2 s``, ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _show_log() -> None:
    """Show log messages of the package, such as the recall of a search, on stderr."""
    logger = logging.getLogger("nsrfc")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
