"""Shared by all readers and writers: atomic writing, ``.npy`` and ``.npz`` files, error messages.

Readers turn errors of numpy, zipfile and pyarrow into `InputError`, no pickle is ever loaded, and no
writer leaves a half-written file. ``.npy`` files and arrays of uncompressed ``.npz`` files are mapped,
not copied.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import secrets
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import FileRows
from nsrfc.errors import InputError, NsrfcError, enumerate_names, shortened, shown

__all__ = [
    "INCOMING",
    "ArrayHeader",
    "PathLike",
    "atomic_folder",
    "atomic_path",
    "check_header",
    "check_outputs",
    "check_place",
    "check_room",
    "check_size",
    "check_sums",
    "check_text",
    "choose",
    "existing_file",
    "file_hash",
    "kind_of",
    "known_suffix",
    "latest",
    "map_npz_array",
    "npz_headers",
    "open_npy",
    "read_npz_array",
    "read_text",
    "reading",
    "refuse_folder",
    "remove_temporaries",
    "sync",
    "write_npy",
    "write_npz",
    "write_sums",
    "writing",
]

PathLike = str | os.PathLike[str]

INCOMING = Path(".incoming", "whole")
"""Where files are that take their names together, see :mod:`nsrfc.storage.placing`."""

_BLOCK = 1 << 20

_MOST_HEADER = 1 << 15
"""Bytes of a header; numpy reads none of more than 10,000."""

_LAST_CODE, _SURROGATES = 0x10FFFF, range(0xD800, 0xE000)

MOST_ARRAYS = 10_000
"""Arrays of an ``.npz`` file."""

MOST_LETTERS = 1_000
"""Letters of a name. numpy keeps all names in the room of the longest."""

_SUMS = "SHA256SUMS"


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    If the block raises, ``KeyboardInterrupt`` included, the temporary file is removed and an older
    file at ``path`` is left unchanged. The folder is made if it is missing.

    Parameters
    ----------
    path : path-like
        Path of the finished file. The temporary one is in the same folder and has the same suffix.

    Raises
    ------
    InputError
        If ``path`` is a folder, its folder cannot be written, or the block raises an OSError, such as
        that of a full disk.
    """
    path = Path(path)
    refuse_folder(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that killed writers left in a folder, where no writer is at work."""
    for path in folder.glob(".*.????????.*"):
        path.unlink(missing_ok=True)


def latest(folder: Path, name: str) -> Path:
    """Return the path of one of several files that take their names together.

    It is that of the file which waits for its name, if a run was killed while files were moved.
    """
    waiting = folder / INCOMING / name
    return folder / name if kind_of(waiting) is None else waiting


@contextmanager
def atomic_folder(folder: PathLike, record: str) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder`` that takes its place when the block succeeds.

    Parameters
    ----------
    folder : path-like
        Replaced if it is empty or holds a file ``record``, that is, was made in this way.
    record : str

    Raises
    ------
    InputError
        If ``folder`` is a file, holds other files or cannot be written, or the block raises an OSError.
    """
    folder = Path(os.path.realpath(folder))
    check_place(folder)
    if kind_of(folder) and kind_of(folder / record) != "file" and any(folder.iterdir()):
        raise InputError(f"{folder} holds other files: give a new folder.")
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    older = temporary.with_name(f"{temporary.name}.older")
    made = [place for place in folder.parents if kind_of(place) is None]
    with writing(folder):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for path in (*temporary.rglob("*"), temporary):
                sync(path)
            if kind_of(folder):
                folder.replace(older)
            temporary.replace(folder)
            sync(folder.parent)
        finally:
            if kind_of(older) and kind_of(folder) is None:
                older.replace(folder)
            for place in (temporary, older):
                shutil.rmtree(place, ignore_errors=True)
            with suppress(OSError):
                for place in made:
                    place.rmdir()


def write_sums(folder: Path) -> None:
    """Write the SHA-256 of all files in a folder into one more, as ``sha256sum --check`` reads it."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{file_hash(folder / name)}  {name}\n" for name in names]
    (folder / _SUMS).write_text("".join(lines), encoding="utf-8")


def check_sums(folder: Path) -> None:
    """Check the files in a folder by what :func:`write_sums` wrote.

    Raises
    ------
    InputError
        If a file is missing, or was changed or damaged; files that are not listed do not count.
    """
    with reading(folder / _SUMS):
        lines = (folder / _SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: expected for expected, name in (line.split("  ", 1) for line in lines)}
    for name, expected in sums.items():
        if kind_of(folder / name) != "file" or file_hash(folder / name) != expected:
            raise InputError(
                f"{folder / name} is missing, or damaged since it was written: "
                f"copy or write the whole folder anew."
            )


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk.

    Without it a power failure could leave an empty file under its final name, or the older one.
    """
    # Windows cannot open a folder, and stores its entries without this.
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error of a decoder in the block into an `InputError` that names ``path``."""
    try:
        yield
    except (NsrfcError, ImportError):
        raise
    except PermissionError as error:
        raise InputError(f"{path} may not be read: change its permissions.") from error
    except MemoryError as error:
        raise InputError(
            f"{path} needs more memory than there is: it is damaged or too large for this machine."
        ) from error
    except Exception as error:
        # numpy, zipfile and pyarrow raise two dozen types on damaged bytes, some undocumented.
        raise InputError(
            f"{path} cannot be read as {path.suffix.lower()} ({_reason(error)}): "
            f"it is damaged or another kind of file, so write or copy it anew."
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError, raised when a file or folder cannot be written, into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({_reason(error)}): "
            f"make room, change its permissions or choose another folder."
        ) from error


def kind_of(path: PathLike) -> Literal["file", "folder", "other"] | None:
    """Return what is at ``path``, following links; None if there is nothing.

    Raises
    ------
    InputError
        If it cannot be determined, for example for lack of permissions on a parent folder.
    """
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be reached ({_reason(error)}): check its name and the folder's permissions."
        ) from error
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"


def check_place(folder: PathLike) -> None:
    """Refuse, before any work, a path where no folder can be written; nothing is created.

    Raises
    ------
    InputError
        If ``folder`` or one of its parents is a file, or not writable.
    """
    folder = Path(folder)
    for place in (folder, *folder.parents):
        kind = kind_of(place)
        if kind == "folder":
            # Only a temporary file detects missing permissions, read-only disks and quotas alike.
            with writing(folder), tempfile.TemporaryFile(dir=place):
                return
        if kind is not None:
            raise InputError(f"{place} is a file, not a folder: give another folder for results.")


def check_outputs(outputs: Iterable[PathLike], inputs: Iterable[PathLike | None] = ()) -> None:
    """Refuse, before any work, output files that cannot be written or would overwrite another file.

    Parameters
    ----------
    outputs : iterable of path-like
        Files to be written.
    inputs : iterable of path-like or None
        Files that are read; None for an input that was not given.

    Raises
    ------
    InputError
        If an output is a folder, its folder cannot be written, or it is the same file as an input or
        another output.
    """
    taken = [Path(path) for path in inputs if path is not None]
    for path in map(Path, outputs):
        refuse_folder(path)
        check_place(path.parent)
        for other in taken:
            if _same_file(path, other):
                raise InputError(
                    f"{path} would overwrite {other}, which is needed too: give another name or folder."
                )
        taken.append(path)


def refuse_folder(path: Path) -> None:
    """Refuse to write a file where there is a folder."""
    if kind_of(path) == "folder":
        raise InputError(f"{path} is a folder and cannot be written as a file: give a file name.")


def existing_file(path: PathLike, suffixes: Sequence[str] = (), content: str = "") -> Path:
    """Return ``path`` as a `Path` if it is a file with one of ``suffixes``, by default any.

    Raises
    ------
    InputError
        If there is no such file, it is a folder, or its suffix is not in ``suffixes``; the message
        says that ``content`` ("embeddings") is kept in those.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind is None:
        raise InputError(f"There is no file {path}: check its name and folder.")
    if kind != "file":
        found = "a folder" if kind == "folder" else "not a regular file"
        kept = f" ({_alternatives(suffixes)})" if suffixes else ""
        raise InputError(f"{path} is {found}: give a file{kept}.")
    if suffixes:
        known_suffix(path, suffixes, content)
    return path


def known_suffix(path: PathLike, suffixes: Sequence[str], content: str) -> str:
    """Return the suffix of ``path`` in lower case; `InputError` if it is not in ``suffixes``."""
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
    """Choose the array or column to read from a file that may hold several.

    Parameters
    ----------
    path : Path
        The file, for the message.
    key : str or None
        The name given by the caller, if any.
    available, fitting : sequence of str
        All names in the file, and those of the right type.
    preferred : sequence of str
        Names chosen by default, in this order.
    wanted : str
        What is looked for, in the singular, for the message.

    Raises
    ------
    InputError
        If the file has no ``key``; or, without a key, if none or more than one fits.
    """
    held = enumerate_names(available) or "nothing"
    if key is not None:
        if key not in available:
            raise InputError(f"{path} has no {shown(key)}: name one of what it holds ({held}).")
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
        f"{path} holds more than one {wanted} ({enumerate_names(fitting)}): name the one meant as key."
    )


def read_text(path: Path, most: int) -> str:
    """Read a UTF-8 text of at most ``most`` bytes.

    Raises
    ------
    InputError
        If it is longer, no UTF-8, or cannot be read.
    """
    with reading(path):
        check_size(path, most)
        return path.read_text(encoding="utf-8")


def check_size(path: Path, most: int) -> None:
    """Refuse a file of settings of more than ``most`` bytes.

    Raises
    ------
    InputError
        If it has more.
    """
    size = path.stat().st_size
    if size > most:
        raise InputError(
            f"{path} has {size} bytes, and no file of settings has more than {most}: "
            f"it is another kind of file."
        )


class ArrayHeader(NamedTuple):
    """The header of an array in ``.npy`` format, and where its data start."""

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


def _mapped(path: Path, header: ArrayHeader) -> npt.NDArray[Any]:
    """Map the data after a header, whose offset counts from the start of the file."""
    order: Literal["C", "F"] = "F" if header.fortran_order else "C"
    return FileRows.open(path, header.dtype, header.shape, header.offset, order)


def _content_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Offset of a zip member's content: after a header of 30 bytes, a name and extra fields."""
    with path.open("rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<26x2H", file.read(30))
    return int(info.header_offset + 30 + name + extra)


def _same_file(a: Path, b: Path) -> bool:
    if kind_of(a) and kind_of(b):
        return a.samefile(b)
    return os.path.realpath(a) == os.path.realpath(b)


def _reason(error: Exception) -> str:
    """Shorten the message of an error, to be put in brackets: one line, no full stop."""
    # For a full disk numpy raises an OSError without strerror.
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said.splitlines()[0].split(". ")[0][:120].rstrip(".")


def _alternatives(suffixes: Sequence[str]) -> str:
    return " or ".join([", ".join(suffixes[:-1]), suffixes[-1]] if suffixes[1:] else suffixes)
