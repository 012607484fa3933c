"""Models on the command line: published weights converted, embeddings refined, neighbours judged."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from nsrfc.model.bundle import NSRFC, load_model  # noqa: E402
from nsrfc.model.settings import NETWORKS, STEPS, ModelSettings  # noqa: E402
from nsrfc.storage.embeddings import read_embeddings  # noqa: E402
from nsrfc.storage.neighbors import read_neighbors  # noqa: E402
from nsrfc.storage.runs import read_labels  # noqa: E402

from ..commands import refused, run  # noqa: E402

D, HEADS = 16, 4


@pytest.fixture(scope="session")
def weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the reference's weights as its code does."""
    folder = tmp_path_factory.mktemp("published")
    files = {}
    for name, case, file in (
        ("cgcn", "cgcn_eval_d16", "triple_9.pth"),
        ("pairs", "transformer_post1", "checkpoint_7.tar"),
        ("lcenet", "lcenet", "LCENet_MS1M.pth"),
        ("pcenet", "pcenet", "PCENet_MS1M.pth"),
    ):
        state: Any = published_state(shared / "golden" / f"{case}.npz")
        if name == "pairs":
            state = {"net": state, "optimizer": {"state": {}}, "epoch": 7}
        torch.save(state, folder / file)
        files[name] = folder / file
    return files


def published_state(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as golden:
        state = {name[3:]: golden[name] for name in golden.files if name.startswith("sd.")}
        for name in golden.files:
            if name.startswith("ternary."):
                weight = name.removeprefix("ternary.")
                state[weight] = golden[name].astype(np.float32) * golden[f"ternary_scale.{weight}"]
    return {name: torch.from_numpy(np.asarray(value)) for name, value in state.items()}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faces") / "faces.npz"
    run("generate", "-n", "200", "--preset", "wild", "--dimension", str(D), "-o", path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a model of the family "structure", untrained."""
    torch.manual_seed(0)
    settings = ModelSettings(
        family="structure",
        dimension=D,
        k=12,
        networks={name: {} for name in NETWORKS},
        used=dict.fromkeys(STEPS, True),
        tau=0.4,
        connect=0.1,
    )
    folder = tmp_path_factory.mktemp("model")
    NSRFC(settings).save_pretrained(folder)
    return folder


def embeddings(path: Path) -> npt.NDArray[Any]:
    return np.asarray(read_embeddings(path).vectors)


def test_published_weights_become_a_model_that_clusters(
    weights: dict[str, Path], shared: Path, faces: Path, tmp_path: Path
) -> None:
    run("convert", *weights.values(), "--heads", str(HEADS), "-o", tmp_path / "model")
    model = load_model(tmp_path / "model")
    settings = model.settings
    assert (settings.dimension, settings.k) == (D, 20)
    assert [step for step in STEPS if settings.uses(step)] == ["refine", "pairs", "density", "connect"]
    with np.load(shared / "golden" / "lcenet.npz", allow_pickle=False) as golden, torch.no_grad():
        logits = model.network("lcenet")(torch.from_numpy(golden["x"]))
        np.testing.assert_allclose(logits.numpy(), golden["logits"], atol=1e-5)
    run("cluster", faces, "--model", tmp_path / "model", "-o", tmp_path / "clusters")
    assert read_labels(tmp_path / "clusters").shape == (200,)


def test_the_networks_of_lce_pcenet_alone(weights: dict[str, Path], tmp_path: Path) -> None:
    printed = run("convert", weights["lcenet"], weights["pcenet"], "-o", tmp_path, "--json")
    settings = json.loads(printed)["settings"]
    assert sorted(settings["networks"]) == ["lcenet", "pcenet"]
    assert settings["unrefined"] == []
    assert not settings["used"]["refine"]


class TestRefusals:
    def test_weights(self, weights: dict[str, Path], tmp_path: Path) -> None:
        def convert(*files: Path) -> str:
            return refused("convert", *files, "-o", tmp_path / "model")

        other, cut, module = (tmp_path / name for name in ("other.pth", "cut.pth", "module.pth"))
        assert "both weights of lcenet" in convert(weights["lcenet"], weights["lcenet"])
        assert "reads vectors of length 32" in convert(weights["pairs"], weights["lcenet"])
        assert "There is no file" in convert(tmp_path / "nothing.pth")
        torch.save({"conv.weight": torch.zeros(3)}, other)
        assert "another network" in convert(other)
        torch.save([1, 2], other)
        assert "holds no weights" in convert(other)
        state = torch.load(weights["lcenet"], weights_only=True)
        torch.save(dict(list(state.items())[5:]), cut)
        assert "cut.pth: These weights have no encoder" in convert(cut)
        torch.save({name: state[name] for name in state if "norm1" not in name}, cut)
        assert "cut.pth is no complete lcenet" in convert(cut)
        cut.write_bytes(weights["lcenet"].read_bytes()[:5000])
        assert "cut.pth cannot be read" in convert(cut)
        module.write_bytes(pickle.dumps({"run": print}))
        assert "module.pth cannot be read" in convert(module)
        assert not (tmp_path / "model").exists()

    def test_models(self, faces: Path, model: Path, tmp_path: Path) -> None:
        def cluster(name: str | Path, *options: str) -> str:
            return refused("cluster", faces, "-m", name, "-o", tmp_path / "clusters", *options)

        assert "There is no folder" in cluster(tmp_path / "nothing")
        assert "holds no whole model" in cluster(tmp_path)
        assert "no device 'abacus'" in cluster(model, "--device", "abacus")
        run("generate", "-n", "20", "--dimension", "8", "-o", tmp_path / "short.npz")
        short = refused("cluster", tmp_path / "short.npz", "-m", model, "-o", tmp_path / "clusters")
        assert "dimension 16, these have 8" in short
        copy = tmp_path / "copy"
        load_model(model).save_pretrained(copy)
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        assert "model.safetensors does not have the checksum in config.json" in cluster(copy)
        assert not (tmp_path / "clusters").exists()

    def test_thresholds_without_a_model(self, faces: Path, tmp_path: Path) -> None:
        line = refused(
            "cluster", faces, "--model", "none", "-o", tmp_path / "clusters", "--threshold", "0.4"
        )
        assert "threshold would have no effect" in line


def test_another_threshold_runs_no_network_again(faces: Path, model: Path, tmp_path: Path) -> None:
    def cluster(*options: str) -> dict[str, Any]:
        printed = run("cluster", faces, "-m", model, "-o", tmp_path / "clusters", *options, "--json")
        record: dict[str, Any] = json.loads(printed)
        return record

    networks = {"refinement", "pairs", "lcenet"}
    first, second = cluster(), cluster("--threshold", "0.9", "--tau", "0.8")
    assert networks <= first["seconds"].keys()
    assert not networks & second["seconds"].keys()
    assert second["result"]["people"] > first["result"]["people"]
    assert second["method"]["settings"]["connect"] == 0.9
    assert second["method"]["settings"]["k"] == 12
    assert first["method"]["networks"] == second["method"]["networks"]
    assert first["model"] == second["model"] == str(model)
    saved = read_labels(tmp_path / "clusters")
    cluster("--cache", str(tmp_path / "elsewhere"), "--threshold", "0.9", "--tau", "0.8")
    np.testing.assert_array_equal(read_labels(tmp_path / "clusters"), saved)


def test_plan_of_a_model_is_what_cluster_expects(faces: Path, model: Path, tmp_path: Path) -> None:
    planned = json.loads(run("plan", faces, "--model", model, "--json"))
    stages = [stage["name"] for stage in planned["stages"]]
    assert stages[2:] == [
        "neighbours",
        "near-copies",
        "refinement",
        "pairs",
        "lcenet",
        "density graph",
        "edges",
    ]
    assert planned["k"] == 12
    clustered = run("cluster", faces, "-m", model, "-o", tmp_path / "clusters", "--json")
    assert json.loads(clustered)["plan"] == planned
    without = json.loads(run("plan", faces, "--model", "none", "--k", "12", "--json"))
    assert planned["peak_bytes"] > without["peak_bytes"]
    assert "lcenet" in run("plan", "-n", "100000", "--dimension", str(D), "-m", model)
    assert "dimension 16, these have 8" in refused("plan", "-n", "9", "--dimension", "8", "-m", model)
    assert "There is no folder" in refused("plan", faces, "-m", tmp_path / "nothing")


def test_refine_and_distances(faces: Path, model: Path, tmp_path: Path) -> None:
    run("refine", faces, "-m", model, "-o", tmp_path / "refined.npy")
    refined = embeddings(tmp_path / "refined.npy")
    assert refined.shape == (200, D)
    np.testing.assert_allclose(np.linalg.norm(refined, axis=1), 1, atol=1e-6)
    run("distances", faces, "-m", model, "-o", tmp_path / "ours.npz")
    run("distances", faces, "-m", model, "-o", tmp_path / "theirs.npz", "--layout", "reference")
    ours, theirs = (read_neighbors(tmp_path / f"{name}.npz") for name in ("ours", "theirs"))
    assert (ours.n, ours.k) == (200, 12)
    np.testing.assert_allclose(ours.similarities, theirs.similarities, atol=1e-6)


def test_help_needs_no_torch() -> None:
    code = "import sys; from nsrfc.cli import app; import nsrfc; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
