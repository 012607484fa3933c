"""Aligned crops: five points are brought to where a network expects them, by a similarity transform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from nsrfc.photos.faces import Floats, Picture

__all__ = ["TEMPLATE", "TEMPLATE_SIZE", "aligned_crops", "similarity_transforms", "thumbnail_of"]

TEMPLATE_SIZE = 112

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where ArcFace and all that follow it expect the five points, in a crop of 112 pixels: `arcface_dst` of
InsightFace, and the same in OpenCV's FaceRecognizerSF."""

_AROUND = 1.5
"""Side of a thumbnail, in sides of the box."""


def similarity_transforms(points: Floats, target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the similarity transforms (m, 2, 3) that bring points closest to a target.

    As complex numbers, p -> a p + b with the a and b of least squares; this is Umeyama's solution (1991)
    in the plane, without reflection.

    Parameters
    ----------
    points : ndarray of float32, shape (m, 5, 2)
    target : ndarray of float64, shape (5, 2)
    """
    source = points[..., 0] + 1j * points[..., 1].astype(np.float64)
    goal = target[:, 0] + 1j * target[:, 1]
    middle = source.mean(axis=1, keepdims=True)
    off = source - middle
    spread = np.maximum(np.square(np.abs(off)).sum(axis=1), np.finfo(np.float64).tiny)
    a = (off.conj() * (goal - goal.mean())).sum(axis=1) / spread
    b = goal.mean() - a * middle[:, 0]
    rows = (a.real, -a.imag, b.real), (a.imag, a.real, b.imag)
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def aligned_crops(picture: Picture, points: Floats, size: int = TEMPLATE_SIZE) -> Picture:
    """Cut aligned faces (m, size, size, 3) out of a picture (h, w, 3); outside of it is black.

    Bilinear and without smoothing, as cv2.warpAffine in the reference code, with which the networks were
    trained and measured.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w, 3)
    points : ndarray of float32, shape (m, 5, 2)
    size : int
        The template is enlarged with it.
    """
    matrices = similarity_transforms(points, TEMPLATE * (size / TEMPLATE_SIZE))
    whole = Image.fromarray(picture)
    crops = np.empty((len(points), size, size, 3), np.uint8)
    for crop, matrix in zip(crops, matrices, strict=True):
        turn = matrix[:, :2]
        if not np.linalg.det(turn):
            crop[...] = 0
            continue
        back = np.linalg.inv(turn)
        # Pillow counts from the corner of a pixel, the reference code from its centre.
        shift = back @ (-0.5 - matrix[:, 2]) + 0.5
        data = (*back[0], shift[0], *back[1], shift[1])
        image = whole.transform(
            (size, size), Image.Transform.AFFINE, tuple(map(float, data)), Image.Resampling.BILINEAR
        )
        crop[...] = np.asarray(image)
    return crops


def thumbnail_of(picture: Picture, box: tuple[float, float, float, float], side: int) -> Image.Image:
    """Return a small square picture of a face and some of what is around it.

    Parameters
    ----------
    picture : ndarray of uint8, shape (h, w, 3)
    box : (float, float, float, float)
        Left, top, width and height of the face.
    side : int
        Of the thumbnail, in pixels.
    """
    height, width = picture.shape[:2]
    left, top, wide, high = box
    length = max(1.0, min(_AROUND * max(wide, high), width, height))
    x = min(max(left + wide / 2 - length / 2, 0), width - length)
    y = min(max(top + high / 2 - length / 2, 0), height - length)
    place = (x, y, x + length, y + length)
    return Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS, box=place)
