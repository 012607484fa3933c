#!/usr/bin/env bash
# usearch 2.26.6: an index of float32 faces holds bfloat16 by default, where the processor has it fast.
#
# Index(ndim=512) is given float32 and returns float32, but keeps 8 bits of each number: 'the optimal data
# type is selected' by metric and hardware, so that the same code gives other distances and other files on
# another machine. Vectors that are read back differ in the third digit.
#
# Seen on x86-64 with AVX2. Ask for dtype='f32' where results must be the same everywhere.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from usearch.index import Index, ScalarKind

rng = np.random.default_rng(0)
faces = rng.normal(size=(200, 512)).astype(np.float32)
faces /= np.linalg.norm(faces, axis=1, keepdims=True)
error = {}
for dtype in (None, "f32"):
    index = Index(ndim=512, metric="cos", dtype=dtype)
    index.add(np.arange(len(faces)), faces)
    back = np.stack([index.get(row) for row in range(len(faces))])
    error[dtype] = float((np.abs(back - faces) / np.abs(faces)).max())
    print(f"dtype={dtype}: holds {index.dtype.name}, vectors are read back with errors up to {error[dtype]:.1e}")
    if dtype is None:
        assert index.dtype == ScalarKind.BF16, index.dtype
assert error["f32"] == 0, error
assert 1e-3 < error[None] < 1e-2, error
PYTHON
