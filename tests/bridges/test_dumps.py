"""Dumps of MariaDB, which a real server made (data/make_dump.sh), read without one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsrfc.bridges.dump import read_dump

from ..commands import refused, run_json
from .drawn import people, stored

DATA = Path(__file__).parent / "data"
DUMP = DATA / "photoprism_mariadb_10.11.sql"


@pytest.mark.parametrize("name", [DUMP.name, "photoprism_mariadb_10.11_hex.sql"])
def test_photoprism_of_mariadb(name: str, tmp_path: Path) -> None:
    """Names are as they were before they were escaped."""
    family = tmp_path / "family"
    done = run_json("import", family, "photoprism", DATA / name)
    assert done["skipped"] == {
        "marked as no face": 1,
        "name refused here": 1,  # two lines
        "without an embedding": 1,
    }
    assert people(family) == {}
    faces = stored(family)
    assert list(faces) == ["photoprism:m0", "photoprism:m1"]
    np.testing.assert_array_equal(faces["photoprism:m1"]["embedding"], np.arange(2, 10))
    assert (faces["photoprism:m0"]["photo"], faces["photoprism:m0"]["taken"]) == (
        "2024/it's (1); a.jpg",
        "2024-05-31",
    )
    np.testing.assert_allclose(faces["photoprism:m0"]["box"], (0.25, 0.5, 0.5, 0.625))


def test_nextcloud_of_mariadb(tmp_path: Path) -> None:
    """One INSERT for each row, with its columns."""
    family = tmp_path / "family"
    done = run_json("import", family, "facerecognition", DATA / "nextcloud_mariadb_10.11.sql")
    assert (done["added"], done["skipped"]) == (2, {"hidden": 1})
    assert people(family) == {"Zoë O'Hara": ["facerecognition:1"]}
    assert stored(family)["facerecognition:1"]["photo"] == "Photos/a.jpg"


def test_values_are_those_of_the_server(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        read_dump(DUMP, database, ("subjects", "files"))
        rows = database.execute("SELECT * FROM subjects ORDER BY subj_uid").fetchall()
        tables = database.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    assert rows == [
        ("j1", "Anna 'Ann' \\ \"O\nSé\" 本", 0, None),
        ("j2", "Ben", 0, "2024-01-01 00:00:00"),
    ]
    assert tables == [("files",), ("subjects",)]  # passwords are left where they are


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.one_of(st.none(), st.integers(-(2**60), 2**60), st.text(st.characters(codec="utf-8")))
    )
)
def test_any_value_is_read_back(values: list[int | str | None], tmp_path: Path) -> None:
    """Written as the server escapes it, in one long line."""
    escapes = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", "\x1a": "\\Z"}

    def written(value: int | str | None) -> str:
        if isinstance(value, str):
            return "'" + "".join(escapes.get(letter, letter) for letter in value) + "'"
        return "NULL" if value is None else str(value)

    rows = ",".join(f"({row},{written(value)})" for row, value in enumerate(values))
    path = tmp_path / "dump.sql"
    inserted = f"INSERT INTO `files` VALUES {rows};\n" if values else ""
    text = f"CREATE TABLE `files` (\n  `id` int,\n  `a``b` text\n);\n{inserted}"
    path.write_bytes(text.replace("a``b", "value").encode())
    with closing(sqlite3.connect(":memory:")) as database:
        read_dump(path, database, ("files",))
        assert [value for _, value in database.execute("SELECT * FROM files ORDER BY id")] == values


def test_dumps_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    whole, path = DUMP.read_bytes(), tmp_path / "cut.sql"
    start = whole.index(b"INSERT INTO `markers`")
    for end in (start + 30, start + 60, whole.index(b");\n", start)):
        path.write_bytes(whole[:end])
        assert "cut short" in refused("import", tmp_path / "family", "photoprism", path)
    path.write_bytes(b"")
    assert "is empty" in refused("import", tmp_path / "family", "photoprism", path)
    path.write_bytes(whole[:100])
    assert "no table markers" in refused("import", tmp_path / "family", "photoprism", path)
    assert not (tmp_path / "family").exists()
