"""Reading and writing identities: ``.npy``, ``.npz``, ``.parquet`` and the reference's ``.meta``.

| suffix     | content                                                                       |
|------------|-------------------------------------------------------------------------------|
| `.npy`     | one array (n,) of integers or strings                                         |
| `.npz`     | the array of a given key, or `identity`, or `label`, or the only (n,) one      |
| tables     | the column of a given name, or `identity`, or `label`, or the only one not `id` |
| `.meta`    | text, one integer per line                                                    |

Tables are Parquet, Arrow, CSV and JSON lines, see :mod:`nsrfc.storage.tables`. Of these only Parquet is
written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import read_rows
from nsrfc.errors import InputError, shown
from nsrfc.identities import NO_NAME, UNKNOWN, check_identities, identity_array, numbered
from nsrfc.storage import tables
from nsrfc.storage.arrays import check_text, npz_headers, open_npy, read_npz_array, write_npy, write_npz
from nsrfc.storage.files import PathLike, choose, existing_file, known_suffix, reading
from nsrfc.storage.folders import folder_at
from nsrfc.storage.outputs import atomic_path
from nsrfc.storage.parquet import joined, write_scalar_column
from nsrfc.storage.shards import described_by, shards_in
from nsrfc.storage.tables import read_scalar_column

__all__ = ["read_identities", "read_names", "write_identities"]

SUFFIXES = (".meta", ".npy", ".npz", ".parquet")
"""Of files that are written."""

READ_SUFFIXES = tuple(sorted({*SUFFIXES, *tables.SUFFIXES}))
PREFERRED_KEYS = ("identity", "label")
ID_KEY = "id"


def read_identities(
    path: PathLike, *, key: str | None = None, n: int | None = None
) -> npt.NDArray[np.int64]:
    """Read the identity of every face as a number.

    Parameters
    ----------
    path : path-like
        A file of a kind in the table above, or the folder of shards that `read_embeddings` reads.
    key : str, optional
        Name of the array or column. Not needed if it is called ``identity`` or
        ``label``, or is the only candidate.
    n : int, optional
        Expected number of identities.

    Returns
    -------
    ndarray of int64, shape (n,)
        Integers unchanged; names as 0, 1, ... in sorted order. -1 for a face of unknown identity: -1,
        empty text or null in the file.

    Raises
    ------
    InputError
        If there is no such file, it is damaged, holds no integers or strings, or not ``n`` of them.
    """
    return numbered(read_names(path, key=key, n=n))


def read_names(
    path: PathLike, *, key: str | None = None, n: int | None = None
) -> npt.NDArray[np.int64 | np.str_]:
    """Read the identity of every face as it stands in the file, see `read_identities`.

    Returns
    -------
    ndarray of int64 or str, shape (n,)
        -1 or empty text for a face whose identity is not known.

    Raises
    ------
    InputError
        As `read_identities`.
    """
    path = Path(path)
    folder = folder_at(path)
    if folder is not None:
        found = []
        for table in described_by(shards_in(folder), folder):
            with folder.fetched(table) as local:
                found.append(_read_file(local, key))
        identities = joined(found, str(path))
    else:
        identities = _read_file(existing_file(path, READ_SUFFIXES, "identities"), key)
    if n is not None and len(identities) != n:
        relation = "more labels than faces" if len(identities) > n else "fewer labels than faces"
        raise InputError(
            f"{path} has {len(identities)} identities, but there are {n} faces ({relation}): "
            f"give the file that belongs to these embeddings."
        )
    return identities


def _read_file(path: Path, key: str | None) -> npt.NDArray[np.int64 | np.str_]:
    suffix = path.suffix.lower()
    if key is not None and suffix in (".npy", ".meta"):
        raise InputError(f"{path} holds one array without a name: leave out the key {key!r}.")
    if suffix == ".npy":
        mapped = open_npy(path)
        check_identities(mapped.shape, mapped.dtype, str(path), gaps=True)
        identities = read_rows(mapped, slice(None))
    elif suffix == ".meta":
        identities = _read_meta(path)
    elif suffix == ".npz":
        identities = _read_npz(path, key)
    else:
        identities = read_scalar_column(path, key, PREFERRED_KEYS, ID_KEY, (UNKNOWN, NO_NAME))
    check_text(identities, str(path))
    return identity_array(identities, str(path))


def write_identities(path: PathLike, identities: npt.ArrayLike) -> None:
    """Write identities so that `read_identities` reads them, whole or not at all.

    Parameters
    ----------
    path : path-like
        An ``.npy``, ``.npz`` (array ``identity``), ``.parquet`` (column ``identity``) or ``.meta``
        file.
    identities : array-like of int or str, shape (n,)
        Strings cannot be written to ``.meta``. Missing ones are written as -1 or empty text.

    Raises
    ------
    InputError
        If the identities are invalid, the suffix is unknown, or the file cannot be written.
    """
    suffix = known_suffix(path, SUFFIXES, "identities")
    identities = identity_array(identities)
    check_text(identities, "identities")
    if suffix == ".npy":
        write_npy(path, identities)
    elif suffix == ".npz":
        write_npz(path, {PREFERRED_KEYS[0]: identities})
    elif suffix == ".parquet":
        write_scalar_column(path, identities, PREFERRED_KEYS[0])
    elif identities.dtype.kind == "U":
        raise InputError(f"{path} can hold only integers: write names to .npy, .npz or .parquet.")
    else:
        with atomic_path(path) as temporary:
            np.savetxt(temporary, identities, fmt="%d")


def _read_npz(path: Path, key: str | None) -> npt.NDArray[Any]:
    headers = npz_headers(path)
    fitting = [name for name, header in headers.items() if len(header.shape) == 1 and name != ID_KEY]
    key = choose(path, key, list(headers), fitting, PREFERRED_KEYS, "1-D array")
    # Before the array is read, as it may be larger than identities are.
    check_identities(headers[key].shape, headers[key].dtype, str(path), gaps=True)
    return read_npz_array(path, key)


def _read_meta(path: Path) -> npt.NDArray[np.int64]:
    with reading(path):
        lines = path.read_bytes().rstrip().splitlines()
    try:
        return np.array(lines, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        number, text = next(
            (number, line) for number, line in enumerate(lines, 1) if not _is_int64(line)
        )
        line = shown(text.decode("utf-8", "replace"))
        raise InputError(
            f"{path}: line {number} is {line}, not an integer of 64 bits: write one integer a line."
        ) from error


def _is_int64(text: bytes) -> bool:
    try:
        return -(2**63) <= int(text) < 2**63
    except ValueError:
        return False
