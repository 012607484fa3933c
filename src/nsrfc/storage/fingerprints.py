"""Fingerprints of arrays."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["fingerprint"]

CHUNK_BYTES = 1 << 24


def fingerprint(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of an array's shape, dtype and bytes, in hexadecimal.

    Memory: one block of rows. Mapped arrays and arrays in memory have equal fingerprints.
    """
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} ".encode())
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()
