#!/usr/bin/env bash
# embedding-reader 1.8.1, which reads what clip-retrieval writes: shard 10 comes before shard 2.
#
# Shards are numbered, so one would expect rows in the order of the numbers. They come in the order of the
# names as text: img_emb_0, img_emb_1, img_emb_10, img_emb_11, img_emb_2, ... Row numbers that an index built
# with it returns are those of no other reader, unless the numbers are padded with zeros.
#
# nsrfc reads shards by number. Whoever joins both by row has to order one of them anew.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check embedding-reader==1.8.1 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
from embedding_reader import EmbeddingReader

Path("shards").mkdir()
for number in range(12):
    np.save(f"shards/img_emb_{number}.npy", np.full((2, 4), number, np.float16))
reader = EmbeddingReader(embeddings_folder="shards", file_format="npy")
by_row = []
for rows, meta in reader(batch_size=24, show_progress=False):
    by_row += zip(meta["i"].tolist(), rows[:, 0].astype(int).tolist(), strict=True)
numbers = [number for _, number in sorted(by_row)][::2]
print("shards in the order of their rows:", *numbers)
assert numbers == [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9], numbers
PYTHON
