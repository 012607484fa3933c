"""Shared by all readers and writers: names of files, what is in them, and error messages.

Readers turn errors of numpy, zipfile and pyarrow into `InputError`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from nsrfc.errors import InputError, NsrfcError, enumerate_names, shown

__all__ = [
    "INCOMING",
    "PathLike",
    "check_size",
    "choose",
    "existing_file",
    "kind_of",
    "known_suffix",
    "latest",
    "read_text",
    "reading",
    "writing",
]

PathLike = str | os.PathLike[str]

INCOMING = Path(".incoming", "whole")
"""Where files are that take their names together, see :mod:`nsrfc.storage.placing`."""


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


def latest(folder: Path, name: str) -> Path:
    """Return the path of one of several files that take their names together.

    It is that of the file which waits for its name, if a run was killed while files were moved.
    """
    waiting = folder / INCOMING / name
    return folder / name if kind_of(waiting) is None else waiting


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


def _reason(error: Exception) -> str:
    """Shorten the message of an error, to be put in brackets: one line, no full stop."""
    # For a full disk numpy raises an OSError without strerror.
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return said.splitlines()[0].split(". ")[0][:120].rstrip(".")


def _alternatives(suffixes: Sequence[str]) -> str:
    return " or ".join([", ".join(suffixes[:-1]), suffixes[-1]] if suffixes[1:] else suffixes)
