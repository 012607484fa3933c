"""Folders of shards: on this machine, or by the URL of another file system that fsspec reads."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nsrfc.chunks import changed, file_state
from nsrfc.errors import InputError
from nsrfc.storage.files import kind_of, reading

__all__ = ["Folder", "LocalFolder", "RemoteFolder", "folder_at"]

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)", re.DOTALL)


class Folder(Protocol):
    """A folder, and the subfolders and folders beside it."""

    @property
    def path(self) -> Path:
        """The folder."""

    @property
    def remote(self) -> bool:
        """Whether its files have to be fetched."""

    def files(self, folder: Path) -> list[Path]:
        """Return the files in this folder or another; none if there is no such folder.

        Raises
        ------
        InputError
            If it cannot be listed.
        """

    def fetched(self, path: Path) -> AbstractContextManager[Path]:
        """Return a context in which a file has the path on this machine that it yields.

        Raises
        ------
        InputError
            If it cannot be fetched.
        """

    def state(self, path: Path) -> object:
        """Return what differs once a file was written to.

        Raises
        ------
        InputError
            If it is gone.
        """


def folder_at(place: object) -> Folder | None:
    """Return the folder at a path or URL; None if there is a file, or nothing.

    A path object has lost the second slash of a URL that was made one.

    Raises
    ------
    InputError
        If what reads such URLs is not installed.
    """
    found = _URL.fullmatch(str(place))
    if found is not None and found[1] != "file":
        return RemoteFolder.at(f"{found[1]}://{found[2]}")
    path = Path(str(place)) if found is None else Path("/", found[2])
    return LocalFolder(path) if kind_of(path) == "folder" else None


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine.

    Attributes
    ----------
    path : Path
    """

    path: Path
    remote = False

    def files(self, folder: Path) -> list[Path]:
        """Return the files in this folder or another; none if there is no such folder."""
        if kind_of(folder) != "folder":
            return []
        with reading(folder):
            return [path for path in folder.iterdir() if kind_of(path) == "file"]

    def fetched(self, path: Path) -> AbstractContextManager[Path]:
        """Return a context with the file itself."""
        return nullcontext(path)

    def state(self, path: Path) -> object:
        """Return size and time of the last change of a file."""
        try:
            return file_state(path)
        except OSError as error:
            raise changed(path, "removed") from error


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of another file system, whose files are fetched one at a time.

    Attributes
    ----------
    system : fsspec.AbstractFileSystem
    path : Path
        Of the folder, as the file system names it.
    """

    system: Any
    path: Path
    remote = True

    @classmethod
    def at(cls, url: str) -> RemoteFolder:
        """Open the folder of a URL.

        Raises
        ------
        InputError
            If what reads such URLs is not installed.
        """
        try:
            import fsspec

            system, path = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise InputError(f"{url} cannot be read ({error}): install what reads it.") from error
        return cls(system, Path(path))

    def files(self, folder: Path) -> list[Path]:
        """Return the files in this folder or another; none if there is no such folder."""
        try:
            found = self.system.ls(str(folder), detail=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise InputError(f"{folder} cannot be listed: {error}") from error
        return [Path(each["name"]) for each in found if each["type"] == "file"]

    @contextmanager
    def fetched(self, path: Path) -> Iterator[Path]:
        """Fetch a file into a temporary folder, and yield its path there."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            try:
                self.system.get_file(str(path), str(local))
            except OSError as error:
                raise InputError(f"{path} cannot be fetched: {error}") from error
            yield local

    def state(self, path: Path) -> object:
        """Return the size of a file, and what else its file system knows of its last change."""
        try:
            known = self.system.info(str(path))
        except OSError as error:
            raise changed(path, "removed") from error
        return [known.get(each) for each in ("size", "ETag", "mtime", "LastModified", "created")]
