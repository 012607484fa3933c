"""deepface: the store that ``find`` keeps (.npz), and the SQLite file that ``register`` fills.

Read in deepface 0.0.103. Pictures without a face are rows of zeros, flagged by ``has_embedding``.
Neither of the two knows people: ``identity`` and ``img_name`` are paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nsrfc.bridges.database import needed, opened
from nsrfc.bridges.decoding import of_bytes, text_of
from nsrfc.bridges.pictures import box_on
from nsrfc.bridges.record import Asked, FaceRecord
from nsrfc.errors import InputError, enumerate_names
from nsrfc.storage.arrays import npz_headers, read_npz_array
from nsrfc.storage.files import existing_file

__all__ = ["read"]

_COLUMNS = (
    "identity",
    "hash",
    "embedding",
    "has_embedding",
    "target_x",
    "target_y",
    "target_w",
    "target_h",
)
_FACES = "SELECT id, img_name, model_name, embedding FROM embeddings ORDER BY id"


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of a store; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no store of deepface, or one in another format.
    """
    if Path(asked.where).suffix.lower() == ".npz":
        yield from _read_npz(asked)
        return
    with opened(asked.where, ("embeddings",)) as database:
        needed(database, "embeddings", "deepface")
        for own, photo, model, data in database.rows(_FACES):
            vector = of_bytes(data, "<f8", asked.skipped)
            if vector is not None:
                yield FaceRecord(str(own), vector, text_of(photo), space=str(model))


def _read_npz(asked: Asked) -> Iterator[FaceRecord]:
    path = existing_file(asked.where)
    headers = npz_headers(path)
    absent = [name for name in _COLUMNS if name not in headers]
    if absent:
        raise InputError(
            f"{path} is no store of deepface: it has no {enumerate_names(absent)}. Give the file that "
            f"DeepFace.find wrote into the folder of pictures."
        )
    arrays = {name: read_npz_array(path, name) for name in _COLUMNS}
    sizes = {len(array) for array in arrays.values()}
    if arrays["embedding"].ndim != 2 or len(sizes) > 1:
        raise InputError(f"{path} is damaged: its columns differ in length. Let deepface write it anew.")
    has = arrays["has_embedding"].astype(bool)
    asked.skipped["without an embedding"] += int((~has).sum())
    for row in has.nonzero()[0].tolist():
        photo = str(arrays["identity"][row])
        x, y, w, h = (int(arrays[f"target_{name}"][row]) for name in "xywh")
        vector = of_bytes(arrays["embedding"][row].astype("<f8").tobytes(), "<f8", asked.skipped)
        if vector is not None:
            own = f"{arrays['hash'][row]}/{x},{y},{w},{h}"
            place = box_on(asked.pictures, photo, (x, y, x + w, y + h))
            yield FaceRecord(own, vector, photo, None, place, space=path.stem)
