"""Reading faiss indexes, as ``faiss.write_index`` writes them.

faiss itself decodes the file. It checks what it reads, older versions less than newer ones: an index
must come from a source that one trusts. From faiss 1.15 on, no more memory is taken than the size of the
file allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nsrfc.errors import InputError
from nsrfc.storage.files import PathLike, existing_file, reading

if TYPE_CHECKING:
    import faiss

__all__ = ["read_index"]

_BINARY = b"IB"
"""First letters of an index of bits."""

_TABLE_BYTES, _TABLE_SHARE = 1 << 31, 256
"""Limits of what faiss computes while it reads, beside what is in the file: tables of product
quantisers, of at most 2 GiB and, for codes of 8 bits, 256 numbers for each one stored."""


def read_index(path: PathLike, dimension: int) -> faiss.Index:
    """Read a faiss index of vectors of some dimension.

    Parameters
    ----------
    path : path-like
        From a source that one trusts.
    dimension : int

    Returns
    -------
    faiss.Index

    Raises
    ------
    InputError
        If there is no such file, it is damaged or no index of floats, or of another dimension.
    """
    import faiss

    path = existing_file(path)
    with reading(path):
        with path.open("rb") as stream:
            if stream.read(len(_BINARY)) == _BINARY:
                raise InputError(
                    f"{path} is a binary index, which holds bits: build one of the embeddings, such as "
                    f"faiss.IndexFlatIP."
                )
        try:
            with _limited(path.stat().st_size):
                index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise InputError(
                f"{path} cannot be read as a faiss index: it is damaged, of a newer faiss or another "
                f"kind of file, so copy it or write it with faiss.write_index anew."
            ) from error
    if index.d != dimension:
        raise InputError(
            f"{path} holds vectors of dimension {index.d}, the embeddings have {dimension}: "
            f"give the index that was built from these embeddings."
        )
    return index


@contextmanager
def _limited(size: int) -> Iterator[None]:
    """Have faiss refuse lists that would be larger than a file of this size allows."""
    import faiss

    limits = {
        "vector_byte_limit": size + min(_TABLE_BYTES, _TABLE_SHARE * size),
        "loop_limit": max(size, 1),  # 0 is none
    }
    before = []
    for name, limit in limits.items():
        change: Any = getattr(faiss, f"set_deserialization_{name}", None)
        if change is not None:  # faiss 1.15 and newer
            before.append((change, getattr(faiss, f"get_deserialization_{name}")()))
            change(limit)
    try:
        yield
    finally:
        for change, value in before:
            change(value)
