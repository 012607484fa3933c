"""What finds faces and what embeds them: two small protocols, and what passes between the two.

A picture is an array of uint8 (h, w, 3), RGB and upright. The five points of a face are, as one sees
them, the left and the right eye, the tip of the nose, the left and the right corner of the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Detections", "Detector", "Embedder", "Floats", "Picture"]

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """Faces in a picture, the surest first.

    Attributes
    ----------
    boxes : ndarray of float32, shape (m, 4)
        Left, top, width and height, in pixels.
    scores : ndarray of float32, shape (m,)
        How sure the detector is, on a scale of its own.
    points : ndarray of float32, shape (m, 5, 2)
        x and y of the five points, in pixels.
    """

    boxes: Floats
    scores: Floats
    points: Floats

    @classmethod
    def none(cls) -> Detections:
        """Return no face."""
        return cls(*(np.empty(shape, np.float32) for shape in ((0, 4), (0,), (0, 5, 2))))


class Detector(Protocol):
    """Finds the faces in a picture."""

    @property
    def name(self) -> str:
        """Name in the registry."""

    def detect(self, picture: Picture) -> Detections:
        """Find the faces in a picture (h, w, 3)."""


class Embedder(Protocol):
    """Turns faces into embeddings. The vector of a face does not depend on which others are with it."""

    @property
    def name(self) -> str:
        """Name in the registry."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights."""

    @property
    def licence(self) -> str:
        """Licence of the weights, in words."""

    @property
    def dimension(self) -> int:
        """Embedding dimension d."""

    def crops(self, picture: Picture, boxes: Floats, points: Floats) -> Picture:
        """Cut m faces (m, 4), (m, 5, 2) out of a picture, aligned: (m, s, s, 3)."""

    def embed(self, crops: Picture) -> Floats:
        """Return the embeddings (m, d) of aligned faces (m, s, s, 3), as the network gives them."""
