"""Fingerprints of arrays, by which a content is known again."""

from __future__ import annotations

import hashlib

import numpy as np

from nsrfc.chunks import FileRows, RowParts, Vectors, changed, read_rows

__all__ = ["check_fingerprint", "fingerprint"]

CHUNK_BYTES = 1 << 24


def fingerprint(array: Vectors) -> str:
    """Return the SHA-256 of an array's shape, dtype and bytes, in hexadecimal.

    Memory: one block of rows. Mapped arrays and arrays in memory have equal fingerprints.
    """
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} ".encode())
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(read_rows(array, slice(start, start + rows))).data)
    return digest.hexdigest()


def check_fingerprint(array: Vectors, expected: str) -> None:
    """Refuse an array whose file no longer has the content that was used; others are in memory.

    Raises
    ------
    InputError
    """
    if isinstance(array, FileRows | RowParts) and fingerprint(array) != expected:
        raise changed(array.filename)
