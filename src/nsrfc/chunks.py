"""Process faces in chunks, so that the size of working copies does not grow with the number of faces."""

from __future__ import annotations

import mmap
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError

__all__ = [
    "BATCH",
    "BFLOAT16",
    "CHUNK",
    "ROWS",
    "SAMPLE",
    "STEP",
    "ClosedRows",
    "FileRows",
    "RowParts",
    "StoredRows",
    "Vectors",
    "changed",
    "check_unchanged",
    "chunks",
    "decoded_type",
    "file_state",
    "read_rows",
    "release",
    "sample_faces",
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


BFLOAT16 = np.dtype("V2")
"""What numpy knows of bfloat16 in a file: two bytes."""

SAMPLE = 4096
"""Size of a sample of faces: the median of so many values is known to 0.02 standard deviations."""


def chunks(n: int, size: int | None = None) -> Iterator[slice]:
    """Yield slices of 0..n-1 in order, of length ``size`` or `CHUNK`; the last may be shorter."""
    size = size or CHUNK
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


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

    @property
    def whole(self) -> bool:
        """Whether this is the array as it was opened, no part or view of it."""
        return self._descriptor is not None

    @property
    def form(self) -> tuple[tuple[int, int], str, tuple[int, ...], int, Literal["C", "F"]]:
        """What `again` needs besides the path."""
        order: Literal["C", "F"] = "C" if self.flags.c_contiguous else "F"
        return self._opened, self.dtype.str, self.shape, self.offset, order

    @classmethod
    def again(cls, path: Path, state: tuple[int, int], *form: Any) -> FileRows:  # noqa: ANN401
        """Map in another process what was opened with `open`.

        Raises
        ------
        InputError
            If the file was changed or replaced since.
        """
        found = cls.open(path, *form)
        if found._opened != tuple(state):
            raise changed(path)
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


class StoredRows(ABC):
    """Rows (n, d) that are copied out of files when they are needed.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        As in the files.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    loaded = False
    """Whether the file is read whole when rows are needed."""

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Copy rows, consecutive ones or some by number.

        Raises
        ------
        InputError
            As :meth:`FileRows.read`.
        """

    @abstractmethod
    def check_unchanged(self) -> None:
        """Refuse files that were written to since they were opened.

        Raises
        ------
        InputError
        """


class ClosedRows(StoredRows):
    """An array in a file that is open only while rows are read: thousands of files can be used.

    Parameters
    ----------
    rows : FileRows
    """

    def __init__(self, rows: FileRows) -> None:
        self.shape, self.dtype = rows.shape, rows.dtype
        assert rows.filename is not None
        self._path, self._offset, self._state = Path(rows.filename), rows.offset, rows._opened
        self._order: Literal["C", "F"] = "C" if rows.flags.c_contiguous else "F"

    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Copy rows; `InputError` also if the file was written to meanwhile."""
        self.check_unchanged()
        opened = FileRows.open(self._path, self.dtype, self.shape, self._offset, self._order)
        return opened.read(rows)

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since this was made."""
        try:
            state = file_state(self._path)
        except OSError as error:
            raise changed(self._path, "removed") from error
        if state != self._state:
            raise changed(self._path)


class RowParts(StoredRows):
    """Rows in several arrays, one after another, that are joined and decoded only as they are read.

    Floats of either byte order become native ones. Two bytes without a type, which is what ``ml_dtypes``
    writes into ``.npy`` files, are bfloat16 and become float32. ``numpy.asarray`` copies all rows.

    Parameters
    ----------
    parts : sequence of ndarray or StoredRows, shape (n_i, d)
        In files or in memory.
    name : path-like
        The file or folder, for messages.
    shards : sequence of str
        Names of the parts, if they are shards.

    Attributes
    ----------
    shape : (int, int)
    dtype : dtype
        The narrowest that holds all parts: float16, float32 or float64.
    """

    def __init__(
        self,
        parts: Sequence[npt.NDArray[Any] | StoredRows],
        name: str | os.PathLike[str],
        shards: Sequence[str] = (),
    ) -> None:
        self.filename = name
        self._shards = shards
        self._parts = list(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self.shape = (int(self._starts[-1]), int(parts[0].shape[1]))
        self.dtype = np.result_type(*(decoded_type(part.dtype) for part in parts))

    def __getitem__(self, rows: slice | npt.ArrayLike) -> npt.NDArray[Any]:
        return self.read(rows if isinstance(rows, slice) else np.arange(len(self))[np.asarray(rows)])

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("Rows in parts are an array only as a copy.")
        return self.read(slice(None)).astype(dtype or self.dtype, copy=False)

    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Copy rows, consecutive ones or some by number.

        Raises
        ------
        InputError
            As :meth:`FileRows.read`.
        """
        if isinstance(rows, slice):
            first, stop, _ = rows.indices(len(self))
            found = np.empty((max(0, stop - first), self.shape[1]), self.dtype)
            for part, start in zip(self._parts, self._starts.tolist(), strict=False):
                within = slice(max(0, first - start), max(0, min(len(part), stop - start)))
                if within.start < within.stop:
                    at = start + within.start - first
                    found[at : at + within.stop - within.start] = decoded(read_rows(part, within))
            return found
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        place = np.searchsorted(self._starts, rows, "right") - 1
        for number in np.unique(place).tolist():
            here = place == number
            inside = rows[here] - self._starts[number]
            found[here] = decoded(read_rows(self._parts[number], inside))
        return found

    def check_unchanged(self) -> None:
        """Refuse files that were written to since they were opened."""
        for part in self._parts:
            check_unchanged(part)

    def release(self) -> None:
        """Free the memory that holds pages of mapped files."""
        for part in self._parts:
            release(part)

    @property
    def mapped(self) -> bool:
        """Whether some rows are read from files without reading others."""
        return not any(part.loaded for part in self._parts if isinstance(part, StoredRows))

    def shards(self) -> list[tuple[str, slice]]:
        """Return the name of each shard, and its rows."""
        starts = self._starts.tolist()
        return [(name, slice(*starts[i : i + 2])) for i, name in enumerate(self._shards)]


Vectors = npt.NDArray[Any] | RowParts
"""Embeddings (n, d): an array, in memory or mapped, or rows in parts."""


def decoded_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which numbers in files are read: of this machine's byte order, no bfloat16."""
    return np.dtype(np.float32) if dtype == BFLOAT16 else dtype.newbyteorder("=")


def decoded(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers in files in their `decoded_type`."""
    if block.dtype == BFLOAT16:
        bits = np.ascontiguousarray(block).view("<u2").astype(np.uint32)
        return (bits << 16).view(np.float32)
    return block.astype(decoded_type(block.dtype), copy=False)


def read_rows(array: Vectors | StoredRows, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """Return rows of an array; those of `FileRows` and `StoredRows` are copied out of their files.

    Raises
    ------
    InputError
        As :meth:`FileRows.read`.
    """
    return array.read(rows) if isinstance(array, FileRows | StoredRows) else array[rows]


def check_unchanged(array: npt.ArrayLike | StoredRows) -> None:
    """Refuse an array whose file was written to since it was opened; others are in memory.

    Raises
    ------
    InputError
    """
    if isinstance(array, FileRows | StoredRows):
        array.check_unchanged()


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


def release(array: npt.ArrayLike | StoredRows) -> None:
    """Free the memory that holds pages of a mapped file; they are read again when needed.

    Arrays mapped copy-on-write (mode "c") are left alone.
    """
    if isinstance(array, RowParts):
        array.release()
    if not isinstance(array, np.memmap) or array.mode == "c":
        return
    file: object = array.base
    if isinstance(file, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def sample_faces(n: int, seed: int = 0, size: int = SAMPLE) -> npt.NDArray[np.int64]:
    """Draw a random sample of faces: ``size`` of 0..n-1, or all if there are fewer, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:size])
