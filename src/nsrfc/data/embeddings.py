"""Face embeddings in and out: ``.npy``, ``.npz``, ``.parquet`` and the reference's ``.bin``.

| suffix     | content                                                           | memory   |
|------------|-------------------------------------------------------------------|----------|
| `.npy`     | one array (n, d)                                                  | mapped   |
| `.bin`     | little-endian float32, row after row; the dimension is not in it  | mapped   |
| `.npz`     | the array of a given key, or the only (n, d) one; `id` beside it  | one copy |
| `.parquet` | a list or fixed-size-list column of floats; `id` beside it        | one copy |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.data.files import (
    PathLike,
    atomic_path,
    choose,
    enumerate_rows,
    existing_file,
    known_suffix,
    map_npz_array,
    npz_headers,
    open_npy,
    read_npz_array,
    reading,
    write_npy,
    write_npz,
)
from nsrfc.data.parquet import read_list_column, write_list_column
from nsrfc.errors import InputError

__all__ = ["Embeddings", "check_vectors", "normalize", "read_embeddings", "write_embeddings"]

SUFFIXES = (".bin", ".npy", ".npz", ".parquet")
PREFERRED_KEYS = ("embedding", "embeddings")
ID_KEY = "id"
BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Embeddings:
    """Embeddings as a file holds them.

    Attributes
    ----------
    vectors : ndarray of float16, float32 or float64, shape (n, d)
        One row per face, of any length but zero. A read-only memory map for ``.npy``, ``.bin``, and an
        ``.npz`` that is not compressed.
    ids : ndarray of str or int, shape (n,), or None
        Names of the faces where the file has an ``id`` array or column.
    """

    vectors: npt.NDArray[Any]
    ids: npt.NDArray[Any] | None = None


def read_embeddings(
    path: PathLike, *, key: str | None = None, dimension: int | None = None
) -> Embeddings:
    """Read and check the embeddings in a file.

    Parameters
    ----------
    path : path-like
        An ``.npy``, ``.npz``, ``.parquet`` or ``.bin`` file.
    key : str, optional
        Name of the array (``.npz``) or column (``.parquet``). Not needed where it is called
        ``embedding`` or ``embeddings``, or is the only one that can be meant.
    dimension : int, optional
        Length d of a row. Needed for ``.bin``, checked for the others.

    Returns
    -------
    Embeddings
        Every row finite and not zero.

    Raises
    ------
    InputError
        If there is no such file, it is damaged or cut short, holds no (n, d) floats or not of that
        dimension, or has rows that are zero or not finite.
    """
    path = existing_file(path, SUFFIXES, "embeddings")
    suffix = path.suffix.lower()
    if dimension is not None and dimension < 1:
        raise InputError(f"The dimension must be 1 or more, got {dimension}.")
    if key is not None and suffix in (".npy", ".bin"):
        raise InputError(f"{path} holds one array without a name: leave out the key {key!r}.")
    if suffix == ".npy":
        found = Embeddings(open_npy(path))
    elif suffix == ".bin":
        found = Embeddings(_open_bin(path, dimension))
    elif suffix == ".npz":
        found = _read_npz(path, key)
    else:
        found = Embeddings(*read_list_column(path, key, PREFERRED_KEYS, ID_KEY))
    vectors = found.vectors
    if not vectors.dtype.isnative:
        vectors = vectors.astype(vectors.dtype.newbyteorder("="))
    _check_matrix(vectors, str(path))
    if dimension is not None and vectors.shape[1] != dimension:
        raise InputError(
            f"{path} holds embeddings of dimension {vectors.shape[1]}, but {dimension} was asked "
            f"for: give the file of the right embedder or the right dimension."
        )
    if found.ids is not None:
        _check_ids(found.ids, len(vectors), str(path))
    check_vectors(vectors, str(path))
    return Embeddings(vectors, found.ids)


def write_embeddings(
    path: PathLike,
    vectors: npt.NDArray[Any],
    *,
    ids: npt.ArrayLike | None = None,
    key: str = "embeddings",
) -> None:
    """Write embeddings so that `read_embeddings` reads them, whole or not at all.

    Parameters
    ----------
    path : path-like
        An ``.npy``, ``.npz``, ``.parquet`` or ``.bin`` file; ``.bin`` turns the numbers into
        float32, the others keep float16, float32 or float64.
    vectors : ndarray of float16, float32 or float64, shape (n, d)
        One row per face, finite and not zero.
    ids : array-like of str or int, shape (n,), optional
        Names of the faces, for ``.npz`` and ``.parquet``.
    key : str
        Name of the array (``.npz``) or column (``.parquet``).

    Raises
    ------
    InputError
        If the vectors are not as stated, the suffix is another, it cannot hold ids, or the place
        cannot be written.
    """
    suffix = known_suffix(path, SUFFIXES, "embeddings")
    if key == ID_KEY:
        raise InputError(f"The key {ID_KEY!r} is kept for the faces' names: give another key.")
    peaks = _checked_peaks(vectors, "vectors")
    if ids is not None:
        if suffix in (".npy", ".bin"):
            raise InputError(f"{path} cannot hold ids: write .npz or .parquet, or leave them out.")
        ids = np.asarray(ids)
        _check_ids(ids, len(vectors), "ids")
    if suffix == ".npy":
        write_npy(path, vectors)
    elif suffix == ".npz":
        write_npz(path, {key: vectors} if ids is None else {key: vectors, ID_KEY: ids})
    elif suffix == ".parquet":
        write_list_column(path, vectors, key, ids, ID_KEY)
    else:
        with np.errstate(over="ignore"):
            _refuse_rows(peaks.astype(np.float32), "vectors as float32")
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            for block in _blocks(vectors):
                stream.write(np.ascontiguousarray(block, dtype="<f4").data)


def check_vectors(vectors: npt.NDArray[Any], name: str) -> None:
    """Refuse embeddings that cannot be normalised.

    Works block by block: beside ``vectors`` it takes 8 bytes per face.

    Parameters
    ----------
    vectors : ndarray, shape (n, d)
        The embeddings.
    name : str
        What the message calls them: a file or an argument.

    Raises
    ------
    InputError
        If they are not float16, float32 or float64 of shape (n, d) with n, d >= 1, or rows hold
        NaN or infinity or are all zero; the message names the first rows, counted from 0, and says
        how many there are.
    """
    _checked_peaks(vectors, name)


def normalize(vectors: npt.ArrayLike, name: str = "X") -> npt.NDArray[np.float32]:
    """Scale every row to unit length.

    A row's result depends on that row alone, to the last bit, and neither huge nor tiny values
    overflow: each row is divided by its largest value before its length is taken, in float64.

    Parameters
    ----------
    vectors : array-like of float16, float32 or float64, shape (n, d)
        Never written to.
    name : str
        What a message calls them.

    Returns
    -------
    ndarray of float32, shape (n, d)
        A new C-contiguous array.

    Raises
    ------
    InputError
        As `check_vectors`.
    """
    vectors = np.asarray(vectors)
    peaks = _checked_peaks(vectors, name)
    unit = np.empty(vectors.shape, dtype=np.float32)
    start = 0
    for block in _blocks(vectors):
        rows = slice(start, start + len(block))
        # C order, so that numpy sums each row in the same order whatever the caller's layout.
        scaled = np.array(block, dtype=np.float64, order="C")
        scaled /= peaks[rows, None]
        scaled /= np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
        unit[rows] = scaled
        start = rows.stop
    return unit


def _blocks(vectors: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield consecutive rows, as many as make a few megabytes of float64."""
    rows = max(1, BLOCK_BYTES // (8 * vectors.shape[1]))
    for start in range(0, len(vectors), rows):
        yield vectors[start : start + rows]


def _checked_peaks(vectors: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Return the largest absolute value of each row (n,), refusing what `check_vectors` does."""
    _check_matrix(vectors, name)
    with np.errstate(invalid="ignore"):
        peaks = np.concatenate([np.abs(block).max(axis=1) for block in _blocks(vectors)])
    _refuse_rows(peaks, name)
    return peaks.astype(np.float64)


def _refuse_rows(peaks: npt.NDArray[np.floating], name: str) -> None:
    """Refuse rows whose largest absolute value is NaN, infinite or zero."""
    faults = []
    for wrong, fault in ((~np.isfinite(peaks), "NaN or infinity"), (peaks == 0, "only zeros")):
        if wrong.any():
            rows = np.flatnonzero(wrong)
            verb = "holds" if len(rows) == 1 else "hold"
            faults.append(f"{len(rows)} of {len(peaks)} rows {verb} {fault} ({enumerate_rows(rows)})")
    if faults:
        raise InputError(
            f"{name}: {' and '.join(faults)}, counted from 0: remove these faces or embed them anew."
        )


def _check_matrix(vectors: npt.NDArray[Any], name: str) -> None:
    if vectors.ndim != 2:
        raise InputError(
            f"{name} has shape {vectors.shape}, but embeddings are an array (faces, dimension): "
            f"reshape it to one row per face."
        )
    if 0 in vectors.shape:
        raise InputError(
            f"{name} is empty, with shape {vectors.shape}: give at least one face and one number a face."
        )
    if vectors.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(
            f"{name} holds {vectors.dtype}, but embeddings are float16, float32 or float64: "
            f'convert it with .astype("float32").'
        )


def _check_ids(ids: npt.NDArray[Any], n: int, name: str) -> None:
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise InputError(
            f"{name}: the ids must be one integer or string a face, got {ids.dtype} of shape "
            f"{ids.shape}: convert them or leave them out."
        )
    if len(ids) != n:
        raise InputError(f"{name}: there are {len(ids)} ids for {n} faces: give one id a face.")


def _read_npz(path: Path, key: str | None) -> Embeddings:
    headers = npz_headers(path)
    fitting = [
        name for name, header in headers.items() if len(header.shape) == 2 and header.dtype.kind == "f"
    ]
    key = choose(path, key, list(headers), fitting, PREFERRED_KEYS, "2-D array of floats")
    ids = read_npz_array(path, ID_KEY) if ID_KEY in headers and key != ID_KEY else None
    return Embeddings(map_npz_array(path, key), ids)


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
        return np.memmap(path, dtype="<f4", mode="r", shape=(size // row, dimension))
