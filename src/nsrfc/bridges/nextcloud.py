"""What the two face apps of Nextcloud share: the prefix of its tables, and paths of files."""

from __future__ import annotations

from nsrfc.bridges.database import Database
from nsrfc.errors import InputError

__all__ = ["FILES", "path_in_files", "prefix_of"]

FILES = "filecache"
"""The table with the path of each file."""


def prefix_of(database: Database, table: str, app: str) -> str:
    """Return the prefix of the tables, which is ``oc_`` unless chosen otherwise.

    Raises
    ------
    InputError
        If no table has the name.
    """
    found = [name for name in database.tables() if name.endswith(table)]
    if not found:
        raise InputError(
            f"{database.name} has no table {table}: give the database of a Nextcloud with the app {app}."
        )
    return min(found, key=len).removesuffix(table)


def path_in_files(path: str | None) -> str | None:
    """Return a path as the user sees it, without ``files/``."""
    return None if path is None else path.removeprefix("files/")
