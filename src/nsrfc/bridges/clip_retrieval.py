"""Folders of clip-retrieval, as LAION's: shards of embeddings, and tables of what they are of.

``img_emb/img_emb_0.npy`` has the rows of ``metadata/metadata_0.parquet``, in its order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nsrfc.bridges.record import Asked, FaceRecord
from nsrfc.chunks import chunks, read_rows
from nsrfc.errors import InputError
from nsrfc.storage.arrays import open_npy
from nsrfc.storage.files import kind_of, reading
from nsrfc.storage.folders import LocalFolder
from nsrfc.storage.parquet import open_parquet

__all__ = ["read"]

_SHARD = re.compile(r"img_emb_(\d+)\.npy")
_PHOTOS = "image_path", "url", "key"

_ROWS = 4096


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the rows of all shards; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If there are no shards, or the table of one has another number of rows.
    """
    root = Path(asked.where)
    place = LocalFolder(root)
    files = place.files(root / "img_emb") or place.files(root)
    shards = [path for path in files if _SHARD.fullmatch(path.name)]
    if not shards:
        raise InputError(f"{root} holds no img_emb_0.npy: give the folder that clip-retrieval wrote.")
    for path in sorted(shards, key=_number):
        vectors, number = open_npy(path), _number(path)
        photos = _photos(path, number, len(vectors))
        for part in chunks(len(vectors), _ROWS):
            block = read_rows(vectors, part).astype(np.float32)
            good = np.isfinite(block).all(axis=1) & block.any(axis=1)
            if not good.all():
                asked.skipped["embedding zero or not finite"] += int(np.count_nonzero(~good))
            for row in np.flatnonzero(good).tolist():
                own = part.start + row
                photo = None if photos is None else photos[own]
                yield FaceRecord(f"{number}/{own}", block[row], photo)


def _number(shard: Path) -> int:
    found = _SHARD.fullmatch(shard.name)
    assert found is not None
    return int(found[1])


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
