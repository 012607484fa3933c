"""What readers and writers share: whole-or-nothing writing, ``.npy`` and ``.npz``, error wording.

Contract: no reader lets an error of numpy, zipfile or pyarrow through, no pickle is ever loaded,
and no writer leaves a half-written file. ``.npy`` files are mapped, not copied; an array of an
``.npz`` costs its own size.
"""

from __future__ import annotations

import math
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, NsrfcError

__all__ = [
    "ArrayHeader",
    "PathLike",
    "atomic_path",
    "choose",
    "enumerate_rows",
    "existing_file",
    "known_suffix",
    "npz_headers",
    "open_npy",
    "read_npz_array",
    "reading",
    "write_npy",
    "write_npz",
    "writing",
]

PathLike = str | os.PathLike[str]


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place when the block succeeds.

    If the block raises, ``KeyboardInterrupt`` included, the temporary file is removed and an older
    file at ``path`` stays as it was. The folder is made if it is missing.

    Parameters
    ----------
    path : path-like
        Where the finished file shall stand. The temporary one is in the same folder and has the
        same suffix.

    Raises
    ------
    InputError
        If ``path`` is a folder or its folder cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder and cannot be written as a file: give a file name.")
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}): choose another folder or mend its rights."
        ) from error
    try:
        yield temporary
        # Without this a power cut could leave an empty file under the final name.
        with temporary.open("r+b") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises in the block into an `InputError` that names ``path``."""
    try:
        yield
    except (NsrfcError, ImportError):
        raise
    except PermissionError as error:
        raise InputError(f"{path} may not be read: give yourself the right to read it.") from error
    except MemoryError as error:
        raise InputError(
            f"{path} asks for more memory than there is: it is damaged or too large for this machine."
        ) from error
    except Exception as error:
        # numpy, zipfile and pyarrow raise two dozen types on damaged bytes, some undocumented.
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0][:120].rstrip(".")
        raise InputError(
            f"{path} cannot be read as {path.suffix.lower()} ({reason}): "
            f"it is damaged or another kind of file, so write or copy it anew."
        ) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the system says of a folder that takes no more into an `InputError` that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}): make room or choose another folder."
        ) from error


def existing_file(path: PathLike, suffixes: Sequence[str], content: str) -> Path:
    """Return ``path`` as a `Path` if it is a file with one of ``suffixes``.

    Raises
    ------
    InputError
        If there is no such file, it is a folder, or its suffix is none of ``suffixes``; the message
        says that ``content`` ("embeddings") is kept in those.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise InputError(f"{path} may not be read: give yourself the right to read it.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"There is no file {path}: check its name and folder.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise InputError(f"{path} is {kind}: give a file ({_alternatives(suffixes)}).")
    known_suffix(path, suffixes, content)
    return path


def known_suffix(path: PathLike, suffixes: Sequence[str], content: str) -> str:
    """Return the suffix of ``path`` in lower case; `InputError` if it is none of ``suffixes``."""
    suffix = Path(path).suffix.lower()
    if suffix not in suffixes:
        has = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise InputError(
            f"{path} has {has}, but {content} are kept in "
            f"{_alternatives(suffixes)} files: use one of these."
        )
    return suffix


def choose(
    path: Path,
    key: str | None,
    available: Sequence[str],
    fitting: Sequence[str],
    preferred: Sequence[str],
    wanted: str,
) -> str:
    """Name the array or column to read from a file that may hold several.

    Parameters
    ----------
    path : Path
        The file, for the message.
    key : str or None
        What the caller asks for; taken if the file has it.
    available, fitting : sequence of str
        All names in the file, and those of the right kind.
    preferred : sequence of str
        Names taken without being asked for, in this order.
    wanted : str
        What is looked for, in the singular, for the message.

    Raises
    ------
    InputError
        If the file has no ``key``, or, without one, there is none or more than one that fits.
    """
    held = ", ".join(available) or "nothing"
    if key is not None:
        if key not in available:
            raise InputError(f"{path} has no {key!r}: name one of what it holds ({held}).")
        return key
    for name in preferred:
        if name in available:
            return name
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise InputError(
            f"{path} holds no {wanted} (it holds {held}): convert one or give another file."
        )
    raise InputError(
        f"{path} holds more than one {wanted} ({', '.join(fitting)}): name the one meant as key."
    )


def enumerate_rows(rows: npt.NDArray[np.intp], limit: int = 5) -> str:
    """Word row numbers, counted from 0: ``row 3``, ``rows 3, 7``, ``rows 0, 1, 2, 3, 4, ...``."""
    listed = ", ".join(str(row) for row in rows[:limit].tolist())
    return f"row{'s' if len(rows) > 1 else ''} {listed}{', ...' if len(rows) > limit else ''}"


class ArrayHeader(NamedTuple):
    """What an array in ``.npy`` format says of itself before its numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int


def open_npy(path: Path) -> npt.NDArray[Any]:
    """Map the array of an ``.npy`` file into memory, read-only; nothing is copied.

    Raises
    ------
    InputError
        If the file is damaged, cut short, or holds Python objects.
    """
    with reading(path), path.open("rb") as stream:
        header = _read_header(stream)
        _check_header(header, path.stat().st_size, str(path))
        return np.memmap(
            path,
            dtype=header.dtype,
            mode="r",
            offset=header.offset,
            shape=header.shape,
            order="F" if header.fortran_order else "C",
        )


def npz_headers(path: Path) -> dict[str, ArrayHeader]:
    """Read shape and dtype of every array in an ``.npz`` file without loading any."""
    with reading(path), zipfile.ZipFile(path) as archive:
        headers = {}
        for member in archive.namelist():
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
        with archive.open(member) as stream:
            _check_header(_read_header(stream), archive.getinfo(member).file_size, f"{path}[{key}]")
        with archive.open(member) as stream:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
            return array


def write_npy(path: PathLike, array: npt.NDArray[Any]) -> None:
    """Write an ``.npy`` file, whole or not at all; Python objects are refused by numpy."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def write_npz(path: PathLike, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an uncompressed ``.npz`` file, whole or not at all.

    Equal arrays give equal bytes: unlike `numpy.savez`, no time is written.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def _read_header(stream: IO[bytes]) -> ArrayHeader:
    version = np.lib.format.read_magic(stream)
    # Version 3 differs from 2 only in the encoding of field names, and fields are refused anyway.
    read = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran_order, dtype = read(stream)
    return ArrayHeader(shape, dtype, fortran_order, stream.tell())


def _check_header(header: ArrayHeader, size: int, name: str) -> None:
    """Refuse an array of objects, and one whose ``size`` bytes are fewer than its header says."""
    if header.dtype.hasobject:
        raise InputError(
            f"{name} holds pickled Python objects, which are never loaded: "
            f"write it anew as plain numbers or strings (array.astype(...))."
        )
    if min(header.shape, default=0) < 0:
        raise InputError(f"{name} states the impossible shape {header.shape}: write it anew.")
    needed = header.offset + math.prod(header.shape) * header.dtype.itemsize
    if needed > size:
        raise InputError(
            f"{name} is cut short: an array {header.shape} of {header.dtype} takes {needed} bytes, "
            f"but there are {size}; copy or write it anew."
        )


def _alternatives(suffixes: Sequence[str]) -> str:
    return " or ".join([", ".join(suffixes[:-1]), suffixes[-1]] if suffixes[1:] else suffixes)
