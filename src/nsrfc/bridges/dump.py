"""Dumps of MariaDB and MySQL, as ``mariadb-dump`` and ``mysqldump`` write them; no server is needed."""

from __future__ import annotations

import mmap
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from nsrfc.errors import InputError, shown
from nsrfc.storage.files import reading

__all__ = ["read_dump"]

# Line breaks in values are escaped, so that a statement begins wherever a line does.
_STATEMENT = re.compile(
    rb"^(?:CREATE TABLE (?:IF NOT EXISTS )?`(?P<made>[^`]+)` \(\r?\n(?P<columns>.*?)^\)"
    rb"|INSERT (?:IGNORE )?INTO `(?P<table>[^`]+)`(?: \((?P<names>[^)]*)\))? VALUES\s*)",
    re.MULTILINE | re.DOTALL,
)
_COLUMN = re.compile(rb"^\s*`([^`]+)`", re.MULTILINE)
_VALUE = re.compile(
    rb"\s*(?:_binary\s+|_utf8mb4\s+)?"
    rb"(?:(?P<null>NULL)|0x(?P<hex>[0-9A-Fa-f]*)|(?P<number>[-+0-9.eE]+)"
    rb"|'(?P<text>[^'\\]*(?:(?:\\.|'')[^'\\]*)*)')\s*(?P<then>[,)])",
    re.DOTALL,
)
_ESCAPED = re.compile(rb"\\(.)|''", re.DOTALL)
_LETTERS = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"Z": b"\x1a"}

_Value = None | int | float | str | bytes


def read_dump(path: Path, database: sqlite3.Connection, tables: Sequence[str]) -> None:
    """Copy some tables of a dump into a SQLite database.

    Parameters
    ----------
    path : Path
    database : sqlite3.Connection
        In memory, empty.
    tables : sequence of str
        Ends of the names of tables.

    Raises
    ------
    InputError
        If the dump is damaged, or cut short.
    """
    if not path.stat().st_size:
        raise InputError(f"{path} is empty: write the dump anew.")
    wanted = tuple(name.encode() for name in tables)
    columns: dict[bytes, list[bytes]] = {}
    with (
        reading(path),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        for statement in _STATEMENT.finditer(data):
            table = statement["made"] or statement["table"]
            if not table.endswith(wanted):
                continue
            if statement["made"]:
                columns[table] = _COLUMN.findall(statement["columns"])
                made = ", ".join(map(_quoted, columns[table]))
                database.execute(f"CREATE TABLE {_quoted(table)} ({made})")
                continue
            names = _COLUMN_NAMES.findall(statement["names"] or b"") or columns.get(table)
            if names is None:
                raise InputError(
                    f"{path} has rows of {shown(table.decode())}, but not its columns: "
                    f"write the dump with --complete-insert, or with CREATE TABLE."
                )
            into = f"{_quoted(table)} ({', '.join(map(_quoted, names))})"
            marks = ",".join("?" * len(names))
            rows = _rows(data, statement.end(), path)
            database.executemany(f"INSERT INTO {into} VALUES ({marks})", rows)
        database.commit()


_COLUMN_NAMES = re.compile(rb"`([^`]+)`")


def _quoted(name: bytes) -> str:
    return '"' + name.decode("utf-8", "replace").replace('"', '""') + '"'


def _rows(data: mmap.mmap, start: int, path: Path) -> Iterator[list[_Value]]:
    """Yield the rows of an INSERT, whose first bracket is at ``start``."""
    while data[start : start + 1] == b"(":
        row, start = [], start + 1
        while True:
            value = _VALUE.match(data, start)
            if value is None:
                raise InputError(
                    f"{path} is cut short, or no dump of MariaDB, after {start} bytes: write it anew."
                )
            row.append(_value(value))
            start = value.end()
            if value["then"] == b")":
                break
        yield row
        while data[start : start + 1] in (b",", b"\n", b"\r", b" "):
            start += 1
    if data[start : start + 1] != b";":
        raise InputError(f"{path} is cut short after {start} bytes: write it anew.")


def _value(found: re.Match[bytes]) -> _Value:
    if found["null"]:
        return None
    if found["number"]:
        text = found["number"].decode()
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    if found["hex"] is not None:
        raw = bytes.fromhex(found["hex"].decode())
    else:
        raw = _ESCAPED.sub(_unescaped, found["text"])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:  # a blob
        return raw


def _unescaped(part: re.Match[bytes]) -> bytes:
    return b"'" if part[1] is None else _LETTERS.get(part[1], part[1])
