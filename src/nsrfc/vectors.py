"""Embeddings as an array: validation, and scaling to unit length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import SAMPLE, FileRows, check_unchanged, read_rows
from nsrfc.errors import InputError, shortened, shown

__all__ = ["check_unit", "check_vectors", "enumerate_rows", "normalize", "on_grid", "typical_faces"]

BLOCK_BYTES = 4 << 20

_NORM_TOLERANCE = 1e-3


def check_vectors(vectors: npt.NDArray[Any], name: str) -> None:
    """Refuse embeddings that cannot be normalised.

    Works block by block: memory beside ``vectors`` is 8 bytes per face.

    Parameters
    ----------
    vectors : ndarray, shape (n, d)
        The embeddings.
    name : str
        Name in the message: a file or an argument.

    Raises
    ------
    InputError
        If they are not float16, float32 or float64 of shape (n, d) with n, d >= 1, or rows hold
        NaN or infinity or are all zero; the message names the first rows, counted from 0, and says
        how many there are.
    """
    checked_peaks(vectors, name)


def check_unit(X: npt.NDArray[np.float32]) -> None:
    """Refuse anything but a C-contiguous float32 array (n, d) of unit vectors.

    Raises
    ------
    InputError
    """
    if X.ndim != 2 or X.dtype != np.float32 or not X.flags.c_contiguous or X.size == 0:
        raise InputError(
            f"Embeddings must be a C-contiguous float32 array (n, d) with n, d >= 1, "
            f"got {X.dtype} {X.shape}."
        )
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))
    bad = np.flatnonzero(~(np.abs(norms - 1) <= _NORM_TOLERANCE))
    if len(bad):
        raise InputError(
            f"Embeddings must be unit vectors; row {bad[0]} has length {norms[bad[0]]:.4g} "
            f"({len(bad)} such rows): normalise them first."
        )


def normalize(vectors: npt.ArrayLike, name: str = "X") -> npt.NDArray[np.float32]:
    """Scale every row to unit length.

    A row's result depends on that row alone, to the last bit. Huge and tiny values do not overflow,
    because each row is divided by its largest value before its length is computed, in float64.

    Parameters
    ----------
    vectors : array-like of float16, float32 or float64, shape (n, d)
        Never written to.
    name : str
        Name in the message.

    Returns
    -------
    ndarray of float32, shape (n, d)
        A new C-contiguous array.

    Raises
    ------
    InputError
        As `check_vectors`, and if the file of the vectors is changed while it is read.
    """
    if not isinstance(vectors, FileRows):
        vectors = np.asarray(vectors)
    peaks = checked_peaks(vectors, name)
    unit = np.empty(vectors.shape, dtype=np.float32)
    start = 0
    for block in blocks(vectors):
        rows = slice(start, start + len(block))
        # C order, so that numpy sums each row in the same order whatever the caller's layout.
        scaled = np.array(block, dtype=np.float64, order="C")
        scaled /= peaks[rows, None]
        scaled /= np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
        unit[rows] = scaled
        start = rows.stop
    check_unchanged(vectors)
    return unit


def blocks(vectors: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Yield blocks of consecutive rows, of a few megabytes as float64."""
    rows = max(1, BLOCK_BYTES // (8 * vectors.shape[1]))
    for start in range(0, len(vectors), rows):
        yield read_rows(vectors, slice(start, start + rows))


def checked_peaks(vectors: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Return the largest absolute value of each row (n,), after the checks of `check_vectors`."""
    check_matrix(vectors, name)
    with np.errstate(invalid="ignore"):
        peaks = np.concatenate([np.abs(block).max(axis=1) for block in blocks(vectors)])
    refuse_rows(peaks, name)
    return peaks.astype(np.float64)


def refuse_rows(peaks: npt.NDArray[np.floating], name: str) -> None:
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


def check_matrix(vectors: npt.NDArray[Any], name: str) -> None:
    if vectors.ndim != 2:
        raise InputError(
            f"{name} has shape {shown(vectors.shape)}, but embeddings are an array (faces, dimension): "
            f"reshape it to one row per face."
        )
    if 0 in vectors.shape:
        raise InputError(
            f"{name} is empty, with shape {shown(vectors.shape)}: "
            f"give at least one face and one dimension."
        )
    if vectors.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(
            f"{name} holds {shortened(vectors.dtype)}, but embeddings are float16, float32 or float64: "
            f'convert it with .astype("float32").'
        )


def enumerate_rows(rows: npt.NDArray[np.intp], limit: int = 5) -> str:
    """Format row numbers, counted from 0: ``row 3``, ``rows 3, 7``, ``rows 0, 1, 2, 3, 4, ...``."""
    listed = ", ".join(str(row) for row in rows[:limit].tolist())
    return f"row{'s' if len(rows) > 1 else ''} {listed}{', ...' if len(rows) > limit else ''}"


def on_grid(values: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Round values to multiples of 2^-bits, in their own precision.

    A sum of products of such values is exact while it stays below 2^(p - 2 bits), with p = 24 in single
    and 53 in double precision. Otherwise its last digit would depend on the processor, on the number of
    threads, and on how many rows are multiplied at a time.

    Parameters
    ----------
    values : ndarray of float32 or float64
    bits : int

    Returns
    -------
    ndarray of the same dtype and shape
    """
    scale = values.dtype.type(2.0**bits)
    rounded: npt.NDArray[Any] = np.rint(values * scale) / scale
    return rounded


def typical_faces(
    X: npt.NDArray[np.float32], seed: int = 0, size: int = SAMPLE
) -> npt.NDArray[np.int64]:
    """Sample faces evenly by how near they are to the mean of all.

    A random sample would be another one after the last digit of a number has changed, as the order of
    faces depends on all digits. This one hardly moves, and it is the same after a rotation.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    seed : int
    size : int

    Returns
    -------
    ndarray of int64, shape (min(n, size),)
        Ascending.
    """
    n = len(X)
    if n <= size:
        return np.arange(n)
    nearness = np.einsum("nd,d->n", X, X.mean(axis=0, dtype=np.float64))
    start = np.random.default_rng(seed).random()
    ranks = ((np.arange(size) + start) * (n / size)).astype(np.int64)
    return np.sort(np.argsort(nearness, kind="stable")[ranks])
