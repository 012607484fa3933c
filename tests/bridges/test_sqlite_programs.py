"""Programs that keep their faces in SQLite: files made here in the schemas that the readers name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.library.library import Library

from ..commands import refused, run, run_json
from .drawn import as_json, people, stored, vectors


def filled(path: Path, tables: str, **rows: Sequence[tuple[object, ...]]) -> Path:
    """Make a SQLite file with rows in its tables."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(tables)
        for table, values in rows.items():
            marks = ",".join("?" * len(values[0]))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        database.commit()
    return path


# internal/entity/marker.go, subject.go, file.go and photo.go: the columns that are read.
PHOTOPRISM = """
CREATE TABLE markers (marker_uid VARBINARY(42) PRIMARY KEY, file_uid VARBINARY(42),
  marker_type VARBINARY(8), marker_name VARCHAR(160), marker_invalid BOOL, subj_uid VARBINARY(42),
  subj_src VARBINARY(8), embeddings_json MEDIUMBLOB, x FLOAT, y FLOAT, w FLOAT, h FLOAT);
CREATE TABLE subjects (subj_uid VARBINARY(42) PRIMARY KEY, subj_name VARCHAR(160), subj_hidden BOOL,
  deleted_at DATETIME);
CREATE TABLE files (file_uid VARBINARY(42) PRIMARY KEY, photo_uid VARBINARY(42),
  file_name VARBINARY(1024), deleted_at DATETIME);
CREATE TABLE photos (photo_uid VARBINARY(42) PRIMARY KEY, taken_at_local DATETIME,
  deleted_at DATETIME);
"""


def photoprism(path: Path) -> Path:
    X = vectors(7)
    box = 0.25, 0.5, 0.25, 0.125

    def marker(
        n: int, subject: str, *, invalid: int = 0, kind: str = "face", file: str = "f0"
    ) -> tuple[object, ...]:
        text = f"[{as_json(X[n])}]".encode()
        return (f"m{n}", file, kind, "", invalid, subject, "manual", text, *box)

    markers = [
        marker(0, "j1"),
        marker(1, "j1", file="f1"),
        marker(2, ""),
        marker(3, "j1", invalid=1),
        marker(4, "j2"),
        marker(5, "", file="gone"),
        marker(6, "", kind="label"),
        ("m7", "f0", "face", "", 0, "", "", b"", *box),
    ]
    return filled(
        path,
        PHOTOPRISM,
        markers=markers,
        subjects=[("j1", "Anna", 0, None), ("j2", "Hugo", 1, None)],
        files=[
            ("f0", "p0", "2024/a.jpg", None),
            ("f1", "p1", "b.jpg", None),
            ("gone", "p1", "c.jpg", "2024-01-01"),
        ],
        photos=[("p0", "2024-05-31 10:00:00", None), ("p1", "0001-01-01 00:00:00", None)],
    )


def test_photoprism(tmp_path: Path) -> None:
    source, family = photoprism(tmp_path / "index.db"), tmp_path / "family"
    done = run_json("import", family, "photoprism", source)
    assert (done["added"], done["new people"], done["confirmed"]) == (3, 1, 2)
    assert done["skipped"] == {
        "deleted": 1,
        "hidden": 1,
        "marked as no face": 1,
        "without an embedding": 1,
    }
    assert people(family) == {"Anna": ["photoprism:m0", "photoprism:m1"]}
    faces = stored(family)
    np.testing.assert_array_equal(faces["photoprism:m2"]["embedding"], vectors(7)[2])
    np.testing.assert_allclose(faces["photoprism:m0"]["box"], (0.25, 0.5, 0.5, 0.625))
    assert [faces[f"photoprism:m{n}"]["photo"] for n in range(3)] == [
        "2024/a.jpg",
        "b.jpg",
        "2024/a.jpg",
    ]
    assert [faces[f"photoprism:m{n}"]["taken"] for n in range(2)] == ["2024-05-31", None]


def test_faces_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    """PhotoPrism changes its model face by face, so that an index may hold vectors of two lengths."""
    source, family = photoprism(tmp_path / "index.db"), tmp_path / "family"
    with closing(sqlite3.connect(source)) as database:
        text = f"[{as_json(vectors(1, 8)[0])}]"
        database.execute("UPDATE markers SET embeddings_json = ? WHERE marker_uid = 'm2'", (text,))
        database.commit()
    line = refused("import", family, "photoprism", source)
    assert "several models" in line
    done = run_json("import", family, "photoprism", source, "--space", "8")
    assert (done["added"], done["skipped"]["embedded by another model"]) == (1, 2)


# lib/Migration of the app, before 0.9.92, before 0.9.93, and since.
IMAGES = """
CREATE TABLE oc_facerecog_images (id INTEGER PRIMARY KEY, user VARCHAR(64), file INTEGER, model INTEGER);
CREATE TABLE oc_filecache (fileid INTEGER PRIMARY KEY, storage INTEGER, path VARCHAR(4000));
"""
FACES = """
CREATE TABLE oc_facerecog_faces (id INTEGER PRIMARY KEY, image INTEGER, {cluster} INTEGER, x INTEGER,
  y INTEGER, width INTEGER, height INTEGER, confidence FLOAT, descriptor CLOB);
"""
ONE_TABLE = """
CREATE TABLE oc_facerecog_persons (id INTEGER PRIMARY KEY, user VARCHAR(64), name VARCHAR(256),
  is_visible BOOLEAN);
"""
TWO_TABLES = """
CREATE TABLE oc_facerecog_clusters (id INTEGER PRIMARY KEY, user VARCHAR(64), model INTEGER,
  is_visible BOOLEAN, person INTEGER);
CREATE TABLE oc_facerecog_persons (id INTEGER PRIMARY KEY, user VARCHAR(64), name VARCHAR(256));
"""


def facerecognition(path: Path, schema: str) -> Path:
    faces = [
        (n, 10 + n, group, 10, 20, 30, 40, 0.99, as_json(vectors(5)[n]))
        for n, group in enumerate((1, 2, 3, None, 4))
    ]
    images = [(10 + n, "anna", 20 + n, 1) for n in range(5)]
    paths = [(20 + n, 1, f"files/Photos/{n}.jpg") for n in range(5)]
    tables = IMAGES + FACES.format(cluster="cluster" if schema == "0.9.93" else "person")
    rows: dict[str, Sequence[tuple[object, ...]]]
    if schema == "0.9.91":
        tables += ONE_TABLE
        named = [(1, "Anna", 1), (2, "Anna", 1), (3, None, 1), (4, "Hugo", 0)]
        rows = {"oc_facerecog_persons": [(n, "anna", name, seen) for n, name, seen in named]}
    else:
        tables += TWO_TABLES
        rows = {
            "oc_facerecog_clusters": [
                (1, "anna", 1, 1, 7),
                (2, "anna", 1, 1, 7),
                (3, "anna", 1, 1, None),
                (4, "anna", 1, 0, 8),
            ],
            "oc_facerecog_persons": [(7, "anna", "Anna"), (8, "anna", "Hugo")],
        }
    return filled(
        path, tables, oc_facerecog_faces=faces, oc_facerecog_images=images, oc_filecache=paths, **rows
    )


@pytest.mark.parametrize("schema", ["0.9.91", "0.9.92", "0.9.93"])
def test_facerecognition(schema: str, tmp_path: Path) -> None:
    source, family = facerecognition(tmp_path / "owncloud.db", schema), tmp_path / "family"
    done = run_json("import", family, "facerecognition", source)
    assert (done["added"], done["skipped"]) == (4, {"hidden": 1})
    # Before 0.9.92 a person was a name that several clusters had.
    assert people(family) == {"Anna": ["facerecognition:0", "facerecognition:1"]}
    face = stored(family)["facerecognition:0"]
    assert face["photo"] == "Photos/0.jpg"
    assert np.isnan(face["box"]).all()


def test_boxes_in_pixels_need_the_pictures(tmp_path: Path) -> None:
    """The size of a picture stands in its file only; a portrait one is shown turned."""
    from PIL import Image

    source, family = facerecognition(tmp_path / "owncloud.db", "0.9.93"), tmp_path / "family"
    (tmp_path / "pictures" / "Photos").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    for n, metadata in ((0, Image.Exif()), (1, exif)):
        Image.new("RGB", (200, 100)).save(tmp_path / "pictures" / "Photos" / f"{n}.jpg", exif=metadata)
    run("import", family, "facerecognition", source, "--pictures", tmp_path / "pictures")
    faces = stored(family)
    np.testing.assert_allclose(faces["facerecognition:0"]["box"], (0.05, 0.2, 0.2, 0.6))
    np.testing.assert_allclose(faces["facerecognition:1"]["box"], (0.1, 0.1, 0.4, 0.3))
    assert np.isnan(faces["facerecognition:2"]["box"]).all()


# lib/Migration of the app.
RECOGNIZE = """
CREATE TABLE nc_recognize_face_detections (id INTEGER PRIMARY KEY, user_id VARCHAR(64),
  file_id BIGINT, x DOUBLE, y DOUBLE, height DOUBLE, width DOUBLE, {vector} CLOB, cluster_id BIGINT,
  threshold DOUBLE);
CREATE TABLE nc_recognize_face_clusters (id INTEGER PRIMARY KEY, title VARCHAR(4000),
  user_id VARCHAR(64));
CREATE TABLE nc_filecache (fileid INTEGER PRIMARY KEY, storage INTEGER, path VARCHAR(4000));
"""


@pytest.mark.parametrize("vector", ["face_vector", "vector"])
def test_recognize(vector: str, tmp_path: Path) -> None:
    groups = (1, 1, 2, -1, -2, None)
    faces = [
        (n, "anna", 20 + n, 0.1, 0.2, 0.4, 0.3, as_json(vectors(6)[n]), group, 0.0)
        for n, group in enumerate(groups)
    ]
    source = filled(
        tmp_path / "nextcloud.db",
        RECOGNIZE.format(vector=vector),
        nc_recognize_face_detections=faces,
        nc_recognize_face_clusters=[(1, "Anna", "anna"), (2, "", "anna")],
        nc_filecache=[(20, 1, "files/a.jpg")],
    )
    family = tmp_path / "family"
    done = run_json("import", family, "recognize", source)
    assert (done["added"], done["confirmed"], done["skipped"]) == (5, 2, {"hidden": 1})
    assert people(family) == {"Anna": ["recognize:0", "recognize:1"]}
    face = stored(family)["recognize:0"]
    assert face["photo"] == "a.jpg"
    np.testing.assert_allclose(face["box"], (0.1, 0.2, 0.4, 0.6))


def test_users_of_a_nextcloud_are_not_mixed(tmp_path: Path) -> None:
    """Two users who share a picture have a row of the same face each."""
    faces = [
        (n, user, 20, 0.1, 0.2, 0.4, 0.3, as_json(vectors(1)[0]), -1, 0.0)
        for n, user in enumerate(("anna", "ben"))
    ]
    source = filled(
        tmp_path / "nextcloud.db",
        RECOGNIZE.format(vector="face_vector"),
        nc_recognize_face_detections=faces,
    )
    assert "anna, ben" in refused("import", tmp_path / "family", "recognize", source)
    run("import", tmp_path / "family", "recognize", source, "--user", "ben")
    assert list(stored(tmp_path / "family")) == ["recognize:1"]


# core/data/database/dbconfig.xml.cmake.in and facedb of digiKam.
DIGIKAM = """
CREATE TABLE Identities (id INTEGER PRIMARY KEY, type INTEGER);
CREATE TABLE IdentityAttributes (id INTEGER, attribute TEXT, value TEXT);
CREATE TABLE FaceMatrices (id INTEGER PRIMARY KEY, identity INTEGER, removeHash TEXT, embedding BLOB);
"""


def test_digikam(tmp_path: Path) -> None:
    X = vectors(3, 128)
    source = filled(
        tmp_path / "recognition.db",
        DIGIKAM,
        Identities=[(1, 0), (2, 0)],
        IdentityAttributes=[
            (1, "uuid", "{1}"),
            (1, "name", "Anna"),
            (1, "fullName", "Anna S."),
            (2, "name", "Ben"),
        ],
        FaceMatrices=[
            (1, 1, "h1", X[0].tobytes()),
            (2, 1, "h2", X[1].tobytes()),
            (3, 2, "h3", X[2].tobytes()),
            (4, 2, "h4", b"\0" * 512),
            (5, 2, "h5", b"abc"),
        ],
    )
    family = tmp_path / "family"
    done = run_json("import", family, "digikam", source, "--embedder", "sface")
    assert done["skipped"] == {"embedding unreadable": 1, "embedding zero or not finite": 1}
    assert people(family) == {"Anna S.": ["digikam:1", "digikam:2"], "Ben": ["digikam:3"]}
    np.testing.assert_array_equal(stored(family)["digikam:2"]["embedding"], X[1])


# apps/backend/api/models, before and since migration 0099.
LIBREPHOTOS = """
CREATE TABLE api_user (id INTEGER PRIMARY KEY, username VARCHAR(150));
CREATE TABLE api_photo ({photo}, main_file_id VARCHAR(64), exif_timestamp DATETIME, hidden BOOL,
  in_trashcan BOOL, owner_id INTEGER);
CREATE TABLE api_file (hash VARCHAR(64) PRIMARY KEY, path TEXT);
CREATE TABLE api_person (id INTEGER PRIMARY KEY, name VARCHAR(128), kind VARCHAR(10));
CREATE TABLE api_face (id INTEGER PRIMARY KEY, photo_id, person_id INTEGER, cluster_person_id INTEGER,
  encoding TEXT, deleted BOOL);
"""


@pytest.mark.parametrize("photo", ["image_hash VARCHAR(64) PRIMARY KEY", "id UUID PRIMARY KEY"])
def test_librephotos(photo: str, tmp_path: Path) -> None:
    X = vectors(4).astype("<f8")
    source = filled(
        tmp_path / "db.sqlite3",
        LIBREPHOTOS.format(photo=photo),
        api_user=[(1, "anna")],
        api_photo=[(f"p{n}", f"h{n}", "2024-05-31 10:00:00", 0, int(n == 3), 1) for n in range(4)],
        api_file=[(f"h{n}", f"/data/{n}.jpg") for n in range(4)],
        api_person=[(1, "Anna", "USER"), (2, "Unknown - Other", "UNKNOWN")],
        api_face=[(n, f"p{n}", (1, 2, None, 1)[n], 1, X[n].tobytes().hex(), 0) for n in range(4)],
    )
    family = tmp_path / "family"
    done = run_json("import", family, "librephotos", source)
    assert (done["added"], done["skipped"]) == (3, {"deleted": 1})
    assert people(family) == {"Anna": ["librephotos:0"]}  # nobody said who the others are
    face = stored(family)["librephotos:1"]
    assert (face["photo"], face["taken"]) == ("/data/1.jpg", "2024-05-31")
    np.testing.assert_allclose(face["embedding"], vectors(4)[1])


# gui/core/storage.py of insightface 2.1.
INSIGHTFACE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, display_name TEXT);
CREATE TABLE media_items (id INTEGER PRIMARY KEY, path TEXT UNIQUE, width INTEGER, height INTEGER);
CREATE TABLE media_faces (id INTEGER PRIMARY KEY, media_id INTEGER, frame_index INTEGER, embedding BLOB,
  embedding_dim INTEGER, model_name TEXT, bbox_json TEXT, assigned_person_id INTEGER,
  predicted_person_id INTEGER);
"""


def test_insightface(tmp_path: Path) -> None:
    X = vectors(3)

    def row(
        n: int, media: int, frame: int | None, vector: npt.NDArray[np.float32] | None, who: int | None
    ) -> tuple[object, ...]:
        data = None if vector is None else vector.tobytes()
        return (n, media, frame, data, 16, "buffalo_l", "[20, 10, 60, 50]", who, 1)

    source = filled(
        tmp_path / "faces.db",
        INSIGHTFACE,
        people=[(1, "anna", "Anna"), (2, "ben", "")],
        media_items=[(1, "/pictures/a.jpg", 200, 100), (2, "/pictures/b.mp4", 200, 100)],
        media_faces=[
            row(1, 1, None, X[0], 1),
            row(2, 2, 5, X[1], 2),
            row(3, 2, 9, X[2], None),
            row(4, 1, None, None, 1),
        ],
    )
    family = tmp_path / "family"
    done = run_json("import", family, "insightface", source)
    assert (done["added"], done["skipped"]) == (3, {"without an embedding": 1})
    assert people(family) == {"Anna": ["insightface:1"], "ben": ["insightface:2"]}
    faces = stored(family)
    np.testing.assert_allclose(faces["insightface:1"]["box"], (0.1, 0.1, 0.3, 0.5))
    assert faces["insightface:2"]["photo"] == "/pictures/b.mp4#5"


def test_the_file_of_a_program_stays_as_it_is(tmp_path: Path) -> None:
    """Its name may hold what means something in an address, and nothing is left beside it."""
    folder = tmp_path / "100% #1?"
    folder.mkdir()
    source = photoprism(folder / "index.db?mode=rwc")
    before = source.read_bytes()
    run("import", tmp_path / "family", "photoprism", source)
    assert source.read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [source.name]


def test_an_index_without_faces_makes_no_library(tmp_path: Path) -> None:
    source = photoprism(tmp_path / "index.db")
    with closing(sqlite3.connect(source)) as database:
        database.execute("UPDATE markers SET marker_invalid = 1 WHERE marker_uid <> 'm7'")
        database.commit()
    line = refused("import", tmp_path / "family", "photoprism", source)
    assert "marked as no face: 4, without an embedding: 1" in line
    assert not (tmp_path / "family").exists()


def test_text_where_a_number_belongs_is_refused(tmp_path: Path) -> None:
    source = photoprism(tmp_path / "index.db")
    with closing(sqlite3.connect(source)) as database:
        database.execute("UPDATE markers SET x = 'left'")
        database.commit()
    assert "cannot be read" in refused("import", tmp_path / "family", "photoprism", source)


def test_a_date_that_is_none_costs_no_face(tmp_path: Path) -> None:
    source = photoprism(tmp_path / "index.db")
    with closing(sqlite3.connect(source)) as database:
        database.execute("UPDATE photos SET taken_at_local = '2024-02-30 10:00:00'")
        database.commit()
    run("import", tmp_path / "family", "photoprism", source)
    assert {face["taken"] for face in stored(tmp_path / "family").values()} == {None}


def test_other_files_are_refused_and_no_library_is_made(tmp_path: Path) -> None:
    family, source = tmp_path / "family", photoprism(tmp_path / "index.db")
    assert "no table FaceMatrices" in refused("import", family, "digikam", source)
    assert "recognize_face_detections" in refused("import", family, "recognize", source)
    (tmp_path / "text.db").write_text("no database\n" * 100)
    assert "cannot be read" in refused("import", family, "photoprism", tmp_path / "text.db")
    assert "no file" in refused("import", family, "photoprism", tmp_path / "nothing.db")
    assert "--user has no effect" in refused("import", family, "digikam", source, "--user", "me")
    assert "--pictures has no effect" in refused(
        "import", family, "photoprism", source, "--pictures", tmp_path
    )
    assert "'picasa' is not known" in refused("import", family, "picasa", source)
    assert not family.exists()
    Library.create(family, embedder="dlib")
    assert "of the embedder 'photoprism'" in refused("import", family, "photoprism", source)
