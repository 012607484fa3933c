"""Files and folders that are written whole or not at all, and refused before any work is done."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nsrfc.errors import InputError
from nsrfc.storage.files import PathLike, kind_of, reading, writing

__all__ = [
    "atomic_folder",
    "atomic_path",
    "check_outputs",
    "check_place",
    "check_sums",
    "file_hash",
    "refuse_folder",
    "remove_temporaries",
    "sync",
    "write_sums",
]

_SUMS = "SHA256SUMS"


@contextmanager
def atomic_path(path: PathLike, *, flushed: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    If the block raises, ``KeyboardInterrupt`` included, the temporary file is removed and an older
    file at ``path`` is left unchanged. The folder is made if it is missing.

    Parameters
    ----------
    path : path-like
        Path of the finished file. The temporary one is in the same folder and has the same suffix.
    flushed : bool
        Whether the file is flushed to disk first: otherwise a power failure may leave another content.

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
            if flushed:
                sync(temporary)
            temporary.replace(path)
            if flushed:
                sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that killed writers left in a folder, where no writer is at work."""
    for path in folder.glob(".*.????????.*"):
        path.unlink(missing_ok=True)


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
        Files and folders of files that are read; None for an input that was not given.

    Raises
    ------
    InputError
        If an output is a folder, its folder cannot be written, it is the same file as an input or
        another output, or would lie among the files of an input.
    """
    taken = [Path(path) for path in inputs if path is not None]
    for path in map(Path, outputs):
        refuse_folder(path)
        check_place(path.parent)
        for other in taken:
            if kind_of(other) == "folder" and _same_file(path.parent, other):
                raise InputError(
                    f"{path} would lie among the files of {other}, which are read: give another folder."
                )
            if _same_file(path, other):
                raise InputError(
                    f"{path} would overwrite {other}, which is needed too: give another name or folder."
                )
        taken.append(path)


def refuse_folder(path: Path) -> None:
    """Refuse to write a file where there is a folder."""
    if kind_of(path) == "folder":
        raise InputError(f"{path} is a folder and cannot be written as a file: give a file name.")


def _same_file(a: Path, b: Path) -> bool:
    if kind_of(a) and kind_of(b):
        return a.samefile(b)
    return os.path.realpath(a) == os.path.realpath(b)
