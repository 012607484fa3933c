"""``nsrfc cluster`` does what the function does, says what decided, and refuses without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.model.settings import ClusterComparison
from nsrfc.storage.neighbors import write_neighbors
from nsrfc.storage.runs import read_run
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..commands import refused, run_json
from ..models import PUBLISHED, STRUCTURE, D, make_model

N = 520
"""Faces enough for the networks of the shipped model."""


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def X() -> npt.NDArray[np.float32]:  # noqa: N802
    faces = generate(N - 20, "wild", dimension=D, seed=5).embeddings
    return np.concatenate((faces, generate(20, "wild", dimension=D, seed=6).embeddings))


@pytest.fixture(scope="module")
def here(X: npt.NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of faces, few faces, models, and graphs and an index of the faces."""
    folder: Path = tmp_path_factory.mktemp("here")
    names = np.array([f"photo-{row:03d}" for row in range(N)])
    np.savez(folder / "faces.npz", embedding=X, id=names)
    np.save(folder / "few.npy", X[:120])
    make_model(STRUCTURE, cluster_comparison=ClusterComparison()).save_pretrained(folder / "mine")
    make_model(PUBLISHED).save_pretrained(folder / "published")
    make_model(STRUCTURE, networks={"lcenet": {}}).save_pretrained(folder / "lists")
    make_model(STRUCTURE, dimension=D + 1).save_pretrained(folder / "longer")
    unit = normalize(X)
    graph = build_neighbor_graph(unit, 80)
    write_neighbors(folder / "graph.npz", graph)
    write_neighbors(folder / "theirs.npz", graph, layout="reference")
    write_neighbors(folder / "scores.npz", rerank(graph))
    write_neighbors(folder / "fewer.npz", build_neighbor_graph(unit[:300], 80))
    write_neighbors(folder / "turned.npz", build_neighbor_graph(unit[::-1].copy(), 80))
    for name, rows in (("faces", unit), ("turned", unit[::-1].copy())):
        index = faiss.IndexFlatIP(D)
        index.add(rows)
        faiss.write_index(index, str(folder / f"{name}.index"))
    return folder


MODELS: dict[str, tuple[str, str]] = {
    "universal": ("universal", "structure"),
    "none": ("none", "rules"),
    "mine": ("mine", "structure"),
    "published": ("published", "published"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_command_does_what_the_function_does(
    here: Path,
    X: npt.NDArray[np.float32],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(here)
    model, method = MODELS[name]
    record = run_json("cluster", "faces.npz", "-m", model, "--device", "cpu", "-o", tmp_path / "out")
    found = nsrfc.cluster(X, None if model == "none" else model, run=nsrfc.Run(device="cpu"))
    table = pq.read_table(tmp_path / "out" / "clusters.parquet")
    np.testing.assert_array_equal(table["label"].to_numpy(), found.labels)
    np.testing.assert_array_equal(table["confidence"].to_numpy(), found.confidence)
    assert table["id"].to_pylist() == [f"photo-{row:03d}" for row in range(N)]
    assert record["method"]["name"] == method
    assert record["warning"] == found.warning
    assert record["method"] == json.loads(json.dumps(dict(found.method)))
    assert record["model"] == (None if model == "none" else model)
    assert ("torch" in record["versions"]) == (method != "rules")
    assert read_run(tmp_path / "out") == record
    kept = {path.name for path in (tmp_path / "out").iterdir()}
    stages = {"stages"} if model in ("mine", "published") else set()
    assert kept == {"labels.npy", "clusters.parquet", "run.json"} | stages


def test_options_reach_the_function(here: Path, X: npt.NDArray[np.float32], tmp_path: Path) -> None:
    options = {"threshold": 0.6, "tau": 0.7, "min_cluster_size": 4, "search": "exact", "seed": 3}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    record = run_json("cluster", here / "faces.npz", "-m", here / "mine", *given, "-o", tmp_path)
    found = nsrfc.cluster(X, here / "mine", ClusterConfig.of(**options))
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), found.labels)
    assert {name: record["config"][name] for name in options} == options
    decided = record["method"]["settings"]
    assert (decided["connect"], decided["tau"]) == (0.6, 0.7)
    assert (record["method"]["search"], record["method"]["seed"]) == ("exact", 3)
    assert record["result"]["unclustered"] == int((found.labels < 0).sum()) > 0


def test_both_layouts_of_a_graph_and_an_index_bring_neighbours(here: Path, tmp_path: Path) -> None:
    searched = run_json("cluster", here / "faces.npz", "-m", "none", "-o", tmp_path / "searched")
    for option, file in (("--knn", "graph.npz"), ("--knn", "theirs.npz"), ("--index", "faces.index")):
        out = tmp_path / file
        record = run_json("cluster", here / "faces.npz", "-m", "none", option, here / file, "-o", out)
        assert record["result"]["people"] == searched["result"]["people"]
        np.testing.assert_array_equal(
            np.load(out / "labels.npy"), np.load(tmp_path / "searched" / "labels.npy")
        )
        assert record[option.removeprefix("--")] == str(here / file)
        assert (record["plan"]["method"] == "given") == (option == "--knn")


def test_with_the_shipped_model_and_a_cache_other_thresholds_run_no_network(
    here: Path, tmp_path: Path
) -> None:
    def cluster(*options: str) -> dict[str, Any]:
        return run_json(
            "cluster", here / "faces.npz", "--cache", tmp_path / "kept", *options, "-o", tmp_path
        )

    networks = {"refinement", "pairs"}
    first, second = cluster(), cluster("--threshold", "0.95", "--tau", "0.99")
    assert networks <= first["seconds"].keys()
    assert not networks & second["seconds"].keys()
    assert second["result"]["people"] > first["result"]["people"]
    assert first["method"]["networks"] == second["method"]["networks"]


REFUSED: dict[str, tuple[list[str], str]] = {
    "k of a model": (["faces.npz", "-m", "mine", "--k", "20"], "k would have no effect, as a model"),
    "a threshold without a model": (
        ["few.npy", "-m", "none", "--threshold", "0.5"],
        "the rules, has no such setting",
    ),
    "a precision that was never measured": (
        ["faces.npz", "-m", "mine", "--precision", "0.5"],
        "(at most 0.000)",
    ),
    "two thresholds": (
        ["faces.npz", "--precision", "0.9", "--threshold", "0.5"],
        "decide the same, so give one of them",
    ),
    "graph and index": (
        ["faces.npz", "--knn", "graph.npz", "--index", "faces.index"],
        "graph and index both bring the neighbours: give one of them",
    ),
    "a graph of fewer faces": (
        ["faces.npz", "--knn", "fewer.npz"],
        f"has 300 faces, the embeddings have {N}",
    ),
    "a graph of other rows": (["faces.npz", "--knn", "turned.npz"], "from these rows in this order"),
    "a graph of scores": (["faces.npz", "--knn", "scores.npz"], "are cosines of the embeddings"),
    "an index of other rows": (["faces.npz", "--index", "turned.index"], "rows in this order"),
    "an index of more faces": (
        ["few.npy", "-m", "none", "--index", "faces.index"],
        f"holds {N} vectors",
    ),
    "a graph as an index": (["faces.npz", "--index", "graph.npz"], "graph.npz cannot be read"),
    "an index as a graph": (["faces.npz", "--knn", "faces.index"], "suffix"),
    "faces as a graph": (["faces.npz", "--knn", "faces.npz"], "neither 'data' nor 'ids'"),
    "a model of another dimension": (
        ["faces.npz", "-m", "longer"],
        f"dimension {D + 1}, these have {D}",
    ),
    "another device": (["faces.npz", "--device", "abacus"], "no device 'abacus'"),
    "a model that is a file": (["faces.npz", "-m", "few.npy"], "There is no folder few.npy"),
    "little memory": (["faces.npz", "--max-memory", "1MB"], "nothing would fit, so allow more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_leaves_no_file(
    here: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    args, words = REFUSED[case]
    before = contents(here)
    assert words in refused("cluster", *args, "-o", tmp_path / "new" / "out")
    assert words in refused("cluster", *args, "-o", tmp_path / "out", "--cache", tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []
    assert contents(here) == before


def test_a_refused_run_leaves_the_one_before_it(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_json("cluster", here / "few.npy", "-m", here / "mine", "-o", out)
    before = contents(out)
    refused("cluster", here / "few.npy", "-m", here / "mine", "-k", "9", "-o", out)
    refused("cluster", here / "few.npy", "-m", "none", "--index", here / "faces.index", "-o", out)
    assert contents(out) == before
