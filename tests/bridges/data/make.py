"""Make the files in this folder, each by the program that users have it from.

    python3 -m venv made
    made/bin/pip install lancedb==0.40.0 datasets==5.2.0 pgvector==0.5.1 fiftyone==1.22.1
    made/bin/pip install pillow-heif==1.8.1
    made/bin/pip install --no-deps deepface==0.0.103 insightface==2.1
    made/bin/python tests/bridges/data/make.py

Ten faces of 8 numbers, row r is r + 1, r + 2, ...; the third has none where a program has such rows.
"""

from __future__ import annotations

import ast
import importlib
import io
import json
import shutil
import sys
import sysconfig
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
X = (np.arange(10)[:, None] + np.arange(8) + 1).astype(np.float32)


def deepface() -> None:
    """The store of ``DeepFace.find`` and the SQLite file of ``register``, without their networks."""
    faces = [
        {
            "identity": f"pictures/{row}.jpg",
            "hash": f"hash{row}",
            "embedding": None if row == 2 else X[row].astype(float).tolist(),
            "target_x": 10,
            "target_y": 20,
            "target_w": 30,
            "target_h": 40,
        }
        for row in range(10)
    ]
    data = _function("deepface/modules/recognition.py", "__serialize_npz")(faces)
    (HERE / "deepface_0.0.103.npz").write_bytes(data)
    path = HERE / "deepface_0.0.103.db"
    path.unlink(missing_ok=True)
    client = _module("deepface.modules.database.sqlite").SqliteClient(str(path))
    client.insert_embeddings(
        [
            {
                "img_name": f"pictures/{row}.jpg",
                "face": np.full((2, 2, 3), row / 10),
                "model_name": "Facenet512",
                "detector_backend": "opencv",
                "embedding": X[row].astype(float).tolist(),
                "aligned": True,
                "l2_normalized": False,
            }
            for row in range(10)
        ]
    )
    client.close()


def insightface() -> None:
    """The file of the GUI, by the class that keeps it."""
    path = HERE / "insightface_2.1.db"
    path.unlink(missing_ok=True)
    storage = _module("insightface.gui.core.storage").Storage(path)
    anna = storage.add_person("anna", "Anna")
    photo = storage.add_media_item("/pictures/a.jpg", "image", width=200, height=100)
    video = storage.add_media_item("/pictures/b.mp4", "video", width=200, height=100)
    for row in range(10):
        storage.add_media_face(
            photo if row < 3 else video,
            None if row == 2 else X[row],
            bbox=(20, 10, 60, 50),
            frame_index=None if row < 3 else row,
            assigned_person_id=anna if row in (0, 4) else None,
            predicted_person_id=anna,
            model_name="buffalo_l",
        )


def arrow() -> None:
    """Tables that LanceDB and datasets hand over."""
    import datasets
    import lancedb
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        for name, file in (("vector", "lancedb_0.40.0.arrow"), ("face", "lancedb_0.40.0_face.arrow")):
            rows = [
                {
                    "id": f"f{row}",
                    name: X[row].tolist(),
                    "image_path": f"{row}.jpg",
                    "person": "Anna" if row < 2 else None,
                }
                for row in range(10)
            ]
            table = lancedb.connect(folder).create_table(name, rows).to_arrow()
            with (
                pa.OSFile(str(HERE / file), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                writer.write_table(table)
        features = datasets.Features(
            {
                "id": datasets.Value("int64"),
                "embedding": datasets.List(datasets.Value("float16"), length=8),
                "path": datasets.Value("string"),
            }
        )
        values = {
            "id": list(range(10)),
            "embedding": X.astype(np.float16).tolist(),
            "path": [f"{row}.jpg" for row in range(10)],
        }
        datasets.Dataset.from_dict(values, features).save_to_disk(f"{folder}/saved", num_shards=2)
        shutil.rmtree(HERE / "datasets_5.2.0", ignore_errors=True)
        shutil.copytree(f"{folder}/saved", HERE / "datasets_5.2.0")


def pgvector() -> None:
    """Vectors as text and in binary, as the type of pgvector sends them."""
    from pgvector import Vector

    both = [{"text": Vector(row).to_text(), "binary": Vector(row).to_binary().hex()} for row in X]
    (HERE / "pgvector_0.5.1.json").write_text(json.dumps(both, indent=0) + "\n", encoding="utf-8")


def fiftyone() -> None:
    """Samples as an export as FiftyOneDataset holds them; it would need a MongoDB to be exported."""
    import fiftyone as fo

    faces = [
        fo.Detection(
            label="Anna" if row < 2 else None,
            bounding_box=[0.1, 0.2, 0.3, 0.4],
            **({} if row == 2 else {"embedding": X[row]}),
        )
        for row in range(10)
    ]
    samples = [
        fo.Sample(
            filepath=f"/pictures/{start}.jpg", faces=fo.Detections(detections=faces[start::2])
        ).to_dict()
        for start in range(2)
    ]
    text = json.dumps({"samples": samples}, indent=0)
    (HERE / "fiftyone_1.22.1.json").write_text(f"{text}\n", encoding="utf-8")


def heic() -> None:
    """A picture that was held upright: red from (4, 4) to (20, 12) of 64 x 32, as it is stored."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    picture = Image.new("RGB", (64, 32), "white")
    picture.paste((255, 0, 0), (4, 4, 20, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(HERE / "upright_1.8.1.heic", exif=exif.tobytes(), quality=90)


def _function(path: str, name: str) -> Callable[[object], bytes]:
    """Return one function of a module that imports TensorFlow, with the module's constants."""
    tree = ast.parse((Path(sysconfig.get_path("purelib")) / path).read_text(encoding="utf-8"))
    kept: list[ast.stmt] = [
        each
        for each in tree.body
        if isinstance(each, ast.Assign) or (isinstance(each, ast.FunctionDef) and each.name == name)
    ]
    names: dict[str, Any] = {"np": np, "io": io, "Logger": object}
    exec("from typing import *; from numpy.typing import NDArray", names)
    exec(compile(ast.Module(kept, []), path, "exec"), names)
    made: Callable[[object], bytes] = names[name]
    return made


def _module(name: str) -> types.ModuleType:
    """Import one module of a package that loads networks when it is imported whole."""
    top = name.partition(".")[0]
    package = types.ModuleType(top)
    package.__path__ = [str(Path(sysconfig.get_path("purelib"), top))]
    package.__dict__["__version__"] = ""
    sys.modules[top] = package
    return importlib.import_module(name)


if __name__ == "__main__":
    for make in (deepface, insightface, arrow, pgvector, fiftyone, heic):
        make()
