"""Identities as an array, with one value for faces whose identity is not known.

Not known are -1 among numbers, empty text among names, and what is missing: null, None, NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, shortened, shown
from nsrfc.forms import is_missing

__all__ = [
    "NO_NAME",
    "UNKNOWN",
    "check_identities",
    "identity_array",
    "is_known",
    "numbered",
    "unknown_in_words",
]

UNKNOWN, NO_NAME = -1, ""
"""Number and name of a face whose identity is not known."""

_Array = npt.NDArray[Any]


def identity_array(identities: npt.ArrayLike, name: str = "identities") -> _Array:
    """Return identities as numbers or names, those that are missing as `UNKNOWN` or `NO_NAME`.

    Parameters
    ----------
    identities : array-like of int or str, shape (n,)
        Values may be missing; numbers among which some are may be float.
    name : str
        Name in the message.

    Returns
    -------
    ndarray of int64 or str, shape (n,)

    Raises
    ------
    InputError
        If there is not one integer or string per face, or no face.
    """
    array = _without_gaps(np.asarray(identities))
    check_identities(array.shape, array.dtype, name)
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise InputError(f"{name} holds integers beyond int64: number the identities anew.")
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def check_identities(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str, *, gaps: bool = False
) -> None:
    """Refuse an array that cannot hold identities by its shape and dtype, before it is read.

    With ``gaps``, numbers may be float, as some may be missing.

    Raises
    ------
    InputError
    """
    if len(shape) != 1:
        raise InputError(
            f"{name} has shape {shown(shape)}, but identities are an array (faces,): "
            f"give one identity per face."
        )
    if shape[0] == 0:
        raise InputError(f"{name} is empty: give the identity of at least one face.")
    if dtype.kind not in ("iuUSf" if gaps else "iuUS"):
        raise InputError(
            f"{name} holds {shortened(dtype)}, but identities are integers or strings: "
            f'convert it with .astype("int64").'
        )


def is_known(identities: _Array) -> npt.NDArray[np.bool_]:
    """Tell which faces have a known identity, of what `identity_array` returned (n,)."""
    known: npt.NDArray[np.bool_] = identities != (NO_NAME if identities.dtype.kind == "U" else UNKNOWN)
    return known


def numbered(identities: _Array) -> npt.NDArray[np.int64]:
    """Return identities as numbers: names as 0, 1, ... in sorted order, or `UNKNOWN`."""
    if identities.dtype.kind != "U":
        return np.array(identities, np.int64)
    known = is_known(identities)
    numbers = np.full(len(identities), UNKNOWN, np.int64)
    numbers[known] = np.unique(identities[known], return_inverse=True)[1]
    return numbers


def unknown_in_words(known: npt.NDArray[np.bool_]) -> str | None:
    """Say how many faces have no known identity and were left out; None if all (n,) are known."""
    unknown = np.count_nonzero(~known)
    if not unknown:
        return None
    have, were = ("has", "was") if unknown == 1 else ("have", "were")
    return (
        f"{unknown:,} of {len(known):,} faces {have} no known identity (-1, empty or null) "
        f"and {were} left out."
    )


def _without_gaps(array: _Array) -> _Array:
    """Return numbers or names in place of objects, or of floats some of which only say "missing"."""
    if array.ndim != 1 or array.dtype.kind not in "fO":
        return array
    values: list[Any] = array.tolist()
    missing = [is_missing(value) for value in values]
    there = [value for value, gap in zip(values, missing, strict=True) if not gap]
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in there):
        return np.array([NO_NAME if gap else v for v, gap in zip(values, missing, strict=True)], np.str_)
    if (any(missing) or array.dtype.kind == "O") and all(map(_is_whole, there)):
        return np.array([UNKNOWN if gap else int(v) for v, gap in zip(values, missing, strict=True)])
    return array


def _is_whole(value: object) -> bool:
    """Tell integers, and floats that are exact integers."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < 2**53
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
