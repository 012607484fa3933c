#!/usr/bin/env bash
# pandas 3.1.1: to_csv of a column of arrays writes six numbers of an embedding of 1,024, without a warning.
#
# A column of lists is written whole. One of arrays is written as numpy prints them: with eight digits, in
# several lines, and beyond 1,000 numbers with '...' in the place of all but three at each end. Embeddings of
# 512 numbers survive but for their last digits, so that a test with those says nothing of longer ones.
#
# Write lists (series.map(list)), or another format. nsrfc reads the text of numpy and refuses the dots.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==3.1.1 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import pandas as pd

seen = {}
for size in (512, 1024):
    faces = list(np.random.default_rng(0).normal(size=(1, size)).astype(np.float32))
    for kind, column in (("arrays", faces), ("lists", [face.tolist() for face in faces])):
        pd.DataFrame({"embedding": column}).to_csv("faces.csv", index=False)
        text = pd.read_csv("faces.csv")["embedding"][0]
        seen[size, kind] = len(text.strip("[]").replace(",", " ").replace("...", " ").split())
        print(f"{size:5} numbers as {kind}: {seen[size, kind]} are in the file")

assert seen == {(512, "arrays"): 512, (512, "lists"): 512, (1024, "arrays"): 6, (1024, "lists"): 1024}, seen
PYTHON
