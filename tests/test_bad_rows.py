"""Rows without a direction can be left out: the other faces are clustered as if they were not there."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import among_all
from nsrfc.pipeline import pair_probabilities, refine_embeddings
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.neighbors import read_neighbors
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from .commands import refused, run, run_json

N, BAD = 130, [0, 41, 42, 129]
GOOD = np.setdiff1d(np.arange(N), BAD)
SKIP = ClusterConfig(on_bad_rows="skip")


@pytest.fixture(scope="module")
def faces() -> npt.NDArray[np.float32]:
    """Make faces, some of them twice."""
    found = generate(N - 10, "wild", dimension=128, seed=4).embeddings
    return np.concatenate([found, found[30:40]])


@pytest.fixture(scope="module")
def holed(faces: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    changed = faces.copy()
    changed[0], changed[41, 7], changed[42], changed[129, 2] = 0, np.nan, np.inf, -np.inf
    return changed


@pytest.mark.parametrize("model", [None, "universal"])
@pytest.mark.parametrize("least", [1, 8])
def test_the_others_get_the_labels_of_a_run_without_bad_rows(
    faces: npt.NDArray[np.float32], holed: npt.NDArray[np.float32], model: str | None, least: int
) -> None:
    alone = nsrfc.cluster(faces[GOOD], model, ClusterConfig(min_cluster_size=least))
    settings = {"min_cluster_size": least, "on_bad_rows": "skip"}
    found = nsrfc.cluster(holed, model, ClusterConfig.of(**settings))
    np.testing.assert_array_equal(found.labels[GOOD], alone.labels)
    np.testing.assert_array_equal(found.confidence[GOOD], alone.confidence)
    assert found.labels[BAD].tolist() == [-2] * 4
    assert found.confidence[BAD].tolist() == [0] * 4
    assert (found.labels == -1).any() == (least > 1)


def test_lists_of_all_rows_may_be_given(
    faces: npt.NDArray[np.float32], holed: npt.NDArray[np.float32]
) -> None:
    graph = among_all(build_neighbor_graph(normalize(faces[GOOD])), GOOD, N)
    found = nsrfc.cluster(holed, None, SKIP, graph=graph)
    np.testing.assert_array_equal(found.labels[GOOD], nsrfc.cluster(faces[GOOD], None).labels)


def test_new_bad_rows_are_told_from_strangers(
    faces: npt.NDArray[np.float32], holed: npt.NDArray[np.float32]
) -> None:
    clusterer = nsrfc.FaceClusterer(on_bad_rows="skip").fit(holed)
    assert clusterer.labels_[BAD].tolist() == [-2] * 4
    found = clusterer.predict(holed)
    np.testing.assert_array_equal(found, clusterer.labels_)
    alone = nsrfc.FaceClusterer().fit(faces[GOOD])
    others = generate(40, "wild", dimension=128, seed=9).embeddings
    np.testing.assert_array_equal(clusterer.predict(others), alone.predict(others))
    assert clusterer.predict(np.zeros((2, 128))).tolist() == [-2, -2]
    missing = [None, *faces[1:3].tolist()]
    assert clusterer.predict(missing).tolist() == [-2, *alone.predict(faces[1:3])]


def test_single_steps_leave_bad_rows_out(
    faces: npt.NDArray[np.float32], holed: npt.NDArray[np.float32]
) -> None:
    refined = refine_embeddings(holed, "universal", SKIP)
    np.testing.assert_array_equal(refined[GOOD], refine_embeddings(faces[GOOD], "universal"))
    assert np.isnan(refined[BAD]).all()
    scored = pair_probabilities(holed, "universal", SKIP)
    alone = pair_probabilities(faces[GOOD], "universal")
    np.testing.assert_array_equal(scored.ids[GOOD], np.where(alone.ids >= 0, GOOD[alone.ids], -1))
    np.testing.assert_array_equal(scored.similarities[GOOD], alone.similarities)
    assert (scored.ids[BAD, 1:] == -1).all()


def test_what_was_left_out_is_logged_in_one_line(
    holed: npt.NDArray[np.float32], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nsrfc"):
        nsrfc.cluster(holed, None, SKIP)
    said = [line for line in caplog.messages if "left out" in line]
    assert said == [
        "4 of 130 rows are missing, zero, NaN or infinite and were left out "
        "(rows 0, 41, 42, 129, counted from 0)."
    ]


def test_no_row_at_all_and_other_settings_are_refused() -> None:
    with pytest.raises(InputError, match="all 3 rows are zero, NaN or infinite"):
        nsrfc.cluster(np.zeros((3, 4)), config=SKIP)
    with pytest.raises(InputError, match="on_bad_rows"):
        nsrfc.FaceClusterer(on_bad_rows="drop").fit(np.eye(3))


@pytest.fixture
def here(holed: npt.NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the faces in two formats into the current folder."""
    monkeypatch.chdir(tmp_path)
    np.save("holed.npy", holed)
    rows = [None if not np.isfinite(row).all() or not row.any() else row.tolist() for row in holed]
    table = {"path": [f"{n}.jpg" for n in range(N)], "embedding": pa.array(rows, pa.list_(pa.float32()))}
    pq.write_table(pa.table(table), "holed.parquet")
    return tmp_path


@pytest.mark.parametrize("file", ["holed.npy", "holed.parquet"])
def test_the_command_tells_which_rows_it_left_out(
    here: Path, faces: npt.NDArray[np.float32], file: str
) -> None:
    assert "--skip-bad" in refused("cluster", file, "-m", "none", "-o", "out")
    assert not (here / "out").exists()
    names = ["--id", "path"] if file.endswith(".parquet") else []
    record = run_json("cluster", file, "-m", "none", "--skip-bad", *names, "-o", "out")
    assert record["result"]["bad_rows"] == 4
    assert record["result"]["unclustered"] == 0
    assert record["plan"]["n"] == N - 4
    assert np.load("out/bad_rows.npy").tolist() == BAD
    assert "bad_rows.npy" in json.loads(Path("out/run.json").read_text())["sha256"]
    labels = np.load("out/labels.npy")
    np.testing.assert_array_equal(labels[GOOD], nsrfc.cluster(faces[GOOD], None).labels)
    table = pq.read_table("out/clusters.parquet")
    assert table.column_names[0] == ("path" if names else "row")
    assert table.num_rows == N
    np.save("faces.npy", faces)
    run("cluster", "faces.npy", "-m", "none", "--skip-bad", "-o", "out")
    assert not Path("out/bad_rows.npy").exists(), "no list of rows of another run"


def test_other_commands_leave_bad_rows_out(here: Path) -> None:
    assert run_json("plan", "holed.npy", "--skip-bad")["n"] == N - 4
    run("knn", "holed.npy", "-k", "40", "--skip-bad", "-o", "graph.npz")
    graph = read_neighbors(here / "graph.npz")
    assert graph.n == N
    assert (graph.ids[BAD, 1:] == -1).all()
    run("cluster", "holed.npy", "-m", "none", "--skip-bad", "--knn", "graph.npz", "-o", "out")
    assert (np.load("out/labels.npy") == -2).sum() == 4
    run("refine", "holed.npy", "-m", "universal", "--skip-bad", "-o", "refined.npy")
    assert np.isnan(read_embeddings("refined.npy", bad_rows=True).vectors[BAD]).all()
    run("distances", "holed.npy", "-m", "universal", "--skip-bad", "-o", "scored.npz")
    assert (read_neighbors(here / "scored.npz").ids[BAD, 1:] == -1).all()


def test_bad_rows_are_scored_as_faces_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "true.npy", [7, 7, 7, 8])
    for name, labels in (("bad", [0, 0, -2, -2]), ("alone", [0, 0, 1, 2])):
        np.save(tmp_path / f"{name}.npy", labels)
    files = (tmp_path / "bad.npy", tmp_path / "alone.npy")
    bad, alone = (run_json("evaluate", file, tmp_path / "true.npy") for file in files)
    assert [bad[name] for name in ("pairwise", "bcubed", "nmi", "ari", "singleton_share")] == [
        alone[name] for name in ("pairwise", "bcubed", "nmi", "ari", "singleton_share")
    ]
    assert (bad["n_bad_rows"], bad["n_unclustered"], bad["n_clusters"]) == (2, 0, 1)
    assert "bad rows (-2)" in run("evaluate", tmp_path / "bad.npy", tmp_path / "true.npy")
