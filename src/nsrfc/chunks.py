"""Process faces in chunks, so that the size of working copies does not grow with the number of faces."""

from __future__ import annotations

import mmap
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError

__all__ = [
    "BATCH",
    "CHUNK",
    "ROWS",
    "SAMPLE",
    "STEP",
    "FileRows",
    "StoredRows",
    "changed",
    "check_unchanged",
    "chunks",
    "file_state",
    "read_rows",
    "release",
    "sample_faces",
    "stored",
]

CHUNK = 16_384
"""Faces that a step on a neighbour graph processes at a time; results do not depend on it."""

ROWS = 4_096
"""Faces that the C-GCN processes at a time, or whose neighbours' vectors are gathered at a time; results
do not depend on it."""

STEP = 1_024
"""Faces that a task on lists and vectors processes at a time; results do not depend on it."""

BATCH = 512
"""Lists or edges that a network scores at a time; results do not depend on it."""


SAMPLE = 4096
"""Size of a sample of faces: the median of so many values is known to 0.02 standard deviations."""


def chunks(n: int, size: int | None = None) -> Iterator[slice]:
    """Yield slices of 0..n-1 in order, of length ``size`` or `CHUNK`; the last may be shorter."""
    size = size or CHUNK
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


class StoredRows(ABC):
    """Rows that are copied out of files when they are needed."""

    filename: Any

    @abstractmethod
    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Copy rows, consecutive ones or a few by number."""

    @abstractmethod
    def check_unchanged(self) -> None:
        """Refuse files that were written to since they were opened."""


class FileRows(np.memmap[Any, Any]):
    """An array mapped from a file, read-only, whose rows can also be copied out of the file.

    Touching a mapped page behind the end of a file that was cut short kills the process (SIGBUS, which
    cannot be caught). `read` notices it instead. Parts and views of it are plain mapped arrays.
    """

    _descriptor: int | None = None
    _opened: tuple[int, int]

    @classmethod
    def open(
        cls,
        path: Path,
        dtype: npt.DTypeLike,
        shape: tuple[int, ...],
        offset: int = 0,
        order: Literal["C", "F"] = "C",
    ) -> FileRows:
        """Map an array whose bytes start at ``offset``.

        The file is held open: if another file is moved to its place, this one is still read.
        """
        with path.open("rb") as stream:
            found = cls(stream, dtype, "r", offset, shape, order)
            found._descriptor = os.dup(stream.fileno())
        weakref.finalize(found, os.close, found._descriptor)
        found._opened = file_state(found._descriptor)
        return found

    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Copy rows, consecutive ones or a few by number.

        Raises
        ------
        InputError
            If the file was cut short since it was opened, or cannot be read.
        """
        # A view does not know where in the file it starts. Windows refuses to cut a mapped file.
        if self._descriptor is None or not hasattr(os, "pread") or self.ndim not in (1, 2):
            return np.array(self[rows])
        if not isinstance(rows, slice):
            return np.concatenate([self.read(slice(row, row + 1)) for row in rows.tolist()])
        first, stop, _ = rows.indices(len(self))
        shape = (max(0, stop - first), *self.shape[1:])
        if self.flags.c_contiguous:
            return self._values(first * self.strides[0], shape)
        columns = [
            self._values(column * self.strides[1] + first * self.itemsize, shape[:1])
            for column in range(shape[1])
        ]
        return np.stack(columns, axis=1)

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        Raises
        ------
        InputError
        """
        if self._descriptor is not None and file_state(self._descriptor) != self._opened:
            raise changed(self.filename)

    def _values(self, start: int, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Read values that are consecutive in the file, ``start`` bytes behind the first of all."""
        assert self._descriptor is not None
        values = np.empty(shape, self.dtype)
        rest = values.reshape(-1).view(np.uint8).data
        start += self.offset
        while rest:
            try:
                part = os.pread(self._descriptor, len(rest), start)
            except OSError as error:
                raise InputError(
                    f"{self.filename} cannot be read any more ({error.strerror}): "
                    f"copy it to another disk and run again."
                ) from error
            if not part:
                raise changed(self.filename, "cut short")
            rest[: len(part)] = part
            rest, start = rest[len(part) :], start + len(part)
        return values


def stored(array: object) -> FileRows | StoredRows | None:
    """Return an array as what it is if its rows are in files, else None."""
    held: Any = array
    return held if isinstance(held, FileRows | StoredRows) else None


def read_rows(array: npt.NDArray[Any], rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """Return rows of an array; those of `StoredRows` are copied out of their files.

    Raises
    ------
    InputError
        As :meth:`FileRows.read`.
    """
    held = stored(array)
    return array[rows] if held is None else held.read(rows)


def check_unchanged(array: npt.ArrayLike) -> None:
    """Refuse an array whose file was written to since it was opened; others are in memory.

    Raises
    ------
    InputError
    """
    held = stored(array)
    if held is not None:
        held.check_unchanged()


def file_state(file: Path | int) -> tuple[int, int]:
    """Return size and time of the last change of a file, in nanoseconds."""
    found = file.stat() if isinstance(file, Path) else os.fstat(file)
    return found.st_size, found.st_mtime_ns


def changed(path: object, how: str = "changed") -> InputError:
    """Return the error for a file that was changed, or "cut short", while it was in use."""
    return InputError(
        f"{path} was {how} while it was in use, so nothing is written: "
        f"wait until the program that writes it has ended, then run again."
    )


def release(array: npt.ArrayLike) -> None:
    """Free the memory that holds pages of a mapped file; they are read again when needed.

    Arrays mapped copy-on-write (mode "c") are left alone.
    """
    if not isinstance(array, np.memmap) or array.mode == "c":
        return
    file: object = array.base
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def sample_faces(n: int, seed: int = 0, size: int = SAMPLE) -> npt.NDArray[np.int64]:
    """Draw a random sample of faces: ``size`` of 0..n-1, or all if there are fewer, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:size])
