"""Parquet columns as plain arrays, batch by batch and without Python lists.

pyarrow is imported inside the functions, so that a run without Parquet files does not load it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import Vectors
from nsrfc.errors import InputError, shortened, shown
from nsrfc.storage.arrays import MOST_LETTERS, check_room
from nsrfc.storage.files import PathLike, existing_file, reading
from nsrfc.storage.outputs import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = [
    "BATCH_ROWS",
    "BATCH_VALUES",
    "check_count",
    "is_text",
    "joined",
    "open_parquet",
    "scalar_block",
    "stated_values",
    "write_list_column",
    "write_scalar_column",
]

BATCH_ROWS = 8192
BATCH_VALUES = 1 << 19
"""Values that are decoded at a time, which takes about five times their memory."""

ROW_GROUP_ROWS = 65536


def write_list_column(
    path: PathLike,
    values: Vectors,
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
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file whose columns are read batch by batch, text as a dictionary."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    # With these options pyarrow streams a column; by default it loads all row groups at once.
    options = {"buffer_size": 1 << 20, "pre_buffer": False}
    with reading(existing_file(path)):
        metadata = pq.read_metadata(path)
        _check_metadata(metadata, path)
        # A text that a file holds once, and refers to from many rows, would be repeated in memory.
        texts = [field.name for field in metadata.schema.to_arrow_schema() if is_text(field.type)]
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


def stated_values(file: pq.ParquetFile, key: str) -> int:
    """Return the number of values of a list column, as far as the file tells the truth."""
    metadata = file.metadata
    leaves = [
        column
        for column in range(metadata.num_columns)
        if metadata.schema.column(column).path.startswith(f"{key}.")
    ]
    values = 0
    for number in range(metadata.num_row_groups):
        for leaf in leaves:
            # Asked for a column of a damaged file, pyarrow can end the process; a reader raises an error
            # before. With batches of no row it decodes nothing.
            next(file.reader.iter_batches(0, [number], [leaf]), None)
            values += max(0, metadata.row_group(number).column(leaf).num_values)
    return values


def check_count(path: Path, n: int, filled: int, *, short: bool = True) -> None:
    """Refuse more rows than are stated, or with ``short`` fewer."""
    if filled > n or (short and filled < n):
        raise InputError(f"{path} states {n} rows but has {filled}: write or copy it anew.")


def joined(blocks: list[npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    """Concatenate blocks of numbers, or of strings, which all take the room of the longest."""
    check_room(sum(map(len, blocks)) * max(block.itemsize for block in blocks), name)
    return np.concatenate(blocks)


def is_text(kind: pa.DataType) -> bool:
    """Tell columns of strings, also those that are read as a dictionary."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def scalar_block(
    column: pa.Array, name: str, first: int, *, gaps: tuple[int, str] | None = None
) -> npt.NDArray[Any]:
    """Turn a batch of numbers, strings or UUIDs, starting at row ``first``, into an array.

    Strings and UUIDs become numpy ``str``. Nulls are refused, unless ``gaps`` says what stands for them
    among integers and among strings.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        _refuse_long(column.dictionary.take(pc.unique(column.indices)), name)
        column = column.dictionary_decode()
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if column.null_count and gaps is None:
        row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise InputError(f"{name} has a null in row {row}, counted from 0: fill it or remove that face.")
    number, text = gaps or (0, "")
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
        texts = [text if each is None else str(UUID(bytes=each)) for each in column.to_pylist()]
        return np.array(texts, np.str_)
    if is_text(column.type):
        _refuse_long(column, name)
        return np.asarray(column.fill_null(text).to_numpy(zero_copy_only=False), np.str_)
    if pa.types.is_integer(column.type):
        if column.null_count:  # unsigned integers have no -1
            column = column.cast(pa.int64()).fill_null(number)
        return np.asarray(column)
    if not pa.types.is_floating(column.type):
        raise InputError(f"{name} is {shortened(column.type)}: convert it to integers or strings.")
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _refuse_long(texts: pa.Array, name: str) -> None:
    """Refuse strings of more letters than a name has."""
    import pyarrow.compute as pc

    if not is_text(texts.type) or not len(texts):
        return
    texts.validate(full=True)  # valid UTF-8
    longest = pc.max(pc.utf8_length(texts)).as_py() or 0
    if longest > MOST_LETTERS:
        raise InputError(
            f"{name} holds text of {longest} letters, and names have at most {MOST_LETTERS}: "
            f"shorten them."
        )
