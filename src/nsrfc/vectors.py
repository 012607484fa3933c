"""Embeddings as an array: validation, bad rows, and scaling to unit length.

A *bad* row is all zero or holds NaN or infinity: it has no direction. Pipelines leave such rows where no
face was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import SAMPLE, FileRows, RowParts, StoredRows, Vectors, check_unchanged, read_rows
from nsrfc.errors import InputError, shortened, shown

__all__ = [
    "as_array",
    "as_matrix",
    "check_unit",
    "check_vectors",
    "enumerate_rows",
    "good_rows",
    "normalize",
    "normalize_good",
    "on_grid",
    "refuse_none",
    "skipped_in_words",
    "typical_faces",
    "unit_rows",
    "usable_shape",
]

BLOCK_BYTES = 4 << 20

_NORM_TOLERANCE = 1e-3

_MEND = 'remove these faces, embed them anew, or skip them (--skip-bad, on_bad_rows="skip")'


def as_matrix(X: npt.ArrayLike, name: str = "X", *, missing: bool = False) -> npt.ArrayLike:
    """Turn what holds one vector per face into an array (n, d); return anything else as it is.

    Parameters
    ----------
    X : array-like
        An array or nested lists; a tensor of any dtype, on any device; or a list, tuple, object array,
        Series, or DataFrame of one column, whose entries are arrays, lists, tensors, texts such as
        "[0.1, 0.2]", or dicts with a vector under "embedding", "embeddings" or the only key that holds
        one.
    name : str
        Name in the message.
    missing : bool
        Whether a missing row (None, NaN, of no length) becomes one of NaN, a bad row.

    Returns
    -------
    array-like
        An array if an entry is a vector; else ``X``. Shape and dtype are not checked here.

    Raises
    ------
    InputError
        If a row is missing, of another length than most or no vector, or no key of the dicts clearly
        holds the vector; the message names the rows, counted from 0.
    """
    if isinstance(X, RowParts) or (isinstance(X, np.ndarray) and X.dtype != np.object_):
        return X
    from nsrfc.forms import matrix_of

    return matrix_of(X, name, missing=missing)


def as_array(X: npt.ArrayLike, name: str = "X", *, missing: bool = False) -> Vectors:
    """Return what `as_matrix` returns as an array; rows that are in files stay there."""
    X = as_matrix(X, name, missing=missing)
    return X if isinstance(X, FileRows | RowParts) else np.asarray(X)


def check_vectors(vectors: Vectors, name: str) -> None:
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
        In any form that `as_matrix` reads. Never written to.
    name : str
        Name in the message.

    Returns
    -------
    ndarray of float32, shape (n, d)
        A new C-contiguous array.

    Raises
    ------
    InputError
        As `as_matrix` and `check_vectors`, and if the file of the vectors is changed while it is read.
    """
    return normalize_good(vectors, name)[0]


def normalize_good(
    vectors: npt.ArrayLike,
    name: str = "X",
    *,
    skip: bool = False,
    empty: Callable[[tuple[int, int]], npt.NDArray[np.float32]] | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Scale the good rows to unit length, see `normalize`.

    Parameters
    ----------
    vectors : array-like of float16, float32 or float64, shape (n, d)
    name : str
        Name in the message.
    skip : bool
        Whether bad rows are left out; by default they are refused.
    empty : callable, optional
        Returns an array of a shape, into which the unit vectors are written; in memory by default.

    Returns
    -------
    unit : ndarray of float32, shape (g, d)
        A new C-contiguous array.
    good : ndarray of bool, shape (n,)
        Which rows of ``vectors`` they are.

    Raises
    ------
    InputError
        As `normalize`; with ``skip``, bad rows are none of the reasons, even if all are.
    """
    vectors = as_array(vectors, name, missing=skip)
    peaks = row_peaks(vectors, name)
    if not skip:
        refuse_rows(peaks, name)
    good = has_direction(peaks)
    shape = int(np.count_nonzero(good)), vectors.shape[1]
    unit = np.empty(shape, np.float32) if empty is None else empty(shape)
    start = done = 0
    for block in blocks(vectors):
        here = good[start : start + len(block)]
        scaled = _scaled(block[here], peaks[start : start + len(block)][here])
        unit[done : done + len(scaled)] = scaled
        start, done = start + len(block), done + len(scaled)
    check_unchanged(vectors)
    return unit, good


def unit_rows(
    block: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Scale some embeddings to unit length, see `normalize`.

    Parameters
    ----------
    block : ndarray of float16, float32 or float64, shape (m, d)

    Returns
    -------
    unit : ndarray of float32, shape (m, d)
        0 for bad rows.
    peaks : ndarray of float64, shape (m,)
        The largest absolute value of each row: NaN, infinity or 0 for a bad one.
    """
    peaks = _peaks(block)
    good = has_direction(peaks)
    unit = np.zeros(block.shape, np.float32)
    unit[good] = _scaled(block[good], peaks[good])
    return unit, peaks


def _scaled(block: npt.NDArray[Any], peaks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # C order, so that numpy sums each row in the same order whatever the caller's layout.
    scaled = np.array(block, dtype=np.float64, order="C")
    scaled /= peaks[:, None]
    scaled /= np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    return scaled


def good_rows(vectors: Vectors, name: str) -> npt.NDArray[np.bool_]:
    """Tell which rows of embeddings (n, d) are good.

    Raises
    ------
    InputError
        If ``vectors`` are not embeddings, or no row is good.
    """
    good = has_direction(row_peaks(vectors, name))
    refuse_none(good, name)
    return good


def usable_shape(vectors: Vectors, path: object, *, skip: bool) -> tuple[int, int]:
    """Return the shape of the embeddings of a file without the rows that are left out.

    Raises
    ------
    InputError
        If no row is left.
    """
    n, d = vectors.shape
    return (int(good_rows(vectors, str(path)).sum()) if skip else n), d


def refuse_none(good: npt.NDArray[np.bool_], name: str) -> None:
    """Refuse embeddings of which no row is good (n,).

    Raises
    ------
    InputError
    """
    if not good.any():
        raise InputError(
            f"{name}: all {len(good)} rows are zero, NaN or infinite, so no face is left: "
            f"embed them anew."
        )


def skipped_in_words(good: npt.NDArray[np.bool_]) -> str | None:
    """Say how many rows are bad and were left out; None if all (n,) are good."""
    bad = np.flatnonzero(~good)
    if not len(bad):
        return None
    are, were = ("is", "was") if len(bad) == 1 else ("are", "were")
    return (
        f"{len(bad):,} of {len(good):,} rows {are} missing, zero, NaN or infinite and {were} left out "
        f"({enumerate_rows(bad)}, counted from 0)."
    )


def blocks(vectors: Vectors) -> Iterator[npt.NDArray[Any]]:
    """Yield blocks of consecutive rows, of a few megabytes as float64."""
    rows = max(1, BLOCK_BYTES // (8 * vectors.shape[1]))
    for start in range(0, len(vectors), rows):
        yield read_rows(vectors, slice(start, start + rows))


def checked_peaks(vectors: Vectors, name: str) -> npt.NDArray[np.float64]:
    """Return the largest absolute value of each row (n,), after the checks of `check_vectors`."""
    peaks = row_peaks(vectors, name)
    refuse_rows(peaks, name)
    return peaks


def row_peaks(vectors: Vectors, name: str) -> npt.NDArray[np.float64]:
    """Return the largest absolute value of each row (n,): NaN, infinity or 0 for a bad one."""
    check_matrix(vectors, name)
    return np.concatenate([_peaks(block) for block in blocks(vectors)])


def _peaks(block: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        peaks: npt.NDArray[np.float64] = np.abs(block).max(axis=1).astype(np.float64)
        return peaks


def has_direction(peaks: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Tell which rows are good by their largest absolute values (n,)."""
    good: npt.NDArray[np.bool_] = np.isfinite(peaks) & (peaks != 0)
    return good


def refuse_rows(peaks: npt.NDArray[np.floating], name: str) -> None:
    """Refuse rows whose largest absolute value is NaN, infinite or zero."""
    faults = []
    for wrong, fault in ((~np.isfinite(peaks), "NaN or infinity"), (peaks == 0, "only zeros")):
        if wrong.any():
            rows = np.flatnonzero(wrong)
            verb = "holds" if len(rows) == 1 else "hold"
            faults.append(f"{len(rows)} of {len(peaks)} rows {verb} {fault} ({enumerate_rows(rows)})")
    if faults:
        raise InputError(f"{name}: {' and '.join(faults)}, counted from 0: {_MEND}.")


def refuse_missing(absent: npt.NDArray[np.bool_], name: str) -> None:
    """Refuse missing rows, given by a mask (n,), if there are any."""
    rows = np.flatnonzero(absent)
    if len(rows):
        are = "is" if len(rows) == 1 else "are"
        raise InputError(
            f"{name}: {len(rows)} of {len(absent)} rows {are} missing ({enumerate_rows(rows)}), counted "
            f"from 0: {_MEND}."
        )


def check_matrix(
    vectors: Vectors | StoredRows, name: str, *, dtype: npt.DTypeLike | None = None
) -> None:
    """Refuse anything but floats (n, d) with n, d >= 1, of ``dtype`` if they are decoded later."""
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
    if (dtype or vectors.dtype) not in (np.float16, np.float32, np.float64):
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
