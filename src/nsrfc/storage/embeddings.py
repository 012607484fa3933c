"""Reading and writing embeddings: ``.npy``, ``.npz``, ``.parquet`` and the reference's ``.bin``.

| suffix     | content                                                           | memory              |
|------------|-------------------------------------------------------------------|---------------------|
| `.npy`     | one array (n, d)                                                  | mapped              |
| `.bin`     | little-endian float32, row by row; does not contain the dimension | mapped              |
| `.npz`     | the array of a given key, or the only (n, d) one; optional ids    | mapped or copied    |
| `.parquet` | a column of lists or of text, or one per number; optional ids     | one copy            |

Mapped arrays are `FileRows`: the package copies blocks out of the file instead of touching the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import FileRows, changed, file_state, read_rows
from nsrfc.errors import InputError, shortened, shown
from nsrfc.forms import PREFERRED_KEYS
from nsrfc.storage.arrays import (
    check_text,
    map_npz_array,
    npz_headers,
    open_npy,
    read_npz_array,
    write_npy,
    write_npz,
)
from nsrfc.storage.files import PathLike, choose, existing_file, known_suffix, reading
from nsrfc.storage.outputs import atomic_path
from nsrfc.storage.parquet import open_parquet, write_list_column
from nsrfc.storage.vector_columns import read_vector_columns
from nsrfc.vectors import blocks, check_matrix, check_vectors, checked_peaks, refuse_rows, row_peaks

__all__ = ["Embeddings", "read_embeddings", "write_embeddings"]

SUFFIXES = (".bin", ".npy", ".npz", ".parquet")
ID_KEY = "id"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings as read from a file.

    Attributes
    ----------
    vectors : ndarray of float16, float32 or float64, shape (n, d)
        One row per face, not normalised. A read-only memory map for ``.npy``, ``.bin``, and uncompressed
        ``.npz``.
    ids : ndarray of str or int, shape (n,), or None
        Names of the faces, if the file has an array or column of them.
    id_key : str
        Name of that array or column.
    """

    vectors: npt.NDArray[Any]
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
    """Read and check the embeddings in a file.

    Parameters
    ----------
    path : path-like
        An ``.npy``, ``.npz``, ``.parquet`` or ``.bin`` file.
    key : str, optional
        Name of the array (``.npz``) or column (``.parquet``), or what the names of columns of one number
        each start with. Not needed if it is called ``embedding`` or ``embeddings``, or is the only
        candidate.
    dimension : int, optional
        Embedding dimension d. Needed for ``.bin``, checked for the others.
    id_key : str, optional
        Name of the array (``.npz``) or column (``.parquet``) of ids: integers, strings or, in Parquet,
        UUIDs. By default ``id``, if there is one.
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
    path = existing_file(path, SUFFIXES, "embeddings")
    suffix = path.suffix.lower()
    before = file_state(path)
    if dimension is not None and dimension < 1:
        raise InputError(f"The dimension must be 1 or more, got {dimension}.")
    for name, what in ((key, "key"), (id_key, "id")):
        if name is not None and suffix in (".npy", ".bin"):
            raise InputError(f"{path} holds one array without a name: leave out the {what} {name!r}.")
    if suffix == ".npy":
        found = Embeddings(open_npy(path))
    elif suffix == ".bin":
        found = Embeddings(_open_bin(path, dimension))
    elif suffix == ".npz":
        found = _read_npz(path, key, id_key)
    else:
        found = _read_parquet(path, key, id_key, bad_rows)
    vectors = found.vectors
    if vectors.ndim and not vectors.dtype.isnative:
        vectors = read_rows(vectors, slice(None)).astype(vectors.dtype.newbyteorder("="))
    check_matrix(vectors, str(path))
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
    if file_state(path) != before:
        raise changed(path)
    return Embeddings(vectors, ids, found.id_key)


def write_embeddings(
    path: PathLike,
    vectors: npt.NDArray[Any],
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
        write_npy(path, vectors)
    elif suffix == ".npz":
        write_npz(path, {key: vectors} if ids is None else {key: vectors, id_key: ids})
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


def _read_parquet(path: Path, key: str | None, id_key: str | None, bad_rows: bool) -> Embeddings:
    with open_parquet(path) as file:
        id_key = _id_key(path, id_key, file.schema_arrow.names)
    vectors, ids = read_vector_columns(path, key, PREFERRED_KEYS, id_key, missing=bad_rows)
    return Embeddings(vectors, ids, id_key or ID_KEY)


def _read_npz(path: Path, key: str | None, id_key: str | None) -> Embeddings:
    headers = npz_headers(path)
    fitting = [
        name for name, header in headers.items() if len(header.shape) == 2 and header.dtype.kind == "f"
    ]
    key = choose(path, key, list(headers), fitting, PREFERRED_KEYS, "2-D array of floats")
    vectors, ids = map_npz_array(path, key), None
    id_key = _id_key(path, id_key, list(headers))
    if id_key is not None and id_key != key and vectors.ndim == 2:
        # Before they are read, as they may be larger than the embeddings.
        _check_ids(headers[id_key].shape, headers[id_key].dtype, len(vectors), str(path))
        ids = read_npz_array(path, id_key)
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
