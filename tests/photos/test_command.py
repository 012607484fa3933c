"""``nsrfc photos`` as a user runs it, on drawn faces: what comes in, once, whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nsrfc.library.library import Library
from nsrfc.library.pictures import PICTURES, Pictures
from tests.commands import refused, run, run_json
from tests.photos.drawn import draw, save

PEOPLE = ((0, 1), (0, 2), (1, 2, 3), (3,), (0, 3), ())


def make_album(folder: Path) -> Path:
    """Draw six pictures, one of them without a face, one that is turned, and add a file that is none."""
    for number, people in enumerate(PEOPLE):
        image, tags = draw(people, number), Image.Exif()
        tags[0x0112] = 1
        tags[0x8769] = {0x9003: f"201{number}:06:01 12:00:00"}
        if number == 3:
            image, tags[0x0112] = image.transpose(Image.Transpose.ROTATE_90), 6
        save(image, folder / f"20{number}" / "IMG.png", exif=tags)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return make_album(tmp_path / "Pictures")


@pytest.fixture(scope="session")
def options(drawn_models: Path) -> tuple[str, ...]:
    return (
        "--models",
        str(drawn_models),
        "--detector",
        "drawn-detector",
        "--embedder",
        "drawn-embedder",
    )


@pytest.fixture(scope="session")
def whole(options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library of the album, made without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    run("photos", make_album(folder / "Pictures"), "-o", folder / "family", *options)
    return Library.open(folder / "family")


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_pictures_become_people(album: Path, options: tuple[str, ...], tmp_path: Path) -> None:
    # A library among the pictures is none of them.
    before, family = contents(album), album / "family"
    text = run("photos", album, "-o", family, *options)
    library = Library.open(family)
    described = library.store.described(library.faces.tolist())

    assert len(library.faces) == sum(map(len, PEOPLE))
    assert len(set(library.clusters.tolist())) == 4
    assert [face["photo"] for face in described] == [
        f"20{number}/IMG.png" for number, people in enumerate(PEOPLE) for _ in people
    ]
    assert {face["taken"] for face in described} == {f"201{number}-06-01" for number in range(5)}
    image = library.store.thumbnail(0)
    assert image is not None
    assert image[8:12] == b"WEBP"
    assert text.splitlines()[-1] == f"Next: nsrfc review {family}"
    assert "No pictures that are read: 1 .txt.\n" in text
    assert {path: found for path, found in contents(album).items() if "family" not in path} == before


def test_faces_of_a_picture_are_different_people(
    album: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    save(draw((1, 1, 1), 9), album / "triplets.png")
    run("photos", album, "-o", tmp_path / "family", *options)
    library = Library.open(tmp_path / "family")
    photos = {face["id"]: face["photo"] for face in library.store.described(library.faces.tolist())}
    for group in library.groups():
        own = [photos[face] for face in group.faces.tolist()]
        assert len(own) == len(set(own))


def test_a_second_run_embeds_only_what_is_new(
    album: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    run("photos", album, "-o", family, *options)
    Library.open(family).name("c1", "Anna")
    before = Library.open(family).fingerprint()
    # Moved, copied, touched, and tagged by another program: the same pictures.
    (album / "200").rename(album / "moved")
    shutil.copy(album / "201" / "IMG.png", album / "copy.png")
    os.utime(album / "202" / "IMG.png", (0, 0))
    with Image.open(album / "203" / "IMG.png") as image:
        image.transpose(Image.Transpose.ROTATE_270).save(album / "203" / "IMG.png", dpi=(300, 300))
    record = run_json("photos", album, "-o", family, *options)

    assert (record["new"], record["faces_added"], record["gone"]) == (1, 0, 0)
    assert Library.open(family).fingerprint() == before
    save(draw((0, 2), 77), album / "new.png")
    record = run_json("photos", album, "-o", family, *options)
    assert (record["pictures"], record["new"], record["faces_added"]) == (8, 1, 2)
    assert Library.open(family).group("Anna").confirmed.size > 0


def test_the_library_knows_its_models(
    album: Path, drawn_models: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    run("photos", album, "-o", family, *options)

    record = run_json("photos", album, "-o", family, "--models", drawn_models)
    assert record["faces_added"] == 0
    assert "drawn-detector" in refused(
        "photos", album, "-o", family, "--models", drawn_models, "--detector", "dlib-hog"
    )
    assert "cannot be compared" in refused(
        "photos", album, "-o", family, "--models", drawn_models, "--embedder", "dlib"
    )


def test_what_cannot_be_read_is_listed_and_not_fatal(
    album: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    (album / "broken.jpg").write_bytes(b"no picture")
    (album / "cut.png").write_bytes((album / "200" / "IMG.png").read_bytes()[:800])
    text = run("photos", album, "-o", tmp_path / "family", *options)

    assert f"Not read: {album / 'broken.jpg'}: it is damaged, or no picture." in text
    assert f"Not read: {album / 'cut.png'}: " in text
    assert len(Library.open(tmp_path / "family").faces) == sum(map(len, PEOPLE))
    # Mended, it comes in.
    save(draw((3,), 31), album / "cut.png")
    record = run_json("photos", album, "-o", tmp_path / "family", *options)
    assert (record["faces_added"], record["unreadable"]) == (1, 1)
    assert [each["path"] for each in record["problems"]] == [str(album / "broken.jpg")]


def test_a_changed_picture_comes_in_and_the_old_faces_stay(
    album: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    run("photos", album, "-o", family, *options)
    save(draw((0, 1), 50), album / "200" / "IMG.png")
    record = run_json("photos", album, "-o", family, *options)
    library = Library.open(family)
    names = [face["photo"] for face in library.store.described(library.faces.tolist())]

    assert (record["faces_added"], record["gone"]) == (2, 1)
    # Not under the name of the picture before: these are not faces that one photo shows together.
    assert names.count("200/IMG.png") == 2
    assert sum(name.startswith("200/IMG.png (") for name in names) == 2


def test_blurred_faces_are_left_out_and_taken_back(
    album: Path, drawn_models: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    save(draw((2, 1), 40, blurred=True), album / "blurred.png")
    first = run_json("photos", album, "-o", family, "--min-sharpness", "400", *options)
    left_out = run_json("library", "left-out", family)["left_out"]

    assert first["faces_left_out"] == len(left_out) == 2
    assert all(each["reason"].startswith("blurred: sharpness ") for each in left_out)
    assert {each["photo"] for each in left_out} == {"blurred.png"}
    number = left_out[0]["id"]
    run("library", "take-back", family, str(number), "--models", drawn_models)
    assert len(Library.open(family).faces) == first["faces"] + 1
    found = run_json("library", "left-out", family, "--all")["found"]
    assert sum(each["face"] is not None for each in found) == first["faces"] + 1
    assert {"score", "size", "sharpness", "yaw", "pitch", "roll"} == set(found[0]["quality"])
    assert "face 0" in run("library", "left-out", family, "--all")
    assert [each["id"] for each in run_json("library", "left-out", family)["left_out"]] == [
        left_out[1]["id"]
    ]
    assert "left out" in refused("library", "take-back", family, str(number), "--models", drawn_models)
    # It stays, whatever later runs leave out; and a lower limit lets the other one in.
    assert (
        run_json("photos", album, "-o", family, "--min-sharpness", "400", *options)["faces_added"] == 0
    )
    assert run_json("photos", album, "-o", family, "--min-sharpness", "0", *options)["faces_added"] == 1
    assert not run_json("library", "left-out", family)["left_out"]


def test_a_face_whose_picture_is_gone_cannot_be_taken_back(
    album: Path, drawn_models: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    run("photos", album, "-o", family, "--min-size", "97", *options)
    number = run_json("library", "left-out", family)["left_out"][0]["id"]
    shutil.rmtree(album)

    assert "no longer where it was" in refused(
        "library", "take-back", family, str(number), "--models", drawn_models
    )
    assert len(run_json("library", "left-out", family)["left_out"]) == sum(map(len, PEOPLE))


def test_a_forgotten_face_does_not_come_back(
    album: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    run("photos", album, "-o", family, *options)
    box = Pictures(family).of_faces([0])[0].box
    run("forget", family, "0")
    record = run_json("photos", album, "-o", family, *options)

    assert record["faces_added"] == 0
    assert 0 not in Library.open(family).faces
    assert not Pictures(family).of_faces([0])
    assert json.dumps(list(box)).encode() not in (family / PICTURES).read_bytes()


KILLED = """
import os, signal, sys
from nsrfc.library.{module} import {kind}
from nsrfc.cli import app
whole, calls = {kind}.{method}, []
def part(self, *args, **kwargs):
    calls.append(1)
    if len(calls) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, *args, **kwargs)
{kind}.{method} = part
app(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    ("module", "kind", "method", "count"),
    [
        ("pictures", "Pictures", "add", 3),
        ("library", "Library", "add", 1),
        ("store", "Store", "keep_thumbnails", 1),
        ("pictures", "Pictures", "place", 1),
        ("library", "Library", "cluster", 1),
    ],
)
def test_a_run_that_was_killed_goes_on_to_the_same_result(
    module: str,
    kind: str,
    method: str,
    count: int,
    album: Path,
    options: tuple[str, ...],
    whole: Library,
    tmp_path: Path,
) -> None:
    family = tmp_path / "family"
    code = KILLED.format(module=module, kind=kind, method=method, count=count)
    words = [sys.executable, "-c", code, "photos", str(album), "-o", str(family), *options]
    killed = subprocess.run(words, capture_output=True, check=False)
    run("photos", album, "-o", family, *options)
    again = Library.open(family)

    assert killed.returncode == -signal.SIGKILL
    assert again.fingerprint() == whole.fingerprint()
    assert again.store.described(again.faces.tolist()) == whole.store.described(whole.faces.tolist())
    np.testing.assert_array_equal(again.store.vectors(again.faces), whole.store.vectors(whole.faces))
    assert all(again.store.thumbnail(face) is not None for face in again.faces.tolist())


@pytest.mark.parametrize("words", [("photos",), ("library", "left-out")])
def test_bad_input_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    more = ("-o", tmp_path / "family") if words == ("photos",) else ()
    refused(*words, tmp_path / "absent", *more)
    assert not (tmp_path / "family").exists()


def test_nothing_is_made_if_the_models_are_not_there(album: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    line = refused(
        "photos",
        album,
        "-o",
        tmp_path / "family",
        "--models",
        tmp_path / "empty",
        "--detector",
        "yunet-2026may",
    )

    assert "face_detection_yunet_2026may.onnx" in line
    assert not (tmp_path / "family").exists()


def test_pictures_without_a_face_are_no_error(options: tuple[str, ...], tmp_path: Path) -> None:
    save(draw(()), tmp_path / "Pictures" / "empty.png")

    assert "No face was found" in run(
        "photos", tmp_path / "Pictures", "-o", tmp_path / "family", *options
    )


def test_a_damaged_database_of_pictures_is_made_anew(
    album: Path, options: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    run("photos", album, "-o", family, *options)
    before = Library.open(family).fingerprint()
    (family / PICTURES).write_bytes(b"damaged" * 1000)
    assert "damaged" in refused("photos", album, "-o", family, *options)
    run("library", "check", family, "--mend")
    run("photos", album, "-o", family, *options)

    assert Library.open(family).fingerprint() == before
    with sqlite3.connect(family / PICTURES) as database:
        assert database.execute("SELECT count(*) FROM found WHERE face IS NULL").fetchone() == (0,)


def test_the_page_shows_the_faces(whole: Library) -> None:
    pytest.importorskip("starlette", reason="the extra review is not installed")
    from tests.review.conftest import serving

    with serving(whole.folder) as page, page.client() as client:
        people = client.get("/api/people", params={"kind": "clusters"}).json()
        image = client.get("/thumbnail/0", params={"token": page.review.token})

    assert len(people["groups"]) == 4
    assert all(group["cover"]["picture"] for group in people["groups"])
    assert image.content == whole.store.thumbnail(0)


@pytest.mark.parametrize("package", ["PIL", "dlib", "face_recognition_models", "onnxruntime"])
def test_without_the_extra_it_says_what_to_install(
    package: str, album: Path, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    more = options if package == "onnxruntime" else ()
    line = refused("photos", album, "-o", tmp_path / "family", *more)

    assert f"This needs {package}" in line
    assert "pip install 'nsrfc[photos]'" in line
    assert not (tmp_path / "family").exists()


def test_models_are_listed() -> None:
    text = run("photos", "--list-models")

    assert "embedder  sface" in text
    assert "scrfd-10g" in text
    assert "--accept-licence" in text


def test_six_faces_by_the_pair_of_the_package_index(insightface: Path, tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="the extra photos is not installed")
    pytest.importorskip("face_recognition_models", reason="the extra photos is not installed")
    (tmp_path / "Pictures").mkdir()
    shutil.copy(insightface / "data" / "images" / "t1.jpg", tmp_path / "Pictures")
    record: dict[str, Any] = run_json("photos", tmp_path / "Pictures", "-o", tmp_path / "family")
    library = Library.open(tmp_path / "family")
    lengths = np.linalg.norm(library.store.vectors(library.faces), axis=1)

    assert (record["faces_added"], record["faces_left_out"]) == (6, 0)
    assert (lengths > 1.2).all()
    assert (lengths < 1.8).all()
    assert len(library.groups()) == 6  # one photo shows nobody twice
    assert library.store.space["embedder"] == "dlib"
