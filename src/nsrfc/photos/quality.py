"""How good a found face is: size, sharpness, pose and score; and which faces are left out for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from nsrfc.photos.alignment import TEMPLATE_SIZE
from nsrfc.photos.faces import Detections, Floats, Picture

__all__ = ["HEAD", "Limits", "head_pose", "qualities", "sharpness"]

HEAD = np.array([[-31.5, -33, -30], [31.5, -33, -30], [0, 0, 0], [-26, 33, -22], [26, 33, -22]], float)
"""The five points of an average head in millimetres from the tip of the nose: x to the right as one
sees it, y down, z towards the viewer. Rounded from anthropometric means of adults: pupils 63 mm apart, a
mouth 52 mm wide, a nose that stands out by some 30 mm."""


def head_pose(points: Floats) -> npt.NDArray[np.float64]:
    """Estimate yaw, pitch and roll (m, 3) of heads, in degrees, from their five points (m, 5, 2).

    The points are fitted by a scaled orthographic projection of an average head (the first step of
    POSIT, DeMenthon and Davis 1995). Yaw and pitch are 0 for a face that looks into the camera; yaw is
    positive if it looks to the right of the picture, pitch if it looks down, roll if it is turned
    clockwise.
    """
    model = HEAD - HEAD.mean(axis=0)
    off = points.astype(np.float64) - points.mean(axis=1, keepdims=True, dtype=np.float64)
    rows = np.einsum("kc,mkp->mpc", np.linalg.pinv(model).T, off)
    tiny = np.finfo(np.float64).tiny
    right, down = (rows[:, row] / np.maximum(_length(rows[:, row]), tiny)[:, None] for row in (0, 1))
    # The two need not be at right angles: both are turned by the same small angle until they are.
    both, apart = right + down, right - down
    both /= np.maximum(_length(both), tiny)[:, None]
    apart /= np.maximum(_length(apart), tiny)[:, None]
    right, down = (both + apart) / np.sqrt(2), (both - apart) / np.sqrt(2)
    towards = np.cross(right, down)
    yaw = np.arcsin(np.clip(right[:, 2], -1, 1))
    pitch = np.arctan2(down[:, 2], towards[:, 2])
    roll = np.arctan2(-right[:, 1], right[:, 0])
    return np.asarray(np.degrees(np.stack((yaw, pitch, roll), axis=1)), np.float64)


def _length(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(vectors, axis=1))


def sharpness(crop: Picture) -> float:
    """Return the variance of the Laplacian of an aligned face, as grey of 112 x 112 pixels.

    A small or blurred face has no fine detail, and a low value (Pech-Pacheco et al. 2000).
    """
    image = Image.fromarray(crop).convert("L").resize((TEMPLATE_SIZE,) * 2, Image.Resampling.BILINEAR)
    grey = np.asarray(image, np.float64)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())


def qualities(found: Detections, crops: Picture) -> list[dict[str, float]]:
    """Return the quality of each of m faces, with their aligned crops (m, s, s, 3).

    ``score`` is the detector's, ``size`` the shorter side of the box in pixels; then ``sharpness``, and
    ``yaw``, ``pitch`` and ``roll`` in degrees.
    """
    values = np.column_stack(
        (
            found.scores,
            found.boxes[:, 2:].min(axis=1, initial=np.inf),
            [sharpness(crop) for crop in crops],
            head_pose(found.points),
        )
    )
    names = "score", "size", "sharpness", "yaw", "pitch", "roll"
    return [dict(zip(names, np.round(row, 3).tolist(), strict=True)) for row in values]


@dataclass(frozen=True)
class Limits:
    """Which faces are left out; what is exactly at a limit stays.

    Attributes
    ----------
    size : float
        Minimum shorter side of the box, in pixels.
    sharpness : float
        Minimum variance of the Laplacian.
    turn : float
        Maximum angle by which a head is turned to the side, in degrees.
    score : float or None
        Minimum score of the detector; None: what it finds by its own limit.
    """

    size: float = 32
    sharpness: float = 10
    turn: float = 75
    score: float | None = None

    def reason(self, quality: Mapping[str, Any]) -> str | None:
        """Say why a face of some quality is left out; None if it is not."""
        reasons = []
        if quality["size"] < self.size:
            reasons.append(f"small: {quality['size']:.0f} pixels, fewer than {self.size:g}")
        if quality["sharpness"] < self.sharpness:
            reasons.append(f"blurred: sharpness {quality['sharpness']:.1f}, below {self.sharpness:g}")
        if abs(quality["yaw"]) > self.turn:
            reasons.append(f"turned away: {abs(quality['yaw']):.0f} degrees, more than {self.turn:g}")
        if self.score is not None and quality["score"] < self.score:
            reasons.append(f"unsure: score {quality['score']:.2f}, below {self.score:g}")
        return "; ".join(reasons) or None
