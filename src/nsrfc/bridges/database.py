"""Databases of other programs, which are only read: SQLite files, PostgreSQL, dumps of MariaDB.

SQLite is opened with ``mode=ro``, PostgreSQL with ``default_transaction_read_only``; a dump is copied
into SQLite in memory. All of them then answer the same SELECT.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from nsrfc.bridges.dump import read_dump
from nsrfc.errors import InputError, OptionalDependencyError, shortened
from nsrfc.storage.files import existing_file, reading

if TYPE_CHECKING:
    import psycopg

__all__ = ["Database", "is_postgres", "name_of", "needed", "opened"]

_AT_A_TIME = 2_000
"""Rows that PostgreSQL sends at a time."""


class Database(Protocol):
    """What a reader may do with a database."""

    name: str

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a SELECT, whose ``?`` stand for ``values``."""

    def columns(self, table: str) -> set[str]:
        """Return the names of the columns of a table; none if there is no such table."""

    def tables(self) -> list[str]:
        """Return the names of all tables."""


def is_postgres(where: str) -> bool:
    """Whether an address is one of PostgreSQL, and no path."""
    return where.startswith(("postgres://", "postgresql://", "service=")) or "dbname=" in where


@contextmanager
def opened(where: str, tables: Sequence[str]) -> Iterator[Database]:
    """Open a database to read it.

    Parameters
    ----------
    where : str
        A SQLite file, a dump (``.sql``) of MariaDB or MySQL, or the address of a PostgreSQL database:
        ``postgresql://user@host/name`` or ``host=... dbname=...``.
    tables : sequence of str
        Those that are read of a dump; names may be longer at the front, by a prefix.

    Raises
    ------
    InputError
        If it cannot be opened or read, is damaged, or has not the tables that are asked for.
    OptionalDependencyError
        If psycopg is not installed, for PostgreSQL.
    """
    if is_postgres(where):
        with _postgres(where) as database:
            yield database
        return
    path = existing_file(where)
    # SQLite takes any value in any column, so that a damaged file may hold text where a number belongs.
    with reading(path):
        try:
            if path.suffix.lower() == ".sql":
                with closing(sqlite3.connect(":memory:")) as connection:
                    read_dump(path, connection, tables)
                    yield _Sqlite(str(path), connection)
                return
            # A path may hold letters that mean something in an address.
            address = f"file:{quote(str(path.resolve()))}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                yield _Sqlite(str(path), connection)
        except sqlite3.DatabaseError as error:
            raise _unreadable(str(path), error) from error


class _Sqlite:
    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        self.name, self._connection = name, connection
        # A name that is no UTF-8 must not cost all other rows.
        connection.text_factory = lambda data: data.decode("utf-8", "replace")

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        yield from self._connection.execute(query, values)

    def columns(self, table: str) -> set[str]:
        found = self.rows("SELECT name FROM pragma_table_info(?)", table)
        return {name for (name,) in found}

    def tables(self) -> list[str]:
        found = self.rows("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
        return [name for (name,) in found]


@contextmanager
def _postgres(where: str) -> Iterator[Database]:
    try:
        import psycopg
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise OptionalDependencyError("psycopg", "bridges") from None
    name = name_of(where)
    try:
        options = f"{conninfo_to_dict(where).get('options', '')} -c default_transaction_read_only=on"
        with psycopg.connect(where, options=options.strip()) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield _Postgres(name, connection)
            connection.rollback()
    except psycopg.Error as error:
        raise _unreadable(name, error) from error


class _Postgres:
    def __init__(self, name: str, connection: psycopg.Connection) -> None:
        self.name, self._connection = name, connection

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        # A cursor with a name leaves the rows on the server until they are needed.
        with self._connection.cursor(f"nsrfc_{id(query)}") as cursor:
            cursor.itersize = _AT_A_TIME
            cursor.execute(query.replace("?", "%s").encode(), values)
            yield from cursor

    def columns(self, table: str) -> set[str]:
        found = self.rows(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = ANY (current_schemas(false)) AND table_name = ?",
            table,
        )
        return {name for (name,) in found}

    def tables(self) -> list[str]:
        found = self.rows(
            "SELECT table_name FROM information_schema.tables"
            " WHERE table_schema = ANY (current_schemas(false))"
        )
        return [name for (name,) in found]


def name_of(where: str) -> str:
    """Return a file or database for a message, without the password that an address may hold."""
    if not is_postgres(where):
        return where
    if "://" not in where:
        kept = " ".join(part for part in where.split() if not part.startswith("password="))
        return f"The database {kept}"
    parts = urlsplit(where)
    return f"The database {parts.hostname or 'localhost'}{parts.path}"


def _unreadable(name: str, error: Exception) -> InputError:
    said = shortened((str(error).splitlines() or [type(error).__name__])[0], 160).rstrip(".")
    return InputError(
        f"{name} cannot be read ({said}): give the database of the program, and the right to read it."
    )


def needed(database: Database, table: str, program: str) -> set[str]:
    """Return the columns of a table that a program must have.

    Raises
    ------
    InputError
        If there is no such table.
    """
    columns = database.columns(table)
    if not columns:
        raise InputError(
            f"{database.name} has no table {table}: give the database of {program}, or name the program "
            f"that it is of."
        )
    return columns
