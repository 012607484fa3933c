"""Faces that tests put into databases of other programs, and libraries that they come into."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.library.library import Group, Library

D = 16


def vectors(n: int, dimension: int = D) -> npt.NDArray[np.float32]:
    """Embeddings (n, d) of nobody."""
    return np.random.default_rng(n).standard_normal((n, dimension)).astype(np.float32)


def as_json(vector: npt.NDArray[np.floating]) -> str:
    """A JSON list."""
    return json.dumps(vector.tolist())


def people(folder: Path) -> dict[str | None, list[str]]:
    """Keys of the confirmed faces of each person, by name."""
    library = Library.open(folder)
    return {group.name: keys(library, group) for group in library.people()}


def keys(library: Library, group: Group) -> list[str]:
    """Keys of the confirmed faces of a person."""
    return [row["key"] for row in library.store.described(group.confirmed.tolist())]


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    """What is known of each face, by key: photo, date, box and embedding."""
    library = Library.open(folder)
    rows = library.store.described(library.faces.tolist())
    boxes = library.store.boxes(library.faces)
    X = library.store.vectors(library.faces)
    return {
        row["key"]: {**row, "box": box, "embedding": x}
        for row, box, x in zip(rows, boxes, X, strict=True)
    }
