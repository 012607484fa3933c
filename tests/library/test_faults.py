"""Kills, damage, two writers and full disks: nothing said is lost, and each is one clear sentence."""

from __future__ import annotations

import os
import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.act_kills import kill_once, new_library
from nsrfc import InputError
from nsrfc.library.library import Library
from nsrfc.library.upkeep import mend_database

from .faces import clustered, faces


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_loses_nothing(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "family"
    new_library(folder)
    assert kill_once(folder, seed) == []
    library = Library.open(folder)
    library.add(faces(3)[0][:, :32])
    library.cluster(None)


def test_two_writers_of_acts_lose_none(tmp_path: Path) -> None:
    one = clustered(tmp_path / "family")
    other = Library.open(tmp_path / "family")
    groups = one.groups()
    one.name(groups[0].id, "Anna")
    other.name(groups[1].id, "Bob")
    one.merge("Anna", groups[2].id)
    assert [entry.number for entry in other.history()] == [1, 2, 3]
    assert one.fingerprint() == other.fingerprint()


def test_two_that_add_at_once_are_told(tmp_path: Path) -> None:
    one = clustered(tmp_path / "family")
    with one.store.alone(), pytest.raises(InputError, match="in use by another process that adds"):
        Library.open(tmp_path / "family").add(faces(3)[0])


def test_a_library_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    clustered(tmp_path / "family")
    with closing(sqlite3.connect(tmp_path / "family" / "library.db")) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match=r"version 99 of its schema, and this nsrfc reads version 2"):
        Library.open(tmp_path / "family")


def test_a_library_of_the_first_version_gets_room_for_boxes(tmp_path: Path) -> None:
    clustered(tmp_path / "family")
    with closing(sqlite3.connect(tmp_path / "family" / "library.db")) as database:
        database.execute("DROP TABLE boxes")
        database.execute("PRAGMA user_version = 1")
    library = Library.open(tmp_path / "family")
    added = library.add(faces(3)[0][:1], boxes=[[0.1, 0.2, 0.3, 0.4]])
    np.testing.assert_allclose(library.store.boxes(added), [[0.1, 0.2, 0.3, 0.4]])


@pytest.mark.parametrize("content", [b"", b"no database", os.urandom(5000)])
def test_what_is_no_library_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="holds no library"):
        Library.open(tmp_path)
    (tmp_path / "library.db").write_bytes(content)
    with pytest.raises(InputError, match=r"library\.db is (damaged|not the database of a library)"):
        Library.open(tmp_path)


def test_a_folder_of_other_files_is_not_made_a_library(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"picture")
    with pytest.raises(InputError, match="holds other files"):
        Library.create(tmp_path)
    assert (tmp_path / "holiday.jpg").read_bytes() == b"picture"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_sentence(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    for path in (tmp_path / "family", tmp_path / "family" / "library.db"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with pytest.raises(InputError, match="cannot be written"):
        library.name(library.groups()[0].id, "Anna")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    one, other = (group.id for group in library.groups()[:2])
    library.name(one, "Anna")
    before = library.fingerprint()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            Library.open(tmp_path / "family").name(other, "Bob")
        with pytest.raises(InputError, match="cannot be written"):
            Library.open(tmp_path / "family").add(faces(5)[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    library = Library.open(tmp_path / "family")
    assert library.fingerprint() == before
    library.name(other, "Bob")
    library.add(faces(5)[0])


def test_lost_embeddings_cost_their_faces_and_no_word(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    library.name(library.groups()[0].id, "Anna")
    library.add(faces(20, seed=7)[0])
    last = tmp_path / "family" / "embeddings" / "000001.npy"
    last.write_bytes(last.read_bytes()[:-100])
    (problem,) = Library.open(tmp_path / "family").check()
    assert problem.what.startswith("The embeddings of 20 faces are lost, from face 400 on")
    assert Library.open(tmp_path / "family").check(mend=True)[0].mended
    library = Library.open(tmp_path / "family")
    assert library.check() == []
    assert len(library.faces) == 400
    library.cluster(None)
    assert library.group("Anna").confirmed.size > 0


@pytest.mark.parametrize("name", ["run.json", "given.npy", "edges.npz", "clusters.npy", "scene.npy"])
def test_a_damaged_run_is_found_again(tmp_path: Path, name: str) -> None:
    library = clustered(tmp_path / "family")
    library.name(library.groups()[0].id, "Anna")
    before = library.fingerprint()
    (path,) = (tmp_path / "family" / "artifacts").rglob(name)
    path.write_bytes(b"damaged")
    (tmp_path / "family" / "artifacts" / "clusters.npz").unlink()
    library = Library.open(tmp_path / "family")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        library.groups()
    assert [problem.mended for problem in library.check(mend=True)] == [True]
    library.cluster(None)
    assert library.group("Anna").confirmed.size > 0
    assert len(before) == 64


def test_a_damaged_database_is_mended_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family", 400)
    for number in range(30):
        library.name(library.groups()[number % 10].id, f"person {number}")
    with library.store.database() as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path = tmp_path / "family" / "library.db"
    content = bytearray(path.read_bytes())
    size = 4096
    place = content.rfind(b"person 29") // size * size
    content[place : place + size] = os.urandom(size)
    path.write_bytes(content)
    problem = mend_database(tmp_path / "family")
    assert problem is not None
    assert problem.mended
    library = Library.open(tmp_path / "family")
    assert len(library.faces) >= 300
    assert path.with_name("library.db.damaged").read_bytes() == bytes(content)


def test_a_sound_database_is_left_alone(tmp_path: Path) -> None:
    clustered(tmp_path / "family")
    assert mend_database(tmp_path / "family") is None


def test_forgotten_faces_leave_no_byte(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    X, _ = faces(400)
    images = [b"picture of face %d " % face * 5 for face in range(400)]
    keys = [f"holiday-{face}.jpg" for face in range(400)]
    library.add(X, keys=keys, photos=keys, thumbnails=images)
    library.cluster(None)
    person = library.groups()[0]
    library.name(person.id, "Wilhelmina")
    library.born("Wilhelmina", "1971-05-31")
    faces_of = library.group("Wilhelmina").faces
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    secrets = [X[face].tobytes() for face in faces_of] + [unit[face].tobytes() for face in faces_of]
    secrets += [b"Wilhelmina", b"1971-05-31", *(images[face] for face in faces_of)]
    secrets += [keys[face].encode() + b'"' for face in faces_of]
    kept = [face for face in range(400) if face not in set(faces_of.tolist())]
    assert library.forget(who="Wilhelmina") == len(faces_of)
    content = b"".join(path.read_bytes() for path in (tmp_path / "family").rglob("*") if path.is_file())
    assert [secret for secret in secrets if secret in content] == []
    assert X[kept[0]].tobytes() in content
    assert images[kept[0]] in content
    library = Library.open(tmp_path / "family")
    assert library.faces.tolist() == kept
    assert library.check() == []
    library.cluster(None)
    assert library.people() == []


def test_a_face_of_a_pair_can_be_forgotten(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    one, other = (group.faces[0] for group in library.groups()[:2])
    library.reject([one, other])
    library.unsure(int(one), int(library.groups()[2].faces[0]))
    library.forget([one])
    assert len(library.history()) == 2
    assert one not in library.faces
