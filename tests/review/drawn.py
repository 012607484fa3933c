"""Faces of generated people as small drawings: no real person is shown."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from nsrfc.library.library import Library
from nsrfc.synthetic import generate

SIZE = 112
_SKIN = ("#f2d3bd", "#e0ac85", "#c68a5f", "#8d5a3b", "#5e3a26", "#f6dfcf")
_HAIR = ("#2b211c", "#5a3a22", "#a8743a", "#d9b36a", "#7a7a7a", "#8c2f1f", "#151515")
_CLOTH = ("#31688e", "#7a5195", "#bc5090", "#2f7d6b", "#c77f2b", "#4a5568", "#9c3f3f")
_BACK = ("#dfe7ea", "#e9e2d8", "#d7dfd2", "#e6dbe3", "#cfd8dc")


def drawing(person: int, face: int) -> bytes:
    """Return a drawing of a person: hair, skin and features are theirs, pose and light the picture's."""
    own, this = np.random.default_rng([7, person]), np.random.default_rng([11, face])
    big = 4 * SIZE
    image = Image.new("RGB", (big, big), _BACK[this.integers(len(_BACK))])
    pen = ImageDraw.Draw(image)
    skin, hair = _SKIN[own.integers(len(_SKIN))], _HAIR[own.integers(len(_HAIR))]
    width, height = int(own.integers(105, 130)), int(own.integers(135, 160))
    x, y = big // 2 + int(this.integers(-22, 23)), big // 2 + int(this.integers(-12, 20))
    pen.ellipse((x - 190, y + 150, x + 190, y + 520), fill=_CLOTH[own.integers(len(_CLOTH))])
    pen.rectangle((x - 45, y + 80, x + 45, y + 190), fill=skin)
    style = int(own.integers(3))
    if style == 0:  # long
        pen.ellipse((x - width - 32, y - height - 30, x + width + 32, y + height + 60), fill=hair)
    pen.ellipse((x - width, y - height, x + width, y + height), fill=skin)
    top = (0.25, 0.42, 0.16)[style]
    cap = (x - width - 8, y - height - 18, x + width + 8, y - height + int(2 * height * top) + 60)
    pen.pieslice(cap, 180, 360, fill=hair)
    if style == 1:  # curls
        for angle in np.linspace(np.pi, 2 * np.pi, 9):
            cx, cy = x + width * np.cos(angle), y - 40 + (height - 10) * np.sin(angle)
            pen.ellipse((cx - 42, cy - 42, cx + 42, cy + 42), fill=hair)
    look, apart, eye = int(this.integers(-10, 11)), int(own.integers(40, 56)), int(own.integers(9, 15))
    for side in (-1, 1):
        cx, cy = x + side * apart + look, y - 15
        pen.ellipse((cx - eye - 8, cy - eye, cx + eye + 8, cy + eye), fill="white")
        pen.ellipse((cx - eye + look // 3, cy - eye, cx + eye + look // 3, cy + eye), fill="#2b2b33")
        pen.arc((cx - 32, cy - 45, cx + 32, cy - 5), 200, 340, fill=hair, width=9)
    if own.random() < 0.3:  # glasses
        for side in (-1, 1):
            cx = x + side * apart + look
            pen.ellipse((cx - 40, y - 50, cx + 40, y + 22), outline="#333", width=7)
        pen.line((x - 14 + look, y - 15, x + 14 + look, y - 15), fill="#333", width=7)
    smile = int(this.integers(10, 40))
    if own.random() < 0.25:  # beard
        pen.chord((x - width + 14, y - 20, x + width - 14, y + height + 4), 15, 165, fill=hair)
    mouth = (x - 48 + look, y + 50 - smile, x + 48 + look, y + 80 + smile)
    pen.arc(mouth, 25, 155, fill="#b04a4a", width=10)
    image = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    light = this.uniform(0.8, 1.1)
    image = image.point([min(255, int(value * light)) for value in range(256)] * 3)
    if this.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(1.2))
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return file.getvalue()


def small_library(folder: Path, faces: int = 500, *, pictures: bool = True) -> Library:
    """Make a library of generated faces, clustered by the rules."""
    generated = generate(faces, "wild", seed=3, dimension=32)
    who: npt.NDArray[np.int64] = generated.identities
    library = Library.create(folder)
    library.add(
        generated.embeddings,
        keys=[f"IMG_{2000 + face}.jpg" for face in range(faces)],
        taken=[f"20{10 + face % 12}-0{1 + face % 9}-1{face % 10}" for face in range(faces)],
        thumbnails=[drawing(int(person), face) for face, person in enumerate(who)] if pictures else None,
    )
    library.cluster(model=None)
    return library
