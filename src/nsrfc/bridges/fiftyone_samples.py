"""Samples for FiftyOne: one dict for each picture, with the faces of confirmed people as detections.

They are read by ``dataset.add_samples(map(fiftyone.Sample.from_dict, samples))``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nsrfc.bridges.confirmed import ConfirmedFace, by_photo
from nsrfc.storage.files import known_suffix
from nsrfc.storage.outputs import atomic_path

__all__ = ["samples", "write_samples"]


def samples(faces: list[ConfirmedFace], root: Path | None = None) -> list[dict[str, Any]]:
    """Return one sample for each photo, as ``fiftyone.Sample.from_dict`` takes it.

    Parameters
    ----------
    faces : list of ConfirmedFace
    root : Path, optional
        Folder that photos are relative to.
    """
    return [
        {
            "filepath": photo if root is None else str(root.resolve() / photo),
            "faces": {
                "_cls": "Detections",
                "detections": [_detection(face) for face in own if face.box is not None],
            },
        }
        for photo, own in by_photo(faces).items()
    ]


def write_samples(path: Path, found: list[dict[str, Any]]) -> None:
    """Write samples as JSON, whole or not at all.

    Raises
    ------
    InputError
        If the file has another suffix, or cannot be written.
    """
    known_suffix(path, (".json",), "samples of FiftyOne")
    with atomic_path(path) as temporary:
        text = json.dumps(found, ensure_ascii=False, indent=1)
        temporary.write_text(f"{text}\n", encoding="utf-8")


def _detection(face: ConfirmedFace) -> dict[str, Any]:
    assert face.box is not None
    left, top, right, bottom = face.box
    return {
        "_cls": "Detection",
        "label": face.name,
        "bounding_box": [left, top, right - left, bottom - top],
        "face": face.face,
        "person": face.person,
    }
