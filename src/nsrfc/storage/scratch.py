"""Arrays in files without a name: they may exceed the memory, and are gone with the process."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import release
from nsrfc.rowstore import Gathered, Moves, OrderedRows, moved_anew
from nsrfc.storage.files import writing

__all__ = ["ScratchRows", "mapped_copy", "take_room"]


@dataclass(frozen=True)
class ScratchRows(OrderedRows):
    """Rows mapped from scratch files.

    Parameters
    ----------
    folder : Path
        On a disk with room for them. Made when it is first needed.
    """

    folder: Path

    def array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Return a new array.

        Raises
        ------
        InputError
            If the folder cannot be written, or its disk is full.
        """
        del name
        if 0 in shape:  # nothing can be mapped
            return np.empty(shape, dtype)
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as stream:
                take_room(stream.fileno(), np.dtype(dtype).itemsize * int(np.prod(shape)))
                return np.memmap(stream, dtype, "r+", shape=shape)

    def gathered(
        self, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return rows (m,) of vectors (n, d)."""
        return self.moved(Gathered(vectors, rows))

    def moved(self, moves: Moves) -> npt.NDArray[np.float32]:
        """Make vectors of others in a new file: in place, the whole file would be read many times."""
        return moved_anew(self, moves)

    def before(self) -> ScratchRows:
        """Return rows in other files."""
        return self

    def discard(self) -> None:
        """Remove nothing: a file is gone when its array is."""


def mapped_copy(array: npt.NDArray[Any], folder: Path) -> npt.NDArray[Any]:
    """Copy an array into a scratch file, unless it is mapped from a file already."""
    if isinstance(array, np.memmap):
        return array
    copy = ScratchRows(folder).array("copy", array.shape, array.dtype)
    copy[:] = array
    release(copy)
    return copy


def take_room(descriptor: int, size: int) -> None:
    """Allocate the disk space of a file: writing to a map on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
