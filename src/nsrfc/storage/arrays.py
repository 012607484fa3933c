"""Arrays in ``.npy`` and ``.npz`` files, whose headers are checked before anything is allocated.

``.npy`` files and arrays of uncompressed ``.npz`` files are mapped, not copied. No pickle is loaded.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import FileRows
from nsrfc.errors import InputError, shortened, shown
from nsrfc.storage.files import PathLike, reading
from nsrfc.storage.outputs import atomic_path

__all__ = [
    "MOST_ARRAYS",
    "MOST_LETTERS",
    "ArrayHeader",
    "check_header",
    "check_room",
    "check_text",
    "map_npz_array",
    "npz_headers",
    "open_npy",
    "read_npz_array",
    "write_npy",
    "write_npz",
]

_BLOCK = 1 << 20

_MOST_HEADER = 1 << 15
"""Bytes of a header; numpy reads none of more than 10,000."""

_LAST_CODE, _SURROGATES = 0x10FFFF, range(0xD800, 0xE000)

MOST_ARRAYS = 10_000
"""Arrays of an ``.npz`` file."""

MOST_LETTERS = 1_000
"""Letters of a name. numpy keeps all names in the room of the longest."""


class ArrayHeader(NamedTuple):
    """The header of an array in ``.npy`` format, and where its data start."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int


def open_npy(path: Path) -> FileRows:
    """Map the array of an ``.npy`` file into memory, read-only; nothing is copied.

    Raises
    ------
    InputError
        If the file is damaged, cut short, or holds Python objects.
    """
    with reading(path), path.open("rb") as stream:
        header = _read_header(stream)
        check_header(header, path.stat().st_size, str(path))
        return _mapped(path, header)


def npz_headers(path: Path) -> dict[str, ArrayHeader]:
    """Read shape and dtype of every array in an ``.npz`` file without loading any.

    Raises
    ------
    InputError
        If the file is damaged, holds more than 10,000 arrays, or one whose name has line breaks or other
        control characters.
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if len(members) > MOST_ARRAYS:
            raise InputError(
                f"{path} holds {len(members)} arrays, and at most {MOST_ARRAYS} are read: "
                f"write those that are needed to a file of their own."
            )
        headers = {}
        for member in members:
            if not member.isprintable():
                raise InputError(
                    f"{path} holds an array whose name has control characters ({shown(member)}): "
                    f"write it anew under another name."
                )
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    headers[member.removesuffix(".npy")] = _read_header(stream)
        return headers


def read_npz_array(path: Path, key: str) -> npt.NDArray[Any]:
    """Read one array of an ``.npz`` file.

    Raises
    ------
    InputError
        If the array is damaged, cut short, or holds Python objects.
    """
    member = f"{key}.npy"
    with reading(path), zipfile.ZipFile(path) as archive:
        name = _name(path, key)
        with archive.open(member) as stream:
            needed = check_header(_read_header(stream), _size(archive.getinfo(member)), name)
        check_room(needed, name)
        with archive.open(member) as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
            return array


def map_npz_array(path: Path, key: str) -> npt.NDArray[Any]:
    """Map one array of an ``.npz`` file into memory, read-only, after checking its checksum.

    An array that is compressed, or not aligned in the file, is read instead.

    Raises
    ------
    InputError
        As :func:`read_npz_array`.
    """
    member = f"{key}.npy"
    with reading(path), zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        with archive.open(member) as stream:
            header = _read_header(stream)
            check_header(header, _size(info), _name(path, key))
            header = header._replace(offset=_content_offset(path, info) + header.offset)
            if info.compress_type == zipfile.ZIP_STORED and header.offset % header.dtype.alignment == 0:
                while stream.read(_BLOCK):  # the checksum is verified at the end of the stream
                    pass
                return _mapped(path, header)
    return read_npz_array(path, key)


def write_npy(path: PathLike, array: npt.NDArray[Any]) -> None:
    """Write an ``.npy`` file, whole or not at all; numpy refuses Python objects."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def write_npz(path: PathLike, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an uncompressed ``.npz`` file, whole or not at all.

    Equal arrays give equal bytes: unlike with `numpy.savez`, no timestamp is written.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def check_header(header: ArrayHeader, size: int, name: str) -> int:
    """Refuse an array that cannot be in a file, before anything is allocated for it.

    Parameters
    ----------
    header : ArrayHeader
    size : int
        Bytes of the file, or of the member of an ``.npz`` file.
    name : str
        Of the array, for the message.

    Returns
    -------
    int
        Bytes of the array.

    Raises
    ------
    InputError
        If it holds Python objects or text of more than 1,000 letters, its shape is impossible, or it is
        larger than ``size``.
    """
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        raise InputError(
            f"{name} holds pickled Python objects, which are never loaded: "
            f"write it anew as plain numbers or strings (array.astype(...))."
        )
    if min(shape, default=0) < 0 or dtype.itemsize < 1:  # numpy 1 takes negative ones of text
        raise InputError(
            f"{name} states the impossible shape {shown(shape)} of {shortened(dtype)}: write it anew."
        )
    if dtype.kind in "US" and dtype.itemsize > MOST_LETTERS * np.dtype(f"{dtype.kind}1").itemsize:
        raise InputError(
            f"{name} holds text of {shortened(dtype)}, and names have at most {MOST_LETTERS} letters: "
            f"shorten them."
        )
    data = math.prod(shape) * dtype.itemsize
    if header.offset + data > size:
        raise InputError(
            f"{name} is cut short: an array {shown(shape)} of {shortened(dtype)} takes "
            f"{shown(header.offset + data)} bytes, but there are {size}; copy or write it anew."
        )
    return data


def check_room(needed: int, name: str) -> None:
    """Refuse to read what takes more bytes than this machine has memory.

    Raises
    ------
    InputError
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not told by this system
        return
    if needed > memory > 0:
        raise InputError(
            f"{name} would take {needed / 2**30:,.1f} GiB, and this machine has {memory / 2**30:,.1f} "
            f"GiB of memory: it is damaged, or needs a larger machine."
        )


def check_text(names: npt.NDArray[Any], name: str) -> None:
    """Refuse strings whose codes are no letters, which no other file could hold.

    Parameters
    ----------
    names : ndarray, shape (n,)
        Anything but strings passes.
    name : str
        Of the array, for the message.

    Raises
    ------
    InputError
        With the row of the first one.
    """
    if names.dtype.kind != "U":
        return
    rows = max(1, _BLOCK // names.dtype.itemsize)
    for start in range(0, len(names), rows):
        block = np.ascontiguousarray(names[start : start + rows])
        codes = block.view(np.dtype(np.uint32).newbyteorder(names.dtype.byteorder))
        wrong = (codes > _LAST_CODE) | ((codes >= _SURROGATES.start) & (codes < _SURROGATES.stop))
        if wrong.any():
            row = start + int(wrong.reshape(len(block), -1).any(axis=1).argmax())
            raise InputError(
                f"{name} holds no valid text in row {row}, counted from 0: "
                f"it is damaged, so write or copy it anew."
            )


def _name(path: Path, key: str) -> str:
    return f"{path}[{shortened(key)}]"


def _size(info: zipfile.ZipInfo) -> int:
    """Bytes of a member; one that is not compressed has no more than are in the file."""
    stored = info.compress_type == zipfile.ZIP_STORED
    return min(info.file_size, info.compress_size) if stored else info.file_size


def _read_header(stream: IO[bytes]) -> ArrayHeader:
    # A damaged header may say that gigabytes belong to it.
    stream = io.BytesIO(stream.read(_MOST_HEADER))
    version = np.lib.format.read_magic(stream)
    # Version 3 differs from 2 only in the encoding of field names, and fields are not supported anyway.
    read = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran_order, dtype = read(stream)
    return ArrayHeader(shape, dtype, fortran_order, stream.tell())


def _mapped(path: Path, header: ArrayHeader) -> FileRows:
    """Map the data after a header, whose offset counts from the start of the file."""
    order: Literal["C", "F"] = "F" if header.fortran_order else "C"
    return FileRows.open(path, header.dtype, header.shape, header.offset, order)


def _content_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Offset of a zip member's content: after a header of 30 bytes, a name and extra fields."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<26x2H", file.read(30))
    return int(info.header_offset + 30 + name + extra)
