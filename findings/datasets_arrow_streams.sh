#!/usr/bin/env bash
# datasets 5.2.0: .arrow files of Dataset.save_to_disk are streams, which readers of Arrow files refuse.
#
# Arrow has two formats, and .arrow is the suffix that it registers for files (streams are .arrows), so one
# would expect pyarrow.feather or pyarrow.ipc.open_file (26.0.1) to read what save_to_disk wrote. Both refuse
# it: "Not an Arrow file". Only pyarrow.ipc.open_stream reads it.
#
# A reader of embeddings "in Arrow" must try both, and cannot tell by the suffix.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check datasets==5.2.0 pyarrow==26.0.1 2>/dev/null

"$folder/venv/bin/python" - "$folder/saved" 2>/dev/null <<'PYTHON'
import sys
from pathlib import Path

import datasets
import pyarrow as pa
from pyarrow import feather

saved = Path(sys.argv[1])
features = datasets.Features({"embedding": datasets.List(datasets.Value("float32"), length=4)})
datasets.Dataset.from_dict({"embedding": [[1.0, 2.0, 3.0, 4.0]] * 3}, features).save_to_disk(saved)
(path,) = saved.glob("*.arrow")


def said(read):
    try:
        return f"{read(path).num_rows} rows"
    except pa.ArrowInvalid as error:
        return str(error)


seen = {
    "feather.read_table": said(feather.read_table),
    "ipc.open_file": said(lambda place: pa.ipc.open_file(place).read_all()),
    "ipc.open_stream": said(lambda place: pa.ipc.open_stream(pa.memory_map(str(place))).read_all()),
}
for name, result in seen.items():
    print(f"{path.name}  {name:19} {result}")
assert seen["feather.read_table"].startswith("Not ")
assert seen["ipc.open_file"] == "Not an Arrow file"
assert seen["ipc.open_stream"] == "3 rows"
PYTHON
