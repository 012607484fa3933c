"""Embeddings in columns of a table: lists, text as databases write it, or a column per number.

pyarrow is imported inside the functions, so that a run without tables does not load it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, shortened, shown
from nsrfc.forms import vector_of_text
from nsrfc.storage.arrays import check_room
from nsrfc.storage.files import choose
from nsrfc.storage.parquet import (
    BATCH_ROWS,
    BATCH_VALUES,
    check_count,
    is_text,
    joined,
    scalar_block,
)
from nsrfc.storage.tables import Table, open_table
from nsrfc.vectors import refuse_missing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_vector_columns"]

WANTED = "list column of floats, or group of numbered columns of floats"

TEXTS = 512
"""Rows of text that are decoded at a time: how many numbers they hold is not known before."""

_Array = npt.NDArray[Any]


def read_vector_columns(
    path: Path, key: str | None, preferred: Sequence[str], id_key: str | None, *, missing: bool = False
) -> tuple[_Array, _Array | None]:
    """Read one vector per row, and a column of ids.

    The array is filled batch by batch: memory is about one copy of the result, or two if the file does
    not state its number of rows.

    Parameters
    ----------
    path : Path
        The file, see :mod:`nsrfc.storage.tables`.
    key : str or None
        The column of lists of floats, or of text such as ``[0.1,0.2]``; or what columns named ``e0``,
        ``e1``, ... of one number each start with. By default the first of ``preferred`` that the file
        has, or the only column of lists, or the only such group of columns.
    preferred : sequence of str
        Names chosen by default.
    id_key : str or None
        Column of integers, strings or UUIDs; none by default.
    missing : bool
        Whether rows and numbers that are null, and lists of no length, are read as NaN.

    Returns
    -------
    values : ndarray of float16, float32 or float64, shape (n, d)
    ids : ndarray of int or str, shape (n,), or None

    Raises
    ------
    InputError
        If the file is damaged, no column fits, entries are null, or rows differ in length.
    """
    with open_table(path) as table:
        source = _source(path, table, key, preferred)
        n, name = table.rows, source.name
        check_room(source.values * source.item_bytes, name)
        named = [] if id_key is None else [id_key]
        found, ids, filled = _Rows(n, name), [], 0
        for batch in table.batches([*source.columns, *named], source.rows):
            if n is not None:
                check_count(path, n, filled + len(batch), short=False)
            found.add(*source.read(batch, filled, found.width))
            for column in named:
                ids.append(scalar_block(batch.column(column), f"{path}: column {shown(column)}", filled))
            filled += len(batch)
        if n is not None:
            check_count(path, n, filled)
    values, present = found.joined()
    if not missing:
        refuse_missing(~present, name)
    return values, joined(ids, str(path)) if ids else None


class _Rows:
    """Rows that come batch by batch, NaN where they are missing.

    With ``n`` known they are written where they will stay; else their blocks are joined at the end.
    """

    def __init__(self, n: int | None, name: str) -> None:
        self.width: int | None = None
        self._n, self._name, self._filled = n, name, 0
        self._whole: _Array | None = None
        self._blocks: list[_Array] = []
        self._present: list[npt.NDArray[np.bool_]] = []

    def add(self, vectors: _Array, present: npt.NDArray[np.bool_]) -> None:
        """Add the vectors (v, d) of a batch, and which of its rows (m,) they are."""
        self._present.append(present)
        rows = slice(self._filled, self._filled + len(present))
        self._filled = rows.stop
        if len(vectors) and self.width is None:
            self.width = vectors.shape[1]
            self._reserve(rows.start if self._n is None else self._n, vectors)
        if self._whole is not None and len(vectors):
            self._whole[rows][present] = vectors
        elif self._blocks:
            block = np.full((len(present), self._blocks[0].shape[1]), np.nan, self._blocks[0].dtype)
            if len(vectors):
                block[present] = vectors
            self._blocks.append(block)

    def joined(self) -> tuple[_Array, npt.NDArray[np.bool_]]:
        """Return the vectors (n, d), and which rows (n,) are not missing."""
        present = np.concatenate([np.empty(0, np.bool_), *self._present])
        if self._whole is not None:
            return self._whole, present
        return (
            joined(self._blocks, self._name) if self._blocks else np.empty((len(present), 0))
        ), present

    def _reserve(self, n: int, vectors: _Array) -> None:
        """Make place for n rows: all of them, or those before the first vector."""
        check_room(n * vectors.shape[1] * vectors.itemsize, self._name)
        place = np.full((n, vectors.shape[1]), np.nan, vectors.dtype)
        if self._n is None:
            self._blocks.append(place)
        else:
            self._whole = place


def numbered_columns(types: Mapping[str, pa.DataType]) -> dict[str, list[str]]:
    """Find columns of one number each, such as ``e0``, ``e1``, ..., by what their names start with.

    Numbers start at 0 or 1 and have no gap; columns are in their order.
    """
    import pyarrow as pa

    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, kind in types.items():
        match = re.fullmatch(r"(.*?)(\d{1,9})", name, re.DOTALL)
        if match and pa.types.is_floating(kind):
            found[match[1]].append((int(match[2]), name))
    groups = {start: sorted(columns) for start, columns in found.items() if len(columns) > 1}
    return {
        start: [name for _, name in columns]
        for start, columns in groups.items()
        for first in (0, 1)
        if [number for number, _ in columns] == list(range(first, first + len(columns)))
    }


_Reader = Callable[["pa.RecordBatch", int, int | None], tuple[_Array, npt.NDArray[np.bool_]]]
"""Returns the vectors (v, d) of a batch, and which of its rows (m,) they are; is given the number of the
first row, and d once it is known."""


class _Source(NamedTuple):
    """Where the vectors are, and how many values a file states there."""

    columns: list[str]
    name: str
    read: _Reader
    values: int
    item_bytes: int
    rows: int


def _source(path: Path, table: Table, key: str | None, preferred: Sequence[str]) -> _Source:
    """Choose the columns, their name in messages, and what reads a batch of how many rows."""
    types = table.types
    groups = numbered_columns(types)
    lists = [name for name, kind in types.items() if _is_float_list(kind)]
    key = choose(path, key, [*types, *groups], lists or list(groups), preferred, WANTED)
    n = table.rows or 0
    name = f"{path}: column {shown(key)}"
    if key not in types:
        columns = groups[key]
        name = f"{path}: columns {shown(columns[0])} to {shown(columns[-1])}"
        read, values, kind = partial(_numbers_block, columns), n * len(columns), types[columns[0]]
    elif _is_float_list(types[key]):
        columns, kind = [key], types[key].value_type
        read, values = partial(_list_block, key, name), table.values(key) or 0
    elif is_text(types[key]):
        return _Source([key], name, partial(_text_block, key, name), n, 1, TEXTS)
    else:
        raise InputError(
            f"{name} is {shortened(types[key])}, not lists of floats: convert it or name another column."
        )
    rows = BATCH_ROWS if not values else min(BATCH_ROWS, max(1, BATCH_VALUES * n // values))
    return _Source(columns, name, read, values, kind.bit_width // 8, rows)


def _is_float_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in lists) and pa.types.is_floating(kind.value_type)


def _list_block(
    key: str, name: str, batch: pa.RecordBatch, first: int, width: int | None
) -> tuple[_Array, npt.NDArray[np.bool_]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = batch.column(key)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    present = lengths > 0

    def numbers() -> pa.Array:
        return (column if present.all() else column.filter(pa.array(present))).flatten()

    flat = numbers()
    if flat.null_count:
        holes = flat.is_null().to_numpy(zero_copy_only=False)
        present[np.repeat(np.flatnonzero(present), lengths[present])[holes]] = False
        flat = numbers()
    width = _one_width(lengths, present, name, first, width)
    block: _Array = flat.to_numpy(zero_copy_only=False)
    return block.reshape(np.count_nonzero(present), width), present


def _text_block(
    key: str, name: str, batch: pa.RecordBatch, first: int, width: int | None
) -> tuple[_Array, npt.NDArray[np.bool_]]:
    import pyarrow as pa

    # A text that is in the file once may be that of many rows.
    column = batch.column(key)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    places = column.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    used, rows, place = np.unique(places, return_index=True, return_inverse=True)
    matrix = _of_texts(column.dictionary.take(pa.array(used[used >= 0])))
    if matrix is not None:
        present = places >= 0
        _one_width(np.where(present, matrix.shape[1], 0), present, name, first, width)
        return matrix[place[present] - (used[0] < 0)], present
    texts = [None if each < 0 else column.dictionary[each].as_py() for each in used.tolist()]
    vectors = [_of_text(text, name, first + row) for text, row in zip(texts, rows, strict=True)]
    lengths = np.array([len(vector) for vector in vectors], np.int64)[place]
    present = lengths > 0
    width = _one_width(lengths, present, name, first, width)
    block = np.empty((np.count_nonzero(present), width), np.float32)
    for row, vector in enumerate(place[present].tolist()):
        block[row] = vectors[vector]
    return block, present


def _of_texts(texts: pa.Array) -> _Array | None:
    """Read texts such as ``[0.1,0.2]`` at once; None if they are not all of one length and finite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts.validate(full=True)  # valid UTF-8
    marked = pc.and_(pc.starts_with(texts, "["), pc.ends_with(texts, "]"))
    if not len(texts) or not pc.all(marked).as_py():
        return None
    numbers = pc.split_pattern(pc.utf8_slice_codeunits(texts, 1, -1), ",")
    if pc.count_distinct(pc.list_value_length(numbers)).as_py() > 1:
        return None
    try:
        # As JSON is read: in double precision first.
        values: _Array = pc.utf8_trim_whitespace(numbers.flatten()).cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    if not np.isfinite(values).all():
        return None
    with np.errstate(over="ignore"):
        return values.reshape(len(texts), -1).astype(np.float32)


def _of_text(text: str | None, name: str, row: int) -> _Array:
    """Read a text as a vector, of no length if there is none."""
    try:
        return np.empty(0, np.float32) if text is None else vector_of_text(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{name}: row {row}, counted from 0, is {shown(text)}, not a vector such as '[0.1,0.2]': "
            f"convert it or name another column."
        ) from error


def _numbers_block(
    columns: Sequence[str], batch: pa.RecordBatch, first: int, width: int | None
) -> tuple[_Array, npt.NDArray[np.bool_]]:
    del first, width
    present = np.ones(len(batch), np.bool_)
    for name in columns:
        if batch.column(name).null_count:
            present &= batch.column(name).is_valid().to_numpy(zero_copy_only=False)
    block = np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns], axis=1)
    return block[present], present


def _one_width(
    lengths: npt.NDArray[np.integer],
    present: npt.NDArray[np.bool_],
    name: str,
    first: int,
    width: int | None,
) -> int:
    """Return the length of the rows of a batch that starts at row ``first``, which must be one."""
    rows = np.flatnonzero(present)
    if not len(rows):
        return 0
    width = int(lengths[rows[0]]) if width is None else width
    ragged = rows[lengths[rows] != width]
    if len(ragged):
        row = int(ragged[0])
        raise InputError(
            f"{name} is ragged: row {first + row}, counted from 0, has length {lengths[row]}, "
            f"but those before it have {width}; give every face the same dimension."
        )
    return width
