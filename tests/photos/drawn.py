"""Pictures with drawn faces, that the networks of the tests find and tell by colour: no real person."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tests.photos.networks import MARK

__all__ = ["COLORS", "draw", "save"]

COLORS = ("#e8b48c", "#4c8bd6", "#3f9b53", "#c9452f", "#f0d24a", "#7a4fa3")
SIZE = 640


def draw(people: Sequence[int], seed: int = 0, *, blurred: bool = False) -> Image.Image:
    """Draw the faces of some people, by numbers of `COLORS`, at places of a grid."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (SIZE, SIZE), tuple(int(part) for part in rng.integers(90, 160, 3)))
    pen = ImageDraw.Draw(image)
    places = rng.permutation(16)[: len(people)]
    for person, place in zip(people, places, strict=True):
        x, y = 64 + 128 * (int(place) % 4), 64 + 128 * (int(place) // 4)
        pen.rectangle((x - 48, y - 48, x + 80, y + 80), fill=COLORS[person])
        for _ in range(0 if blurred else 30):
            left, top = x + int(rng.integers(-40, 70)), y + int(rng.integers(-40, 70))
            pen.ellipse((left, top, left + 5, top + 5), fill="black")
        pen.rectangle((x, y, x + 31, y + 31), fill=MARK)
    return image


def save(image: Image.Image, path: Path, **options: Any) -> Path:  # noqa: ANN401
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path
