"""Files that take their names together: after a kill, either all old files count or all new ones.

They are written into a folder inside that which they are for, and then moved:

    .incoming/part     files that are being written
    .incoming/whole    all of them, written out; renaming `part` is the moment from which they count

A kill before that moment leaves the old files. After it, :func:`nsrfc.storage.files.latest` finds those
that were not moved yet, and whoever writes there next moves them first.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nsrfc.storage.files import INCOMING, PathLike, kind_of, writing
from nsrfc.storage.locks import locked
from nsrfc.storage.outputs import refuse_folder, sync

__all__ = ["placed_together"]


@contextmanager
def placed_together(folder: PathLike) -> Iterator[Path]:
    """Yield an empty folder, whose files replace those of the same names in ``folder`` all together.

    If the block raises, ``KeyboardInterrupt`` included, ``folder`` is left as it was. Other files in it
    are left alone.

    Parameters
    ----------
    folder : path-like
        Made if it is missing.

    Raises
    ------
    InputError
        If the folder cannot be written, another process is placing files there, a folder has the name
        of one of the files, or the block raises an OSError, such as that of a full disk.
    """
    folder = Path(folder)
    whole = folder / INCOMING
    with locked(whole.parent, "writer"), writing(folder):
        part = whole.with_name("part")
        _take_names(folder)
        # A run that was killed leaves it.
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            files = list(part.iterdir())
            for path in files:
                refuse_folder(folder / path.name)
                sync(path)
            sync(part)
            part.replace(whole)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        sync(whole.parent)
        _take_names(folder)
    # A run that was killed before it had the lock leaves the folder, too.
    with suppress(OSError):
        whole.parent.rmdir()


def _take_names(folder: Path) -> None:
    """Move files that are all written to their names, in alphabetical order."""
    whole = folder / INCOMING
    if kind_of(whole) is None:
        return
    for path in sorted(whole.iterdir()):
        path.replace(folder / path.name)
    sync(folder)
    whole.rmdir()
