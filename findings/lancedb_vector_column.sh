#!/usr/bin/env bash
# lancedb 0.40.0: a column of embeddings is float32 of fixed size if it is called "vector", "embedding" or
# "face_vector", and float64 of any length if it is called "face" or "descriptor".
#
# The type of a column follows from its data elsewhere, so one would expect the same lists of floats to become
# the same column under any name. Here the name decides: "vector" becomes fixed_size_list<float>[4], "face"
# list<double>.
#
# Tables may so hold the same embeddings in two types, one twice as large: whoever reads them must take both,
# and cannot rely on the schema for the length of a row.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lancedb==0.40.0 2>/dev/null

"$folder/venv/bin/python" - "$folder/lance" <<'PYTHON'
import sys

import lancedb

database = lancedb.connect(sys.argv[1])
seen = {}
for name in ("vector", "embedding", "face_vector", "face", "descriptor"):
    rows = [{"id": row, name: [float(row), 1.0, 2.0, 3.0]} for row in range(3)]
    kind = database.create_table(name, rows).to_arrow().schema.field(name).type
    seen[name] = (str(kind.value_type), getattr(kind, "list_size", None))
    print(f"{name:12} {kind}")
fixed, loose = ("float", 4), ("double", None)
assert [seen[name] for name in ("vector", "embedding", "face_vector")] == [fixed] * 3, seen
assert [seen[name] for name in ("face", "descriptor")] == [loose] * 2, seen
PYTHON
