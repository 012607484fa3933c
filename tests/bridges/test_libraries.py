"""Files that other libraries wrote, at the versions in their names, and such like.

They are made by data/make.py. Row r of ten is r + 1, r + 2, ...; 8 numbers.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ..commands import refused, run, run_json
from .drawn import people, stored, vectors

DATA = Path(__file__).parent / "data"
X = (np.arange(10)[:, None] + np.arange(8) + 1).astype(np.float32)


def rows_of(folder: Path) -> list[int]:
    """Rows of the faces in a library, by their embeddings."""
    found = [face["embedding"] for face in stored(folder).values()]
    rows = [int(vector[0]) - 1 for vector in found]
    np.testing.assert_array_equal(found, X[rows])
    return rows


def test_deepface_store(tmp_path: Path) -> None:
    """Pictures without a face are rows of zeros in it, which are no face."""
    family, source = tmp_path / "family", DATA / "deepface_0.0.103.npz"
    done = run_json("import", family, "deepface", source)
    assert (done["added"], done["skipped"]) == (9, {"without an embedding": 1})
    assert rows_of(family) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    face = stored(family)["deepface:hash3/10,20,30,40"]
    assert face["photo"] == "pictures/3.jpg"
    assert np.isnan(face["box"]).all()
    assert run_json("import", family, "deepface", source)["added"] == 0


def test_deepface_sqlite(tmp_path: Path) -> None:
    run("import", tmp_path / "family", "deepface", DATA / "deepface_0.0.103.db")
    assert rows_of(tmp_path / "family") == list(range(10))
    assert stored(tmp_path / "family")["deepface:1"]["photo"] == "pictures/0.jpg"


def test_insightface(tmp_path: Path) -> None:
    done = run_json("import", tmp_path / "family", "insightface", DATA / "insightface_2.1.db")
    assert (done["added"], done["skipped"]) == (9, {"without an embedding": 1})
    assert rows_of(tmp_path / "family") == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert people(tmp_path / "family") == {"Anna": ["insightface:1", "insightface:5"]}
    face = stored(tmp_path / "family")["insightface:1"]
    np.testing.assert_allclose(face["box"], (0.1, 0.1, 0.3, 0.5))


def test_lancedb(tmp_path: Path) -> None:
    """In lancedb 0.40.0 a column called vector is float32 of fixed size, one called face float64."""
    run("import", tmp_path / "family", "arrow", DATA / "lancedb_0.40.0.arrow")
    assert rows_of(tmp_path / "family") == list(range(10))
    assert people(tmp_path / "family") == {"Anna": ["arrow:f0", "arrow:f1"]}
    assert stored(tmp_path / "family")["arrow:f3"]["photo"] == "3.jpg"
    run("import", tmp_path / "other", "arrow", DATA / "lancedb_0.40.0_face.arrow")
    assert rows_of(tmp_path / "other") == list(range(10))


def test_datasets(tmp_path: Path) -> None:
    """datasets 5.2.0 writes streams of Arrow, though under the suffix of files; here two, of float16."""
    run("import", tmp_path / "family", "arrow", DATA / "datasets_5.2.0")
    assert rows_of(tmp_path / "family") == list(range(10))


def test_tables_of_arrow(tmp_path: Path) -> None:
    table = pa.table(
        {
            "uid": ["a", "b", "c", "d", None],
            "face": [X[0].tolist(), None, [0.0] * 8, [1.0, None, *[2.0] * 6], X[1].tolist()],
            "image": [{"bytes": b"", "path": "a.jpg"}] * 5,
            "date": ["2024-05-31"] * 5,
        }
    )
    pq.write_table(table, tmp_path / "faces.parquet")
    done = run_json("import", tmp_path / "family", "arrow", tmp_path / "faces.parquet")
    assert done["skipped"] == {
        "embedding zero or not finite": 1,
        "without an embedding": 2,
        "without an id": 1,
    }
    face = stored(tmp_path / "family")["arrow:a"]
    assert (face["photo"], face["taken"]) == ("a.jpg", "2024-05-31")
    pq.write_table(table.drop_columns("uid"), tmp_path / "none.parquet")
    assert "no column of ids" in refused("import", tmp_path / "x", "arrow", tmp_path / "none.parquet")
    assert "no table of Arrow" in refused("import", tmp_path / "x", "arrow", tmp_path / "family")


def copied(rows: list[list[bytes | None]]) -> bytes:
    """A file of COPY in binary."""
    body = b"".join(
        struct.pack(">h", len(row))
        + b"".join(struct.pack(">i", -1 if f is None else len(f)) + (f or b"") for f in row)
        for row in rows
    )
    return b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0) + body + struct.pack(">h", -1)


@pytest.mark.parametrize("form", ["text", "binary"])
def test_pgvector(form: str, database: str, tmp_path: Path) -> None:
    """COPY of a real server, and vectors as pgvector's own library writes them."""
    import psycopg

    vectors = json.loads((DATA / "pgvector_0.5.1.json").read_text())
    kind = "text" if form == "text" else "bytea"
    with psycopg.connect(database) as connection:
        connection.execute(
            f"CREATE TABLE faces (id int, embedding {kind}, path text, name text)".encode()
        )
        for row, vector in enumerate(vectors):
            value = vector["text"] if form == "text" else bytes.fromhex(vector["binary"])
            name = "Anna\tof \\ two\nlines" if row == 9 else "Ben" if row == 1 else None
            values = row, None if row == 2 else value, f"{row}.jpg", name
            connection.execute("INSERT INTO faces VALUES (%s, %s, %s, %s)", values)
        query = (
            "COPY (SELECT id::text, embedding, path, name FROM faces ORDER BY id) TO STDOUT"
            f" (FORMAT {form})"
        )
        with connection.cursor().copy(query.encode()) as copy:
            data = b"".join(bytes(part) for part in copy)
    (tmp_path / "faces.copy").write_bytes(data)
    done = run_json("import", tmp_path / "family", "pgvector", tmp_path / "faces.copy")
    # A name of two lines is no name of a person here.
    assert (done["added"], done["skipped"]) == (9, {"name refused here": 1, "without an embedding": 1})
    assert rows_of(tmp_path / "family") == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert people(tmp_path / "family") == {"Ben": ["pgvector:1"]}


def test_files_of_copy_that_are_damaged(tmp_path: Path) -> None:
    vector = struct.pack(">HH8f", 8, 0, *X[0])
    whole = copied([[b"a", vector], [b"b", vector[:-1]], [b"c", b""]])
    path = tmp_path / "faces.copy"
    path.write_bytes(whole)
    done = run_json("import", tmp_path / "family", "pgvector", path)
    assert (done["added"], sum(done["skipped"].values())) == (1, 2)
    for wrong in (whole[:-5], whole[:30], copied([[b"a"]]), copied([[None, vector]])):
        path.write_bytes(wrong)
        assert str(path) in refused("import", tmp_path / "other", "pgvector", path)


def test_clip_retrieval(tmp_path: Path) -> None:
    """The order of shards is that of their numbers, not of their names."""
    root = tmp_path / "clip"
    for folder in ("img_emb", "metadata"):
        (root / folder).mkdir(parents=True)
    for number in (0, 2, 10):
        rows = X[[number // 2, number // 2 + 1]].astype(np.float16)
        np.save(root / "img_emb" / f"img_emb_{number}.npy", rows)
        paths = [f"{number}-{row}.jpg" for row in range(2)]
        pq.write_table(pa.table({"image_path": paths}), root / "metadata" / f"metadata_{number}.parquet")
    run("import", tmp_path / "family", "clip-retrieval", root)
    assert rows_of(tmp_path / "family") == [0, 1, 1, 2, 5, 6]
    assert stored(tmp_path / "family")["clip-retrieval:10/1"]["photo"] == "10-1.jpg"
    pq.write_table(pa.table({"image_path": ["a"]}), root / "metadata" / "metadata_2.parquet")
    assert "has 1 rows" in refused("import", tmp_path / "other", "clip-retrieval", root)
    assert "img_emb_0.npy" in refused("import", tmp_path / "other", "clip-retrieval", tmp_path)


def test_fiftyone_samples(tmp_path: Path) -> None:
    done = run_json("import", tmp_path / "family", "fiftyone", DATA / "fiftyone_1.22.1.json")
    assert (done["added"], done["skipped"]) == (9, {"without an embedding": 1})
    assert sorted(rows_of(tmp_path / "family")) == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert [len(faces) for faces in people(tmp_path / "family").values()] == [2]


def serialized(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    """As fiftyone.core.utils.serialize_numpy_array does it."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return base64.b64encode(zlib.compress(file.getvalue())).decode()


def test_fiftyone(tmp_path: Path) -> None:
    """No pickle is opened, and no more unpacked than an embedding can be."""

    def detection(number: int, data: str | None, label: str | None = None) -> dict[str, object]:
        made: dict[str, object] = {"_id": {"$oid": f"{number:024}"}, "_cls": "Detection", "label": label}
        made["bounding_box"] = [0.1, 0.2, 0.3, 0.4]
        return (
            made if data is None else made | {"vector": {"$binary": {"base64": data, "subType": "00"}}}
        )

    evil = np.array([print], dtype=object)
    bomb = base64.b64encode(zlib.compress(b"\x93NUMPY" + bytes(1 << 24))).decode()
    samples: list[dict[str, object]] = [
        {
            "filepath": "/pictures/a.jpg",
            "faces": {
                "_cls": "Detections",
                "detections": [
                    detection(1, serialized(X[0]), "Anna"),
                    detection(2, serialized(X[1].astype(np.float64))),
                    detection(3, None),
                    detection(4, serialized(evil)),
                    detection(5, bomb),
                ],
            },
        }
    ]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    done = run_json("import", tmp_path / "family", "fiftyone", tmp_path)
    assert (done["added"], done["skipped"]) == (
        2,
        {"embedding unreadable": 2, "without an embedding": 1},
    )
    assert people(tmp_path / "family") == {"Anna": [f"fiftyone:{1:024}"]}
    face = stored(tmp_path / "family")[f"fiftyone:{1:024}"]
    assert face["photo"] == "/pictures/a.jpg"
    np.testing.assert_allclose(face["box"], (0.1, 0.2, 0.4, 0.6))
    del samples[0]["faces"]["detections"][0]["_id"]  # type: ignore[index]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    run("import", tmp_path / "third", "fiftyone", tmp_path)
    assert "fiftyone:/pictures/a.jpg/faces/0" in stored(tmp_path / "third")
    samples[0]["faces"] = {"_cls": "Detections", "detections": ["face"]}
    (tmp_path / "samples.json").write_text(json.dumps(samples))
    assert "cannot be read" in refused("import", tmp_path / "other", "fiftyone", tmp_path)
    (tmp_path / "samples.json").write_text("[1]")
    assert "no samples" in refused("import", tmp_path / "other", "fiftyone", tmp_path)


def test_numbers_of_any_store_are_the_same_faces(tmp_path: Path) -> None:
    """A library is of one embedder, by name: the same numbers of another program are refused."""
    family = tmp_path / "family"
    run("import", family, "deepface", DATA / "deepface_0.0.103.db")
    line = refused("import", family, "insightface", DATA / "insightface_2.1.db")
    assert "of the embedder 'insightface'" in line
    assert "of 'deepface'" in line
    run("import", family, "insightface", DATA / "insightface_2.1.db", "--embedder", "deepface")
    assert len(stored(family)) == 19


def test_a_library_of_other_faces_is_refused(tmp_path: Path) -> None:
    from nsrfc.library.library import Library

    Library.create(tmp_path / "family", embedder="arrow").add(vectors(3, 4))
    line = refused("import", tmp_path / "family", "arrow", DATA / "lancedb_0.40.0.arrow")
    assert "dimension 8" in line
    assert len(Library.open(tmp_path / "family").faces) == 3
