"""Locks: one run in a folder at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nsrfc.errors import InputError
from nsrfc.storage.files import kind_of, writing

__all__ = ["LOCK", "clear", "locked"]

LOCK = ".lock"
"""Lock file in a folder that a run works in. The system releases the lock when the process ends, however
it ends."""


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
    made = [place for place in (folder, *folder.parents) if kind_of(place) is None]
    lock = _acquired(folder, what)
    try:
        yield
    finally:
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == [LOCK]:
                # Remove the file while it is locked, so that no other run can have locked it.
                (folder / LOCK).unlink()
        lock.release()
        with suppress(OSError):
            for place in made:
                place.rmdir()


def clear(folder: Path) -> None:
    """Remove everything in a locked folder except the lock file."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _acquired(folder: Path, what: str) -> FileLock:
    while True:
        lock = FileLock(folder / LOCK, timeout=0)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout:  # an OSError, too
                raise InputError(
                    f"{folder} is in use by another {what}: wait until it has ended, "
                    f"or give another folder."
                ) from None
        # A run that just ended may have removed the file that was opened.
        if (folder / LOCK).exists():
            return lock
        lock.release()
