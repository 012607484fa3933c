"""The generated faces that all runs of a benchmark share, kept in files for their processes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from nsrfc.synthetic import generate

__all__ = ["DIMENSION", "FULL", "PRESET", "SEED", "FaceSet", "generated"]

PRESET, DIMENSION, SEED = "ms1m", 256, 0

FULL = 584_013
"""Faces of part 1 of the published MS1M benchmark."""


@dataclass(frozen=True)
class FaceSet:
    """Faces with identities.

    Attributes
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    identities : ndarray of int64, shape (n,)
    """

    X: npt.NDArray[np.float32]
    identities: npt.NDArray[np.int64]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the faces of a folder that :func:`generated` made."""
        return cls(*(np.load(folder / name, allow_pickle=False) for name in ("X.npy", "identities.npy")))


@contextmanager
def generated(n: int) -> Iterator[Path]:
    """Generate faces into a folder, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        faces = generate(n, PRESET, dimension=DIMENSION, seed=SEED)
        np.save(Path(folder) / "X.npy", faces.embeddings, allow_pickle=False)
        np.save(Path(folder) / "identities.npy", faces.identities, allow_pickle=False)
        del faces
        yield Path(folder)
