"""Small networks with the signatures of real ones: random, or such that they find drawn faces."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

onnx = pytest.importorskip("onnx", reason="networks for the tests are made with onnx")
pytest.importorskip("onnxruntime", reason="the extra photos is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

__all__ = [
    "MARK",
    "drawn_embedder",
    "drawn_yunet",
    "random_embedder",
    "random_scrfd",
    "random_yunet",
    "registry",
]

MARK = (255, 0, 255)
"""Colour of the square of 32 pixels that `drawn_yunet` takes for the nose of a face."""

SIDE = 640
Array = npt.NDArray[np.float32]


class _Graph:
    """A network that is put together node by node."""

    def __init__(self, side: int) -> None:
        self._input = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:  # noqa: ANN401
        name = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def grid(self, weights: Array, bias: Array, stride: int, width: int) -> str:
        """Return `width` numbers for each anchor on a grid: (1, anchors, width)."""
        inputs = ("input", self.constant(weights), self.constant(bias))
        values = self.node("Conv", inputs, kernel_shape=[stride] * 2, strides=[stride] * 2)
        last = self.node("Transpose", [values], perm=[0, 2, 3, 1])
        return self.node("Reshape", [last, self.constant(np.array([1, -1, width]))])

    def output(self, name: str, value: str, shape: Sequence[int]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def save(self, path: Path) -> Path:
        graph = helper.make_graph(self._nodes, "test", [self._input], self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())
        return path


def _yunet(path: Path, weights: Mapping[str, tuple[Array, Array]]) -> Path:
    graph = _Graph(SIDE)
    for stride in (8, 16, 32):
        count = (SIDE // stride) ** 2
        for part, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            value = graph.grid(*weights[f"{part}_{stride}"], stride, width)
            if width == 1:
                value = graph.node("Sigmoid", [value])
            graph.output(f"{part}_{stride}", value, (1, count, width))
    return graph.save(path)


def random_yunet(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    weights = {}
    for stride in (8, 16, 32):
        for part, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            shape = (width, 3, stride, stride)
            spread = {"cls": 0.03, "obj": 0.004}.get(part, 0.002)
            weight = rng.normal(0, spread / stride, shape).astype(np.float32)
            # Boxes of about 1.6 strides, as those of faces never are empty.
            bias = rng.normal(0.5, 0.1, width).astype(np.float32)
            weights[f"{part}_{stride}"] = weight, bias
    return _yunet(path, weights)


def drawn_yunet(path: Path) -> Path:
    """Find a face of 96 pixels around each marked square of 32 pixels on the grid."""
    weights: dict[str, tuple[Array, Array]] = {}
    # Eyes, nose and mouth about the middle of the square, in strides of 32 pixels from its corner.
    points = np.array([(-0.1, -0.1), (1.1, -0.1), (0.5, 0.5), (0.05, 1.1), (0.95, 1.1)], np.float32)
    fixed = {
        "bbox": np.array([0.5, 0.5, np.log(3), np.log(3)], np.float32),
        "kps": points.reshape(-1),
        "obj": np.array([9], np.float32),
    }
    for stride in (8, 16, 32):
        for part, bias in fixed.items():
            weights[f"{part}_{stride}"] = np.zeros((len(bias), 3, stride, stride), np.float32), bias
        marked = np.zeros((1, 3, stride, stride), np.float32)
        if stride == 32:  # the input is BGR
            marked[:] = np.array([1, -2, 1], np.float32)[:, None, None] / stride**2
        weights[f"cls_{stride}"] = np.asarray(marked / 10, np.float32), np.array([-40], np.float32)
    return _yunet(path, weights)


def random_scrfd(path: Path, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    graph, outputs = _Graph(SIDE), []
    for part, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        for stride in (8, 16, 32):
            weight = rng.normal(0, (3 if width == 1 else 1) / stride, (2 * width, 3, stride, stride))
            bias = rng.normal(2 if width == 4 else -1.5, 0.5, 2 * width)
            value = graph.grid(weight.astype(np.float32), bias.astype(np.float32), stride, width)
            value = graph.node("Reshape", [value, graph.constant(np.array([-1, width]))])
            value = graph.node({1: "Sigmoid", 4: "Relu", 10: "Identity"}[width], [value])
            outputs.append((f"{part}_{stride}", value, (2 * (SIDE // stride) ** 2, width)))
    for each in outputs:
        graph.output(*each)
    return graph.save(path)


def _embedder(path: Path, weight: Array, bias: Array) -> Path:
    graph = _Graph(112)
    kernel = weight.shape[2]
    inputs = ("input", graph.constant(weight), graph.constant(bias))
    values = graph.node("Conv", inputs, kernel_shape=[kernel] * 2, strides=[kernel] * 2)
    pooled = graph.node("GlobalAveragePool", [graph.node("Tanh", [values])])
    graph.output("embedding", graph.node("Flatten", [pooled]), (1, len(weight)))
    return graph.save(path)


def random_embedder(path: Path, dimension: int, *, spread: float, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, spread, (dimension, 3, 16, 16)).astype(np.float32)
    return _embedder(path, weight, rng.normal(0, 0.5, dimension).astype(np.float32))


def drawn_embedder(path: Path, dimension: int = 64) -> Path:
    """Tell faces by their colour, as raw RGB of 0 to 255, about the grey of 127."""
    color = np.random.default_rng(1).normal(0, 1 / 30, (dimension, 3))
    weight = np.broadcast_to(color[:, :, None, None] / 256, (dimension, 3, 16, 16))
    return _embedder(path, np.array(weight, np.float32), (-127 * color.sum(axis=1)).astype(np.float32))


_ENTRY = """[[weights]]
name = "drawn-{part}"
title = "for drawn faces"
part = "{part}"
{more}
licence = "none"
free = true
source = "these tests"
[[weights.files]]
names = ["{path.name}"]
sha256 = "{sha256}"
"""

_FINDS = 'kind = "yunet"\ncontract = { size = 640, channels = "BGR", score = 0.6, outputs = ["kps_32"] }'
_EMBEDS = 'kind = "aligned"\ndimension = 64\ncontract = { size = 112 }'


def registry(folder: Path) -> Path:
    """Write a folder of weights whose registry knows a detector and an embedder for drawn faces."""
    folder.mkdir(exist_ok=True)
    finds, embeds = drawn_yunet(folder / "finds.onnx"), drawn_embedder(folder / "embeds.onnx")
    text = ""
    for part, path, more in (("detector", finds, _FINDS), ("embedder", embeds, _EMBEDS)):
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        text += _ENTRY.format(part=part, path=path, more=more, sha256=sha256)
    (folder / "models.toml").write_text(text, encoding="utf-8")
    return folder
