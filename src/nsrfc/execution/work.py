"""The work of a stage: a task over blocks of faces, each of which makes one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from nsrfc.chunks import chunks
from nsrfc.execution.manifest import Manifest, Rows, content_hash
from nsrfc.execution.shelf import Shelf, unpacked
from nsrfc.rowstore import Arrays, RowTask
from nsrfc.storage.arrays import read_npz_array, write_npz

__all__ = ["Block", "Work", "run_block"]


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a result, as one file.

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
        return self.folder / f"{self.rows[0]:010d}.npz"

    def read(self, names: Mapping[str, object]) -> Arrays:
        """Read the rows of some arrays.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        return {name: read_npz_array(self.path, name) for name in names}


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
    columns : mapping
        Shape of a row and dtype of every array.
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
    columns: Mapping[str, tuple[tuple[int, ...], str]]
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
        arrays = {
            name: np.empty((stop - first, *shape), dtype)
            for name, (shape, dtype) in self.columns.items()
        }
        for part in chunks(stop - first, self.step):
            found = self.task(slice(first + part.start, first + part.stop))
            for name, array in arrays.items():
                array[part] = found[name]
        write_npz(made.path, arrays)
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
