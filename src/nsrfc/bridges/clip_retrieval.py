"""Folders of clip-retrieval, as LAION's: shards of embeddings, and tables of what they are of.

``img_emb/img_emb_0.npy`` has the rows of ``metadata/metadata_0.parquet``, in its order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nsrfc.bridges.record import Asked, FaceRecord
from nsrfc.chunks import read_rows
from nsrfc.errors import InputError
from nsrfc.storage.arrays import open_npy
from nsrfc.storage.files import kind_of, reading
from nsrfc.storage.parquet import open_parquet

__all__ = ["read"]

_SHARD = re.compile(r"img_emb_(\d+)\.npy")
_PHOTOS = "image_path", "url", "key"


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the rows of all shards; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If there are no shards, or the table of one has another number of rows.
    """
    root = Path(asked.where)
    numbered = {
        int(found[1]): path
        for folder in (root / "img_emb", root)
        if kind_of(folder) == "folder"
        for path in folder.iterdir()
        if (found := _SHARD.fullmatch(path.name)) is not None
    }
    if not numbered:
        raise InputError(f"{root} holds no img_emb_0.npy: give the folder that clip-retrieval wrote.")
    for number, path in sorted(numbered.items()):
        vectors = open_npy(path)
        photos = _photos(path, number, len(vectors))
        for row in range(len(vectors)):
            vector = read_rows(vectors, slice(row, row + 1))[0].astype(np.float32)
            if np.isfinite(vector).all() and vector.any():
                yield FaceRecord(f"{number}/{row}", vector, None if photos is None else photos[row])
            else:
                asked.skipped["embedding zero or not finite"] += 1


def _photos(shard: Path, number: int, rows: int) -> list[str | None] | None:
    name = f"metadata_{number}.parquet"
    places = (shard.parent.parent / "metadata" / name, shard.parent / name)
    path = next((place for place in places if kind_of(place) == "file"), None)
    if path is None:
        return None
    with reading(path), open_parquet(path) as file:
        column = next((each for each in _PHOTOS if each in file.schema_arrow.names), None)
        count = file.metadata.num_rows
        photos = None if column is None else file.read([column]).column(0).to_pylist()
    if count != rows:
        raise InputError(
            f"{path} has {count} rows, but {shard} {rows}: give the folder as it was written."
        )
    return photos
