#!/usr/bin/env bash
# lancedb 0.40.0: the type of a column of embeddings depends on its name.
#
# The same lists become a vector of float32, on which one can search, in a column called vector, embedding or
# face_embedding, and a list of doubles, of twice the size, in one called face, descriptor or vec. A column of
# whole numbers 0 to 255 becomes uint8 under the first names. Neither is said when the table is made.
#
# State a schema, or read the type from the table: nsrfc takes both.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check lancedb==0.40.0 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import lancedb

database = lancedb.connect("faces.lance")
faces = [[0.5, 0.25], [0.125, 1.0]]
seen = {}
for name in ("vector", "embedding", "face_embedding", "face", "descriptor", "vec"):
    table = database.create_table(name, [{name: face} for face in faces])
    seen[name] = str(table.schema.field(name).type)
    print(f"{name:15} {seen[name]}")
whole = database.create_table("whole", [{"vector": [3, 255]}]).schema.field("vector").type
print(f"{'vector, whole':15} {whole}")

for name in ("vector", "embedding", "face_embedding"):
    assert seen[name] == "fixed_size_list<item: float>[2]", seen
for name in ("face", "descriptor", "vec"):
    assert seen[name] == "list<item: double>", seen
assert str(whole) == "fixed_size_list<item: uint8>[2]", whole
PYTHON
