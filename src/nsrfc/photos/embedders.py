"""Embedders in ONNX of faces aligned as ArcFace does: ArcFace, AuraFace, SFace, AdaFace, EdgeFace.

They differ in channel order, mean and scale, which their contracts state.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nsrfc.errors import InputError
from nsrfc.photos.alignment import aligned_crops
from nsrfc.photos.faces import Floats, Picture
from nsrfc.photos.onnx import Network, as_input
from nsrfc.photos.registry import Contract, Weights

__all__ = ["AlignedEmbedder"]


class AlignedEmbedder:
    """An embedder.

    Parameters
    ----------
    weights : Weights
    path : Path
    device : str
    """

    def __init__(self, weights: Weights, path: Path, device: str = "auto") -> None:
        assert weights.dimension is not None
        self.name, self.licence, self.dimension = weights.name, weights.licence, weights.dimension
        self.sha256, self._path = weights.sha256, path
        self._contract: Contract = weights.contract
        self._network = Network(path, self._contract, device)

    def crops(self, picture: Picture, boxes: Floats, points: Floats) -> Picture:
        """Cut m faces out of a picture, aligned by their points (m, 5, 2): (m, s, s, 3)."""
        del boxes
        return aligned_crops(picture, points, self._contract.size)

    def embed(self, crops: Picture) -> Floats:
        """Return the embeddings (m, d) of aligned faces (m, s, s, 3), one by one.

        Together, the last bits of a vector would depend on how many there are.
        """
        rows = [self._network(as_input(crop[None], self._contract)) for crop in crops]
        vectors = [next(iter(outputs.values())).reshape(-1) for outputs in rows]
        wrong = [vector for vector in vectors if len(vector) != self.dimension]
        if wrong:
            raise InputError(
                f"{self._path} gives {len(wrong[0])} numbers for a face, and the registry states "
                f"{self.dimension}: it is another network."
            )
        return np.array(vectors, np.float32).reshape(-1, self.dimension)
