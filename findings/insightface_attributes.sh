#!/usr/bin/env bash
# insightface 2.1: a face has every attribute: what is misspelt, or was not computed, is None.
#
# One would expect an AttributeError of face.normed_embeding. Face answers None, hasattr is always True, and so
# getattr(face, name, default) never gives the default. If the recognition model was not loaded, embedding and
# normed_embedding are None as well, and a list of them becomes an array of objects only later, elsewhere.
#
# Ask for 'embedding' in face, which is a dict.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps insightface==2.1 numpy==2.4.6 2>/dev/null
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
import sysconfig

import numpy as np

path = sysconfig.get_path("purelib") + "/insightface/app/common.py"
spec = importlib.util.spec_from_file_location("common", path)
common = importlib.util.module_from_spec(spec)
spec.loader.exec_module(common)

face = common.Face(det_score=0.9)
for name in ("embedding", "normed_embedding", "normed_embeding", "no_such_thing"):
    print(f"face.{name:17} {getattr(face, name, 'default')}   hasattr {hasattr(face, name)}   in face {name in face}")
    assert getattr(face, name, "default") is None
    assert hasattr(face, name)
    assert name not in face
found = np.array([each.embedding for each in (face, common.Face(embedding=np.ones(4, np.float32)))], dtype=object)
print("two faces, one of them without an embedding:", found.dtype, found.shape)
PYTHON
