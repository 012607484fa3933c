"""Programs that keep their faces in SQLite or PostgreSQL: the same, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..commands import run_json
from .drawn import as_json, people, stored, vectors


def fill(address: str, tables: str, **rows: Sequence[tuple[object, ...]]) -> None:
    """Make tables with rows in a database."""
    import psycopg

    with psycopg.connect(address) as connection:
        connection.execute(tables.encode())
        for table, values in rows.items():
            marks = ",".join(["%s"] * len(values[0]))
            connection.cursor().executemany(f"INSERT INTO {table} VALUES ({marks})".encode(), values)


def test_facerecognition(database: str, tmp_path: Path) -> None:
    """The app lets the server keep descriptors as JSON, and truth as truth."""
    fill(
        database,
        """
        CREATE TABLE oc_filecache (fileid bigint PRIMARY KEY, storage bigint, path varchar(4000));
        CREATE TABLE oc_facerecog_images (id serial PRIMARY KEY, "user" varchar(64), file int,
          model int);
        CREATE TABLE oc_facerecog_faces (id serial PRIMARY KEY, image int, cluster int, x int, y int,
          width int, height int, confidence double precision, descriptor json);
        CREATE TABLE oc_facerecog_clusters (id serial PRIMARY KEY, "user" varchar(64), model int,
          is_visible boolean DEFAULT true, person int);
        CREATE TABLE oc_facerecog_persons (id serial PRIMARY KEY, "user" varchar(64),
          name varchar(256));
        """,
        oc_filecache=[(20, 1, "files/a.jpg"), (21, 1, "files/b.jpg")],
        oc_facerecog_images=[(10, "anna", 20, 1), (11, "anna", 21, 1)],
        oc_facerecog_persons=[(7, "anna", "Anna")],
        oc_facerecog_clusters=[(1, "anna", 1, True, 7), (2, "anna", 1, False, None)],
        oc_facerecog_faces=[
            (n, 10 + n % 2, group, 1, 2, 3, 4, 0.99, as_json(vectors(3)[n]))
            for n, group in enumerate((1, None, 2))
        ],
    )
    done = run_json("import", tmp_path / "family", "facerecognition", database)
    assert (done["added"], done["skipped"]) == (2, {"hidden": 1})
    assert people(tmp_path / "family") == {"Anna": ["facerecognition:0"]}
    face = stored(tmp_path / "family")["facerecognition:1"]
    assert face["photo"] == "b.jpg"
    np.testing.assert_array_equal(face["embedding"], vectors(3)[1])


def test_recognize(database: str, tmp_path: Path) -> None:
    fill(
        database,
        """
        CREATE TABLE oc_filecache (fileid bigint PRIMARY KEY, storage bigint, path varchar(4000));
        CREATE TABLE oc_recognize_face_detections (id bigserial PRIMARY KEY, user_id varchar(64),
          file_id bigint, x double precision, y double precision, height double precision,
          width double precision, face_vector text NOT NULL, cluster_id bigint,
          threshold double precision);
        CREATE TABLE oc_recognize_face_clusters (id bigserial PRIMARY KEY, title varchar(4000),
          user_id varchar(64));
        """,
        oc_filecache=[(20, 1, "files/a.jpg")],
        oc_recognize_face_clusters=[(1, "Anna", "anna")],
        oc_recognize_face_detections=[
            (n, "anna", 20 + n, 0.1, 0.2, 0.4, 0.3, as_json(vectors(2)[n]), (1, -1)[n], 0)
            for n in range(2)
        ],
    )
    assert run_json("import", tmp_path / "family", "recognize", database)["added"] == 2
    assert people(tmp_path / "family") == {"Anna": ["recognize:0"]}
    np.testing.assert_allclose(stored(tmp_path / "family")["recognize:0"]["box"], (0.1, 0.2, 0.4, 0.6))


def test_librephotos(database: str, tmp_path: Path) -> None:
    X = vectors(2).astype("<f8")
    key = "00000000-0000-0000-0000-00000000000{}".format
    fill(
        database,
        """
        CREATE TABLE api_user (id serial PRIMARY KEY, username varchar(150));
        CREATE TABLE api_photo (id uuid PRIMARY KEY, image_hash varchar(64), main_file_id varchar(64),
          exif_timestamp timestamptz, hidden boolean, in_trashcan boolean, removed boolean,
          owner_id int);
        CREATE TABLE api_file (hash varchar(64) PRIMARY KEY, path text);
        CREATE TABLE api_person (id serial PRIMARY KEY, name varchar(128), kind varchar(10));
        CREATE TABLE api_face (id serial PRIMARY KEY, photo_id uuid, person_id int, encoding text,
          deleted boolean);
        """,
        api_user=[(1, "anna"), (2, "ben")],
        api_photo=[
            (key(n), "h", f"f{n}", "2024-05-31 10:00:00+00", False, False, False, n + 1)
            for n in range(2)
        ],
        api_file=[("f0", "/data/0.jpg"), ("f1", "/data/1.jpg")],
        api_person=[(1, "Anna", "USER")],
        api_face=[(n, key(n), 1, X[n].tobytes().hex(), False) for n in range(2)],
    )
    done = run_json("import", tmp_path / "family", "librephotos", database, "--user", "anna")
    assert (done["added"], done["confirmed"]) == (1, 1)
    assert stored(tmp_path / "family")["librephotos:0"]["taken"] == "2024-05-31"
