"""A cache of results whose rows are made by tasks, wherever the executor runs them."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from nsrfc.chunks import RowParts, Vectors, file_state
from nsrfc.errors import InputError
from nsrfc.execution.base import Executor
from nsrfc.execution.manifest import Manifest, content_hash
from nsrfc.execution.shelf import Shelf, mapped
from nsrfc.execution.work import Block, Forms, Work
from nsrfc.rowstore import (
    Arrays,
    Columns,
    Gathered,
    Moves,
    RowStore,
    RowTask,
    Stage,
    block_rows,
    moved_anew,
    unseen,
)
from nsrfc.storage.arrays import open_npy
from nsrfc.storage.artifacts import Artifacts, key_of
from nsrfc.storage.files import kind_of, writing
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.outputs import atomic_path

__all__ = ["TaskResults", "TaskRows"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskResults(Artifacts):
    """A folder of results that several processes fill; on several machines, one that all of them see.

    Attributes
    ----------
    folder : Path
    executor : Executor
    shelf : Shelf
        Where arrays are put that tasks read.
    """

    executor: Executor
    shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shelf", Shelf(self.folder / "shared"))

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder for this run, unless it is one process of several that share it."""
        return super().locked() if self.executor.part is None else nullcontext()

    def get(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return a result from the cache, or make it; what tasks have made is kept already."""
        found = self.find(stage, key)
        if found is None:
            found = make()
            if any(self.shelf.place(array) is None for array in found.values()):
                self.keep(stage, key, found)
        return found

    def once(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Make a result; of several processes one makes it, and the others wait."""
        if self.executor.part is None:
            return make()
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / f"{stage}-{key[:16]}.lock"):
            return super().get(stage, key, make)

    def pieces(self, stage: str, key: str) -> RowStore:
        """Open a result that tasks make."""
        return self.passing(stage, key)

    def passing_fingerprint(self, array: Vectors) -> str:
        """Return the fingerprint of an array."""
        return self.fingerprint(array)

    def passing(self, stage: str, key: str, *, here: bool = False) -> RowStore:
        """Open a result that tasks make."""
        return TaskRows(self.folder / f"{stage}-{key[:16]}", key, self, here)

    def fingerprint(self, array: Vectors) -> str:
        """Return the fingerprint of an array, for use in a key.

        A file of the shelf is named by all that it depends on, so that nothing is read.
        """
        place = None if isinstance(array, RowParts) else self.shelf.place(array)
        if place is None:
            return fingerprint(array)
        _, path, *form = place
        name = Path(path).relative_to(self.folder).as_posix()
        return hashlib.sha256(f"{name} {form}".encode()).hexdigest()

    def shared(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array of the same content that is mapped from a file."""
        return self.shelf.put(array)


@dataclass(frozen=True)
class TaskRows:
    """Arrays of one row per face that tasks make: a file for each block, then one file per array.

    Attributes
    ----------
    folder : Path
    key : str
        Of everything the arrays depend on.
    results : TaskResults
    here : bool
        Whether they are made in this process.
    """

    folder: Path
    key: str
    results: TaskResults
    here: bool = False

    def fill(
        self,
        n: int,
        columns: Columns,
        task: Callable[[], RowTask],
        stage: Stage = unseen,
        over: Arrays | None = None,
    ) -> Arrays:
        """Return the arrays of n rows, see `nsrfc.rowstore.RowStore.fill`; all are mapped."""
        del over
        described = {name: (shape, np.dtype(dtype).str) for name, (shape, dtype) in columns.items()}
        before = self._states(columns)
        if self._whole(n, described) is None:
            made = task()
            size = block_rows(n, made.step)
            work = Work(self.folder, self.key, n, described, made.step, size, made, self.results.shelf)
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            with stage() as advance:
                self._make(work, advance)
            with FileLock(self.folder / "arrays.lock"):
                # Of several processes one puts the files together. The others need not check them.
                now = self._states(columns)
                if any(state is None or state == before[name] for name, state in now.items()):
                    self._put_together(work)
        return {name: self._mapped(name) for name in columns}

    def gathered(
        self, vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Have tasks gather rows (m,) of vectors (n, d)."""
        return self.moved(Gathered(vectors, rows))

    def moved(self, moves: Moves) -> npt.NDArray[np.float32]:
        """Have tasks make vectors of others, which stay."""
        return moved_anew(self, moves)

    def before(self) -> TaskRows:
        """Open the store of a preliminary result, which is discarded once this one is complete."""
        folder = self.folder.with_name(f"before-{self.folder.name}")
        return TaskRows(folder, key_of("before", {"of": self.key}), self.results)

    def discard(self) -> None:
        """Remove the arrays, unless other processes may still read them."""
        if self.results.executor.part is None:
            self.results.shelf.forget(self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _manifest(self) -> Manifest:
        return Manifest(self.folder, self.key, self.results.executor.part)

    def _make(self, work: Work, advance: Callable[[int], None]) -> None:
        """Run what is missing."""
        blocks, manifest = work.blocks(), self._manifest
        made = manifest.read()
        missing = []
        for number, block in enumerate(blocks):
            if self._read(block, made.get(block.rows), work.columns) is None:
                missing.append(number)
            else:
                advance(block.rows[1] - block.rows[0])
        # What fits one block is sooner made than sent.
        alone = len(blocks) == 1 or (self.here and self.results.executor.part is None)
        done = _in_order(work, missing) if alone else self.results.executor.run(work, missing)
        for number, sha256 in done:
            first, stop = blocks[number].rows
            manifest.add((first, stop), sha256)
            advance(stop - first)

    def _read(self, block: Block, sha256: str | None, columns: Forms) -> Arrays | None:
        """Read a block that counts, from its file or from the whole arrays; None if there is none."""
        if sha256 is None:
            return None
        for read in (partial(block.read, columns), partial(self._region, block, columns)):
            with suppress(InputError):
                rows = read()
                if content_hash(rows) == sha256:
                    return rows
        _logger.warning("%s is missing or damaged, and made again.", block.path)
        return None

    def _region(self, block: Block, columns: Forms) -> Arrays:
        """Read the rows of a block from the whole arrays."""
        first, stop = block.rows
        return {name: open_npy(self._path(name))[first:stop] for name in columns}

    def _states(self, names: Iterable[str]) -> dict[str, tuple[int, int] | None]:
        """Return size and time of the last change of the file of every array; None if there is none."""
        found: dict[str, tuple[int, int] | None] = dict.fromkeys(names)
        for name in found:
            with suppress(OSError):
                found[name] = file_state(self._path(name))
        return found

    def _whole(self, n: int, columns: Forms) -> Arrays | None:
        """Return the arrays, if they are whole and hold what the manifest says."""
        if not all(kind_of(self._path(name)) == "file" for name in columns):
            return None
        try:
            arrays: Arrays = {name: open_npy(self._path(name)) for name in columns}
        except InputError:
            return None
        for name, (shape, dtype) in columns.items():
            if arrays[name].shape != (n, *shape) or arrays[name].dtype.str != dtype:
                return None
        reached = 0
        for (first, stop), sha256 in sorted(self._manifest.read().items()):
            rows = {name: array[first:stop] for name, array in arrays.items()}
            if first != reached or content_hash(rows) != sha256:
                return None
            reached = stop
        return arrays if reached == n else None

    def _put_together(self, work: Work) -> None:
        """Write whole arrays from the files of blocks, which are then removed."""
        made, blocks = self._manifest.read(), work.blocks()
        with ExitStack() as files:
            whole = {
                name: files.enter_context(self._begun(name, (work.n, *shape), dtype))
                for name, (shape, dtype) in work.columns.items()
            }
            for block in blocks:
                rows = self._read(block, made.get(block.rows), work.columns)
                if rows is None:
                    raise InputError(
                        f"{block.path} was changed while it was in use: run the same command again."
                    )
                for name, stream in whole.items():
                    stream.write(np.ascontiguousarray(rows[name]).data)
        self._manifest.flush()
        for block in blocks:
            block.path.unlink(missing_ok=True)

    @contextmanager
    def _begun(self, name: str, shape: tuple[int, ...], dtype: str) -> Iterator[BinaryIO]:
        """Begin the file of an array, to which its rows are appended."""
        with atomic_path(self._path(name)) as path, path.open("wb") as stream:
            header = {"descr": dtype, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            yield stream

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _mapped(self, name: str) -> npt.NDArray[Any]:
        array = mapped(self._path(name))
        self.results.shelf.register(self._path(name), array)
        return array


def _in_order(work: Work, blocks: list[int]) -> Iterator[tuple[int, str]]:
    for block in blocks:
        yield block, work.make(block)
