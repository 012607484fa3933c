"""Embeddings as other programs write them: JSON, bytes, hexadecimal, an array compressed by zlib."""

from __future__ import annotations

import io
import json
import zlib
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["of_array_bytes", "of_bytes", "of_hex", "of_json", "text_of"]

_MOST = 1 << 20
"""Bytes of one embedding; no more is unpacked."""

_Array = npt.NDArray[np.floating]


def of_json(text: object, skipped: Counter[str]) -> _Array | None:
    """Read a JSON list of numbers, or the first of a list of lists; None, counted, if there is none."""
    if text in (None, "", b"", "null", b"null", "[]", b"[]"):
        skipped["without an embedding"] += 1
        return None
    try:
        values: Any = json.loads(text) if isinstance(text, str | bytes | bytearray) else text
        if isinstance(values[0], list):
            values = values[0]
        return _one(np.array(values, np.float64), skipped)
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        skipped["embedding unreadable"] += 1
        return None


def of_bytes(data: object, dtype: npt.DTypeLike, skipped: Counter[str]) -> _Array | None:
    """Read the bytes of numbers; None, counted, if there are none or a part of one."""
    data = data.tobytes() if isinstance(data, memoryview) else data
    if not data:
        skipped["without an embedding"] += 1
        return None
    if not isinstance(data, bytes) or len(data) % np.dtype(dtype).itemsize:
        skipped["embedding unreadable"] += 1
        return None
    return _one(np.frombuffer(data, dtype), skipped)


def of_hex(text: object, dtype: npt.DTypeLike, skipped: Counter[str]) -> _Array | None:
    """Read hexadecimal digits of the bytes of numbers."""
    try:
        data = bytes.fromhex(str(text or ""))
    except ValueError:
        skipped["embedding unreadable"] += 1
        return None
    return of_bytes(data, dtype, skipped)


def of_array_bytes(data: bytes, skipped: Counter[str]) -> _Array | None:
    """Read an ``.npy`` file compressed by zlib, as FiftyOne keeps arrays; no pickle is opened."""
    try:
        unpacked = zlib.decompressobj().decompress(data, _MOST)
        return _one(np.lib.format.read_array(io.BytesIO(unpacked), allow_pickle=False), skipped)
    except (ValueError, zlib.error, EOFError, SyntaxError):
        skipped["embedding unreadable"] += 1
        return None


def text_of(value: object) -> str | None:
    """Return a text that a database may keep as bytes; None if it is empty."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else value
    return None if text is None or not str(text).strip() else str(text)


def _one(values: npt.NDArray[Any], skipped: Counter[str]) -> _Array | None:
    if values.ndim != 1 or values.dtype.kind != "f" or not len(values):
        skipped["embedding unreadable"] += 1
        return None
    with np.errstate(over="ignore"):
        vector = values.astype(np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        skipped["embedding zero or not finite"] += 1
        return None
    return vector
