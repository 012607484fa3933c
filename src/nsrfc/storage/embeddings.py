"""Reading and writing embeddings.

| suffix         | content                                                           | memory           |
|----------------|-------------------------------------------------------------------|------------------|
| `.npy`         | one array (n, d)                                                  | mapped           |
| `.bin`         | little-endian float32, row by row; does not contain the dimension | mapped           |
| `.npz`         | the array of a given key, or the only (n, d) one; optional ids    | mapped or copied |
| `.safetensors` | the tensor of a given name, or the only (n, d) one; optional ids  | mapped           |
| `.pt`, `.pth`  | a tensor, a dict of tensors, or a list of vectors or dicts        | one copy         |
| tables         | a column of lists or of text, or one per number; optional ids     | 1 or 2 copies    |
| a folder       | shards of one of these kinds, see :mod:`nsrfc.storage.shards`     | one shard        |

Tables are Parquet, Arrow, CSV and JSON lines, see :mod:`nsrfc.storage.tables`. ``.npy``, ``.npz``,
``.parquet`` and ``.bin`` are also written.

Mapped arrays are `FileRows`: the package copies blocks out of the file instead of touching the map.
bfloat16, another byte order and shards are decoded as rows are read: they are `RowParts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import (
    BFLOAT16,
    ClosedRows,
    FileRows,
    RowParts,
    StoredRows,
    Vectors,
    changed,
    decoded_type,
)
from nsrfc.errors import InputError, shortened, shown
from nsrfc.forms import PREFERRED_KEYS
from nsrfc.storage import tables
from nsrfc.storage.arrays import (
    ArrayHeader,
    check_text,
    map_npz_array,
    npz_headers,
    open_npy,
    read_npz_array,
    write_npy,
    write_npz,
)
from nsrfc.storage.files import PathLike, choose, existing_file, known_suffix, reading
from nsrfc.storage.folders import Folder, LocalFolder, folder_at
from nsrfc.storage.outputs import atomic_path
from nsrfc.storage.parquet import joined, write_list_column
from nsrfc.storage.shards import LastShard, described_by, shards_in
from nsrfc.storage.tables import read_scalar_column
from nsrfc.storage.tensors import map_tensor, read_pt, tensor_headers
from nsrfc.storage.vector_columns import read_vector_columns
from nsrfc.vectors import blocks, check_matrix, check_vectors, checked_peaks, refuse_rows, row_peaks

__all__ = ["Embeddings", "read_embeddings", "write_embeddings"]

SUFFIXES = (".bin", ".npy", ".npz", ".parquet")
"""Of files that are written."""

READ_SUFFIXES = tuple(sorted({*SUFFIXES, ".pt", ".pth", ".safetensors", *tables.SUFFIXES}))
ID_KEY = "id"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings as read from a file.

    Attributes
    ----------
    vectors : ndarray or RowParts of float16, float32 or float64, shape (n, d)
        One row per face, not normalised. A read-only memory map for ``.npy``, ``.bin``, ``.safetensors``
        and uncompressed ``.npz``. For a folder, bfloat16 and another byte order `RowParts`, which
        ``numpy.asarray`` copies into an array.
    ids : ndarray of str or int, shape (n,), or None
        Names of the faces, if the file has an array or column of them.
    id_key : str
        Name of that array or column.
    """

    vectors: Vectors
    ids: npt.NDArray[Any] | None = None
    id_key: str = ID_KEY


def read_embeddings(
    path: PathLike,
    *,
    key: str | None = None,
    dimension: int | None = None,
    id_key: str | None = None,
    bad_rows: bool = False,
) -> Embeddings:
    """Read and check the embeddings in a file, or in a folder of shards, whose rows stay there.

    Parameters
    ----------
    path : path-like
        A file of a kind in the table above; or a folder of files of one kind, or its URL.
    key : str, optional
        Name of the array or column, or what the names of columns of one number each start with, or those
        of ``.npy`` shards. Not needed if it is called ``embedding`` or ``embeddings``, or is the only
        candidate.
    dimension : int, optional
        Embedding dimension d. Needed for ``.bin``, checked for the others.
    id_key : str, optional
        Name of the array or column of ids: integers, strings or, in Parquet, UUIDs. By default ``id``,
        if there is one. For ``.npy`` shards, a column of the tables beside them, and none by default.
    bad_rows : bool
        Whether rows may be zero, NaN, infinite or null, which becomes NaN.

    Returns
    -------
    Embeddings
        Every row finite and not zero, unless ``bad_rows``.

    Raises
    ------
    InputError
        If there is no such file, it is damaged or cut short, holds no (n, d) floats or no such ids, has
        another dimension, has rows that are zero, not finite or null, unless ``bad_rows``, or is written
        to while it is read.
    """
    path = Path(path)
    if dimension is not None and dimension < 1:
        raise InputError(f"The dimension must be 1 or more, got {dimension}.")
    folder = folder_at(path)
    place = folder or LocalFolder(path.parent)
    if folder is None:
        files = [existing_file(path, READ_SUFFIXES, "embeddings")]
    else:
        files = shards_in(folder, key)
    before = [place.state(file) for file in files]
    if folder is None:
        found = _read_file(path, key, dimension, id_key, bad_rows)
    else:
        found = _read_folder(folder, files, key, id_key, bad_rows)
    vectors = found.vectors
    check_matrix(vectors, str(path), dtype=decoded_type(vectors.dtype))
    if isinstance(vectors, np.ndarray) and vectors.dtype != decoded_type(vectors.dtype):
        vectors = RowParts([vectors], path)
    if dimension is not None and vectors.shape[1] != dimension:
        raise InputError(
            f"{path} holds embeddings of dimension {vectors.shape[1]}, but {dimension} was asked "
            f"for: give the file of the right embedder or the right dimension."
        )
    ids = found.ids
    if ids is not None:
        _check_ids(ids.shape, ids.dtype, len(vectors), str(path))
        check_text(ids, f"{path}[{shortened(found.id_key)}]")
        ids = ids.astype(ids.dtype.newbyteorder("="), copy=False)
    if not bad_rows:
        check_vectors(vectors, str(path))
    for file, known in zip(files, before, strict=True):
        if place.state(file) != known:
            raise changed(file)
    return Embeddings(vectors, ids, found.id_key)


def write_embeddings(
    path: PathLike,
    vectors: Vectors,
    *,
    ids: npt.ArrayLike | None = None,
    key: str = "embeddings",
    id_key: str = ID_KEY,
    bad_rows: bool = False,
) -> None:
    """Write embeddings so that `read_embeddings` reads them, whole or not at all.

    Parameters
    ----------
    path : path-like
        An ``.npy``, ``.npz``, ``.parquet`` or ``.bin`` file; ``.bin`` converts to float32, the others
        keep float16, float32 or float64.
    vectors : ndarray of float16, float32 or float64, shape (n, d)
        One row per face, finite and not zero.
    ids : array-like of str or int, shape (n,), optional
        Names of the faces, for ``.npz`` and ``.parquet``.
    key, id_key : str
        Names of the arrays (``.npz``) or columns (``.parquet``).
    bad_rows : bool
        Whether rows may be zero, NaN or infinite.

    Raises
    ------
    InputError
        If the vectors are invalid, the suffix is unknown or cannot hold ids, or the file cannot be
        written.
    """
    suffix = known_suffix(path, SUFFIXES, "embeddings")
    if key == id_key:
        raise InputError(f"The key {id_key!r} is kept for the faces' names: give another key.")
    peaks = (row_peaks if bad_rows else checked_peaks)(vectors, "vectors")
    if ids is not None:
        if suffix in (".npy", ".bin"):
            raise InputError(f"{path} cannot hold ids: write .npz or .parquet, or leave them out.")
        ids = np.asarray(ids)
        _check_ids(ids.shape, ids.dtype, len(vectors), "ids")
        check_text(ids, "ids")
    if suffix == ".npy":
        write_npy(path, np.asarray(vectors))
    elif suffix == ".npz":
        arrays = {key: np.asarray(vectors)}
        write_npz(path, arrays if ids is None else {**arrays, id_key: ids})
    elif suffix == ".parquet":
        write_list_column(path, vectors, key, ids, id_key)
    else:
        if not bad_rows:
            with np.errstate(over="ignore"):
                refuse_rows(peaks.astype(np.float32), "vectors as float32")
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            for block in blocks(vectors):
                stream.write(np.ascontiguousarray(block, dtype="<f4").data)


def _check_ids(shape: tuple[int, ...], dtype: np.dtype[Any], n: int, name: str) -> None:
    if len(shape) != 1 or dtype.kind not in "iuU":
        raise InputError(
            f"{name}: the ids must be one integer or string per face, got {shortened(dtype)} of shape "
            f"{shown(shape)}: convert them or leave them out."
        )
    if shape[0] != n:
        raise InputError(f"{name}: there are {shape[0]} ids for {n} faces: give one id per face.")


def _id_key(path: Path, id_key: str | None, available: Sequence[str]) -> str | None:
    """Return the name of the array or column of ids; None if there is none and none was asked for."""
    if id_key is None:
        return ID_KEY if ID_KEY in available else None
    return choose(path, id_key, available, (), (), "ids")


def _read_file(
    path: Path, key: str | None, dimension: int | None, id_key: str | None, bad_rows: bool
) -> Embeddings:
    suffix = path.suffix.lower()
    for name, what in ((key, "key"), (id_key, "id")):
        if name is not None and suffix in (".npy", ".bin"):
            raise InputError(f"{path} holds one array without a name: leave out the {what} {name!r}.")
    if suffix == ".npy":
        return Embeddings(open_npy(path))
    if suffix == ".bin":
        return Embeddings(_open_bin(path, dimension))
    if suffix == ".npz":
        return _read_arrays(path, npz_headers(path), key, id_key)
    if suffix == ".safetensors":
        return _read_arrays(path, tensor_headers(path), key, id_key)
    if suffix in (".pt", ".pth"):
        vectors, ids = read_pt(path, key, id_key, ID_KEY, bad_rows)
        return Embeddings(vectors, ids, id_key or ID_KEY)
    with tables.open_table(path) as table:
        id_key = _id_key(path, id_key, list(table.types))
    vectors, ids = read_vector_columns(path, key, PREFERRED_KEYS, id_key, missing=bad_rows)
    return Embeddings(vectors, ids, id_key or ID_KEY)


def _read_folder(
    folder: Folder, shards: list[Path], key: str | None, id_key: str | None, bad_rows: bool
) -> Embeddings:
    """Read shards as one array; rows stay in their files, of which thousands may be."""
    named = shards[0].suffix.lower() != ".npy"
    parts: list[StoredRows] = []
    ids: list[npt.NDArray[Any]] = []

    def read(path: Path) -> Embeddings:
        return _read_file(path, key if named else None, None, id_key if named else None, bad_rows)

    last = LastShard(folder, lambda path: read(path).vectors)
    for shard in shards:
        with folder.fetched(shard) as path:
            found = read(path)
            if isinstance(found.vectors, FileRows) and not folder.remote:
                parts.append(ClosedRows(found.vectors))
            else:
                parts.append(last.rows(shard, found.vectors))
        ids += [] if found.ids is None else [found.ids]
    # Programs that write tables write some without rows.
    filled = [(shard, part) for shard, part in zip(shards, parts, strict=True) if part.shape[:1] != (0,)]
    for shard, part in filled or [(shards[0], parts[0])]:
        check_matrix(part, str(shard), dtype=decoded_type(part.dtype))
        if part.shape[1] != filled[0][1].shape[1]:
            raise InputError(
                f"{shard} holds embeddings of dimension {part.shape[1]}, but {filled[0][0].name} of "
                f"{filled[0][1].shape[1]}: keep those of one embedder in a folder."
            )
    vectors = RowParts([part for _, part in filled], folder.path, [shard.stem for shard, _ in filled])
    if not named and id_key is not None:
        ids = _described_ids(folder, shards, parts, id_key)
    return Embeddings(vectors, joined(ids, str(folder.path)) if ids else None, id_key or ID_KEY)


def _described_ids(
    folder: Folder, shards: list[Path], parts: list[StoredRows], id_key: str
) -> list[npt.NDArray[Any]]:
    """Read ids from the tables that lie beside shards."""
    found = []
    for shard, part, table in zip(shards, parts, described_by(shards, folder), strict=True):
        with folder.fetched(table) as path:
            ids = read_scalar_column(path, id_key, (), "")
        if len(ids) != part.shape[0]:
            raise InputError(
                f"{table} has {len(ids)} rows, but {shard.name} has {part.shape[0]}: "
                f"copy or write both anew."
            )
        found.append(ids)
    return found


def _read_arrays(
    path: Path, headers: Mapping[str, ArrayHeader], key: str | None, id_key: str | None
) -> Embeddings:
    """Read named arrays: those of ``.npz``, or tensors."""
    zipped = path.suffix.lower() == ".npz"
    fitting = [
        name
        for name, header in headers.items()
        if len(header.shape) == 2 and (header.dtype.kind == "f" or header.dtype == BFLOAT16)
    ]
    key = choose(path, key, list(headers), fitting, PREFERRED_KEYS, "2-D array of floats")
    vectors = map_npz_array(path, key) if zipped else map_tensor(path, headers[key])
    ids = None
    id_key = _id_key(path, id_key, list(headers))
    if id_key is not None and id_key != key and vectors.ndim == 2:
        # Before they are read, as they may be larger than the embeddings.
        _check_ids(headers[id_key].shape, headers[id_key].dtype, len(vectors), str(path))
        ids = read_npz_array(path, id_key) if zipped else np.array(map_tensor(path, headers[id_key]))
    return Embeddings(vectors, ids, id_key or ID_KEY)


def _open_bin(path: Path, dimension: int | None) -> npt.NDArray[Any]:
    if dimension is None:
        raise InputError(
            f"{path} does not say how long its rows are: give the dimension (256 for the "
            f"reference's MS1M features)."
        )
    size = path.stat().st_size
    row = 4 * dimension
    if size == 0:
        raise InputError(f"{path} is empty: give a file with at least one face.")
    if size % row:
        raise InputError(
            f"{path} has {size} bytes, not a whole number of rows of {dimension} float32 "
            f"({row} bytes each): it is cut short or its dimension is not {dimension}."
        )
    with reading(path):
        return FileRows.open(path, "<f4", (size // row, dimension))
