"""Folders per person, and samples for FiftyOne; and the tables that there were before."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from nsrfc.errors import InputError
from nsrfc.library.library import Library

from ..commands import refused, run
from .drawn import D, people, vectors


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures, two of one name, in two years."""
    for name in ("2023/a.jpg", "2024/a.jpg", "2024/b.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "pictures"


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """Anna on all pictures, Ben on one with her; nobody knows the last face."""
    library = Library.create(tmp_path / "family")
    photos = ["2023/a.jpg", "2024/a.jpg", "2024/b.jpg", "2024/b.jpg", "2023/a.jpg"]
    boxes = np.tile((0.1, 0.2, 0.3, 0.6), (5, 1))
    boxes[1] = np.nan
    library.add(vectors(5), keys=list("abcde"), photos=photos, boxes=boxes)
    library.name([0, 1, 2], "Anna")
    library.name([3], "Ben/../Ben")
    return library.folder


@pytest.mark.parametrize("copy", [False, True])
def test_folders_of_people(copy: bool, family: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "people"
    command: list[str | Path] = ["export", family, output, "--to", "folders", "--pictures", pictures]
    command += ["--copy"] if copy else []
    assert "4 pictures would be in" in run(*command, "--dry-run")
    assert not output.exists()
    for _ in range(2):  # what was written in this way is replaced
        run(*command)
        found = {
            str(path.relative_to(output)): path.read_text()
            for path in output.rglob("*.jpg")
            if path.is_symlink() is not copy
        }
        assert found == {
            "Anna/a.jpg": "2023/a.jpg",
            "Anna/a (2).jpg": "2024/a.jpg",
            "Anna/b.jpg": "2024/b.jpg",
            "Ben_.._Ben/b.jpg": "2024/b.jpg",
        }
    assert sorted(path.name for path in pictures.rglob("*.jpg")) == ["a.jpg", "a.jpg", "b.jpg"]


def test_folders_with_other_files_are_left_alone(family: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "mine.txt").write_text("mine")
    command: list[str | Path] = ["export", family, tmp_path / "people", "--to", "folders"]
    assert "--pictures" in refused(*command)
    assert "other files" in refused(*command, "--pictures", pictures)
    assert [path.name for path in (tmp_path / "people").iterdir()] == ["mine.txt"]


def test_folders_of_names_that_some_disks_take_for_one(pictures: Path, tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    library.add(vectors(4), photos=["2023/a.jpg", "2024/a.jpg", "2024/b.jpg", "2023/a.jpg"])
    for face, name in enumerate(("Anna", "ANNA", "...", "x" * 200)):
        library.name([face], name)
    run("export", library.folder, tmp_path / "people", "--to", "folders", "--pictures", pictures)
    found = sorted(path.name for path in (tmp_path / "people").iterdir() if path.is_dir())
    assert found == ["ANNA (p2)", "Anna", "p3", "x" * 120]


def test_samples_for_fiftyone(family: Path, pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "samples.json"
    run("export", family, output, "--to", "fiftyone", "--pictures", pictures)
    samples = json.loads(output.read_text())
    assert [Path(sample["filepath"]).relative_to(pictures) for sample in samples] == [
        Path("2023/a.jpg"),
        Path("2024/a.jpg"),
        Path("2024/b.jpg"),
    ]
    faces = [sample["faces"]["detections"] for sample in samples]
    assert [[face["label"] for face in each] for each in faces] == [["Anna"], [], ["Anna", "Ben/../Ben"]]
    assert faces[0][0]["bounding_box"] == pytest.approx([0.1, 0.2, 0.2, 0.4])
    assert ".json" in refused("export", family, tmp_path / "samples.txt", "--to", "fiftyone")


def test_tables_are_as_before(family: Path, tmp_path: Path) -> None:
    run("export", family, tmp_path / "people.csv", "--confirmed")
    with (tmp_path / "people.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["key"], row["name"]) for row in rows] == [
        ("a", "Anna"),
        ("b", "Anna"),
        ("c", "Anna"),
        ("d", "Ben/../Ben"),
    ]


def test_folders_named_after_people_say_who_is_on_a_picture(tmp_path: Path) -> None:
    for name in ("Anna/1.jpg", "Anna/2024/2.jpg", "Ben/1.jpg", "Ben/both.jpg", "alone.jpg"):
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    library = Library.create(tmp_path / "family")
    photos = [
        "Anna/1.jpg",
        "Anna/2024/2.jpg",
        "Ben/1.jpg",
        "Ben/both.jpg",
        "Ben/both.jpg",
        "alone.jpg",
        "x",
    ]
    library.add(vectors(7), keys=list("abcdefg"), photos=photos)
    assert "lies in" in refused("import", library.folder, "folders", tmp_path)
    for _ in range(2):
        run("import", library.folder, "folders", tmp_path / "people")
        assert people(library.folder) == {"Anna": ["a", "b"], "Ben": ["c"]}
    assert "no folder" in refused("import", library.folder, "folders", tmp_path / "nothing")


def test_boxes_are_four_numbers_for_each_face(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    for wrong, words in (
        (np.zeros((3, 3)), "left, top, right and bottom"),
        (np.zeros((2, 4)), "2 entries"),
    ):
        with pytest.raises(InputError, match=words):
            library.add(vectors(3), boxes=wrong)
    assert len(library.faces) == 0
    ids = library.add([*vectors(2), np.zeros(D)], boxes=np.arange(12).reshape(3, 4) / 12, skip_bad=True)
    assert ids.tolist() == [0, 1, -1]
    np.testing.assert_array_equal(library.store.boxes(library.faces), np.arange(8).reshape(2, 4) / 12)


@pytest.mark.parametrize("package", ["psycopg", "PIL"])
def test_what_is_not_installed_is_named(
    package: str, family: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    command: list[str | Path] = ["import", family, "immich", "postgresql://localhost/immich"]
    if package == "PIL":
        command = ["export", family, pictures, "--to", "xmp"]
    assert "pip install 'nsrfc[bridges]'" in refused(*command)


def test_forgotten_faces_leave_no_box(family: Path) -> None:
    import sqlite3

    run("forget", family, "0")
    with sqlite3.connect(family / "library.db") as database:
        assert [face for (face,) in database.execute("SELECT face FROM boxes")] == [2, 3, 4]
    database.close()
