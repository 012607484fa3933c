"""Quality of faces: what the numbers mean, and which faces are left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from nsrfc.photos.alignment import TEMPLATE, aligned_crops, similarity_transforms
from nsrfc.photos.quality import HEAD, Limits, head_pose, sharpness


def turned(yaw: float, pitch: float, roll: float) -> npt.NDArray[np.float64]:
    """Axes of a camera that sees a head turned by some angles in degrees, as rows."""
    y, p, r = np.radians((yaw, pitch, roll))
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


@given(st.floats(-70, 70), st.floats(0.2, 50), st.floats(-500, 500))
def test_a_head_turned_to_the_side_is_seen_so(yaw: float, scale: float, off: float) -> None:
    points = scale * (HEAD @ turned(yaw, 0, 0)[:2].T) + off
    found = head_pose(points[None].astype(np.float32))[0]

    np.testing.assert_allclose(found, (yaw, 0, 0), atol=0.5)


@given(st.floats(-60, 60))
def test_a_head_that_nods_is_seen_so(pitch: float) -> None:
    points = HEAD @ turned(0, pitch, 0)[:2].T
    np.testing.assert_allclose(head_pose(points[None].astype(np.float32))[0], (0, pitch, 0), atol=0.01)


@given(st.floats(-170, 170))
def test_a_head_that_tilts_is_seen_so(roll: float) -> None:
    points = HEAD @ turned(0, 0, roll)[:2].T
    np.testing.assert_allclose(head_pose(points[None].astype(np.float32))[0], (0, 0, roll), atol=0.01)


def test_points_that_are_one_have_a_finite_pose() -> None:
    assert np.isfinite(head_pose(np.zeros((2, 5, 2), np.float32))).all()
    assert head_pose(np.empty((0, 5, 2), np.float32)).shape == (0, 3)


@given(st.floats(0.1, 10), st.floats(-180, 180), st.floats(-300, 300), st.floats(-300, 300))
def test_points_are_brought_to_the_template(scale: float, angle: float, x: float, y: float) -> None:
    turn = np.radians(angle)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (TEMPLATE @ matrix.T + (x, y)).astype(np.float32)
    found = similarity_transforms(points[None], TEMPLATE)[0]

    np.testing.assert_allclose(points @ found[:, :2].T + found[:, 2], TEMPLATE, atol=0.01)


def test_a_face_on_the_template_is_cut_out_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (140, 150, 3), dtype=np.uint8)
    points = (TEMPLATE + np.array((20, 10))).astype(np.float32)
    crop = aligned_crops(picture, points[None])[0]

    assert np.abs(crop.astype(int) - picture[10:122, 20:132]).max() <= 1
    assert not aligned_crops(picture, np.zeros((1, 5, 2), np.float32)).any()


def test_a_blurred_face_is_less_sharp() -> None:
    face = Image.effect_noise((112, 112), 80).convert("RGB")
    values = [sharpness(np.asarray(face.filter(ImageFilter.GaussianBlur(r)))) for r in (0, 1, 2, 4)]

    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.05 * values[0]
    assert sharpness(np.full((112, 112, 3), 7, np.uint8)) == 0


GOOD = {"size": 32.0, "sharpness": 10.0, "yaw": 75.0, "score": 0.1, "pitch": 0.0, "roll": 0.0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"size": 31.4}, "small: 31 pixels, fewer than 32"),
        ({"sharpness": 9.9}, "blurred: sharpness 9.9, below 10"),
        ({"yaw": -80.0}, "turned away: 80 degrees, more than 75"),
        (
            {"size": 20.0, "yaw": 76.0},
            "small: 20 pixels, fewer than 32; turned away: 76 degrees, more than 75",
        ),
    ],
)
def test_a_face_is_left_out_with_a_reason(change: dict[str, float], reason: str | None) -> None:
    assert Limits().reason({**GOOD, **change}) == reason


def test_a_score_counts_only_if_asked_for() -> None:
    assert Limits().reason(GOOD) is None
    assert Limits(score=0.5).reason(GOOD) == "unsure: score 0.10, below 0.5"
