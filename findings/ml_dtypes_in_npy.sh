#!/usr/bin/env bash
# ml_dtypes 0.6.0 with numpy 2.4.6: numpy.save of small floats writes files that do not say what they hold.
#
# bfloat16 is written as '<V2', two bytes of anything, and float8_e4m3fn as '<V1'. numpy.load gives void, also
# when ml_dtypes is imported, and astype(float32) of it is an error. float8_e5m2 is written as '<f1', which
# numpy.load refuses: a file that numpy wrote and numpy cannot read.
#
# A reader has to know the type from elsewhere. nsrfc takes two bytes without a type for bfloat16.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ml_dtypes==0.6.0 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np

faces = np.array([[1.0, -0.5]], np.float32)
seen = {}
for kind in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
    name = np.dtype(kind).name
    np.save("faces.npy", faces.astype(kind))
    with open("faces.npy", "rb") as stream:
        header = stream.read(128)
    stated = header.split(b"'descr': ")[1].split(b",")[0].decode()
    try:
        read = str(np.load("faces.npy").dtype)
    except ValueError as error:
        read = f"ValueError: {error}"
    seen[name] = stated, read
    print(f"{name:14} the file states {stated}, numpy.load gives {read}")

assert seen["bfloat16"] == ("'<V2'", "|V2"), seen
assert seen["float8_e4m3fn"] == ("'<V1'", "|V1"), seen
assert seen["float8_e5m2"][0] == "'<f1'", seen
assert seen["float8_e5m2"][1].startswith("ValueError: descr is not a valid dtype"), seen
np.save("faces.npy", faces.astype(ml_dtypes.bfloat16))
assert np.array_equal(np.load("faces.npy").view(ml_dtypes.bfloat16).astype(np.float32), faces)
PYTHON
