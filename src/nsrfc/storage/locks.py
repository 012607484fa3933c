"""Locks: one run in a folder, or on the way to a file, at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nsrfc.errors import InputError
from nsrfc.storage.files import kind_of, writing

__all__ = ["LOCK", "clear", "locked", "locked_files", "locked_output"]

LOCK = ".lock"
"""Lock file in a folder of intermediate results. The system releases a lock when the process ends,
however it ends; only a killed process leaves the file."""

_OUTPUT = ".output.lock"
"""Lock file in a folder for results; it may also be that of the intermediate ones."""


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Lock a folder for one run: two runs that fill the same files would corrupt each other's results.

    Parameters
    ----------
    folder : Path
        Made if it is missing, and removed again if it is still empty at the end.
    what : str
        What runs there, for the message.

    Raises
    ------
    InputError
        If another process works there, or the folder cannot be made.
    """
    with _locked(folder / LOCK, folder, what):
        yield


@contextmanager
def locked_output(folder: Path, what: str = "run", *, wait: bool = False) -> Iterator[None]:
    """Lock a folder for results, as `locked` does, from before the work until they are written.

    Two runs with one output would otherwise mix their files, whatever caches they have. Processes of one
    run ``wait`` for each other.
    """
    with _locked(folder / _OUTPUT, folder, what, wait=wait):
        yield


@contextmanager
def locked_files(files: Iterable[Path]) -> Iterator[None]:
    """Lock single files for results; the lock file of each is beside it.

    Raises
    ------
    InputError
        If another process writes one of them, or its folder cannot be made.
    """
    with ExitStack() as stack:
        for file in files:
            lock = file.with_name(f".{file.name}{LOCK}")
            stack.enter_context(_locked(lock, file, "run"))
        yield


@contextmanager
def _locked(path: Path, place: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file ``path`` of a folder or file ``place``; nothing is left of it."""
    made = [folder for folder in path.parents if kind_of(folder) is None]
    lock = _acquired(path, place, what, -1 if wait else 0)
    try:
        yield
    finally:
        with suppress(OSError):
            # Remove the file while it is locked, so that no other run can have locked it.
            path.unlink()
        lock.release()
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def clear(folder: Path) -> None:
    """Remove everything in a locked folder except the lock file."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _acquired(path: Path, place: Path, what: str, timeout: float) -> FileLock:
    while True:
        lock = FileLock(path, timeout=timeout)
        with writing(place):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:  # an OSError, too
                other = "folder" if place == path.parent else "file"
                raise InputError(
                    f"{place} is in use by another {what}: wait until it has ended, "
                    f"or give another {other}."
                ) from None
        # A run that just ended may have removed the file that was opened.
        if path.exists():
            return lock
        lock.release()
