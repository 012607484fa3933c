"""Embeddings in the forms that other libraries give them: columns of vectors, tensors, texts, dicts.

None of those libraries is imported: what is not loaded has made no value.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.vectors import refuse_missing

__all__ = ["PREFERRED_KEYS", "is_missing", "matrix_of", "vector_of_text"]

PREFERRED_KEYS = ("embedding", "embeddings")
"""Names under which a dict or a file holds the embedding, if it has them."""

_Array = npt.NDArray[Any]


def matrix_of(X: npt.ArrayLike, name: str, *, missing: bool = False) -> npt.ArrayLike:
    """Turn what holds one vector per face into an array, see :func:`nsrfc.vectors.as_matrix`."""
    X = _without_torch(X)
    if isinstance(X, list | tuple):
        rows: Sequence[Any] | _Array = X
    elif hasattr(X, "__array__"):
        rows = np.asarray(X)
        if rows.dtype != np.object_:
            return X
        if rows.ndim == 2 and rows.shape[1] > 1:
            return _numbers(rows)
        rows = rows[:, 0] if rows.ndim == 2 else rows
    else:
        return X
    held = next((row for row in rows if not is_missing(row)), None)
    if not isinstance(held, str | Mapping) and np.ndim(_without_torch(held)) == 0:
        return X
    if isinstance(held, Mapping):
        rows = _of_key(rows, _key(held, name))
    return _stacked([_vector(row, number, name) for number, row in enumerate(rows)], name, missing)


def vector_of_text(text: str) -> _Array:
    """Read a vector as text, which may be of no length.

    Parameters
    ----------
    text : str
        As JSON and pgvector write it, ``[0.1,0.2]``, arrays of Postgres, ``{0.1,0.2}``, or numpy, whose
        numbers have blanks between them: ``[0.1 0.2]``.

    Raises
    ------
    ValueError
        If the text is anything else.
    """
    if text[:1] == "{" and text[-1:] == "}":
        text = f"[{text[1:-1]}]"
    if "," not in text and text[:1] == "[" and text[-1:] == "]":
        return np.array(text[1:-1].split(), dtype=np.float32)
    numbers = json.loads(text)
    if not isinstance(numbers, list) or not all(type(each) in (int, float) for each in numbers):
        raise ValueError("no list of numbers")
    try:
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype=np.float32)
    except OverflowError as error:  # an integer of hundreds of digits
        raise ValueError("a number beyond all floats") from error


def is_missing(row: Any) -> bool:  # noqa: ANN401
    """Tell None, NaN, NA of pandas and vectors of no length from other values."""
    shape = getattr(row, "shape", (len(row),) if isinstance(row, list | tuple) else ())
    if shape:
        return 0 in shape
    # NaN alone differs from itself; NA of pandas does not say whether it does.
    return row is None or type(row).__name__ == "NAType" or bool(row != row)


def _without_torch(value: Any) -> Any:  # noqa: ANN401
    """Return a tensor, which may have a gradient or be bfloat16, as an array; others as they are."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    plain = value.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def _numbers(array: _Array) -> _Array:
    """Return objects (n, d) as float64; as they are, to be refused later, if they are no numbers."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError):
        return array


def _key(face: Mapping[Any, Any], name: str) -> object:
    """Return the key under which a dict holds an embedding."""
    for key in PREFERRED_KEYS:
        if key in face:
            return key
    vectors = [key for key, value in face.items() if _is_vector(value)]
    if len(vectors) == 1:
        return vectors[0]
    raise InputError(
        f"{name} holds dicts, and {len(vectors) or 'none'} of their keys could be the embedding: "
        f'give the vectors themselves, such as [face["embedding"] for face in faces].'
    )


def _is_vector(value: object) -> bool:
    try:
        array = np.asarray(_without_torch(value))
    except ValueError:  # lists of several lengths
        return False
    return array.ndim == 1 and array.dtype.kind in "fiu"


def _of_key(rows: Sequence[Any] | _Array, key: object) -> list[Any]:
    """Return what each dict holds under a key; None, a missing row, where there is none."""
    return [row.get(key) if isinstance(row, Mapping) else row for row in rows]


def _vector(row: Any, number: int, name: str) -> _Array | None:  # noqa: ANN401
    """Return a row as an array; None if it is missing."""
    if is_missing(row):
        return None
    try:
        vector = vector_of_text(row) if isinstance(row, str) else np.asarray(_without_torch(row))
        if vector.dtype == np.object_:
            vector = vector.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        vector = np.array(0.0)
    if vector.ndim == 0:
        raise InputError(
            f"{name}: row {number}, counted from 0, is no vector of numbers "
            f"(a {type(row).__name__}): give one vector per face."
        )
    return vector if vector.size else None


def _stacked(vectors: list[_Array | None], name: str, missing: bool) -> _Array:
    """Stack rows of one length; missing ones become NaN, if they may be missing."""
    there = [vector for vector in vectors if vector is not None]
    absent = np.array([vector is None for vector in vectors])
    if not missing:
        refuse_missing(absent, name)
    usual = Counter(vector.shape for vector in there).most_common(1)[0][0]
    others = [row for row, each in enumerate(vectors) if each is not None and each.shape != usual]
    if others:
        vector = vectors[others[0]]
        assert vector is not None
        raise InputError(
            f"{name}: row {others[0]}, counted from 0, has length {len(vector)}, but most rows have "
            f"{usual[0]} ({len(others)} such rows): give every face the same dimension."
        )
    stacked = np.stack(there)
    if len(there) == len(vectors):
        return stacked
    matrix = np.full((len(vectors), *usual), np.nan, np.result_type(stacked, np.float16))
    matrix[~absent] = stacked
    return matrix
