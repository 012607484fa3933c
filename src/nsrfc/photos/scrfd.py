"""SCRFD, the face detector of InsightFace (Guo et al. 2021).

At each place of the grids one or two anchors: a score, the distances of the four sides of the box in
strides, and the offsets of five points in strides. As in InsightFace, the corners of boxes are compared
as last pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nsrfc.errors import InputError
from nsrfc.photos.faces import Detections, Picture
from nsrfc.photos.onnx import Network, as_input, fitted, suppressed
from nsrfc.photos.registry import Contract

__all__ = ["Scrfd"]

LAYOUTS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}
"""Strides and anchors at each place, by the number of outputs: scores, then boxes, then points."""


class Scrfd:
    """A detector; every picture is resized to its input.

    Parameters
    ----------
    name : str
    path : Path
    contract : Contract
    device : str

    Raises
    ------
    InputError
        If the network finds no points, with which faces are aligned.
    """

    def __init__(self, name: str, path: Path, contract: Contract, device: str = "auto") -> None:
        self.name, self._contract = name, contract
        self._network = Network(path, contract, device)
        count = len(self._network.outputs)
        if count not in LAYOUTS:
            raise InputError(
                f"{path} has {count} outputs, and SCRFD with five points has 9 or 15: take one whose "
                f"name ends with kps."
            )
        self._strides, self._anchors = LAYOUTS[count]

    def detect(self, picture: Picture) -> Detections:
        """Find the faces in a picture (h, w, 3)."""
        square, scale = fitted(picture, self._contract.size, enlarge=True)
        outputs = list(self._network(as_input(square[None], self._contract)).values())
        # Some exports have an axis for the batch.
        outputs = [each[0] if each.ndim == 3 else each for each in outputs]
        levels = len(self._strides)
        corners, scores, points = [], [], []
        for level, stride in enumerate(self._strides):
            score = outputs[level][:, 0]
            chosen = np.flatnonzero(score >= self._contract.score)
            row, column = np.divmod(chosen // self._anchors, self._contract.size // stride)
            at = (np.stack((column, row), axis=1) * stride).astype(np.float32)
            sides = outputs[level + levels][chosen] * stride
            corners.append(np.concatenate((at - sides[:, :2], at + sides[:, 2:]), axis=1))
            scores.append(score[chosen])
            off = outputs[level + 2 * levels][chosen].reshape(-1, 5, 2) * stride
            points.append(at[:, None] + off)
        corner, score, point = (np.concatenate(parts) for parts in (corners, scores, points))
        corner, point = (np.asarray(each / scale, np.float32) for each in (corner, point))
        kept = suppressed(corner, score, self._contract.overlap, edge=1)
        low, high = corner[kept, :2], corner[kept, 2:]
        return Detections(np.concatenate((low, high - low), axis=1), score[kept], point[kept])
