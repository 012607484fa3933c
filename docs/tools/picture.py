"""Draw the picture at the top of README.md: faces before and after `nsrfc.cluster`.

    python docs/tools/picture.py

No real person is shown. Embeddings are generated, clustered without their identities, and each is drawn
as a cartoon: one look per identity, another expression per face. What the right half groups is what
`nsrfc.cluster` found, mistakes included. Writes ``docs/images/before_after.png``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Ellipse, FancyArrowPatch, Patch, Polygon
from matplotlib.transforms import Affine2D
from PIL import Image

import nsrfc
from nsrfc.synthetic import PRESETS, generate

PICTURE = Path(__file__).parents[1] / "images" / "before_after.png"

FACES, SEED = 196, 4
LAW = replace(PRESETS["wild"], body_size=14, body_spread=7, tail_share=0.1, max_size=32, wrong=0)
"""Identities of one to 32 faces, as in a small photo library; every face shows who it is said to."""

SIZE, DOTS = (9.6, 4.45), 150
HALF = 10.0
"""Half the width and the height of the space for either side."""

STARTS = 8
"""Random starts of the packing of discs, of which the tightest is taken."""

COLORS = 64
"""Of the file, for the sake of its size."""

PAPER, GREY, INK = "#ffffff", "#8a949b", "#263238"
SKINS = ("#ffe0c8", "#f6c9a4", "#e0a878", "#b97f52", "#8d5a38")
HAIRS = ("#2b2321", "#5b3a25", "#94602c", "#dcb35c", "#b8512a", "#a9abad")

Point = tuple[float, float]
Points = npt.NDArray[np.float64]
Shade = Callable[[str], tuple[float, float, float]]


class Look(NamedTuple):
    """What is the same on all faces of an identity."""

    skin: str
    hair: str
    style: str
    glasses: bool = False
    beard: bool = False
    width: float = 0.84


# fmt: off
PALE, LIGHT, TAN, BROWN, DARK = SKINS
BLACK, CHESTNUT, HAZEL, BLOND, RED, SILVER = HAIRS
LOOKS = (
    Look(PALE, RED, "curls"), Look(BROWN, BLACK, "short", glasses=True, beard=True),
    Look(LIGHT, BLOND, "long"), Look(DARK, BLACK, "bun"), Look(TAN, CHESTNUT, "parting", beard=True),
    Look(PALE, BLACK, "fringe", glasses=True), Look(LIGHT, SILVER, "bald", beard=True),
    Look(DARK, BLACK, "curls", glasses=True), Look(LIGHT, CHESTNUT, "bob"),
    Look(TAN, BLACK, "long"), Look(PALE, BLOND, "short"), Look(BROWN, SILVER, "short", glasses=True),
    Look(PALE, RED, "parting", beard=True), Look(DARK, BLACK, "bald"), Look(LIGHT, RED, "long"),
    Look(LIGHT, HAZEL, "bun", glasses=True), Look(BROWN, BLACK, "bob"), Look(PALE, SILVER, "bob"),
    Look(TAN, BLACK, "short"), Look(LIGHT, BLACK, "bald", glasses=True),
)
# fmt: on


def main() -> None:
    """Generate, cluster and draw; print what was found."""
    faces = generate(FACES, LAW, seed=SEED)
    labels = nsrfc.cluster(faces.embeddings).labels
    scores = nsrfc.evaluate(faces.identities, labels)
    figure = Figure(SIZE, dpi=DOTS, facecolor=PAPER)
    before, after = (figure.add_axes((left, 0.01, 0.455, 0.98)) for left in (0.005, 0.54))
    draw_before(before, faces.identities)
    draw_after(after, faces.identities, labels)
    draw_arrow(figure)
    save(figure)
    sys.stdout.write(
        f"{FACES} generated faces of {scores.n_identities} identities: {scores.n_clusters} clusters, "
        f"{np.count_nonzero(np.bincount(labels) == 1)} of one face; pairwise precision "
        f"{100 * scores.pairwise.precision:.1f} %, recall {100 * scores.pairwise.recall:.1f} %. "
        f"{PICTURE.stat().st_size / 1000:.0f} kB.\n"
    )


def draw_before(ax: Axes, identities: npt.NDArray[np.int64]) -> None:
    """Draw all faces as they come, in grey."""
    rng = np.random.default_rng(SEED)
    open_axes(ax)
    side = int(np.ceil(np.sqrt(len(identities))))
    step = 2 * HALF / side
    for place, face in enumerate(rng.permutation(len(identities))):
        row, column = divmod(place, side)
        x, y = (np.array((column + 0.5, side - row - 0.5)) + rng.uniform(-0.1, 0.1, 2)) * step - HALF
        draw_face(ax, (x, y), 0.48 * step, int(identities[face]), int(face), grey)


def draw_after(ax: Axes, identities: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> None:
    """Draw every cluster as a disc of its faces."""
    open_axes(ax)
    sizes = np.bincount(labels)
    radii = np.array([disc_radius(size) for size in sizes])
    centres, side = packed(radii)
    scale = 2 * HALF / side
    hues = colormaps["tab10"]
    for number, cluster in enumerate(np.argsort(-sizes, kind="stable")):
        centre, members = centres[cluster] * scale, np.flatnonzero(labels == cluster)
        if len(members) > 1:
            tint = tuple(1 - 0.26 * (1 - part) for part in to_rgb(hues(number % 10)))
            ax.add_patch(Circle(tuple(centre), radii[cluster] * scale, facecolor=tint, linewidth=0))
        for face, place in zip(members, spiral(len(members)), strict=True):
            x, y = centre + place * scale
            draw_face(ax, (x, y), scale, int(identities[face]), int(face), to_rgb)


def open_axes(ax: Axes) -> None:
    """Make an empty square from -HALF to HALF."""
    ax.set_xlim(-HALF - 0.1, HALF + 0.1)
    ax.set_ylim(-HALF - 0.1, HALF + 0.1)
    ax.set_aspect("equal")
    ax.axis("off")


def draw_arrow(figure: Figure) -> None:
    """Draw what leads from one half to the other."""
    figure.add_artist(
        FancyArrowPatch(
            (0.468, 0.5),
            (0.538, 0.5),
            transform=figure.transFigure,
            arrowstyle="simple,head_width=16,head_length=14,tail_width=6",
            color=INK,
            linewidth=0,
        )
    )
    figure.text(0.502, 0.545, "nsrfc", ha="center", fontsize=10, color=INK, family="monospace")


def save(figure: Figure) -> None:
    """Write the picture in few colours."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    picture = Image.open(drawn).convert("RGB").quantize(COLORS, kmeans=3, dither=Image.Dither.NONE)
    picture.save(PICTURE, optimize=True)


# Where faces go


def spiral(count: int) -> Points:
    """Places (count, 2) of faces of radius 1 around the middle of a disc."""
    if count <= 6:
        turn = 2 * np.pi * np.arange(count) / count + np.pi / 2
        away = 0 if count == 1 else 1 / np.sin(np.pi / count)
    else:
        turn = np.pi * (3 - np.sqrt(5)) * np.arange(count)
        away = 1.05 * np.sqrt(np.arange(count) + 0.5)
    return np.stack((away * np.cos(turn), away * np.sin(turn)), axis=1)


def disc_radius(count: int) -> float:
    """Radius of the disc around that many faces."""
    return float(np.linalg.norm(spiral(count), axis=1).max() + (1.12 if count > 1 else 1.0))


def packed(radii: Points) -> tuple[Points, float]:
    """Centres (n, 2) of discs side by side in a square around 0, and the side of the square."""
    return min((_packed(radii, seed) for seed in range(STARTS)), key=lambda found: found[1])


def _packed(radii: Points, seed: int) -> tuple[Points, float]:
    """Pack from a random start: discs push each other away while the square shrinks."""
    rng = np.random.default_rng(seed)
    side = 2.2 * np.sqrt(np.square(radii).sum() * np.pi)
    centres = rng.uniform(-side / 2, side / 2, (len(radii), 2))
    room = (radii * 1.02)[:, None]
    found = centres, 2 * side
    for _ in range(2500):
        centres, overlap = apart(centres, room[:, 0])
        centres = np.clip(centres, room - side / 2, side / 2 - room)
        if overlap < 0.02:
            found, side = (centres, side), side * 0.997
    return found


def apart(centres: Points, radii: Points) -> tuple[Points, float]:
    """Move discs that overlap half the way apart; return the largest overlap as well."""
    off = centres[:, None] - centres
    distance = np.linalg.norm(off, axis=-1)
    overlap = np.maximum(radii[:, None] + radii - distance, 0)
    np.fill_diagonal(overlap, 0)
    share = 0.5 * overlap / np.maximum(distance, 1e-9)
    return centres + (share[..., None] * off).sum(axis=1), float(overlap.max())


# How a face looks


def grey(color: str) -> tuple[float, float, float]:
    """Return a colour as it is on the left: grey, and rather light."""
    red, green, blue = to_rgb(color)
    light = 0.30 * red + 0.59 * green + 0.11 * blue
    base = to_rgb(GREY)
    return tuple(0.25 + 0.75 * (0.55 * light + 0.45 * part) for part in base)  # type: ignore[return-value]


FRONTS: dict[str, list[Point]] = {
    "short": [(-1.0, 0.42), (-0.45, 0.52), (0, 0.56), (0.45, 0.52), (1.0, 0.42)],
    "parting": [(-1.0, 0.18), (-0.72, 0.48), (-0.30, 0.74), (0.30, 0.52), (1.0, 0.20)],
    "long": [(-1.0, -0.2), (-0.78, 0.30), (0, 0.72), (0.78, 0.30), (1.0, -0.2)],
    "bob": [(-1.0, -0.2), (-0.80, 0.36), (0, 0.42), (0.80, 0.36), (1.0, -0.2)],
    "bun": [(-1.0, 0.30), (-0.6, 0.55), (0, 0.66), (0.6, 0.55), (1.0, 0.30)],
    "fringe": [(-1.0, 0.1), (-0.72, 0.34), (-0.2, 0.30), (0.4, 0.38), (1.0, 0.1)],
}
"""Where the hair in front ends, from ear to ear; x in widths of the head."""


def draw_face(ax: Axes, centre: Point, radius: float, identity: int, face: int, shade: Shade) -> None:
    """Draw one face; ``face`` decides expression and tilt."""
    rng, who = np.random.default_rng(face), LOOKS[identity % len(LOOKS)]
    tilt, look_at = float(rng.uniform(-14, 14)), float(rng.uniform(-0.06, 0.06))
    place = Affine2D().scale(radius * 0.92).rotate_deg(tilt).translate(*centre) + ax.transData
    skin, hair, ink, line = shade(who.skin), shade(who.hair), shade(INK), 1.3 * radius

    def add(patch: Patch) -> None:
        patch.set_transform(place)
        ax.add_patch(patch)

    def filled(points: Points) -> None:
        add(Polygon(points, closed=True, facecolor=hair, linewidth=0))

    def stroke(patch: Callable[..., Patch], *where: Any, **how: Any) -> None:  # noqa: ANN401
        add(patch(*where, fill=False, edgecolor=ink, linewidth=line, **how))

    if who.style in ("long", "bob"):
        filled(_bell(who.width + 0.16, -0.95 if who.style == "long" else -0.5))
    if who.style == "bun":
        add(Circle((0, 1.0), 0.3, facecolor=hair, linewidth=0))
    for side in (-1, 1):
        add(
            Circle(
                (side * who.width, -0.05), 0.17, facecolor=[0.85 * part for part in skin], linewidth=0
            )
        )
    add(Ellipse((0, -0.03), 2 * who.width, 1.9, facecolor=skin, linewidth=0))
    if who.beard:
        filled(_beard(who.width))
    if who.style == "curls":
        for turn in np.linspace(-0.25, np.pi + 0.25, 9):
            x, y = who.width * 0.98 * np.cos(turn), 0.12 + 0.74 * np.sin(turn)
            add(Circle((x, y), 0.27, facecolor=hair, linewidth=0))
    elif who.style in FRONTS:
        filled(_cap(who.width, FRONTS[who.style]))
    for side in (-1, 1):
        add(Circle((side * 0.32 + look_at, 0.05), 0.105, facecolor=ink, linewidth=0))
        if who.glasses:
            stroke(Circle, (side * 0.32, 0.05), 0.25)
    if who.glasses:
        stroke(Polygon, [(-0.07, 0.08), (0.07, 0.08)], closed=False)
    mood = int(rng.integers(3))
    if mood == 0:
        half = np.linspace(np.pi, 2 * np.pi, 16)
        mouth = np.stack((0.30 * np.cos(half), -0.36 + 0.28 * np.sin(half)), axis=1)
        add(Polygon(mouth, closed=True, facecolor=shade("#ffffff"), edgecolor=ink, linewidth=line / 2))
        return
    if who.beard:
        add(Ellipse((0, -0.45), 0.62, 0.3, facecolor=skin, linewidth=0))
    if mood == 1:
        stroke(Arc, (0, -0.34), 0.50, 0.36, theta1=200, theta2=340)
    else:
        stroke(Polygon, [(-0.2, -0.46), (0.2, -0.46)], closed=False)


def _cap(width: float, line: list[Point]) -> Points:
    """Outline of hair from ear to ear above a line, whose x is in widths of the head."""
    turn = np.linspace(0, np.pi, 24)
    start = line[0][1]
    top = np.stack((1.05 * width * np.cos(turn), start + (1.06 - start) * np.sin(turn)), axis=1)
    under = np.array([(1.05 * width * x, y) for x, y in line])
    return np.concatenate((top, under))


def _bell(width: float, low: float) -> Points:
    """Outline of long hair behind a head."""
    turn = np.linspace(0, np.pi, 24)
    top = np.stack((width * np.cos(turn), 0.15 + 0.9 * np.sin(turn)), axis=1)
    return np.concatenate((top, [(-width * 1.05, low), (width * 1.05, low)]))


def _beard(width: float) -> Points:
    """Outline of a beard along the jaw."""
    turn = np.linspace(np.pi + 0.25, 2 * np.pi - 0.25, 24)
    outer = np.stack((1.01 * width * np.cos(turn), -0.03 + 0.98 * np.sin(turn)), axis=1)
    inner = np.stack((0.80 * width * np.cos(turn[::-1]), -0.22 + 0.06 * np.sin(turn[::-1])), axis=1)
    return np.concatenate((outer, inner))


if __name__ == "__main__":
    main()
