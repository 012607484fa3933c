"""Parquet columns as plain arrays, batch by batch and without Python lists.

pyarrow is imported inside the functions, so that a run without Parquet files does not load it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, shortened, shown
from nsrfc.storage.files import (
    MOST_LETTERS,
    PathLike,
    atomic_path,
    check_room,
    choose,
    existing_file,
    reading,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["read_list_column", "read_scalar_column", "write_list_column", "write_scalar_column"]

BATCH_ROWS = 8192
BATCH_VALUES = 1 << 19
"""Values that are decoded at a time, which takes about five times their memory."""

ROW_GROUP_ROWS = 65536


def read_list_column(
    path: Path, key: str | None, preferred: Sequence[str], id_key: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Read a list or fixed-size-list column of floats, and the ``id_key`` column if there is one.

    The array is filled batch by batch: memory is about one copy of the result.

    Parameters
    ----------
    path : Path
        The Parquet file.
    key : str or None
        The column; by default the first of ``preferred`` that the file has, or the only one that fits.
    preferred : sequence of str
        Names chosen by default.
    id_key : str
        Name of the column of integers or strings.

    Returns
    -------
    values : ndarray of float16, float32 or float64, shape (n, d)
    ids : ndarray of int or str, shape (n,), or None

    Raises
    ------
    InputError
        If the file is damaged, no column fits, entries are null, or rows differ in length.
    """
    with _open(path) as file:
        types = {field.name: field.type for field in file.schema_arrow}
        fitting = [name for name, kind in types.items() if _is_float_list(kind)]
        key = choose(path, key, list(types), fitting, preferred, "list column of floats")
        if not _is_float_list(types[key]):
            raise InputError(
                f"{path}: column {shown(key)} is {shortened(types[key])}, not lists of floats: "
                f"convert it or name another column."
            )
        columns = [key] + ([id_key] if id_key in types else [])
        n, listed = file.metadata.num_rows, _stated_values(file, key)
        name = f"{path}: column {shown(key)}"
        check_room(listed * types[key].value_type.bit_width // 8, name)
        rows = min(BATCH_ROWS, max(1, BATCH_VALUES * n // max(1, listed)))
        values: npt.NDArray[Any] = np.empty((0, 0))
        ids = []
        filled = 0
        for batch in file.iter_batches(rows, columns=columns):
            width = values.shape[1] if filled else None
            block = _list_block(batch.column(key), name, filled, width)
            if not filled:
                check_room(n * block.shape[1] * block.itemsize, name)
                values = np.empty((n, block.shape[1]), dtype=block.dtype)
            _check_count(path, n, filled + len(block), short=False)
            values[filled : filled + len(block)] = block
            if id_key in types:
                name_of_ids = f"{path}: column {id_key!r}"
                ids.append(_scalar_block(batch.column(id_key), name_of_ids, filled))
            filled += len(block)
        _check_count(path, n, filled)
    return values, _joined(ids, str(path)) if ids else None


def read_scalar_column(
    path: Path, key: str | None, preferred: Sequence[str], id_key: str
) -> npt.NDArray[Any]:
    """Read a column of integers or strings; the caller checks other numeric types.

    Parameters
    ----------
    path : Path
        The Parquet file.
    key : str or None
        The column; by default the first of ``preferred``, or the only one that is not ``id_key``.
    preferred : sequence of str
        Names chosen by default.
    id_key : str
        Name of a column that is never chosen by default.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        If the file is damaged, no column fits, entries are null or neither numbers nor strings.
    """
    with _open(path) as file:
        names = file.schema_arrow.names
        fitting = [name for name in names if name != id_key]
        key = choose(path, key, names, fitting, preferred, "column of identities")
        name = f"{path}: column {shown(key)}"
        n = file.metadata.num_rows
        check_room(8 * n, name)
        blocks = []
        filled = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[key]):
            blocks.append(_scalar_block(batch.column(key), name, filled))
            filled += len(batch)
        _check_count(path, n, filled)
    return _joined(blocks, name) if blocks else np.empty(0, dtype=np.int64)


def write_list_column(
    path: PathLike,
    values: npt.NDArray[Any],
    key: str,
    ids: npt.NDArray[Any] | None,
    id_key: str,
) -> None:
    """Write rows (n, d) as a fixed-size-list column, with an optional id column (n,)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = values.shape[1]
    fields = [pa.field(key, pa.list_(pa.from_numpy_dtype(values.dtype), width))]
    if ids is not None:
        fields.insert(0, pa.field(id_key, pa.array(ids[:0]).type))
    schema = pa.schema(fields)
    # Embeddings hardly compress and never repeat.
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        for start in range(0, len(values), ROW_GROUP_ROWS):
            rows = slice(start, start + ROW_GROUP_ROWS)
            flat = pa.array(np.ascontiguousarray(values[rows]).reshape(-1))
            columns = [pa.FixedSizeListArray.from_arrays(flat, width)]
            if ids is not None:
                columns.insert(0, pa.array(ids[rows]))
            writer.write_batch(pa.record_batch(columns, schema=schema))


def write_scalar_column(path: PathLike, values: npt.NDArray[Any], key: str) -> None:
    """Write integers or strings (n,) as the only column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(pa.table({key: pa.array(values)}), temporary)


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # With these options pyarrow streams a column; by default it loads all row groups at once.
    options = {"buffer_size": 1 << 20, "pre_buffer": False}
    with reading(existing_file(path)):
        metadata = pq.read_metadata(path)
        _check_metadata(metadata, path)
        # A text that a file holds once, and refers to from many rows, would be repeated in memory.
        texts = [field.name for field in metadata.schema.to_arrow_schema() if _is_text(field.type)]
        try:
            with pq.ParquetFile(path, metadata=metadata, read_dictionary=texts, **options) as file:
                yield file
        finally:
            # What was decoded would otherwise stay with the process.
            pa.default_memory_pool().release_unused()


def _check_metadata(metadata: pq.FileMetaData, path: Path) -> None:
    """Refuse, before anything is decoded, a file whose row groups do not make up its rows."""
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if min(groups, default=0) < 0 or sum(groups) != metadata.num_rows:
        raise InputError(
            f"{path} states {metadata.num_rows} rows but its row groups have {sum(groups)}: "
            f"write or copy it anew."
        )
    for column in range(metadata.num_columns):
        if not (name := metadata.schema.column(column).path).isprintable():
            raise InputError(
                f"{path} holds a column whose name has control characters ({shown(name)}): "
                f"write it anew under another name."
            )


def _stated_values(file: pq.ParquetFile, key: str) -> int:
    """Return the number of values of a list column, as far as the file tells the truth."""
    metadata = file.metadata
    leaves = [
        column
        for column in range(metadata.num_columns)
        if metadata.schema.column(column).path.startswith(f"{key}.")
    ]
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return sum(max(0, group.column(leaf).num_values) for group in groups for leaf in leaves)


def _check_count(path: Path, n: int, filled: int, *, short: bool = True) -> None:
    """Refuse more rows than are stated, or with ``short`` fewer."""
    if filled > n or (short and filled < n):
        raise InputError(f"{path} states {n} rows but has {filled}: write or copy it anew.")


def _joined(blocks: list[npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    """Concatenate blocks of numbers, or of strings, which all take the room of the longest."""
    check_room(sum(map(len, blocks)) * max(block.itemsize for block in blocks), name)
    return np.concatenate(blocks)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_float_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(check(kind) for check in lists) and pa.types.is_floating(kind.value_type)


def _list_block(column: pa.Array, name: str, first: int, width: int | None) -> npt.NDArray[Any]:
    """Turn a batch of lists, starting at row ``first``, into an array (rows, width)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse_nulls(column, name, first, 1)
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        lengths = pc.list_value_length(column).to_numpy()
        width = int(lengths[0]) if width is None else width
        if (lengths != width).any():
            row = int(np.flatnonzero(lengths != width)[0])
            raise InputError(
                f"{name} is ragged: row {first + row}, counted from 0, has length {lengths[row]}, "
                f"but row 0 has {width}; give every face the same dimension."
            )
    values = column.flatten()
    _refuse_nulls(values, name, first, width)
    block: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return block.reshape(len(column), width)


def _scalar_block(column: pa.Array, name: str, first: int) -> npt.NDArray[Any]:
    """Turn a batch of numbers or strings into an array; strings become numpy ``str``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse_nulls(column, name, first, 1)
    if pa.types.is_dictionary(column.type):
        used = column.dictionary.take(pc.unique(column.indices))
        _refuse_long(used, name)
        column = column.dictionary_decode()
        _refuse_nulls(column, name, first, 1)
    if _is_text(column.type):
        _refuse_long(column, name)
        names: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False).astype(str)
        return names
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise InputError(f"{name} is {shortened(column.type)}: convert it to integers or strings.")
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _refuse_long(texts: pa.Array, name: str) -> None:
    """Refuse strings of more letters than a name has."""
    import pyarrow.compute as pc

    if not _is_text(texts.type) or not len(texts):
        return
    texts.validate(full=True)  # valid UTF-8
    longest = pc.max(pc.utf8_length(texts)).as_py() or 0
    if longest > MOST_LETTERS:
        raise InputError(
            f"{name} holds text of {longest} letters, and names have at most {MOST_LETTERS}: "
            f"shorten them."
        )


def _refuse_nulls(column: pa.Array, name: str, first: int, width: int) -> None:
    """Refuse nulls among values, of which ``width`` make a row."""
    if column.null_count:
        missing = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]
        raise InputError(
            f"{name} has a null in row {first + missing // width}, counted from 0: "
            f"fill it or remove that face."
        )
