"""``nsrfc predict`` places new faces as the estimator does, and refuses what is not of one run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nsrfc import FaceClusterer
from nsrfc.storage.embeddings import write_embeddings
from nsrfc.storage.runs import read_run
from nsrfc.synthetic import generate

from ..commands import refused, run, run_json
from ..models import STRUCTURE, D, make_model

N = 300


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of faces, new faces in every format, a model, runs, and a saved clusterer."""
    folder: Path = tmp_path_factory.mktemp("here")
    X = generate(N + 50, "wild", dimension=D, seed=2).embeddings
    np.savez(folder / "faces.npz", first=X[:N], second=X[:N] + 1)
    for suffix in (".npy", ".bin"):
        write_embeddings(folder / f"new{suffix}", X[N:])
    names = [f"new-{row}" for row in range(50)]
    write_embeddings(folder / "new.npz", X[N:], ids=names, key="face")
    write_embeddings(folder / "new.parquet", X[N:], ids=np.arange(100, 150), key="face")
    np.save(folder / "wider.npy", np.ones((3, D + 1)))
    make_model(STRUCTURE).save_pretrained(folder / "model")
    for name, model in (("none", "none"), ("universal", "universal"), ("own", folder / "model")):
        given = ["--key", "first", "--min-cluster-size", "2", "-m", model]
        run("cluster", folder / "faces.npz", *given, "-o", folder / name)
    FaceClusterer.load(folder / "none").save(folder / "saved")
    return folder


@pytest.mark.parametrize("clusters", ["none", "universal", "own", "saved"])
def test_the_command_does_what_the_estimator_does(here: Path, clusters: str, tmp_path: Path) -> None:
    new = np.load(here / "new.npy")
    record = run_json("predict", here / clusters, here / "new.npz", "-o", tmp_path, "--device", "cpu")
    models = {"none": None, "saved": None, "universal": "universal", "own": here / "model"}
    clusterer = FaceClusterer(model=models[clusters], min_cluster_size=2, device="cpu")
    clusterer.fit(np.load(here / "faces.npz")["first"])
    expected = clusterer.predict(new)
    table = pq.read_table(tmp_path / "clusters.parquet")
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), expected)
    np.testing.assert_array_equal(table["label"].to_numpy(), expected)
    assert table["id"].to_pylist() == [f"new-{row}" for row in range(50)]
    assert 0 < (expected < 0).sum() == record["result"]["unclustered"] < 50
    sure = table["confidence"].to_numpy()
    assert sure[expected >= 0].min() >= 0.3, "the lowest threshold of these methods"
    assert (record["command"], record["clusters"]) == ("predict", str(here / clusters))
    assert read_run(tmp_path) == record
    assert {path.name for path in tmp_path.iterdir()} == {"labels.npy", "clusters.parquet", "run.json"}
    assert "Agreement" in run("evaluate", tmp_path, tmp_path / "labels.npy")


def test_every_format_of_new_faces(here: Path, tmp_path: Path) -> None:
    labels = []
    for suffix, options in ((".npy", []), (".bin", ["--dimension", str(D)]), (".parquet", [])):
        out = tmp_path / suffix[1:]
        run("predict", here / "saved", here / f"new{suffix}", *options, "-o", out)
        labels.append(np.load(out / "labels.npy"))
    assert np.array_equal(labels[0], labels[1])
    assert np.array_equal(labels[0], labels[2])
    ids = pq.read_table(tmp_path / "parquet" / "clusters.parquet")["id"].to_pylist()
    assert ids == list(range(100, 150))


def test_bad_rows_of_new_faces_are_left_out_and_ids_have_any_name(here: Path, tmp_path: Path) -> None:
    new = np.load(here / "new.npy")
    holed = np.insert(new, [0, 30], np.nan, axis=0)
    np.savez(tmp_path / "new.npz", face=holed, path=np.arange(52), id=np.ones(9))
    command = "predict", here / "saved", tmp_path / "new.npz", "--id", "path", "-o"
    assert "2 of 52 rows hold NaN" in refused(*command, tmp_path / "out")
    record = run_json(*command, tmp_path / "out", "--skip-bad")
    run("predict", here / "saved", here / "new.npy", "-o", tmp_path / "alone")
    labels = np.load(tmp_path / "out" / "labels.npy")
    assert np.load(tmp_path / "out" / "bad_rows.npy").tolist() == [0, 31]
    assert labels[[0, 31]].tolist() == [-2, -2]
    np.testing.assert_array_equal(np.delete(labels, [0, 31]), np.load(tmp_path / "alone" / "labels.npy"))
    assert record["result"]["bad_rows"] == 2
    assert read_run(tmp_path / "out") == record
    assert "bad_rows.npy" in record["sha256"]
    table = pq.read_table(tmp_path / "out" / "clusters.parquet")
    assert table["path"].to_pylist() == list(range(52))
    assert table["confidence"].to_numpy()[[0, 31]].tolist() == [0, 0]
    assert "bad rows (-2)" in run(*command, tmp_path / "again", "--skip-bad")
    assert "label" in refused(*command[:-3], "--id", "label", "-o", tmp_path / "other")


def test_clusters_of_faces_with_bad_rows(here: Path, tmp_path: Path) -> None:
    faces = np.load(here / "faces.npz")["first"]
    np.savez(
        tmp_path / "faces.npz", first=np.insert(faces, [3], 0, axis=0), n=np.arange(N + 1), id=faces
    )
    given = ["-m", "none", "--min-cluster-size", "2", "--id", "n", "--key", "first", "--skip-bad"]
    run("cluster", tmp_path / "faces.npz", *given, "-o", tmp_path / "clusters")
    run("predict", tmp_path / "clusters", here / "new.npy", "-o", tmp_path / "holed")
    run("predict", here / "none", here / "new.npy", "-o", tmp_path / "whole")
    holed, whole = (np.load(tmp_path / name / "labels.npy") for name in ("holed", "whole"))
    np.testing.assert_array_equal(holed, whole)


def copied(here: Path, folder: Path) -> Path:
    """Copy what a run needs, and cluster in that folder with relative names."""
    for name in ("faces.npz", "new.npy", "wider.npy"):
        shutil.copy(here / name, folder)
    for name in ("none", "model", "saved"):
        shutil.copytree(here / name, folder / name)
    return folder


def other_faces(folder: Path) -> None:
    np.savez(folder / "faces.npz", first=np.ones((N, D)))
    record = json.loads((folder / "none" / "run.json").read_text())
    record["input"]["path"] = "faces.npz"
    (folder / "none" / "run.json").write_text(json.dumps(record))


def test_faces_and_model_that_were_moved_can_be_named(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied(here, tmp_path))
    run("cluster", "faces.npz", "--key", "first", "-m", "model", "-o", "mine")
    Path("faces.npz").rename("moved.npz")
    Path("model").rename("elsewhere")
    assert "The faces that were clustered in mine are not at faces.npz" in refused(
        "predict", "mine", "new.npy", "-o", "out"
    )
    assert "no folder model" in refused(
        "predict", "mine", "new.npy", "-o", "out", "--faces", "moved.npz"
    )
    assert not Path("out").exists()
    run("predict", "mine", "new.npy", "-o", "out", "--faces", "moved.npz", "--model", "elsewhere")


REFUSED: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "other faces": (
        other_faces,
        [],
        "faces.npz does not hold the faces that were clustered",
    ),
    "changed labels": (lambda here: np.save(here / "none" / "labels.npy", [0]), [], "was changed since"),
    "a changed table": (
        lambda here: os.truncate(here / "none" / "clusters.parquet", 9),
        [],
        "holds no whole run of nsrfc cluster",
    ),
    "no run": (lambda here: (here / "none" / "run.json").unlink(), [], "nor a finished run"),
    "another model": (lambda _: None, ["-m", "model"], "is not what found these clusters"),
    "its own output": (lambda _: None, ["-o", "none"], "is needed too"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_leaves_no_file(
    here: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied(here, tmp_path))
    change, options, words = REFUSED[case]
    change(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert words in refused("predict", "none", "new.npy", "-o", "out", *options)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before


def test_what_is_no_folder_of_clusters_or_no_such_faces_is_refused(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    run("predict", "saved", "new.npy", "-o", tmp_path / "placed")
    for args, words in (
        ([tmp_path / "placed", "new.npy"], "holds no whole run of nsrfc cluster"),
        (["model", "new.npy"], "neither a saved clusterer nor a finished run"),
        (["saved", "wider.npy"], f"dimension {D + 1}, but {D} is that of the faces"),
        (["saved", "absent.npy"], "no file absent.npy"),
        (["saved", "new.npy", "--faces", "faces.npz"], "leave out the other faces or model"),
    ):
        assert words in refused("predict", *args, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
