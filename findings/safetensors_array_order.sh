#!/usr/bin/env bash
# safetensors 0.8.0: save_file of a numpy array that is not in C order writes other embeddings, without a word.
#
# numpy.save keeps such arrays, safetensors.torch refuses them, and safetensors 0.7.0 wrote them as they are.
# 0.8.0 writes the numbers as they lie in memory under the shape of the array: from a Fortran array, which
# scikit-learn's PCA and a transpose give, every row becomes a mixture of numbers of many faces. The docstring
# asks for contiguous arrays, and a Fortran array is one. Reported as safetensors/safetensors#825.
#
# Nothing in the file tells. Whoever writes embeddings calls numpy.ascontiguousarray first.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load_file, save_file

faces = np.arange(6, dtype=np.float32).reshape(3, 2)
for name, array in (("C", faces), ("Fortran", np.asfortranarray(faces)), ("every 2nd", np.repeat(faces, 2, 1)[:, ::2])):
    assert np.array_equal(array, faces)
    save_file({"embedding": array}, "faces.safetensors")
    found = load_file("faces.safetensors")["embedding"]
    print(f"{name:9} {array.tolist()} is read as {found.tolist()}")
    assert np.array_equal(found, faces) == (name == "C"), name
assert load_file("faces.safetensors")["embedding"].shape == faces.shape
PYTHON
