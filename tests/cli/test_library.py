"""The commands of a library, from the first face to the last one forgotten."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nsrfc.storage.arrays import write_npz
from nsrfc.synthetic import generate

from ..commands import refused, run, run_json

N = 400


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces with ids, photos and dates, in two files."""
    folder = tmp_path_factory.mktemp("faces")
    X = generate(N, "wild", dimension=64, seed=0).embeddings
    names = np.array([f"face-{row}" for row in range(N)])
    photos = np.array([f"photo-{row // 2}" if row % 4 < 2 else "" for row in range(N)])
    dates = np.array(["2020-05-31" if row % 2 else "" for row in range(N)])
    for name, rows in (("first", slice(0, 300)), ("second", slice(300, N))):
        known = {"id": names[rows], "photo": photos[rows], "date": dates[rows]}
        write_npz(folder / f"{name}.npz", {"embedding": X[rows], **known})
    return folder


@pytest.fixture
def family(faces: Path, tmp_path: Path) -> Path:
    """Make a library of the first file, clustered by rules."""
    folder = tmp_path / "family"
    run("library", "create", folder, "--embedder", "mine")
    run("add", folder, faces / "first.npz", "--photo", "photo", "--taken", "date")
    run("library", "cluster", folder, "--model", "none")
    return folder


def people(folder: Path, *more: str) -> list[dict[str, object]]:
    """Everyone that ``nsrfc people`` lists."""
    listed: list[dict[str, object]] = run_json("people", folder, *more)["people"]
    return listed


def test_names_stay_while_faces_come(faces: Path, family: Path) -> None:
    largest = people(family, "--all")[0]
    run("name", family, str(largest["id"]), "Anna")
    added = run_json("add", family, faces / "second.npz", "--photo", "photo", "--embedder", "mine")
    assert (added["faces"], added["added"], added["named"]) == (N, 100, 1)
    run("library", "cluster", family, "-m", "none", "--seed", "3")
    (anna,) = people(family)
    assert anna["name"] == "Anna"
    assert set(largest["faces"]) <= set(anna["faces"])  # type: ignore[call-overload]


def test_what_is_said_is_said_and_taken_back(family: Path) -> None:
    one, other = (str(group["id"]) for group in people(family, "--all")[:2])
    before = people(family, "--all")
    run("name", family, one, "Anna")
    run("name", family, other, "Bob")
    for command in (["merge", "Anna", "Bob"], ["hide", "Anna"], ["split", "Bob", "0"]):
        result = people(family)
        try:
            run(command[0], family, *command[1:])
        except AssertionError:
            assert people(family) == result
    for act in run_json("library", "history", family)["acts"][::-1]:
        assert f"act {act['number']} undone" in run("undo", family, str(act["number"]))
    assert people(family, "--all") == before
    assert "nothing to undo" in refused("undo", family)


def test_people_leave_for_other_programs(family: Path, tmp_path: Path) -> None:
    run("name", family, str(people(family, "--all")[0]["id"]), "Anna, née <Bæ>")
    (anna,) = people(family)
    run("export", family, tmp_path / "people.csv")
    with (tmp_path / "people.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 300
    named = [int(row["face"]) for row in rows if row["name"] == "Anna, née <Bæ>"]
    assert named == anna["faces"]
    assert {rows[face]["key"] for face in named} == {f"face-{face}" for face in named}
    run("export", family, tmp_path / "people.parquet", "--confirmed")
    assert pq.read_table(tmp_path / "people.parquet")["face"].to_pylist() == anna["confirmed"]
    run("export", family, tmp_path / "people.json")
    (person,) = json.loads((tmp_path / "people.json").read_text(encoding="utf-8"))["persons"]
    assert [face["face"] for face in person["faces"]] == anna["faces"]
    assert "people.txt" in refused("export", family, tmp_path / "people.txt")


def test_questions_are_asked_answered_and_explained(family: Path, tmp_path: Path) -> None:
    asked = run_json("questions", family, "--limit", "3")["questions"]
    assert len(asked) == 3
    a, b = str(asked[0]["a"]), str(asked[0]["b"])
    run("answer", family, a, b, "no")
    assert all({question["a"], question["b"]} != {int(a), int(b)} for question in asked[1:])
    assert "are different persons, by act 1." in run("explain", family, a, b)
    run("report", family, tmp_path / "report.html")
    assert "300" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_split_is_proposed_and_made(faces: Path, tmp_path: Path) -> None:
    family = tmp_path / "family"
    run("library", "create", family)
    run("add", family, faces / "first.npz")
    run("library", "cluster", family, "-m", "none")
    one, other = people(family, "--all")[:2]
    run("name", family, str(one["id"]), "Anna")
    run("merge", family, "Anna", str(other["id"]))
    proposed = run("split", family, "Anna", "--suggest").split()
    assert len(people(family)) == 1
    run("split", family, "Anna", *proposed)
    assert len(people(family)) == 2


def test_faces_are_forgotten_for_good(family: Path) -> None:
    run("name", family, str(people(family, "--all")[0]["id"]), "Anna")
    (anna,) = people(family)
    assert f"{len(anna['faces'])} faces are removed" in run("forget", family, "--who", "Anna")  # type: ignore[arg-type]
    assert people(family) == []
    assert "is sound" in run("library", "check", family)
    assert b"Anna" not in b"".join(path.read_bytes() for path in family.rglob("*") if path.is_file())


def test_errors_are_one_sentence(family: Path, faces: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.ones((3, 65)))
    assert "holds no library" in refused("people", tmp_path)
    assert "no person or cluster 'Zoe'" in refused("name", family, "Zoe", "Anna")
    assert "300 of these faces are in" in refused("add", family, faces / "first.npz")
    assert "dimension 65" in refused("add", family, tmp_path / "wide.npy")
    assert "'theirs'" in refused("add", family, faces / "second.npz", "--embedder", "theirs")
    assert "is no name" in refused("name", family, str(people(family, "--all")[0]["id"]), "p7")
    assert "no face 9999" in refused("confirm", family, "1", "9999")
    assert "holds a library already" in refused("library", "create", family)
    assert "does not exist" in refused("undo", family, "77")
