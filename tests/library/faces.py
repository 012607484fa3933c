"""Libraries that several tests need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nsrfc.library.library import Library
from nsrfc.synthetic import generate

D = 64


def faces(n: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Embeddings (n, 64) and identities (n,)."""
    made = generate(n, "wild", dimension=D, seed=seed)
    return made.embeddings, made.identities


def clustered(folder: Path, n: int = 400, seed: int = 0, model: str | None = None) -> Library:
    """A library of n faces, clustered by rules unless a model is given."""
    library = Library.create(folder)
    library.add(faces(n, seed)[0])
    library.cluster(model)
    return library


def same_partition(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> bool:
    """Whether two labellings (n,) put the same faces together."""
    pairs = np.unique(np.stack((a, b), axis=1), axis=0)
    return len(pairs) == len(np.unique(a)) == len(np.unique(b))
