"""Write files of embeddings with the libraries that users have, for test_files_of_programs.py.

    python -m venv made && made/bin/pip install -r tests/storage/data/requirements.txt
    made/bin/pip install --no-deps deepface==0.0.103
    made/bin/python tests/storage/data/make.py

All hold the same faces, of which `faces.npy` is what is expected.
"""

from __future__ import annotations

import ast
import csv
import io
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import datasets
import duckdb
import lancedb
import ml_dtypes
import numpy as np
import polars as pl
import pyarrow.parquet as pq
from pgvector import Vector

HERE = Path(__file__).parent
N, D = 6, 16
FACES = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
IDS = [f"{number}.jpg" for number in range(N)]


def of_ml_dtypes() -> None:
    """Write types that numpy does not have."""
    np.save(HERE / "ml_dtypes_bfloat16.npy", FACES.astype(ml_dtypes.bfloat16))
    np.savez(HERE / "ml_dtypes_bfloat16.npz", embedding=FACES.astype(ml_dtypes.bfloat16))
    np.save(HERE / "ml_dtypes_float8_e4m3fn.npy", FACES.astype(ml_dtypes.float8_e4m3fn))
    np.save(HERE / "ml_dtypes_float8_e5m2.npy", FACES.astype(ml_dtypes.float8_e5m2))


def of_duckdb() -> None:
    """Copy a table with a column FLOAT[16] to three kinds of files."""
    database = duckdb.connect()
    database.execute("create table faces(id varchar, embedding float[16])")
    rows = list(zip(IDS, FACES.tolist(), strict=True))
    database.executemany("insert into faces values (?, ?)", rows)
    for suffix in ("parquet", "csv", "json"):
        database.execute(f"copy faces to '{HERE / f'duckdb_float.{suffix}'}'")


def of_polars() -> None:
    """Write a column of arrays, and a column for each number."""
    for kind in (pl.Float16, pl.Float32):
        faces = pl.DataFrame(
            {"id": IDS, "embedding": FACES}, schema_overrides={"embedding": pl.Array(kind, D)}
        )
        faces.write_parquet(HERE / f"polars_{str(kind).lower()}.parquet")
        faces.write_ipc(HERE / f"polars_{str(kind).lower()}.arrow")
    faces.write_ndjson(HERE / "polars.jsonl")
    wide = pl.DataFrame(FACES, schema=[f"f{number}" for number in range(D)])
    wide.insert_column(0, pl.Series("id", IDS)).write_csv(HERE / "polars_wide.csv")


def of_datasets() -> None:
    """Write a dataset of float16 as Parquet, as JSON lines, and as the folder of save_to_disk."""
    features = datasets.Features(
        {"id": datasets.Value("string"), "embedding": datasets.List(datasets.Value("float16"), length=D)}
    )
    faces = datasets.Dataset.from_dict(
        {"id": IDS, "embedding": FACES.astype(np.float16)}, features=features
    )
    faces.to_parquet(HERE / "datasets_float16.parquet")
    faces.to_json(HERE / "datasets_float16.jsonl")
    faces.save_to_disk(HERE / "datasets_float16", num_shards=2)


def of_lancedb(place: str) -> None:
    """Write what tables of LanceDB give as Arrow, of a column `vector` and one of another name."""
    database = lancedb.connect(place)
    for name in ("vector", "face"):
        rows = [{"id": id_, name: row} for id_, row in zip(IDS, FACES.tolist(), strict=True)]
        table = database.create_table(name, rows)
        pq.write_table(table.to_arrow(), HERE / f"lancedb_{name}.parquet")


def of_pgvector() -> None:
    """Write vectors as text, in a file such as Postgres' COPY ... (FORMAT csv, HEADER) makes."""
    with (HERE / "pgvector.csv").open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(["id", "embedding"])
        lines.writerows((id_, Vector(row).to_text()) for id_, row in zip(IDS, FACES, strict=True))


def of_deepface() -> None:
    """Write stores of `DeepFace.find` in its three formats; in the third picture no face was found."""
    # Importing the module needs TensorFlow; what writes the stores needs numpy and pyarrow only.
    found = find_spec("deepface")
    assert found is not None
    assert found.submodule_search_locations is not None
    source = Path(found.submodule_search_locations[0], "modules", "recognition.py")
    needed = re.compile(r"DATASTORE_|__import_pyarrow|__build_arrow_schema|__serialize_")
    parts = [
        part
        for part in ast.parse(source.read_text(encoding="utf-8")).body
        if needed.match(getattr(part, "name", "") or ast.unparse(part))
    ]
    names: dict[str, Any] = {"Any": Any, "cast": cast, "io": io, "np": np}
    # As in this file, types in annotations are not looked up.
    exec(compile(ast.Module(parts, []), str(source), "exec"), names)
    rows = [
        {
            **{"identity": id_, "hash": f"{number:040x}", "embedding": face},
            **{f"target_{side}": 10 * number for side in "xywh"},
        }
        for number, (id_, face) in enumerate(zip(IDS, FACES.astype(np.float64).tolist(), strict=True))
    ]
    rows[2]["embedding"] = None
    (HERE / "deepface.npz").write_bytes(names["__serialize_npz"](rows))
    for kind in ("feather", "parquet"):
        (HERE / f"deepface.{kind}").write_bytes(names["__serialize_arrow"](rows, kind))


if __name__ == "__main__":
    import tempfile

    np.save(HERE / "faces.npy", FACES)
    of_ml_dtypes()
    of_duckdb()
    of_polars()
    of_datasets()
    of_deepface()
    of_pgvector()
    with tempfile.TemporaryDirectory() as folder:
        of_lancedb(folder)
