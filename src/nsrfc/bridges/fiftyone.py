"""A data set that FiftyOne exported (``samples.json`` of a FiftyOneDataset).

Read in fiftyone 1.22.1. Faces are the detections that have an array of numbers, whatever its field is
called; FiftyOne keeps arrays as ``.npy`` compressed by zlib. A label is a name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.bridges.decoding import of_array_bytes
from nsrfc.bridges.record import Asked, FaceRecord, share_of
from nsrfc.errors import InputError
from nsrfc.storage.files import existing_file, kind_of, reading

__all__ = ["read"]


def read(asked: Asked) -> Iterator[FaceRecord]:
    """Yield the faces of an exported data set; see :class:`nsrfc.bridges.record.Asked`.

    Raises
    ------
    InputError
        If it is no such data set.
    """
    path = Path(asked.where)
    path = existing_file(path / "samples.json" if kind_of(path) == "folder" else path)
    with reading(path):
        samples = json.loads(path.read_text(encoding="utf-8"))
        samples = samples.get("samples") if isinstance(samples, dict) else samples
        if not isinstance(samples, list) or not all(isinstance(each, dict) for each in samples):
            raise InputError(f"{path} holds no samples of FiftyOne: give its export as FiftyOneDataset.")
        for sample in samples:
            for field, detections in sample.items():
                if isinstance(detections, dict) and detections.get("_cls") == "Detections":
                    for number, face in enumerate(detections["detections"]):
                        own = f"{sample['filepath']}/{field}/{number}"
                        yield from _face(face, own, sample["filepath"], asked)


def _face(face: dict[str, Any], place: str, photo: str, asked: Asked) -> Iterator[FaceRecord]:
    """Yield a face, whose id is where it stands if it has none of its own."""
    vector = _embedding(face, asked)
    if vector is None:
        return
    own = face["_id"]["$oid"] if "_id" in face else place
    left, top, width, height = face["bounding_box"]
    name = face.get("label") or None
    box = share_of(left, top, left + width, top + height)
    yield FaceRecord(own, vector, photo, None, box, name, name)


def _embedding(face: dict[str, Any], asked: Asked) -> npt.NDArray[np.floating] | None:
    for field, value in face.items():
        data = value.get("$binary") if isinstance(value, dict) else None
        if data is not None and field != "mask":
            text = data.get("base64", "") if isinstance(data, dict) else data
            try:
                return of_array_bytes(base64.b64decode(text, validate=True), asked.skipped)
            except (ValueError, TypeError):
                asked.skipped["embedding unreadable"] += 1
                return None
    asked.skipped["without an embedding"] += 1
    return None
