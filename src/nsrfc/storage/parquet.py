"""Parquet columns as plain arrays, batch by batch and without Python lists.

pyarrow is imported inside the functions, so that a run without Parquet files does not load it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.storage.files import PathLike, atomic_path, choose, reading

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = [
    "BATCH_ROWS",
    "is_text",
    "open_parquet",
    "read_scalar_column",
    "scalar_block",
    "write_list_column",
    "write_scalar_column",
]

BATCH_ROWS = 8192
ROW_GROUP_ROWS = 65536


def read_scalar_column(
    path: Path, key: str | None, preferred: Sequence[str], id_key: str, gaps: tuple[int, str]
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
    gaps : (int, str)
        What stands for null among integers and among strings; among floats it is NaN.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    InputError
        If the file is damaged, no column fits, or entries are neither numbers nor strings.
    """
    with open_parquet(path) as file:
        names = file.schema_arrow.names
        fitting = [name for name in names if name != id_key]
        key = choose(path, key, names, fitting, preferred, "column of identities")
        name = f"{path}: column {key!r}"
        blocks = []
        filled = 0
        for batch in file.iter_batches(BATCH_ROWS, columns=[key]):
            blocks.append(scalar_block(batch.column(key), name, filled, gaps=gaps))
            filled += len(batch)
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.int64)


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
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file whose columns are read batch by batch."""
    import pyarrow.parquet as pq

    # With these options pyarrow streams a column; by default it loads all row groups at once.
    options = {"buffer_size": 1 << 20, "pre_buffer": False}
    with reading(path), pq.ParquetFile(path, **options) as file:
        yield file


def is_text(kind: pa.DataType) -> bool:
    """Tell columns of strings."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def scalar_block(
    column: pa.Array, name: str, first: int, *, gaps: tuple[int, str] | None = None
) -> npt.NDArray[Any]:
    """Turn a batch of numbers, strings or UUIDs, starting at row ``first``, into an array.

    Strings and UUIDs become numpy ``str``. Nulls are refused, unless ``gaps`` says what stands for them
    among integers and among strings.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
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
        return np.asarray(column.fill_null(text).to_numpy(zero_copy_only=False), np.str_)
    if pa.types.is_integer(column.type):
        if column.null_count:  # unsigned integers have no -1
            column = column.cast(pa.int64()).fill_null(number)
        return np.asarray(column)
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "bf":
        raise InputError(f"{name} is {column.type}: convert it to integers or strings.")
    return values
