"""A folder of shards: files whose rows follow each other, as ``img_emb_0.npy``, ``img_emb_1.npy``, ...

Shards are in the order of the numbers in their names, 10 after 9. ``.npy`` files are taken first: tables
beside them, such as ``metadata_0.parquet``, describe their rows. Files whose names begin with ``.`` or
``_`` are left alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import StoredRows, Vectors, changed, read_rows
from nsrfc.errors import InputError, enumerate_names, shortened
from nsrfc.storage import tables
from nsrfc.storage.folders import Folder

__all__ = ["LastShard", "described_by", "shards_in"]

# Records of libraries that lie beside shards, such as state.json of Hugging Face, are no shards.
_TABLES = tuple(suffix for suffix in tables.SUFFIXES if suffix != ".json")
_ARRAYS = (".npz", ".pt", ".pth", ".safetensors")


class LastShard:
    """Reads shards whole when rows of them are needed, and holds the one that it read last.

    Parameters
    ----------
    folder : Folder
    read : callable
        Returns the embeddings in a file.
    """

    def __init__(self, folder: Folder, read: Callable[[Path], Vectors]) -> None:
        self._folder, self._read = folder, read
        self._held: tuple[Path, npt.NDArray[Any]] | None = None

    def rows(self, path: Path, vectors: Vectors) -> StoredRows:
        """Return the rows of a shard, which holds ``vectors`` now."""
        return _LoadedRows(self, path, vectors, self._folder.state(path))

    def vectors(self, path: Path) -> npt.NDArray[Any]:
        """Return the embeddings of a shard."""
        if self._held is None or self._held[0] != path:
            self._held = None
            with self._folder.fetched(path) as local:
                # A file that was fetched is gone afterwards.
                self._held = path, np.array(read_rows(self._read(local), slice(None)))
        return self._held[1]

    def state(self, path: Path) -> object:
        """Return what differs once a shard was written to."""
        return self._folder.state(path)


class _LoadedRows(StoredRows):
    loaded = True

    def __init__(self, last: LastShard, path: Path, vectors: Vectors, state: object) -> None:
        self._last, self._path, self._state = last, path, state
        self.shape, self.dtype = vectors.shape, vectors.dtype

    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        vectors = self._last.vectors(self._path)
        if vectors.shape != self.shape:
            raise changed(self._path)
        return vectors[rows]

    def check_unchanged(self) -> None:
        if self._last.state(self._path) != self._state:
            raise changed(self._path)


def shards_in(place: Folder, key: str | None = None) -> list[Path]:
    """Return the shards in a folder, or in its subfolder ``img_emb``, in the order of their rows.

    Parameters
    ----------
    place : Folder
    key : str, optional
        What the names of ``.npy`` files start with, if there are several series of them.

    Raises
    ------
    InputError
        If there are none, there are several kinds or series, or one of a series is missing.
    """
    folder = place.path
    found = _ordered(place.files(folder)) or _ordered(place.files(folder / "img_emb"))
    arrays = [path for path in found if path.suffix.lower() == ".npy"]
    if arrays:
        return _whole(folder, _one_series(folder, arrays, key))
    by_suffix = defaultdict(list)
    for path in found:
        if path.suffix.lower() in (*_TABLES, *_ARRAYS):
            by_suffix[path.suffix.lower()].append(path)
    if not by_suffix:
        raise InputError(
            f"{folder} is a folder without shards such as img_emb_0.npy or part-0.parquet: "
            f"give a file, or the folder that has them."
        )
    if len(by_suffix) > 1:
        raise InputError(
            f"{folder} holds files of several kinds ({', '.join(sorted(by_suffix))}): "
            f"leave one kind in it, or give a file."
        )
    return _whole(folder, *by_suffix.values())


def described_by(shards: Sequence[Path], place: Folder) -> list[Path]:
    """Return the tables that describe the rows of ``.npy`` shards, one each; of others, the shards.

    They have the same numbers, in the same folder or in ``metadata`` beside it, as clip-retrieval writes
    them.

    Raises
    ------
    InputError
        If a shard has no table, or more than one.
    """
    if shards[0].suffix.lower() != ".npy":
        return list(shards)
    folder = shards[0].parent
    beside, apart = _tables(place.files(folder)), folder.parent / "metadata"
    by_number = defaultdict(list)
    for path in beside or _tables(place.files(apart)):
        by_number[_last_number(path)].append(path)
    for shard in shards:
        count = len(by_number[_last_number(shard)])
        if count != 1:
            raise InputError(
                f"{shard} is described by {count or 'no'} tables in {folder if beside else apart}, "
                f"where the ids are looked for: keep one table of its number there, such as "
                f"metadata_0.parquet for img_emb_0.npy."
            )
    return [by_number[_last_number(shard)][0] for shard in shards]


def _ordered(paths: Iterable[Path]) -> list[Path]:
    return sorted((path for path in paths if path.name[0] not in "._"), key=_order)


def _tables(paths: Iterable[Path]) -> list[Path]:
    return [path for path in _ordered(paths) if path.suffix.lower() in _TABLES]


def _order(path: Path) -> tuple[list[str], list[int], str]:
    """Order names by their words, then by their numbers."""
    return re.split(r"\d+", path.stem), _numbers(path), path.name


def _numbers(path: Path) -> list[int]:
    # Longer runs of digits are no counts, and those of thousands of digits no numbers for Python.
    return [int(digits) for digits in re.findall(r"\d{1,18}", path.stem)]


def _last_number(path: Path) -> int | None:
    return next(reversed(_numbers(path)), None)


def _one_series(folder: Path, arrays: list[Path], key: str | None) -> list[Path]:
    """Return the arrays whose names differ in numbers only."""
    series = defaultdict(list)
    for path in arrays:
        series["#".join(_order(path)[0])].append(path)
    chosen = [name for name in series if key is None or name.startswith(key)]
    if len(chosen) != 1:
        names = [files[0].name for files in series.values()]
        which = "none" if not chosen else "more than one"
        raise InputError(
            f"{folder} holds the .npy files {enumerate_names(names)} and those numbered like them, and "
            f"{which} of these series is meant"
            f"{'' if key is None else f' by the key {shortened(key)}'}: name it by what its names start "
            f"with, such as --key img_emb."
        )
    return series[chosen[0]]


def _whole(folder: Path, shards: list[Path]) -> list[Path]:
    """Refuse a series without an order, or of which a shard is missing, as far as the names tell."""
    numbers = [_numbers(path) for path in shards]
    for one, other in pairwise(shards):
        if _order(one)[:2] == _order(other)[:2]:
            raise InputError(
                f"{folder}: {one.name} and {other.name} have the same numbers, so that their order is "
                f"not known: number the shards."
            )
    total = re.search(r"-of-(\d{1,9})$", shards[0].stem)
    if total:
        missing = set(range(int(total[1]))) - {each[-2] for each in numbers if len(each) > 1}
    elif shards[0].suffix.lower() == ".npy" and len(shards) > 1 and all(map(len, numbers)):
        last = [each[-1] for each in numbers]
        missing = set(range(last[0], last[-1])) - set(last)
    else:
        missing = set()
    if missing:
        raise InputError(
            f"{folder} lacks the shard of number {min(missing)} between {shards[0].name} and "
            f"{shards[-1].name}: copy it, or number the others without a gap."
        )
    return shards
