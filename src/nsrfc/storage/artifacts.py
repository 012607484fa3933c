"""A cache of the results of stages on disk, by everything they depend on.

A result is one file, or a folder of arrays that are filled row by row: a run that was killed resumes
after the last rows recorded.

A result is named by a hash of its stage and of everything it depends on: content of the embeddings,
weights, settings, the code that makes it, and the versions of the numeric libraries. A run with other
data, another model or another setting looks for other names and can never use a stale result. A file
that is damaged, or whose content does not match its name, is ignored with a warning and made anew. Files
are written whole or not at all, arrays row by row with a checksum.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import Vectors, chunks, release
from nsrfc.errors import InputError
from nsrfc.rowstore import Arrays, MemoryRows, Moves, OrderedRows, RowStore
from nsrfc.storage.arrays import ArrayHeader, npz_headers, open_npy, read_npz_array, write_npz
from nsrfc.storage.files import PathLike, kind_of, read_text, reading, writing
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.locks import locked
from nsrfc.storage.outputs import atomic_path
from nsrfc.storage.scratch import ScratchRows, mapped_copy, take_room

__all__ = ["Artifacts", "Pieces", "key_of"]

_ABOUT = "about"
_DONE = "done.json"
_MOST_RECORD_BYTES = 1 << 20

CODE = ("chunks", "graph", "knn", "methods", "model", "networks", "rowstore", "vectors")
"""Modules and folders of the package whose code affects the results of stages."""

LIBRARIES = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "numba", "torch")

RECORD_SECONDS = 10.0
"""Minimum time between two records of progress; a killed run loses at most this much work."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifacts:
    """A folder of results.

    Parameters
    ----------
    folder : Path
        Made when it is first needed.
    mapped : bool
        Whether results that pass are in scratch files, and not in memory.
    """

    folder: Path
    mapped: bool = field(default=False, kw_only=True)
    kept = True

    @classmethod
    def at(cls, cache: PathLike, *, mapped: bool = False) -> Artifacts:
        """Return the cache in a folder that a user named.

        Raises
        ------
        InputError
            If ``cache`` is not a path.
        """
        if not isinstance(cache, str | os.PathLike):
            raise InputError(f"cache must be a folder, got {type(cache).__name__}: give its path.")
        return cls(Path(cache), mapped=mapped)

    def key(self, stage: str, parts: Mapping[str, object]) -> str:
        """Return the key of a result, see :func:`key_of`."""
        return key_of(stage, parts)

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder for this run, see :func:`nsrfc.storage.locks.locked`."""
        return locked(self.folder, "run")

    def get(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return a result from the cache, or make and keep it.

        Parameters
        ----------
        stage : str
        key : str
            Of everything the result depends on, see :func:`key_of`.
        make : callable
            Returns the arrays by name.

        Returns
        -------
        dict of str to ndarray

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        found = self.find(stage, key)
        if found is None:
            found = make()
            self.keep(stage, key, found)
        return found

    def once(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Make a result that is sooner made than read."""
        del stage, key
        return make()

    def find(self, stage: str, key: str) -> Arrays | None:
        """Return a result from the cache, or None."""
        path = self._path(stage, key)
        if kind_of(path) is None:
            return None
        try:
            return _read(path, key)
        except InputError as error:
            _logger.warning("%s Its stage is run again.", error)
            return None

    def keep(self, stage: str, key: str, arrays: Arrays) -> None:
        """Keep a result, replacing an older one."""
        path = self._path(stage, key)
        write_npz(path, {_ABOUT: _about(key, arrays), **arrays})

    def pieces(self, stage: str, key: str) -> RowStore:
        """Open a result whose arrays are filled row by row."""
        return Pieces(self.folder / f"{stage}-{key[:16]}", key, self._passing)

    def passing_fingerprint(self, array: Vectors) -> str:
        """Return an empty fingerprint, as `passing` results are not kept."""
        del array
        return ""

    def passing(self, stage: str, key: str, *, here: bool = False) -> RowStore:
        """Return rows that are not kept: they are sooner made again than read and checked."""
        del stage, key, here
        return self._passing

    @property
    def _passing(self) -> RowStore:
        return ScratchRows(self.folder) if self.mapped else MemoryRows()

    def shared(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array itself, or, where arrays are mapped, a copy that is."""
        return mapped_copy(array, self.folder) if self.mapped else array

    def fingerprint(self, array: npt.NDArray[Any]) -> str:
        """Return the fingerprint of an array, for use in a key."""
        return fingerprint(array)

    def _path(self, stage: str, key: str) -> Path:
        return self.folder / f"{stage}-{key[:16]}.npz"


@dataclass
class Pieces(OrderedRows):
    """Arrays of one row per face, filled in order and mapped to files in a folder.

    Parameters
    ----------
    folder : Path
        Made when it is first needed.
    key : str
        Of everything the arrays depend on; arrays of another key in the folder are made anew.
    passing : RowStore
        Where vectors are moved to.
    """

    folder: Path
    key: str
    passing: RowStore = field(default_factory=MemoryRows)
    _arrays: Arrays = field(default_factory=dict, init=False)
    _sums: dict[str, int] = field(default_factory=dict, init=False)
    _done: int | None = field(default=None, init=False)

    @property
    def done(self) -> int:
        """Number of rows that are filled."""
        return self._done or 0

    def array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32
    ) -> npt.NDArray[Any]:
        """Return an array, with the rows that an earlier run has filled.

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        path = self.folder / f"{name}.npy"
        done, self._sums[name] = self._filled(path, shape, dtype)
        if done == 0:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / _DONE).unlink(missing_ok=True)
                np.lib.format.open_memmap(path, "w+", dtype, shape)
                with path.open("r+b") as stream:
                    take_room(stream.fileno(), path.stat().st_size)
            # All arrays of a result are filled together, so they also start anew together.
            self._sums = dict.fromkeys(self._sums, 0)
        self._done = done if self._done is None else min(done, self._done)
        self._arrays[name] = np.load(path, mmap_mode="r+", allow_pickle=False)
        return self._arrays[name]

    def before(self) -> Pieces:
        """Open the store of a preliminary result, which is discarded once this one is complete."""
        folder = self.folder.with_name(f"before-{self.folder.name}")
        return Pieces(folder, key_of("before", {"of": self.key}), self.passing)

    def gathered(
        self, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Return rows (m,) of vectors (n, d)."""
        return self.passing.gathered(vectors, rows)

    def moved(self, moves: Moves) -> npt.NDArray[np.float32]:
        """Make vectors of others, which are not needed again."""
        return self.passing.moved(moves)

    def discard(self) -> None:
        """Remove the arrays from the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remaining(self, n: int, size: int) -> Iterator[slice]:
        """Yield the slices of n rows that are still to be filled, ``size`` rows or fewer at a time."""
        recorded = time.monotonic()
        for start in range(self.done, n, size):
            stop = min(start + size, n)
            yield slice(start, stop)
            for array in self._arrays.values():
                release(array)
            if stop == n or time.monotonic() - recorded >= RECORD_SECONDS:
                self._record(stop)
                recorded = time.monotonic()

    def _record(self, done: int) -> None:
        """Flush the rows filled, then record them."""
        for name, array in self._arrays.items():
            assert isinstance(array, np.memmap)
            with writing(self.folder):
                array.flush()
            for part in chunks(done - self.done):
                rows = array[self.done :][part]
                self._sums[name] = zlib.crc32(rows.data, self._sums[name])
                release(array)
        self._done = done
        record = {"key": self.key, "rows": done, "crc32": self._sums}
        with atomic_path(self.folder / _DONE) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")

    def _filled(self, path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> tuple[int, int]:
        """Return how many rows an earlier run has filled, and their CRC-32; 0, 0 if they are invalid."""
        record = path.with_name(_DONE)
        if kind_of(record) != "file":
            return 0, 0
        try:
            with reading(record):
                found = json.loads(read_text(record, _MOST_RECORD_BYTES))
                key, rows, expected = found["key"], int(found["rows"]), found["crc32"].get(path.stem)
            if key != self.key:
                return 0, 0
            array = open_npy(path)
            right = (array.shape, array.dtype) == (shape, np.dtype(dtype)) and 0 <= rows <= len(array)
            if not right or not array.flags.c_contiguous or zlib.crc32(array[:rows].data) != expected:
                raise InputError(f"{path} does not hold the result that its name says.")
        except InputError as error:
            _logger.warning("%s Its stage is run again.", error)
            return 0, 0
        release(array)
        return rows, expected


def key_of(stage: str, parts: Mapping[str, object]) -> str:
    """Hash everything a result depends on.

    Parameters
    ----------
    stage : str
    parts : mapping of str to JSON values
        Settings, and keys or fingerprints of the inputs.

    Returns
    -------
    str
        64 hexadecimal digits, which also depend on the code of the package and the numeric libraries.
    """
    whole = json.dumps([_made_by(), stage, parts], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


@cache
def _made_by() -> dict[str, str]:
    """Return what affects results besides data and settings: the code, and the numeric libraries."""
    package = Path(__file__).parents[1]
    code = hashlib.sha256()
    for name in CODE:
        for path in sorted(package.glob(f"{name}/**/*.py")) or [package / f"{name}.py"]:
            code.update(path.read_bytes())
    return {"code": code.hexdigest(), **{name: _version(name) for name in LIBRARIES}}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # faiss has other names for GPUs
        return "unknown"


def _read(path: Path, key: str) -> Arrays:
    headers = npz_headers(path)
    about = headers.pop(_ABOUT, None)
    wanted = _about(key, headers)
    right = about is not None and (about.shape, about.dtype) == (wanted.shape, wanted.dtype)
    # Text of damaged bytes cannot be turned into a str, so arrays are compared.
    if not right or (read_npz_array(path, _ABOUT) != wanted).any():
        raise InputError(f"{path} does not hold the result that its name says.")
    return {name: read_npz_array(path, name) for name in headers}


def _about(key: str, arrays: Mapping[str, npt.NDArray[Any] | ArrayHeader]) -> npt.NDArray[np.str_]:
    """Say of a result what it depends on, and what arrays it has."""
    held = sorted(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
    return np.array([key, *held])
