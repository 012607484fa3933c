"""The same numbers as the code that the networks come from, on random networks of the same signature."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

cv2 = pytest.importorskip("cv2", reason="OpenCV, the reference of YuNet and SFace, is not installed")

from nsrfc.photos.alignment import TEMPLATE, aligned_crops, similarity_transforms  # noqa: E402
from nsrfc.photos.embedders import AlignedEmbedder  # noqa: E402
from nsrfc.photos.onnx import Network, as_input, fitted  # noqa: E402
from nsrfc.photos.registry import Registry, Weights  # noqa: E402
from nsrfc.photos.scrfd import Scrfd  # noqa: E402
from nsrfc.photos.yunet import YuNet  # noqa: E402
from tests.photos.networks import random_embedder, random_scrfd, random_yunet  # noqa: E402

Picture = npt.NDArray[np.uint8]


def known(name: str, part: str) -> Weights:
    return Registry.of(None).named(name, part)


@pytest.fixture(scope="module")
def picture() -> Picture:
    coarse = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (640, 640)), np.uint8)


def bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[..., ::-1])


def points_of_a_face() -> npt.NDArray[np.float32]:
    """A face of 180 pixels, turned and moved, and points a little off."""
    rng = np.random.default_rng(3)
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    points = (TEMPLATE - 56) @ (1.6 * turn).T + (300.3, 260.7) + rng.normal(0, 1, (5, 2))
    return np.asarray(points, np.float32)


def rows_in_order(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Scores that are equal but for rounding have no order of their own.
    return rows[np.lexsort(np.round(rows[:, :2]).T)]


@pytest.mark.parametrize("shape", [(640, 640), (480, 640), (601, 333)])
def test_yunet_finds_what_opencv_finds(picture: Picture, shape: tuple[int, int], tmp_path: Path) -> None:
    path, contract = random_yunet(tmp_path / "yunet.onnx"), known("yunet-2023mar", "detector").contract
    part = np.ascontiguousarray(picture[: shape[0], : shape[1]])
    # OpenCV pads to the next 32; the network takes 640, so the rest is given to it in black.
    square = fitted(part, 640, enlarge=False)[0]
    reference = cv2.FaceDetectorYN.create(
        str(path), "", (640, 640), contract.score, contract.overlap, 5000
    )
    expected = rows_in_order(reference.detect(bgr(square))[1])
    found = YuNet("yunet", path, contract).detect(part)
    rows = np.concatenate((found.boxes, found.points.reshape(-1, 10), found.scores[:, None]), axis=1)

    assert len(expected) > 100
    np.testing.assert_allclose(rows_in_order(rows), expected, atol=2e-3)


def test_yunet_takes_bgr_as_it_is(picture: Picture) -> None:
    ours = as_input(picture[None], known("yunet-2023mar", "detector").contract)
    np.testing.assert_array_equal(ours, cv2.dnn.blobFromImage(bgr(picture)))


@pytest.fixture
def reference_scrfd(insightface: Path, monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    for name in ("insightface", "insightface.model_zoo"):
        module = types.ModuleType(name)
        module.__path__ = [str(insightface.joinpath(*name.split(".")[1:]))]
        monkeypatch.setitem(sys.modules, name, module)
    found: type[Any] = importlib.import_module("insightface.model_zoo.scrfd").SCRFD
    return found


@pytest.mark.parametrize("shape", [(640, 640), (480, 640), (640, 333)])
def test_scrfd_finds_what_insightface_finds(
    picture: Picture, shape: tuple[int, int], reference_scrfd: type[Any], tmp_path: Path
) -> None:
    path, contract = random_scrfd(tmp_path / "scrfd.onnx"), known("scrfd-10g", "detector").contract
    part = np.ascontiguousarray(picture[: shape[0], : shape[1]])
    reference = reference_scrfd(str(path))
    reference.prepare(-1, det_thresh=contract.score, nms_thresh=contract.overlap, input_size=(640, 640))
    boxes, points = reference.detect(bgr(part), input_size=(640, 640))
    found = Scrfd("scrfd", path, contract).detect(part)

    assert len(boxes) > 100
    np.testing.assert_allclose(found.boxes[:, :2], boxes[:, :2], atol=1e-3)
    np.testing.assert_allclose(found.boxes[:, :2] + found.boxes[:, 2:], boxes[:, 2:4], atol=1e-3)
    np.testing.assert_allclose(found.scores, boxes[:, 4], atol=1e-6)
    np.testing.assert_allclose(found.points, points, atol=1e-3)


@pytest.mark.parametrize("name", ["scrfd-500m", "scrfd-10g"])
def test_scrfd_takes_rgb_of_127_5_over_128(picture: Picture, name: str) -> None:
    expected = cv2.dnn.blobFromImage(bgr(picture), 1 / 128, (640, 640), (127.5,) * 3, swapRB=True)
    np.testing.assert_allclose(
        as_input(picture[None], known(name, "detector").contract), expected, atol=1e-6
    )


def test_scrfd_decodes_one_anchor_as_it_is_defined(tmp_path: Path) -> None:
    path, contract = (
        random_scrfd(tmp_path / "scrfd.onnx", seed=5),
        known("scrfd-10g", "detector").contract,
    )
    picture = np.random.default_rng(1).integers(0, 256, (640, 640, 3), dtype=np.uint8)
    outputs = list(Network(path, contract)(as_input(picture[None], contract)).values())
    found = Scrfd("scrfd", path, contract).detect(picture)
    stride, width = max(
        ((stride, 640 // stride) for stride in (8, 16, 32)),
        key=lambda level: float(outputs[(8, 16, 32).index(level[0])].max()),
    )
    level = (8, 16, 32).index(stride)
    best = int(outputs[level].argmax())
    x, y = best // 2 % width * stride, best // 2 // width * stride
    left, top, right, bottom = outputs[3 + level][best] * stride

    assert found.scores[0] == outputs[level].max()
    np.testing.assert_allclose(
        found.boxes[0], (x - left, y - top, left + right, top + bottom), rtol=1e-4
    )


def test_a_crop_is_that_of_opencv(picture: Picture) -> None:
    points = points_of_a_face()
    matrix = similarity_transforms(points[None], TEMPLATE)[0]
    expected = cv2.warpAffine(bgr(picture), matrix, (112, 112))[..., ::-1].astype(float)
    crop = aligned_crops(picture, points[None])[0].astype(float)
    off = np.abs(crop - expected)

    assert off.mean() < 0.6
    assert off.max() <= 8


def test_sface_gives_what_opencv_gives(picture: Picture, tmp_path: Path) -> None:
    path = random_embedder(tmp_path / "sface.onnx", 128, spread=0.0004)
    points = points_of_a_face()
    face = np.concatenate((np.zeros(4, np.float32), points.reshape(-1), np.ones(1, np.float32)))[None]
    reference = cv2.FaceRecognizerSF.create(str(path), "")
    aligned = reference.alignCrop(bgr(picture), face)
    expected = reference.feature(aligned)
    embedder = AlignedEmbedder(known("sface", "embedder"), path)
    ours = embedder.crops(picture, np.zeros((1, 4), np.float32), points[None])

    assert np.abs(ours[0].astype(float) - aligned[..., ::-1]).mean() < 0.6
    np.testing.assert_allclose(embedder.embed(bgr(aligned)[None]), expected, atol=1e-5)
    np.testing.assert_allclose(embedder.embed(ours), expected, atol=0.02)


@pytest.mark.parametrize(
    ("name", "swap", "mean", "scale"),
    [
        ("sface", True, 0, 1),
        ("arcface-r50", True, 127.5, 127.5),
        ("arcface-mbf", True, 127.5, 127.5),
        ("arcface-r100", True, 127.5, 127.5),
        ("auraface", True, 127.5, 127.5),
        ("adaface-ir18", False, 127.5, 127.5),
        ("adaface-ir101", False, 127.5, 127.5),
        ("edgeface-s", True, 127.5, 127.5),
    ],
)
def test_input_is_the_blob_of_the_reference(name: str, swap: bool, mean: float, scale: float) -> None:
    # SFace: FaceRecognizerSF of OpenCV. ArcFace: ArcFaceONNX of InsightFace. AdaFace, EdgeFace: uniface.
    crop = np.random.default_rng(2).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    expected = cv2.dnn.blobFromImage(bgr(crop), 1 / scale, (112, 112), (mean,) * 3, swapRB=swap)
    ours = as_input(crop[None], known(name, "embedder").contract)

    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_a_vector_does_not_depend_on_the_others(tmp_path: Path) -> None:
    path = random_embedder(tmp_path / "sface.onnx", 128, spread=0.0004)
    embedder = AlignedEmbedder(known("sface", "embedder"), path)
    crops = np.random.default_rng(2).integers(0, 256, (5, 112, 112, 3), dtype=np.uint8)

    np.testing.assert_array_equal(embedder.embed(crops)[3:4], embedder.embed(crops[3:4]))
    assert embedder.embed(crops[:0]).shape == (0, 128)
