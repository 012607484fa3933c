"""Columns of pgvector, copied out of any PostgreSQL, as text or in binary.

    COPY (SELECT id::text, embedding, path::text, name::text FROM faces) TO STDOUT (FORMAT binary)

The first column is the id of a face, the second its vector; path of the picture and name of the person
may follow. The binary form is that of PostgreSQL's COPY; in it a vector is its dimension and a zero,
both big-endian uint16, then big-endian float32.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nsrfc.bridges.decoding import of_bytes, of_json
from nsrfc.bridges.record import Asked, FaceRecord
from nsrfc.errors import InputError
from nsrfc.storage.files import existing_file, reading

__all__ = ["read"]

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_MOST = 1 << 24
"""Bytes of a field."""

_ESCAPED = re.compile(r"\\(.)")
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

_Field = bytes | str | None


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of a file that COPY wrote; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If the file is cut short, or its columns are others.
    """
    path = existing_file(asked.where)
    with reading(path), path.open("rb") as file:
        binary = file.read(len(_SIGNATURE)) == _SIGNATURE
        rows = _binary_rows(file, path) if binary else _text_rows(path)
        for own, vector, *more in rows:
            if isinstance(vector, bytes):
                whole = len(vector) >= 4 and len(vector) == 4 + 4 * struct.unpack_from(">H", vector)[0]
                found = of_bytes(vector[4:] if whole else vector[:1], ">f4", asked.skipped)
            else:
                found = of_json(vector, asked.skipped)
            if found is not None:
                photo, name = (_text(field) for field in (*more, None, None)[:2])
                yield FaceRecord(str(_text(own)), found, photo, None, None, name, name)


def _text_rows(path: Path) -> Iterator[list[_Field]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\r\n").split("\t")
            if fields == ["\\."]:
                return
            yield _checked([_unescaped(field) for field in fields], path, number)


def _binary_rows(file: IO[bytes], path: Path) -> Iterator[list[_Field]]:
    _, extension = struct.unpack(">ii", _exactly(file, 8, path))
    _exactly(file, extension, path)
    number = 0
    while True:
        (count,) = struct.unpack(">h", _exactly(file, 2, path))
        if count == -1:
            return
        number += 1
        fields: list[_Field] = []
        for _ in range(count):
            (size,) = struct.unpack(">i", _exactly(file, 4, path))
            fields.append(None if size == -1 else _exactly(file, size, path))
        yield _checked(fields, path, number)


def _checked(fields: list[_Field], path: Path, row: int) -> list[_Field]:
    if not 2 <= len(fields) <= 4 or fields[0] is None:
        raise InputError(
            f"{path} has {len(fields)} columns in row {row}: copy the id of a face, its vector, and if "
            f"you like the path of its picture and the name of its person, in this order."
        )
    return fields


def _exactly(file: IO[bytes], size: int, path: Path) -> bytes:
    data = file.read(size) if 0 <= size <= _MOST else b""
    if len(data) != size:
        raise InputError(f"{path} is cut short, or damaged: copy it out of the database anew.")
    return data


def _text(field: _Field) -> str | None:
    return field.decode("utf-8", "replace") if isinstance(field, bytes) else field


def _unescaped(field: str) -> str | None:
    return None if field == "\\N" else _ESCAPED.sub(lambda e: _LETTERS.get(e[1], e[1]), field)
