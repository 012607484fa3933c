"""Immich: a real PostgreSQL with the tables of both schemas."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsrfc.library.library import Library

from ..commands import refused, run, run_json
from .drawn import as_json, people, stored, vectors

ANNA, BEN, HIDDEN, TWIN, USER, OTHER = (str(uuid.UUID(int=1 << 100 | n)) for n in range(6))

# As immich makes them: server/src/schema/tables, and the migration of release 3.2.0. pgvector's type is
# written and cast like this one; it is no part of Debian 12's PostgreSQL.
SHARED = """
CREATE DOMAIN vector AS text;
CREATE TYPE asset_visibility_enum AS ENUM ('archive', 'timeline', 'hidden', 'locked');
CREATE TABLE "user" (id uuid PRIMARY KEY, email varchar NOT NULL);
CREATE TABLE asset (
  id uuid PRIMARY KEY, "ownerId" uuid NOT NULL REFERENCES "user", "originalPath" varchar NOT NULL,
  "localDateTime" timestamptz NOT NULL, "deletedAt" timestamptz,
  visibility asset_visibility_enum NOT NULL DEFAULT 'timeline');
CREATE TABLE asset_face (
  id uuid PRIMARY KEY, "assetId" uuid NOT NULL REFERENCES asset, "{person}" uuid,
  "imageWidth" integer NOT NULL DEFAULT 0, "imageHeight" integer NOT NULL DEFAULT 0,
  "boundingBoxX1" integer NOT NULL DEFAULT 0, "boundingBoxY1" integer NOT NULL DEFAULT 0,
  "boundingBoxX2" integer NOT NULL DEFAULT 0, "boundingBoxY2" integer NOT NULL DEFAULT 0,
  "sourceType" varchar NOT NULL DEFAULT 'machine-learning', "deletedAt" timestamptz,
  "isVisible" boolean NOT NULL DEFAULT true);
CREATE TABLE face_search ("faceId" uuid PRIMARY KEY REFERENCES asset_face, embedding vector NOT NULL);
"""
PERSONS = {
    "personId": """
CREATE TABLE person (
  id uuid PRIMARY KEY, "ownerId" uuid NOT NULL, name varchar NOT NULL DEFAULT '',
  "isHidden" boolean NOT NULL DEFAULT false, "birthDate" date);
""",
    "personGroupId": """
CREATE TABLE person_group (id uuid PRIMARY KEY);
CREATE TABLE person (
  "personGroupId" uuid NOT NULL, "ownerId" uuid NOT NULL, name varchar NOT NULL DEFAULT '',
  "isHidden" boolean NOT NULL DEFAULT false, "birthDate" date,
  PRIMARY KEY ("ownerId", "personGroupId"));
""",
}


def face(number: int) -> str:
    return str(uuid.UUID(int=2 << 100 | number))


class Immich:
    """The database of an immich."""

    def __init__(self, address: str, person: str) -> None:
        import psycopg

        self.address, self.person = address, person
        self.connection = psycopg.connect(address, autocommit=True)
        self.run(SHARED.format(person=person) + PERSONS[person])
        for user, email in ((USER, "anna@example.org"), (OTHER, "ben@example.org")):
            self.run('INSERT INTO "user" VALUES (%s, %s)', user, email)

    def run(self, query: str, *values: object) -> None:
        self.connection.execute(query.encode(), values or None)

    def people(self) -> None:
        for user, person, name, hidden in (
            (USER, ANNA, "Anna", False),
            (USER, BEN, "Ben", False),
            (USER, HIDDEN, "Hugo", True),
            (USER, TWIN, "Anna", False),
        ):
            key = "id" if self.person == "personId" else '"personGroupId"'
            row = person, user, name, hidden
            self.run(
                f'INSERT INTO person ({key}, "ownerId", name, "isHidden") VALUES (%s, %s, %s, %s)', *row
            )

    def face(
        self, number: int, person: str | None, photo: int, user: str = USER, **columns: object
    ) -> None:
        asset = str(uuid.UUID(int=3 << 100 | photo))
        taken = "2024-05-31 23:30:00+00"  # local time, which immich writes as if it were UTC
        self.run(
            "INSERT INTO asset VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            *(asset, user, f"/data/library/{photo}.jpg", taken),
        )
        values = {
            "id": face(number),
            "assetId": asset,
            self.person: person,
            "imageWidth": 1000,
            "imageHeight": 500,
            "boundingBoxX1": 100,
            "boundingBoxY1": 50,
            "boundingBoxX2": 300,
            "boundingBoxY2": 250,
            **columns,
        }
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join(["%s"] * len(values))
        self.run(f"INSERT INTO asset_face ({names}) VALUES ({marks})", *values.values())

    def embedding(self, number: int, vector: np.ndarray[Any, Any]) -> None:
        self.run("INSERT INTO face_search VALUES (%s, %s)", face(number), as_json(vector))


@pytest.fixture(params=["personId", "personGroupId"])
def immich(database: str, request: pytest.FixtureRequest) -> Iterator[Immich]:
    """Faces 0-2 of Anna, 3 of Ben, 4 of nobody; 5 deleted, 6 hidden person, 7 without an embedding."""
    made = Immich(database, request.param)
    made.people()
    persons = [ANNA, ANNA, ANNA, BEN, None, ANNA, HIDDEN, ANNA]
    for number, person in enumerate(persons):
        deleted = {"deletedAt": "2024-06-01"} if number == 5 else {}
        made.face(number, person, photo=number, **deleted)
    for number, vector in enumerate(vectors(7)):
        made.embedding(number, vector)
    yield made
    made.connection.close()


def test_faces_and_people_come_in(immich: Immich, tmp_path: Path) -> None:
    family = tmp_path / "family"
    done = run_json("import", family, "immich", immich.address)
    assert done == {
        "added": 5,
        "known": 0,
        "new people": 2,
        "confirmed": 4,
        "skipped": {"deleted": 1, "hidden": 1, "without an embedding": 1},
    }
    assert people(family) == {
        "Anna": [f"immich:{face(n)}" for n in range(3)],
        "Ben": [f"immich:{face(3)}"],
    }
    first = stored(family)[f"immich:{face(0)}"]
    assert (first["photo"], first["taken"]) == ("/data/library/0.jpg", "2024-05-31")
    np.testing.assert_allclose(first["box"], (0.1, 0.1, 0.3, 0.5))
    np.testing.assert_array_equal(first["embedding"], vectors(7)[0])
    assert Library.open(family).store.space["embedder"] == "immich"


def test_a_second_import_adds_what_is_new_and_takes_back_nothing(immich: Immich, tmp_path: Path) -> None:
    family = tmp_path / "family"
    run("import", family, "immich", immich.address)
    run("name", family, "Anna", "Anna Smith")
    run("undo", family, "2")  # Ben
    run("name", family, "Anna Smith", "Anna S.")
    before = people(family)
    assert run_json("import", family, "immich", immich.address)["confirmed"] == 0
    assert people(family) == before
    # One more face of Anna, and somebody has named face 4 over there.
    immich.face(8, ANNA, photo=8)
    immich.embedding(8, vectors(8)[7])
    immich.run(f'UPDATE asset_face SET "{immich.person}" = %s WHERE id = %s', BEN, face(4))
    done = run_json("import", family, "immich", immich.address)
    assert (done["added"], done["known"], done["confirmed"]) == (1, 5, 2)
    after = people(family)
    assert after["Anna S."] == [*before["Anna S."], f"immich:{face(8)}"]
    assert after["Ben"] == [f"immich:{face(4)}"]


def test_what_was_said_here_stands(immich: Immich, tmp_path: Path) -> None:
    family = tmp_path / "family"
    run("import", family, "immich", immich.address)
    library = Library.open(family)
    keys = {row["key"]: row["id"] for row in library.store.described(library.faces.tolist())}
    moved = keys[f"immich:{face(3)}"]
    run("undo", family, "2")
    run("confirm", family, str(moved), "--who", "Anna")
    run("import", family, "immich", immich.address)
    assert f"immich:{face(3)}" in people(family)["Anna"]
    assert "Ben" not in people(family)


def test_two_people_of_one_name_stay_two(immich: Immich, tmp_path: Path) -> None:
    immich.run(f'UPDATE asset_face SET "{immich.person}" = %s WHERE id = %s', TWIN, face(4))
    family = tmp_path / "family"
    for confirmed in (5, 0):
        assert run_json("import", family, "immich", immich.address)["confirmed"] == confirmed
        assert people(family)["Anna (2)"] == [f"immich:{face(4)}"]


def test_a_person_twice_on_a_photo_is_left_open(immich: Immich, tmp_path: Path) -> None:
    immich.face(8, BEN, photo=3)
    immich.embedding(8, vectors(8)[7])
    done = run_json("import", tmp_path / "family", "immich", immich.address)
    assert done["skipped"]["named twice on one photo"] == 2
    assert "Ben" not in people(tmp_path / "family")


def test_faces_of_several_users_are_not_mixed(immich: Immich, tmp_path: Path) -> None:
    immich.face(8, None, photo=8, user=OTHER)
    immich.embedding(8, vectors(8)[7])
    family = tmp_path / "family"
    line = refused("import", family, "immich", immich.address)
    assert "anna@example.org, ben@example.org" in line
    assert "--user" in line
    assert not family.exists()
    done = run_json("import", family, "immich", immich.address, "--user", "ben@example.org")
    assert done["added"] == 1
    assert "nobody@example.org" in refused(
        "import", family, "immich", immich.address, "--user", "nobody@example.org"
    )


def test_locked_pictures_stay_out(immich: Immich, tmp_path: Path) -> None:
    immich.run("UPDATE asset SET visibility = 'locked' WHERE \"originalPath\" LIKE '%%/0.jpg'")
    immich.run('UPDATE asset_face SET "isVisible" = false WHERE id = %s', face(1))
    done = run_json("import", tmp_path / "family", "immich", immich.address)
    assert (done["added"], done["skipped"]["hidden"]) == (3, 3)


def test_the_right_to_read_is_enough_and_more_is_not_used(immich: Immich, tmp_path: Path) -> None:
    from nsrfc.bridges.database import opened
    from nsrfc.errors import InputError

    immich.run("CREATE SEQUENCE numbers")
    with (
        pytest.raises(InputError, match="read-only transaction"),
        opened(immich.address, ()) as database,
    ):
        list(database.rows("SELECT nextval('numbers')"))
    immich.run("DROP ROLE IF EXISTS reader")
    immich.run("CREATE ROLE reader LOGIN")
    immich.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    address = (
        immich.address.replace("//tester@", "//reader@") + "&options=-c%20statement_timeout%3D60000"
    )
    assert run_json("import", tmp_path / "family", "immich", address)["added"] == 5
    immich.run("DROP OWNED BY reader")


def test_other_databases_are_refused(database: str, tmp_path: Path) -> None:
    family = tmp_path / "family"
    assert "no table asset_face" in refused("import", family, "immich", database)
    import psycopg

    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE asset_face (id uuid)")
    assert "neither personId nor personGroupId" in refused("import", family, "immich", database)
    assert "no address" in refused("import", family, "immich", str(tmp_path))
    for address in (
        "postgresql://me:secret@localhost:1/immich",
        "host=localhost port=1 dbname=immich password=secret",
    ):
        line = refused("import", family, "immich", address)
        assert "secret" not in line
        assert "localhost" in line
    assert not family.exists()
