"""Tables in files, as batches of columns: Parquet, Arrow, CSV and JSON lines.

| suffix                         | content                                                              |
|--------------------------------|----------------------------------------------------------------------|
| `.parquet`                     | says how many rows it has                                            |
| `.arrow`, `.feather`           | Arrow IPC, as a file or a stream                                     |
| `.csv`, `.tsv`                 | with or without a row of names; types are those of the first block   |
| `.jsonl`, `.ndjson`, `.json`   | one object a line; types are those of the first lines                |

Numbers in text become float32. pyarrow is imported inside the functions.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, shown
from nsrfc.storage.arrays import check_room
from nsrfc.storage.files import choose, existing_file, reading
from nsrfc.storage.parquet import (
    BATCH_ROWS,
    check_count,
    joined,
    open_parquet,
    scalar_block,
    stated_values,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIXES", "Table", "open_table", "read_scalar_column"]

_ARROW = (".arrow", ".feather")
_TEXT = {".csv": ",", ".tsv": "\t"}
_JSON = (".json", ".jsonl", ".ndjson")
SUFFIXES = (*_ARROW, *_TEXT, *_JSON, ".parquet")

_BLOCK = 8 << 20
"""Bytes of text that are decoded at a time."""

_MOST_LINE = 64 << 20
"""Bytes of a line: a vector of 65,536 numbers takes less than 2 MiB."""

_FIRST_LINES = 100

_MISSING = ["", "NA", "NULL", "null", "\\N"]
"""What stands for null in CSV: nothing, R, SQL, and Postgres' own text format."""


class Table(NamedTuple):
    """A table in an open file.

    Attributes
    ----------
    types : mapping of str to DataType
        Of the columns, in their order.
    rows : int or None
        Their number, if the file states it.
    batches : callable
        Yields record batches of the columns named, of at most so many rows.
    values : callable
        Returns the number of values of a list column, if the file states it, else None.
    """

    types: Mapping[str, pa.DataType]
    rows: int | None
    batches: Callable[[Sequence[str], int], Iterator[pa.RecordBatch]]
    values: Callable[[str], int | None] = lambda _: None


@contextmanager
def open_table(path: Path) -> Iterator[Table]:
    """Open a file with one of `SUFFIXES`.

    Raises
    ------
    InputError
        If there is no such file or it is damaged, also while its batches are read.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        with open_parquet(path) as file:
            types = {field.name: field.type for field in file.schema_arrow}
            yield Table(
                types,
                file.metadata.num_rows,
                lambda columns, rows: file.iter_batches(rows, columns=columns),
                partial(stated_values, file),
            )
        return
    with reading(existing_file(path)):
        if suffix in _ARROW:
            yield _arrow(path)
        elif suffix in _TEXT:
            yield _csv(path, _TEXT[suffix])
        else:
            types = _json_types(path)
            yield Table(types, None, partial(_json_batches, path, types))


def read_scalar_column(
    path: Path,
    key: str | None,
    preferred: Sequence[str],
    id_key: str,
    gaps: tuple[int, str] | None = None,
) -> npt.NDArray[Any]:
    """Read a column of integers or strings; the caller checks other numeric types.

    Parameters
    ----------
    path : Path
        A file with one of `SUFFIXES`.
    key : str or None
        The column; by default the first of ``preferred``, or the only one that is not ``id_key``.
    preferred : sequence of str
        Names chosen by default.
    id_key : str
        Name of a column that is never chosen by default.
    gaps : (int, str), optional
        What stands for null among integers and among strings; among floats it is NaN. By default null is
        refused.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        If the file is damaged, no column fits, or entries are neither numbers nor strings.
    """
    with open_table(path) as table:
        names = list(table.types)
        fitting = [name for name in names if name != id_key]
        key = choose(path, key, names, fitting, preferred, "column of identities")
        name = f"{path}: column {shown(key)}"
        check_room(8 * (table.rows or 0), name)
        blocks = []
        filled = 0
        for batch in table.batches([key], BATCH_ROWS):
            blocks.append(scalar_block(batch.column(key), name, filled, gaps=gaps))
            filled += len(batch)
        if table.rows is not None:
            check_count(path, table.rows, filled)
    return joined(blocks, name) if blocks else np.empty(0, dtype=np.int64)


def _sliced(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), rows):
            yield batch.slice(start, rows)


def _arrow(path: Path) -> Table:
    """Open a file of Arrow IPC. It is read, not mapped: a map of a file cut short kills the process."""
    import pyarrow as pa

    def opened(columns: Sequence[str] | None = None) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        stream = pa.OSFile(str(path))
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        open_ = pa.ipc.open_file if is_file else pa.ipc.open_stream
        if columns is None:
            reader = open_(stream)
        else:
            fields = sorted(schema.get_field_index(name) for name in columns)
            options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
            reader = open_(stream, options=options)
        read = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        return reader.schema, read

    def batches(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        for batch in opened(columns)[1]:
            batch.validate(full=True)
            arrays = [batch.column(name).cast(types[name]) for name in columns]
            yield from _sliced(iter([pa.record_batch(arrays, names=list(columns))]), rows)

    schema, _ = opened()
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise InputError(f"{path} has two columns {shown(twice[0])}: rename one.")
    # Views of text, which polars writes, have no functions in pyarrow.
    types = {
        field.name: pa.large_string() if str(field.type) == "string_view" else field.type
        for field in schema
    }
    return Table(types, None, batches)


def _csv(path: Path, delimiter: str) -> Table:
    """Open a text of values; its types are guessed from the first block."""
    import pyarrow as pa
    import pyarrow.csv

    read = pa.csv.ReadOptions(
        use_threads=False, block_size=_BLOCK, autogenerate_column_names=_is_nameless(path, delimiter)
    )
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    options = {"null_values": _MISSING, "strings_can_be_null": True}

    def batches(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        chosen = {name: types[name] for name in columns}
        convert = pa.csv.ConvertOptions(column_types=chosen, include_columns=list(chosen), **options)
        with pa.csv.open_csv(path, read, parse, convert) as reader:
            yield from _sliced(iter(reader), rows)

    with pa.csv.open_csv(path, read, parse, pa.csv.ConvertOptions(**options)) as reader:
        names = reader.schema.names
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{path} has two columns {shown(twice[0])}: rename one.")
        types = {
            field.name: pa.float32() if pa.types.is_floating(field.type) else field.type
            for field in reader.schema
            if field.name  # the row numbers of pandas
        }
    return Table(types, None, batches)


def _is_nameless(path: Path, delimiter: str) -> bool:
    """Tell whether the first row of a text of values holds values: as numpy and Postgres write it.

    Numbers are names if they count the columns, as pandas does.
    """
    with path.open("rb") as stream:
        line = stream.readline(_MOST_LINE).decode("utf-8", "replace")
    fields = next(csv.reader([line], delimiter=delimiter), [])
    counting = [[str(first + number) for number in range(len(fields))] for first in (0, 1)]
    if fields in counting:
        return False
    return any(field[:1] in ("[", "{") for field in fields) or all(map(_is_number, fields))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _json_types(path: Path) -> dict[str, pa.DataType]:
    """Return the types of what the objects in the first lines hold; null for what is not read."""
    import pyarrow as pa

    found: dict[str, pa.DataType] = {}
    with path.open("rb") as stream:
        lines = (stream.readline(_MOST_LINE) for _ in range(_FIRST_LINES))
        for number, line in enumerate(islice(lines, _FIRST_LINES), 1):
            if not line.strip():
                continue
            face = json.loads(line.decode("utf-8-sig"))
            if not isinstance(face, dict):
                raise InputError(
                    f"{path}: line {number} holds a {type(face).__name__}, not an object: "
                    f'write one face a line, such as {{"id": "a.jpg", "embedding": [0.1, 0.2]}}.'
                )
            for name, value in face.items():
                kind = _json_type(value)
                older = found.get(name, pa.null())
                wider = older == pa.null() or "float" in str(kind)
                found[name] = kind if wider and kind != pa.null() else older
    if not found:
        raise InputError(f"{path} holds no line with an object: give a file with at least one face.")
    return found


def _json_type(value: object) -> pa.DataType:
    import pyarrow as pa

    if isinstance(value, list) and value and all(type(each) in (int, float) for each in value):
        return pa.list_(pa.float32() if float in map(type, value) else pa.int64())
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float32(), bool: pa.bool_()}
    return kinds.get(type(value), pa.null())


def _json_batches(
    path: Path, types: Mapping[str, pa.DataType], columns: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.json

    schema = pa.schema([(name, types[name]) for name in columns])
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    for block in _whole_lines(path):
        read = pa.json.ReadOptions(use_threads=False, block_size=len(block))
        table = pa.json.read_json(pa.BufferReader(block), read, parse)
        yield from table.to_batches(rows)


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Yield blocks of a file that end with a line."""
    rest = b""
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            block = rest + block
            end = block.rfind(b"\n") + 1
            block, rest = block[:end], block[end:]
            if len(rest) > _MOST_LINE:
                raise InputError(
                    f"{path} has a line of more than {_MOST_LINE >> 20} MiB: write one face a line."
                )
            if block.strip():
                yield block
    if rest.strip():
        yield rest
