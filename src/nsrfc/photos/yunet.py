"""YuNet, the face detector of OpenCV Zoo (Wu, Peng and Yu 2023).

At each place of three grids, with strides of 8, 16 and 32 pixels: the probability of a face and of an
object, the offset of the centre in strides and the logarithm of width and height, and five points in
strides. As in ``FaceDetectorYN`` of OpenCV, boxes are compared with whole pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nsrfc.photos.faces import Detections, Picture
from nsrfc.photos.onnx import Network, as_input, fitted, suppressed
from nsrfc.photos.registry import Contract

__all__ = ["YuNet"]

STRIDES = 8, 16, 32

MOST = 5_000
"""Candidates that are compared; the default of OpenCV."""


class YuNet:
    """A detector; pictures that are larger than its input are shrunk, smaller ones are not enlarged.

    Parameters
    ----------
    name : str
    path : Path
    contract : Contract
    device : str
    """

    def __init__(self, name: str, path: Path, contract: Contract, device: str = "auto") -> None:
        self.name, self._contract = name, contract
        self._network = Network(path, contract, device)

    def detect(self, picture: Picture) -> Detections:
        """Find the faces in a picture (h, w, 3)."""
        side = self._contract.size
        square, scale = fitted(picture, side, enlarge=False)
        outputs = self._network(as_input(square[None], self._contract))
        boxes, scores, points = [], [], []
        for stride in STRIDES:
            cls, obj, bbox, kps = (
                outputs[f"{part}_{stride}"][0] for part in ("cls", "obj", "bbox", "kps")
            )
            score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
            chosen = np.flatnonzero(score >= self._contract.score)
            row, column = np.divmod(chosen, side // stride)
            grid = np.stack((column, row), axis=1).astype(np.float32)
            centre = (grid + bbox[chosen, :2]) * stride
            size = np.exp(bbox[chosen, 2:]) * stride
            boxes.append(np.concatenate((centre - size / 2, size), axis=1))
            scores.append(score[chosen])
            points.append((kps[chosen].reshape(-1, 5, 2) + grid[:, None]) * stride)
        box, score, point = (np.concatenate(parts) for parts in (boxes, scores, points))
        first = np.argsort(-score, kind="stable")[:MOST]
        whole = np.trunc(box[first])
        corners = np.concatenate((whole[:, :2], whole[:, :2] + whole[:, 2:]), axis=1)
        kept = first[suppressed(corners, score[first], self._contract.overlap)]
        box, point = (np.asarray(each[kept] / scale, np.float32) for each in (box, point))
        return Detections(box, score[kept], point)
