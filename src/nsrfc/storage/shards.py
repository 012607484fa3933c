"""Embeddings in shards: a folder of files whose rows follow each other, never gathered in one array.

Read are the layout of clip-retrieval, ``img_emb/img_emb_0.npy`` beside ``metadata/metadata_0.parquet``,
with or without these subfolders, and any folder of ``.npy`` or ``.parquet`` files. Shards are in order
of the numbers in their names: 2 comes before 10.

A folder may be the URL of another file system that fsspec reads (``s3://``, ``gs://``, ...). Its shards
are fetched one at a time, and again for each pass over the faces.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import StoredRows, changed, read_rows
from nsrfc.errors import InputError
from nsrfc.storage.embeddings import Embeddings, read_embeddings
from nsrfc.storage.files import kind_of
from nsrfc.storage.parquet import open_parquet, read_scalar_column

__all__ = ["ShardRows", "is_sharded", "read_shards", "shard_parts"]

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/+")


class Files(Protocol):
    """The files of a folder."""

    def names(self) -> list[str]:
        """Return the paths of all files, below the folder."""

    def local(self, name: str) -> Any:  # noqa: ANN401
        """Return a context in which a file has a path on this machine."""

    def state(self, name: str) -> object:
        """Return what differs once a file was changed."""


@dataclass(frozen=True)
class LocalFiles:
    """The files of a folder of this machine."""

    folder: Path

    def names(self) -> list[str]:
        """Return the paths of all files, below the folder."""
        found = (*self.folder.glob("*"), *self.folder.glob("*/*"))
        return [path.relative_to(self.folder).as_posix() for path in found if path.is_file()]

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Yield the path of a file."""
        yield self.folder / name

    def state(self, name: str) -> object:
        """Return size and time of the last change of a file."""
        found = (self.folder / name).stat()
        return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class RemoteFiles:
    """The files of a folder of another file system."""

    system: Any
    folder: str

    @classmethod
    def at(cls, url: str) -> RemoteFiles:
        """Open the file system of a URL.

        Raises
        ------
        InputError
            If what reads it is not installed.
        """
        import fsspec

        try:
            system, folder = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{url} cannot be read ({error}): install what reads it.") from error
        return cls(system, folder)

    def names(self) -> list[str]:
        """Return the paths of all files, below the folder."""
        found = self.system.find(self.folder, maxdepth=2)
        below = len(self.folder.rstrip("/")) + 1
        return [path[below:] for path in found]

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Fetch a file, for as long as it is read."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / PurePosixPath(name).name
            self.system.get_file(f"{self.folder.rstrip('/')}/{name}", str(path))
            yield path

    def state(self, name: str) -> object:
        """Return the size of a file, and what else its file system knows of its last change."""
        known = self.system.info(f"{self.folder.rstrip('/')}/{name}")
        return [known.get(each) for each in ("size", "ETag", "mtime", "LastModified", "created")]


class ShardRows(StoredRows):
    """Rows of several files, one after the other, as an array (n, d); one file is open at a time.

    Attributes
    ----------
    filename : str
        The folder.
    names : sequence of str
        The shards.
    bounds : ndarray of int64, shape (s + 1,)
        Shard i holds the rows ``bounds[i]`` to ``bounds[i + 1]``.
    """

    def __init__(
        self, filename: str, files: Files, names: Sequence[str], read: Callable[[Path], Embeddings]
    ) -> None:
        self.filename, self.names = filename, list(names)
        self._files, self._read = files, read
        self._states = [files.state(name) for name in self.names]
        self._open: tuple[int, npt.NDArray[Any]] | None = None
        shapes, dtypes = [], []
        for number in range(len(self.names)):
            vectors = self._vectors(number)
            shapes.append(vectors.shape)
            dtypes.append(vectors.dtype)
        for name, shape in zip(self.names, shapes, strict=True):
            if shape[1] != shapes[0][1]:
                raise InputError(
                    f"{filename}: {name} holds embeddings of dimension {shape[1]}, {self.names[0]} of "
                    f"{shapes[0][1]}: give a folder of one embedder."
                )
        self.bounds = np.concatenate(([0], np.cumsum([shape[0] for shape in shapes])))
        self.shape, self.dtype = (int(self.bounds[-1]), shapes[0][1]), np.result_type(*dtypes)

    ndim = 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        return self.read(rows)

    def read(self, rows: slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """Copy rows, consecutive ones or a few by number.

        Raises
        ------
        InputError
            If a shard cannot be read any more.
        """
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        found = np.empty((len(rows), self.shape[1]), self.dtype)
        shard = np.searchsorted(self.bounds, rows, side="right") - 1
        for number in np.unique(shard):
            here = shard == number
            wanted, vectors = rows[here] - self.bounds[number], self._vectors(int(number))
            first, stop = int(wanted[0]), int(wanted[-1]) + 1
            consecutive = np.array_equal(wanted, np.arange(first, stop))
            chosen = slice(first, stop) if consecutive else wanted
            found[here] = read_rows(vectors, chosen)
        return found

    def check_unchanged(self) -> None:
        """Refuse shards that were written to since they were opened.

        Raises
        ------
        InputError
        """
        for name, state in zip(self.names, self._states, strict=True):
            if self._files.state(name) != state:
                raise changed(f"{self.filename}/{name}")

    def parts(self) -> list[tuple[str, slice]]:
        """Return the name of each shard, without its suffix, and its rows."""
        stems = [PurePosixPath(name).stem for name in self.names]
        return [
            (stem, slice(int(first), int(stop)))
            for stem, first, stop in zip(stems, self.bounds[:-1], self.bounds[1:], strict=True)
        ]

    def _vectors(self, number: int) -> npt.NDArray[Any]:
        """Return the embeddings of a shard; they stay open until another is read."""
        if self._open is None or self._open[0] != number:
            self._open = None
            with self._files.local(self.names[number]) as path:
                vectors = self._read(path).vectors
                if isinstance(self._files, RemoteFiles):
                    # The file that was fetched is gone afterwards.
                    vectors = read_rows(vectors, slice(None))
            self._open = number, vectors
        return self._open[1]


def shard_parts(vectors: object) -> list[tuple[str, slice]]:
    """Return the names and rows of the shards that embeddings are in; none if they are in one file."""
    held: Any = vectors
    return held.parts() if isinstance(held, ShardRows) else []


def is_sharded(path: str | Path) -> bool:
    """Whether a path is a folder, or a URL."""
    return _URL.match(str(path)) is not None or kind_of(path) == "folder"


def read_shards(
    path: str | Path,
    *,
    key: str | None = None,
    dimension: int | None = None,
    id_key: str | None = None,
    bad_rows: bool = False,
) -> Embeddings:
    """Open and check the embeddings in a folder of shards; parameters are those of `read_embeddings`.

    ``id_key`` is a column of the shards, or of the metadata beside them.

    Returns
    -------
    Embeddings
        Its vectors are `ShardRows`.

    Raises
    ------
    InputError
        As `read_embeddings`; and if there are no shards, they do not fit each other or their metadata,
        or their order is not known.
    """
    shown_as, files = str(path), _files(str(path))
    names = files.names()
    vectors = _chosen(shown_as, names)
    parquet = vectors[0].endswith(".parquet")

    def read(file: Path) -> Embeddings:
        own = key if parquet else None
        return read_embeddings(file, key=own, dimension=dimension, bad_rows=bad_rows)

    if key is not None and not parquet:
        raise InputError(f"{shown_as} holds arrays without names: leave out the key {key!r}.")
    rows: Any = ShardRows(shown_as, files, vectors, read)
    if id_key is None:
        return Embeddings(rows)
    tables = vectors if parquet else _metadata(shown_as, names, vectors)
    return Embeddings(rows, _ids(files, tables, id_key, rows), id_key)


def _files(path: str) -> Files:
    found = _URL.match(path)
    if found is None:
        return LocalFiles(Path(path))
    scheme = path.partition(":")[0]
    if scheme == "file":
        return LocalFiles(Path("/" + path[found.end() :]))
    # A path object has lost the second slash.
    return RemoteFiles.at(f"{scheme}://{path[found.end() :]}")


def _chosen(folder: str, names: Sequence[str]) -> list[str]:
    """Return the shards among the files of a folder, in order."""
    visible = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    top = [name for name in visible if "/" not in name]
    images = [name for name in visible if PurePosixPath(name).name.startswith("img_emb_")]
    tables = [name for name in top if not PurePosixPath(name).name.startswith("metadata")]
    for among in (images, tables):
        for suffix in (".npy", ".parquet"):
            found = [name for name in among if name.endswith(suffix)]
            if found:
                return _ordered(folder, found)
    raise InputError(f"{folder} holds no shards: give a folder of .npy or .parquet files.")


def _ordered(folder: str, names: Sequence[str]) -> list[str]:
    ordered = sorted(names, key=_numbers)
    for one, other in pairwise(ordered):
        if _numbers(one) == _numbers(other):
            raise InputError(
                f"{folder}: {one} and {other} have the same numbers, so that their order is not known: "
                f"number the shards."
            )
    return ordered


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", PurePosixPath(name).stem))


def _metadata(folder: str, names: Sequence[str], vectors: Sequence[str]) -> list[str]:
    """Return the file of metadata beside each shard."""
    beside = {
        _numbers(name)[-1:]: name
        for name in names
        if PurePosixPath(name).name.startswith("metadata") and name.endswith(".parquet")
    }
    found = [beside.get(_numbers(name)[-1:]) for name in vectors]
    for name, table in zip(vectors, found, strict=True):
        if table is None:
            raise InputError(
                f"{folder}: beside {name} there is no metadata_*.parquet of the same number: leave out "
                f"--id."
            )
    return [table for table in found if table is not None]


def _ids(files: Files, tables: Sequence[str], id_key: str, rows: ShardRows) -> npt.NDArray[Any]:
    found = []
    for table, name, size in zip(tables, rows.names, np.diff(rows.bounds), strict=True):
        with files.local(table) as path:
            with open_parquet(path) as file:
                if id_key not in file.schema_arrow.names:
                    raise InputError(
                        f"{rows.filename}: {table} has no column {id_key!r}, but "
                        f"{', '.join(file.schema_arrow.names)}: give --id one of them."
                    )
            ids = read_scalar_column(path, id_key, (), "")
        if len(ids) != size:
            raise InputError(
                f"{rows.filename}: {table} has {len(ids)} rows, {name} {size}: they must be of the same "
                f"faces."
            )
        found.append(ids)
    return np.concatenate(found)
