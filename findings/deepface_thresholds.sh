#!/usr/bin/env bash
# deepface 0.0.103: the thresholds of one model for its four measures do not describe one decision.
#
# "cosine", "euclidean_l2" and "angular" are functions of the same cosine of two embeddings, so one would
# expect their pre-tuned thresholds to be the same cosine. For Facenet512 they are 0.70, 0.46 and 0.45:
# a pair with a cosine of 0.6 is "not verified" by the default measure and "verified" by the other two.
#
# Whoever takes a threshold from there must take its measure with it, and cannot convert it.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps deepface==0.0.103 2>/dev/null

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
import math
import sysconfig

path = sysconfig.get_path("purelib") + "/deepface/config/threshold.py"
spec = importlib.util.spec_from_file_location("threshold", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

as_cosine = {
    "cosine": lambda distance: 1 - distance,
    "euclidean_l2": lambda distance: 1 - distance**2 / 2,
    "angular": lambda distance: math.cos(math.pi * distance),
}
print("threshold as a cosine  " + "  ".join(as_cosine))
found = {}
for model, thresholds in module.thresholds.items():
    found[model] = [round(of(thresholds[measure]), 2) for measure, of in as_cosine.items()]
    print(f"{model:21}", "  ".join(f"{value:>{len(name)}}" for name, value in zip(as_cosine, found[model])))

assert found["Facenet512"] == [0.70, 0.46, 0.45], found["Facenet512"]
assert found["Facenet"] == [0.60, 0.68, 0.51], found["Facenet"]
assert found["SFace"] == [0.41, 0.44, 0.43], found["SFace"]
PYTHON
