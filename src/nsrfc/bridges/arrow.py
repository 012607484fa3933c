"""Tables of Arrow: what LanceDB, Hugging Face's datasets and others hand over or keep.

A file (``.arrow``, ``.feather``, ``.parquet``), or a folder of them in the order of their names, as
``Dataset.save_to_disk`` of datasets 5.2 writes it. Files of LanceDB 0.40 itself are not read: write
``table.to_arrow()`` into such a file. Vectors are lists of floating-point numbers, of fixed size or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nsrfc.bridges.record import Asked, FaceRecord, date_of
from nsrfc.errors import InputError, enumerate_names
from nsrfc.forms import PREFERRED_KEYS
from nsrfc.storage.files import choose, existing_file, kind_of, reading

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SUFFIXES", "read"]

SUFFIXES = ".arrow", ".feather", ".parquet"

_IDS = "id", "uid", "uuid", "face_id", "key"
_PHOTOS = "path", "image_path", "filepath", "file_name", "photo", "image"
_DATES = "taken", "date", "timestamp"
_NAMES = "name", "person", "label", "identity"


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of a table; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If there is no table, or none with a column of vectors and one of ids.
    """
    place = Path(asked.where)
    paths = [place]
    if kind_of(place) == "folder":
        paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(f"{place} holds no table of Arrow: give one ({', '.join(SUFFIXES)}).")
    for path in paths:
        existing_file(path, SUFFIXES, "tables of Arrow")
        with reading(path):
            yield from _faces(_table(path), path, asked)


def _table(path: Path) -> pa.Table:
    import pyarrow as pa

    if path.suffix.lower() == ".parquet":
        from pyarrow.parquet import read_table

        return read_table(path)
    with pa.memory_map(str(path)) as file:
        try:
            return pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:  # datasets write streams
            file.seek(0)
            return pa.ipc.open_stream(file).read_all()


def _faces(table: pa.Table, path: Path, asked: Asked) -> Iterator[FaceRecord]:
    import pyarrow as pa

    names = table.column_names
    vectors = [name for name in names if _holds_vectors(table.schema.field(name).type)]
    vector = choose(path, None, names, vectors, ("vector", *PREFERRED_KEYS), "column of vectors")
    own = next((name for name in _IDS if name in names), None)
    if own is None:
        raise InputError(
            f"{path} has no column of ids ({enumerate_names(_IDS)}), by which faces are known when they "
            f"come again: name one so."
        )
    more = [
        next((name for name in wanted if name in names), None) for wanted in (_PHOTOS, _DATES, _NAMES)
    ]
    table = table.select([vector, own, *filter(None, more)])
    # Arrow trusts the offsets in a file, and a damaged one would lead it out of its memory.
    table.validate(full=True)
    for batch in table.to_batches(max_chunksize=4096):
        rows = batch.column(vector)
        for row, key in enumerate(batch.column(own).to_pylist()):
            if key is None:
                asked.skipped["without an id"] += 1
                continue
            values = rows[row].values
            if values is None or values.null_count or not len(values):
                asked.skipped["without an embedding"] += 1
                continue
            found = values.cast(pa.float32()).to_numpy(zero_copy_only=False)
            if not np.isfinite(found).all() or not found.any():
                asked.skipped["embedding zero or not finite"] += 1
                continue
            photo, taken, name = (
                None if each is None else batch.column(each)[row].as_py() for each in more
            )
            who = None if name is None else str(name)
            yield FaceRecord(str(key), found, _path(photo), date_of(taken), None, who, who)


def _holds_vectors(kind: pa.DataType) -> bool:
    import pyarrow as pa

    lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(of(kind) for of in lists) and pa.types.is_floating(kind.value_type)


def _path(value: object) -> str | None:
    """Path of a picture; datasets keep it beside its bytes."""
    value = value.get("path") if isinstance(value, dict) else value
    return None if value is None else str(value)
