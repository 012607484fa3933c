#!/usr/bin/env bash
# uniface 4.2.1 and insightface 2.1: the same SCRFD weights are given different input.
#
# uniface's registry names the files of InsightFace's det_500m.onnx and det_10g.onnx, by their SHA-256, so
# one would expect one preprocessing. InsightFace swaps the channels of a BGR picture to RGB and divides by
# 128; uniface leaves the channels as they are and divides by 127.5. Neither can be read from the network,
# and both find faces, so nothing fails: scores and boxes differ.
#
# Whoever states a contract for weights must take it from those who trained them, and say which it is.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 \
    requests==2.34.2 tqdm==4.70.1 scikit-image==0.26.0 2>/dev/null
"${pip[@]}" install --no-deps insightface==2.1 uniface==4.2.1 2>/dev/null

"$folder/venv/bin/python" - "$folder/scrfd.onnx" <<'PYTHON'
import importlib
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

path, installed = sys.argv[1], Path(sysconfig.get_path("purelib"))


def alone(package, *more):
    """Import a part of a package without all that the package imports."""
    for name in (package, *(f"{package}.{part}" for part in more)):
        module = types.ModuleType(name)
        module.__path__ = [str(installed.joinpath(*name.split(".")))]
        sys.modules[name] = module


alone("insightface", "model_zoo")
alone("uniface", "detection")
scrfd = importlib.import_module("insightface.model_zoo.scrfd")
uniface = importlib.import_module("uniface.detection.scrfd")
constants = importlib.import_module("uniface.constants")

# A network with the nine outputs of SCRFD; what it computes does not matter here.
graph = helper.make_graph(
    [helper.make_node("Identity", ["zero"], [f"out{number}"]) for number in range(9)],
    "scrfd",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])],
    [helper.make_tensor_value_info(f"out{number}", TensorProto.FLOAT, [1, 1]) for number in range(9)],
    [numpy_helper.from_array(np.zeros((1, 1), np.float32), "zero")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
Path(path).write_bytes(model.SerializeToString())

blue = np.zeros((640, 640, 3), np.uint8)
blue[..., 0] = 255  # both take BGR, as OpenCV reads it
theirs = scrfd.SCRFD(path)._prepare_input_blob(blue, (640, 640))[0, :, 0, 0]
others = uniface.SCRFD.preprocess(None, blue)[0, :, 0, 0]
print("a blue pixel enters the network as")
print("  insightface", theirs)
print("  uniface    ", others)
for weights in (constants.SCRFDWeights.SCRFD_10G_KPS, constants.SCRFDWeights.SCRFD_500M_KPS):
    print(" ", weights.value, constants.MODEL_REGISTRY[weights].sha256)

assert np.allclose(theirs, [-127.5 / 128, -127.5 / 128, 127.5 / 128]), theirs
assert np.allclose(others, [1, -1, -1]), others
known = constants.MODEL_REGISTRY[constants.SCRFDWeights.SCRFD_10G_KPS].sha256
assert known == "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91", known
PYTHON
