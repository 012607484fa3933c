"""From labelled faces to a model, through `nsrfc.train`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import nsrfc
from nsrfc.errors import InputError
from nsrfc.knn.copies import canonical_rows
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.settings import STEPS
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.storage.locks import locked
from nsrfc.synthetic import generate
from nsrfc.training.config import TrainingConfig
from nsrfc.training.split import split_identities
from nsrfc.vectors import normalize

LOOP = {"epochs": 2, "batch": 32}
LISTS = {"network": {"width": 16, "heads": 2, "hidden": 16}, "loop": LOOP}
STRUCTURE: dict[str, Any] = {
    "k": 20,
    "cgcn": {"network": {"hidden": 16}, "loop": LOOP},
    "pairs": LISTS,
    "lcenet": LISTS,
    "pcenet": {"network": {"reach": 8, "width": 16, "heads": 2, "hidden": 16}, "loop": LOOP},
}
ATTENTION = {"network": {"layers": 1, "heads": 2, "hidden": 16}, "loop": {"epochs": 1, "batch": 64}}
COORDINATES: dict[str, Any] = {
    "k": 8,
    "cgcn": {"loop": {"epochs": 1, "batch": 16}},
    "pairs": ATTENTION,
    "lcenet": ATTENTION,
    "pcenet": {
        "network": {"layers": 1, "heads": 2, "hidden": 16, "classifier_hidden": 16},
        "loop": {"epochs": 1, "batch": 64},
    },
}

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def faces() -> tuple[Floats, Ints]:
    found = generate(900, "ms1m", dimension=64, seed=0)
    return found.embeddings, found.identities


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    return TrainingConfig.load("default", None, STRUCTURE)


@pytest.fixture(scope="module")
def model(faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path_factory: Any) -> Path:  # noqa: ANN401
    folder: Path = tmp_path_factory.mktemp("trained") / "model"
    nsrfc.train(*faces, config, folder)
    return folder


def test_the_folder_holds_a_model_its_record_and_its_curves_and_nothing_of_the_work(model: Path) -> None:
    names = {path.name for path in model.iterdir()}
    assert {"config.json", "model.safetensors", "training.json", "curves.png"} <= names
    assert not any(name.startswith(".") for name in names)
    record = json.loads((model / "training.json").read_text())
    assert record["data"]["faces"] == 900
    assert record["config"]["k"] == 20
    assert set(record["curves"]) == {"cgcn", "cgcn-second", "pairs", "lcenet", "pcenet"}
    assert set(record["used"]) == {"refine", "rebuild", "whiten", "pairs", "density", "connect"}


def test_steps_that_are_used_cluster_validation_people_better(model: Path) -> None:
    record = json.loads((model / "training.json").read_text())
    quality = {step: found["quality"] for step, found in record["validation"].items()}
    taken = [quality[step] for step, used in record["used"].items() if used]
    assert taken[-1] == max(taken), "nothing comes behind the best"
    assert taken[-1] > quality["embeddings"] + 0.02


def f_of_rules_and_of(model: Path | NSRFC, preset: str) -> tuple[float, float]:
    """Mean of pairwise and BCubed F on people that the model has not seen."""
    others = generate(900, preset, dimension=64, seed=1)
    found = (nsrfc.cluster(others.embeddings, each) for each in (None, model))
    scores = (nsrfc.evaluate(others.identities, each.labels) for each in found)
    rules, learned = ((each.pairwise.f + each.bcubed.f) / 2 for each in scores)
    return rules, learned


def test_tiny_networks_cluster_other_people_as_well_as_the_rules(model: Path) -> None:
    """900 faces as clear as those of ms1m leave the rules little to improve."""
    rules, learned = f_of_rules_and_of(model, "ms1m")
    assert learned > rules - 0.02
    assert learned > 0.9


def test_tiny_networks_beat_the_rules_on_poor_faces_of_other_people(config: TrainingConfig) -> None:
    faces = generate(900, "lowres", dimension=64, seed=0)
    rules, learned = f_of_rules_and_of(nsrfc.train(faces.embeddings, faces.identities, config), "lowres")
    assert learned > rules + 0.03


def test_validation_people_are_clustered_as_well_as_training_said() -> None:
    loop = {"epochs": 1}
    lists = {"network": {"width": 16, "heads": 2, "hidden": 16}, "loop": loop}
    changes = {
        "k": 20,
        "cgcn": {"network": {"hidden": 16}, "loop": loop},
        "pairs": lists,
        "lcenet": lists,
        "pcenet": {"network": {"reach": 8, "width": 16, "heads": 2, "hidden": 16}, "loop": loop},
    }
    faces = generate(600, "ms1m", dimension=64, seed=0)
    config = TrainingConfig.load("default", None, changes)
    model = nsrfc.train(faces.embeddings, faces.identities, config)
    unit = normalize(faces.embeddings)
    rows = canonical_rows(unit)[0]
    identity = np.unique(faces.identities, return_inverse=True)[1][rows]
    held_out = split_identities(identity, config.validation, config.seed).validation
    found = nsrfc.cluster(unit[rows][held_out], model)
    scores = nsrfc.evaluate(identity[held_out], found.labels)
    left_out = {step for step, used in model.settings.used.items() if not used}
    said = max(quality for step, quality in model.metrics.items() if step not in left_out)
    assert (scores.pairwise.f + scores.bcubed.f) / 2 == pytest.approx(said, abs=1e-6)


def test_the_order_of_rows_and_the_names_of_people_change_nothing(
    faces: tuple[Floats, Ints], config: TrainingConfig, model: Path
) -> None:
    X, identities = faces
    order = np.random.default_rng(0).permutation(len(X))
    named = np.char.add("p", np.char.zfill(identities.astype(str), 6))
    again = nsrfc.train(4 * X[order], named[order], config, only="cgcn").state_dict()
    stored = NSRFC.from_pretrained(model).state_dict()
    assert again
    for name, value in again.items():
        assert value.equal(stored[name]), name


def test_the_published_networks_are_trained_by_the_same_loop(faces: tuple[Floats, Ints]) -> None:
    X, identities = faces[0][:300, :12], faces[1][:300]
    config = TrainingConfig.load("paper", None, COORDINATES)
    model = nsrfc.train(X, identities, config)
    assert all(model.settings.used.values()), "the paper leaves no step out"
    assert model.settings.tau is None
    assert isinstance(model.pairs, PairNetwork)
    assert model.pairs.dimension == 24, "it reads refined embeddings"


def test_one_network_is_trained_on_top_of_those_before_it(
    faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path: Path
) -> None:
    first = nsrfc.train(*faces, config, tmp_path, only="cgcn")
    assert first.cgcn is not None
    assert first.pairs is first.lcenet is first.pcenet is None
    second = nsrfc.train(*faces, config, tmp_path, only="pairs")
    assert second.pairs is not None
    kept = second.state_dict()
    for name, value in first.state_dict().items():
        assert value.equal(kept[name]), name
    third = nsrfc.train(*faces, config, tmp_path, only="cgcn")
    assert third.pairs is None, "it learned from another C-GCN"


def moved(before: NSRFC, after: NSRFC) -> set[str]:
    """Networks whose weights are others than before."""
    first, second = before.state_dict(), after.state_dict()
    assert first.keys() == second.keys()
    return {name.split(".")[0] for name, value in first.items() if not value.equal(second[name])}


def test_a_model_to_start_from_keeps_steps_thresholds_and_refinement(config: TrainingConfig) -> None:
    known, others = load_model("universal"), generate(600, "ms1m", dimension=64, seed=2)
    further = nsrfc.train(others.embeddings, others.identities, config, start="universal")
    for name in ("tau", "connect", "calibration", "precision"):
        assert getattr(further.settings, name) == getattr(known.settings, name)
    assert [further.settings.uses(step) for step in STEPS] == [
        known.settings.uses(step) for step in STEPS
    ]
    assert moved(known, further)
    assert "cgcn" not in moved(known, further)


def test_a_refinement_alone_learns_further(
    faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path: Path
) -> None:
    known, others = nsrfc.train(*faces, config, only="cgcn"), generate(400, "wild", dimension=64, seed=2)
    further = nsrfc.train(others.embeddings, others.identities, config, tmp_path, start=known)
    record = json.loads((tmp_path / "training.json").read_text())
    assert set(record["curves"]) == {"cgcn", "cgcn-second"}
    assert moved(known, further) == {"cgcn"}


def test_people_with_one_photo_and_copies_are_welcome(
    faces: tuple[Floats, Ints], config: TrainingConfig
) -> None:
    X, identities = faces
    single = generate(60, "lowres", dimension=64, seed=3).embeddings
    X = np.concatenate((X[:400], X[:5], single))
    names = np.concatenate((identities[:400], identities[:5], 10_000 + np.arange(60)))
    assert nsrfc.train(X, names, config, only="cgcn").cgcn is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": "gcn"}, "There is no network 'gcn'"),
        ({"device": "gpu"}, "There is no device 'gpu'"),
        ({"device": "meta"}, "There is no device 'meta' that can compute here: take auto"),
        ({"config": {"k": 20}}, "config must be a TrainingConfig, got dict"),
        ({"identities": np.zeros(3, int)}, r"900 faces and identities of shape \(3,\)"),
        ({"identities": np.zeros(900)}, "identities are integers or strings"),
        ({"identities": np.zeros(900, int)}, "at least 4 identities"),
    ],
)
def test_refusals_are_sentences_and_leave_nothing(
    faces: tuple[Floats, Ints], tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    X, identities = faces
    given: dict[str, Any] = {"identities": identities, "output": tmp_path / "model"} | arguments
    with pytest.raises(InputError, match=message):
        nsrfc.train(X, **given)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("name", "network", "message"),
    [
        ("pairs", {"bogus": 1}, "pairs .* has no setting 'bogus': it has width, layers, heads, hidden"),
        ("pairs", {"width": -4}, "pairs .* width must be a whole number from 1 to 65536, got -4"),
        ("pairs", {"width": 6.5}, r"width must be a whole number from 1 to 65536, got 6\.5"),
        (
            "lcenet",
            {"width": 63, "heads": 4},
            "lcenet .* width must be a multiple of heads, got 63",
        ),
        ("pcenet", {"reach": 0}, "pcenet .* reach must be a whole number from 1 to 65536, got 0"),
        ("cgcn", {"whitening": []}, "cgcn .* whitening must be one or several powers, ascending"),
        (
            "cgcn",
            {"whitening": [0.5, 0.0]},
            "cgcn .* whitening must be one or several powers, ascending",
        ),
        ("cgcn", {"whitening": 2.0}, r"cgcn .* whitening must be a number in 0\.\.0\.5, got 2\.0"),
        ("cgcn", {"own": float("inf")}, r"cgcn .* own must be a number in 0\.\.1000, got inf"),
    ],
)
def test_networks_that_cannot_be_made_are_refused_before_any_work(
    faces: tuple[Floats, Ints], tmp_path: Path, name: str, network: dict[str, Any], message: str
) -> None:
    config = TrainingConfig.load("default", None, {name: {"network": network}})
    with pytest.raises(InputError, match=message):
        nsrfc.train(*faces, config, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("text", ["[]", "{", ""])
def test_a_damaged_record_of_a_training_says_what_to_delete(
    faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path: Path, text: str
) -> None:
    (tmp_path / ".training").mkdir()
    (tmp_path / ".training" / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json .* delete the folder .*\.training to begin"):
        nsrfc.train(*faces, config, tmp_path)


def test_a_damaged_checkpoint_says_what_to_delete(
    faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path: Path
) -> None:
    few = faces[0][:200], faces[1][:200]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nsrfc.training.loop._Run.take_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            nsrfc.train(*few, config, tmp_path)
    (tmp_path / ".training" / "cgcn.safetensors").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"cgcn\.safetensors .* delete the folder .*\.training"):
        nsrfc.train(*few, config, tmp_path)


def test_a_folder_in_the_place_of_a_file_is_told_before_any_work(
    faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path: Path
) -> None:
    (tmp_path / "training.json").mkdir()
    with pytest.raises(InputError, match=r"training\.json is a folder"):
        nsrfc.train(*faces, config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["training.json"]


def test_a_network_is_not_resumed_upon_another_that_it_did_not_learn_from(
    faces: tuple[Floats, Ints], config: TrainingConfig, model: Path, tmp_path: Path
) -> None:
    first = load_model(model)
    first.save_pretrained(tmp_path)
    few = faces[0][:200], faces[1][:200]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nsrfc.training.loop._Run.take_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            nsrfc.train(*few, config, tmp_path, only="pairs")
    with torch.no_grad():
        for weight in first.network("cgcn").parameters():
            weight.add_(1)
    first.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="holds an unfinished training that differs in known"):
        nsrfc.train(*few, config, tmp_path, only="pairs")


def test_weights_without_their_settings_are_no_model_to_train_upon(
    faces: tuple[Floats, Ints], config: TrainingConfig, model: Path, tmp_path: Path
) -> None:
    shutil.copy(model / "model.safetensors", tmp_path)
    with pytest.raises(InputError, match=r"holds no whole model \(config\.json missing\)"):
        nsrfc.train(*faces, config, tmp_path, only="pairs")


def interrupt(_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_is_for_one_training_at_a_time(
    faces: tuple[Floats, Ints], config: TrainingConfig, tmp_path: Path
) -> None:
    pytest.importorskip("fcntl")
    folder = tmp_path / "model" / ".training"
    with (
        locked(folder, "training"),
        pytest.raises(InputError, match=r"\.training is in use by another training"),
    ):
        nsrfc.train(*faces, config, tmp_path / "model", only="cgcn")
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k: 1", "k: .* greater than or equal to 2, got 1"),
        ("family: coordinates", "cgcn: .* family 'coordinates': start from the preset paper"),
        ("cgcn: {form: pieces, piece: 9}", "cgcn: .* family 'structure': start from the preset default"),
        ("cgcn: {bogus: 1}", "cgcn.*bogus: Extra inputs"),
        ("cgcn: 5", "cgcn: .* settings by name, got 5"),
        ("pairs: {loop: {epochs: 0}}", "pairs.loop.epochs: .* got 0"),
        ("epochs: 5", "epochs: Extra inputs"),
        ("- a list", "no list of settings"),
        ("{", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        TrainingConfig.load("default", tmp_path / "mine.yaml")


def test_a_file_of_settings_is_laid_over_the_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("k: 30\npairs: {loop: {epochs: 9}}\n")
    mine, preset = TrainingConfig.load("default", tmp_path / "mine.yaml"), TrainingConfig.load()
    assert (mine.k, mine.pairs.loop.epochs) == (30, 9)
    assert mine.pairs.network == preset.pairs.network
    assert mine.lcenet == preset.lcenet
