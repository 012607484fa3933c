#!/usr/bin/env bash
# hnswlib 0.8.0: a saved index does not know its metric, and cosine indexes do not keep the vectors.
#
# One would expect load_index to refuse a file of another space. An index of space 'cosine' loads under 'l2'
# without a word, and queries are then compared raw with the stored vectors, which were scaled to length 1: a
# face is no longer at distance 0 from itself. get_items gives the scaled vectors, so lengths are lost.
#
# Keep the space beside the file, and the embeddings elsewhere.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hnswlib==0.8.0 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import hnswlib
import numpy as np

faces = 3 * np.random.default_rng(0).normal(size=(100, 16)).astype(np.float32)
index = hnswlib.Index("cosine", 16)
index.init_index(len(faces), random_seed=0)
index.add_items(faces, num_threads=1)
index.save_index("faces.bin")
kept = np.asarray(index.get_items(np.arange(len(faces))))
print(f"mean length of the faces {np.linalg.norm(faces, axis=1).mean():.2f}, as kept {np.linalg.norm(kept, axis=1).mean():.2f}")
assert np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-5)

found = {}
for space in ("cosine", "l2"):
    other = hnswlib.Index(space, 16)
    other.load_index("faces.bin")
    found[space] = float(other.knn_query(faces[:1], k=1)[1][0, 0])
    print(f"loaded as {space:6}: face 0 is at distance {found[space]:.2f} from its nearest")
assert found["cosine"] < 1e-5, found
assert found["l2"] > 50, found
PYTHON
