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
        for detections in sample.values():
            if isinstance(detections, dict) and detections.get("_cls") == "Detections":
                for face in detections.get("detections", ()):
                    yield from _face(face, sample.get("filepath"), asked)


def _face(face: dict[str, Any], photo: str | None, asked: Asked) -> Iterator[FaceRecord]:
    vector = _embedding(face, asked)
    if vector is None:
        return
    box: list[float] = face.get("bounding_box") or []
    place = share_of(box[0], box[1], box[0] + box[2], box[1] + box[3]) if len(box) == 4 else None
    name = face.get("label") or None
    yield FaceRecord(str(face.get("_id", {}).get("$oid", "")), vector, photo, None, place, name, name)


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
