"""Models on the command line: plan, refine and distances say and write what the functions give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from nsrfc.cli import app
from nsrfc.config import ClusterConfig
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.model.bundle import load_model
from nsrfc.pipeline import pair_probabilities, refine_embeddings
from nsrfc.resources.clustering import plan
from nsrfc.storage.embeddings import read_embeddings, write_embeddings
from nsrfc.storage.neighbors import read_neighbors, write_neighbors
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..commands import refused, run_json
from ..models import FAMILIES, STRUCTURE, D, K, make_model
from .test_cluster import contents

N = 150


@pytest.fixture(scope="module")
def X() -> npt.NDArray[np.float32]:  # noqa: N802
    return generate(N, "wild", dimension=D, seed=7).embeddings


@pytest.fixture(scope="module")
def here(X: npt.NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of named faces, a graph of them, and models of both families and of less."""
    folder: Path = tmp_path_factory.mktemp("here")
    write_embeddings(folder / "faces.npz", X, ids=[f"photo-{row}" for row in range(N)])
    write_neighbors(folder / "graph.npz", build_neighbor_graph(normalize(X), K))
    write_neighbors(folder / "fewer.npz", build_neighbor_graph(normalize(X[:50]), K))
    for family, settings in FAMILIES.items():
        make_model(settings).save_pretrained(folder / family)
    make_model(STRUCTURE, networks={"lcenet": {}}).save_pretrained(folder / "lists")
    make_model(STRUCTURE, dimension=D + 1).save_pretrained(folder / "longer")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".bin"])
def test_refined_faces_are_those_of_the_function_and_keep_their_names(
    here: Path, X: npt.NDArray[np.float32], family: str, suffix: str, tmp_path: Path
) -> None:
    out = tmp_path / f"refined{suffix}"
    model = here / family
    record = run_json("refine", here / "faces.npz", "-m", model, "-o", out, "--cache", here / "kept")
    expected = refine_embeddings(X, model, run=Run(cache=here / "kept"))
    width = D if family == "structure" else 2 * D
    found = read_embeddings(out, dimension=width)
    np.testing.assert_array_equal(found.vectors, expected)
    assert (record["faces"], record["dimension"]) == expected.shape == (N, width)
    if suffix in (".npz", ".parquet"):
        assert found.ids is not None
        assert found.ids.tolist() == [f"photo-{row}" for row in range(N)]
    else:
        assert found.ids is None


@pytest.mark.parametrize("family", FAMILIES)
def test_distances_are_those_of_the_function_in_both_layouts(
    here: Path, X: npt.NDArray[np.float32], family: str, tmp_path: Path
) -> None:
    model, kept = here / family, here / "kept"
    expected = pair_probabilities(X, model, run=Run(cache=kept))
    for layout in ("nsrfc", "reference"):
        out = tmp_path / f"{layout}.npz"
        record = run_json(
            "distances", here / "faces.npz", "-m", model, "-o", out, "--layout", layout, "--cache", kept
        )
        found = read_neighbors(out)
        np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)
        assert (record["faces"], record["k"]) == (N, K)
        if layout == "nsrfc":
            np.testing.assert_array_equal(found.ids, expected.ids)
    with np.load(tmp_path / "reference.npz") as file:
        assert file["data"].shape == (N, 2, K)
        np.testing.assert_allclose(file["data"][:, 1], 1 - expected.similarities, atol=1e-6)


def test_neighbours_that_are_brought_are_taken(here: Path, tmp_path: Path) -> None:
    for command, suffix in (("refine", ".npy"), ("distances", ".npz")):
        args = here / "faces.npz", "-m", here / "structure"
        searched = run_json(command, *args, "-o", tmp_path / f"searched{suffix}")
        given = run_json(command, *args, "--knn", here / "graph.npz", "-o", tmp_path / f"given{suffix}")
        assert "neighbours" in searched["seconds"]
        one, other = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("searched", "given"))
        assert one == other
        assert given["faces"] == N


REFUSED: dict[str, tuple[list[str], str]] = {
    "refine without a C-GCN": (
        ["refine", "faces.npz", "-m", "lists", "-o", "OUT.npy"],
        "no cgcn network",
    ),
    "distances without a pair network": (
        ["distances", "faces.npz", "-m", "lists", "-o", "OUT.npz"],
        "has no pairs network (it has lcenet)",
    ),
    "refine with another dimension": (
        ["refine", "faces.npz", "-m", "longer", "-o", "OUT.npy"],
        f"dimension {D + 1}, these have {D}",
    ),
    "distances with another dimension": (
        ["distances", "faces.npz", "-m", "longer", "-o", "OUT.npz"],
        f"dimension {D + 1}, these have {D}",
    ),
    "refine with a graph of fewer faces": (
        ["refine", "faces.npz", "-m", "structure", "--knn", "fewer.npz", "-o", "OUT.npy"],
        f"has 50 faces, the embeddings have {N}",
    ),
    "distances with a graph of fewer faces": (
        ["distances", "faces.npz", "-m", "structure", "--knn", "fewer.npz", "-o", "OUT.npz"],
        f"has 50 faces, the embeddings have {N}",
    ),
    "refine into a table of text": (["refine", "faces.npz", "-m", "structure", "-o", "OUT.csv"], ".csv"),
    "distances into an array": (["distances", "faces.npz", "-m", "structure", "-o", "OUT.npy"], ".npy"),
    "refine on no device": (
        ["refine", "faces.npz", "-m", "structure", "--device", "abacus", "-o", "OUT.npy"],
        "no device 'abacus'",
    ),
    "plan with k and a model": (
        ["plan", "faces.npz", "-m", "structure", "-k", "5"],
        "-k is for --model none",
    ),
    "plan for another dimension": (["plan", "faces.npz", "-m", "longer"], f"dimension {D + 1}, these"),
    "plan of nothing": (["plan", "-m", "structure"], "-n and --dimension"),
    "plan of a file and a number": (
        ["plan", "faces.npz", "-n", "9", "-m", "none"],
        "Give either",
    ),
    "plan of no model": (["plan", "faces.npz", "-m", "faces.npz"], "There is no folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_leaves_no_file(
    here: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    args, words = REFUSED[case]
    before = contents(here)
    assert words in refused(*[each.replace("OUT", str(tmp_path / "out")) for each in args])
    assert list(tmp_path.iterdir()) == []
    assert contents(here) == before


@pytest.mark.parametrize("name", ["structure", "coordinates", "none", "universal"])
def test_a_plan_is_that_of_the_function_for_a_file_and_for_a_shape(here: Path, name: str) -> None:
    model = name if name in ("none", "universal") else here / name
    settings = None if name == "none" else load_model(model).settings
    expected = json.loads(json.dumps(plan(N, D, ClusterConfig(), model=settings).as_dict()))
    assert run_json("plan", here / "faces.npz", "-m", model) == expected
    assert run_json("plan", "-n", str(N), "--dimension", str(D), "-m", model) == expected
    larger = run_json("plan", "-n", "200000", "--dimension", str(D), "-m", model)
    assert larger["method"] == "approximate"
    assert larger["peak_bytes"] > expected["peak_bytes"]
    exact = run_json("plan", "-n", "200000", "--dimension", str(D), "-m", model, "--search", "exact")
    assert exact["method"] == "exact"


def test_a_plan_of_the_rules_takes_their_k(here: Path) -> None:
    record: dict[str, Any] = run_json("plan", here / "faces.npz", "-m", "none", "-k", "12")
    assert record == json.loads(json.dumps(plan(N, D, ClusterConfig(k=12)).as_dict()))
    assert run_json("plan", here / "faces.npz", "-m", "none")["k"] == 80
    assert run_json("plan", "-n", "7", "--dimension", "3", "-m", "none")["k"] == 7


def test_the_table_of_a_plan_shows_every_stage(here: Path) -> None:
    result = CliRunner().invoke(app, ["plan", "-n", "5000", "--dimension", "64", "-m", "universal"])
    assert result.exit_code == 0
    shown = [line.split("  ")[0].strip() for line in result.stdout.splitlines()]
    stages = plan(5000, 64, model=load_model("universal").settings).stages
    assert [name for name in shown if name in {stage.name for stage in stages}] == [
        stage.name for stage in stages
    ]
    assert "5,000 faces of dimension 64, k = 80, exact search" in result.stdout
