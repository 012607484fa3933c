"""One run in a folder at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nsrfc.errors import InputError
from nsrfc.storage.files import kind_of, writing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked"]


@contextmanager
def locked(folder: Path | None, what: str) -> Iterator[None]:
    """Keep a folder to one run: two that fill the same files would spoil each other's results.

    The lock is on the folder itself, so that no file is left over, and the system takes it away when
    the process ends, in whatever way. Where the system or the file system knows no such lock, there is
    none.

    Parameters
    ----------
    folder : Path, optional
        Made if it is missing, and removed again if nothing was put into it. None: nothing is locked.
    what : str
        What runs there, for the sentence.

    Raises
    ------
    InputError
        If another process works there, or the folder cannot be made.
    """
    if folder is None or fcntl is None:
        yield
        return
    made = [place for place in (folder, *folder.parents) if kind_of(place) is None]
    handle = _handle(folder, what)
    try:
        yield
    finally:
        os.close(handle)
        with suppress(OSError):
            for place in made:
                place.rmdir()


def _handle(folder: Path, what: str) -> int:
    """Open a folder and lock it."""
    while True:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(
                f"{folder} is in use by another {what}: wait until it has ended, or give another folder."
            ) from None
        except OSError:
            return handle
        # A run that ended in between may have removed what was opened.
        if kind_of(folder) and os.path.samestat(os.fstat(handle), folder.stat()):
            return handle
        os.close(handle)
