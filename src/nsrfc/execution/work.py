"""The work of a stage: a task over blocks of faces, each of which makes one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nsrfc.chunks import changed, chunks
from nsrfc.execution.manifest import Manifest, Rows, content_hash
from nsrfc.execution.shelf import Shelf, unpacked
from nsrfc.rowstore import Arrays, RowTask
from nsrfc.storage.files import reading
from nsrfc.storage.outputs import atomic_path

__all__ = ["Block", "Forms", "Work", "run_block"]

Forms = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape of a row and dtype of every array."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a result, as one file: the numbers of every array, one after the other.

    Attributes
    ----------
    folder : Path
        Of the stage.
    rows : (int, int)
    """

    folder: Path
    rows: Rows

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.rows[0]:010d}.rows"

    def empty(self, forms: Forms) -> Arrays:
        """Return arrays for its rows."""
        count = self.rows[1] - self.rows[0]
        return {name: np.empty((count, *shape), dtype) for name, (shape, dtype) in forms.items()}

    def write(self, arrays: Arrays) -> None:
        """Write the file, whole or not at all.

        It is not flushed to the disk, which takes longer than the writing: whoever reads it checks its
        hash.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        with atomic_path(self.path, flushed=False) as temporary, temporary.open("wb") as stream:
            for array in arrays.values():
                stream.write(array.reshape(-1).view(np.uint8).data)

    def read(self, forms: Forms) -> Arrays:
        """Read the rows.

        Raises
        ------
        InputError
            If the file is missing or of another size.
        """
        arrays = self.empty(forms)
        with reading(self.path), self.path.open("rb") as stream:
            held = [stream.readinto(array.reshape(-1).view(np.uint8).data) for array in arrays.values()]
            if held != [array.nbytes for array in arrays.values()] or stream.read(1):
                raise changed(self.path)
        return arrays


@dataclass(frozen=True)
class Work:
    """A task, and the rows that it makes.

    Attributes
    ----------
    folder : Path
        Of the stage.
    key : str
        Of the result.
    n : int
        Number of rows.
    columns : Forms
    step : int
        Rows that are made at a time.
    size : int
        Rows of a block.
    task : RowTask
    shelf : Shelf
        Where its large arrays are put, if another process is to run it.
    """

    folder: Path
    key: str
    n: int
    columns: Forms
    step: int
    size: int
    task: RowTask
    shelf: Shelf

    def blocks(self) -> list[Block]:
        """Return the blocks of all rows, in order."""
        return [Block(self.folder, (part.start, part.stop)) for part in chunks(self.n, self.size)]

    def made(self) -> dict[Rows, str]:
        """Return the hash of every block that counts by now."""
        return Manifest(self.folder, self.key).read()

    def make(self, block: int) -> str:
        """Make the file of a block, and return the hash of its content."""
        made = self.blocks()[block]
        first, stop = made.rows
        arrays = made.empty(self.columns)
        for part in chunks(stop - first, self.step):
            found = self.task(slice(first + part.start, first + part.stop))
            for name, array in arrays.items():
                array[part] = found[name]
        made.write(arrays)
        return content_hash(arrays)

    def packed(self) -> bytes:
        """Return the work in a form that :func:`run_block` can run in another process."""
        return self.shelf.packed(self)


def run_block(packed: bytes, block: int) -> str:
    """Run a task of packed work in this process, see `Work.make`."""
    return _work(packed).make(block)


@lru_cache(maxsize=1)
def _work(packed: bytes) -> Work:
    work = unpacked(packed)
    assert isinstance(work, Work)
    return work
