"""Networks in ONNX: loading, the contract of the input, and what detectors share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from nsrfc.errors import InputError, OptionalDependencyError
from nsrfc.photos.faces import Floats, Picture
from nsrfc.photos.registry import Contract

__all__ = ["Network", "as_input", "fitted", "suppressed"]


class Network:
    """An ONNX network with one input of pictures.

    Parameters
    ----------
    path : Path
    contract : Contract
    device : str
        "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        If the file is no network, or of another signature than the contract states.
    OptionalDependencyError
        If onnxruntime is not installed.
    """

    def __init__(self, path: Path, contract: Contract, device: str = "auto") -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise OptionalDependencyError("onnxruntime", "photos") from None
        there = onnxruntime.get_available_providers()
        cuda = "CUDAExecutionProvider" in there and device != "cpu"
        if device == "cuda" and not cuda:
            raise InputError(
                "device: this onnxruntime has no CUDA: install onnxruntime-gpu, or take cpu."
            )
        providers = [*(["CUDAExecutionProvider"] if cuda else []), "CPUExecutionProvider"]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            # onnxruntime raises a type of its own for each kind of damage.
            raise InputError(
                f"{path} is no ONNX network that onnxruntime reads: copy it anew."
            ) from error
        self._input = self._session.get_inputs()[0]
        self.outputs = [each.name for each in self._session.get_outputs()]
        shape = list(self._input.shape)
        sides = [side for side in shape[2:] if isinstance(side, int)]
        if len(shape) != 4 or shape[1] not in (3, None) or any(side != contract.size for side in sides):
            raise InputError(
                f"{path} takes input of shape {shape}, and the registry states "
                f"[1, 3, {contract.size}, {contract.size}]: it is another network."
            )
        absent = [name for name in contract.outputs if name not in self.outputs]
        if absent:
            raise InputError(
                f"{path} has no output {absent[0]}, as the registry states: it is another one."
            )

    def __call__(self, pictures: Floats) -> Mapping[str, npt.NDArray[np.float32]]:
        """Return all outputs for pictures (m, 3, s, s)."""
        values = self._session.run(self.outputs, {self._input.name: pictures})
        return dict(zip(self.outputs, values, strict=True))


def as_input(pictures: Picture, contract: Contract) -> Floats:
    """Return pictures (m, s, s, 3) as a network takes them: (m, 3, s, s), (x - mean) / scale."""
    ordered = pictures[..., ::-1] if contract.channels == "BGR" else pictures
    values = (ordered.astype(np.float32) - np.float32(contract.mean)) / np.float32(contract.scale)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def fitted(picture: Picture, side: int, *, enlarge: bool) -> tuple[Picture, float]:
    """Fit a picture into the upper left corner of a black square of some side.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w, 3)
    side : int
    enlarge : bool
        Whether a smaller picture is enlarged.

    Returns
    -------
    square : ndarray of uint8, shape (side, side, 3)
    scale : float
        By which it was resized.
    """
    height, width = picture.shape[:2]
    square = np.zeros((side, side, 3), np.uint8)
    if max(height, width) == side or (max(height, width) < side and not enlarge):
        square[:height, :width] = picture
        return square, 1.0
    high = side if height > width else max(1, int(side * (height / width)))
    wide = side if height <= width else max(1, int(side / (height / width)))
    image = Image.fromarray(picture).resize((wide, high), Image.Resampling.BILINEAR)
    square[:high, :wide] = np.asarray(image)
    return square, high / height


def suppressed(
    corners: Floats, scores: Floats, overlap: float, edge: float = 0
) -> npt.NDArray[np.int64]:
    """Keep of boxes that overlap the one with the highest score (non-maximum suppression).

    Parameters
    ----------
    corners : ndarray of float32, shape (m, 4)
        Left, top, right and bottom.
    scores : ndarray of float32, shape (m,)
    overlap : float
        Maximum intersection over union of two boxes that stay.
    edge : float
        Added to each side; 1 where corners are the last pixels.

    Returns
    -------
    ndarray of int64
        Rows that stay, by descending score; of equal ones the earlier row first.
    """
    low, high = corners[:, :2], corners[:, 2:]
    areas = (high - low + edge).prod(axis=1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        sides = np.minimum(high[best], high[rest]) - np.maximum(low[best], low[rest]) + edge
        shared = np.maximum(sides, 0).prod(axis=1)
        union = areas[best] + areas[rest] - shared
        order = rest[shared <= overlap * union]
    return np.array(kept, np.int64)
