"""Settings that nobody can mean: one sentence, exit 2, and nothing written, wherever they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from nsrfc.cli import app
from nsrfc.config import ClusterConfig
from nsrfc.embedders.card import EmbedderCard
from nsrfc.errors import InputError
from nsrfc.model.bundle import load_model
from nsrfc.storage.embeddings import write_embeddings
from nsrfc.storage.identities import write_identities

from ..commands import refused
from ..models import PUBLISHED, STRUCTURE, make_model

HUGE = 10**21

TRAINING: dict[str, tuple[str, dict[str, Any], str]] = {
    "k of a sextillion": ("default", {"k": HUGE}, "k"),
    "k of a hundred billion": ("default", {"k": 10**11}, "k"),
    "k of thousands of digits": ("default", {"k": "9" * 4000}, "k"),
    "k that is true": ("default", {"k": True}, "k"),
    "seed": ("default", {"seed": HUGE}, "seed"),
    "share that is true": ("default", {"validation": True}, "validation"),
    "no end of checkpoints": ("default", {"checkpoint_seconds": float("inf")}, "checkpoint_seconds"),
    "infinite rate": ("default", {"pairs": {"loop": {"learning_rate": float("inf")}}}, "learning_rate"),
    "no rate": ("default", {"pairs": {"loop": {"learning_rate": float("nan")}}}, "learning_rate"),
    "rate of a million": ("default", {"pairs": {"loop": {"learning_rate": 1e6}}}, "learning_rate"),
    "infinite decay": ("default", {"pairs": {"loop": {"weight_decay": float("inf")}}}, "weight_decay"),
    "infinite clip": ("default", {"pairs": {"loop": {"clip": float("inf")}}}, "clip"),
    "epochs": ("default", {"pairs": {"loop": {"epochs": 10**12}}}, "epochs"),
    "epochs that are true": ("default", {"pairs": {"loop": {"epochs": True}}}, "epochs"),
    "batch": ("default", {"pairs": {"loop": {"batch": 10**11}}}, "batch"),
    "hard pairs": ("default", {"pcenet": {"hard_pairs": float("inf")}}, "hard_pairs"),
    "width": ("default", {"pairs": {"network": {"width": 10**11}}}, "width"),
    "layers": ("default", {"lcenet": {"network": {"layers": 10**11}}}, "layers"),
    "heads that are true": ("default", {"pairs": {"network": {"heads": True}}}, "heads"),
    "hidden": ("default", {"cgcn": {"network": {"hidden": 10**11}}}, "hidden"),
    "own": ("default", {"cgcn": {"network": {"own": float("inf")}}}, "own"),
    "whitening": ("default", {"cgcn": {"network": {"whitening": [float("nan")]}}}, "whitening"),
    "classifier": ("paper", {"pcenet": {"network": {"classifier_hidden": 10**11}}}, "classifier_hidden"),
    "all at their limit": ("paper", {"pcenet": {"network": {"classifier_hidden": 65_536}}}, "weights"),
    "dropout that is true": ("paper", {"pairs": {"network": {"dropout": True}}}, "dropout"),
    "pre_norm that is a number": ("paper", {"pairs": {"network": {"pre_norm": 0.5}}}, "pre_norm"),
}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("known")
    rng = np.random.default_rng(0)
    write_embeddings(folder / "faces.npy", rng.normal(size=(60, 8)).astype(np.float32))
    write_identities(folder / "people.npy", np.arange(60) // 6)
    return folder


@pytest.mark.parametrize("case", TRAINING.values(), ids=TRAINING.keys())
def test_training_is_refused_before_anything_is_written(
    known: Path, tmp_path: Path, case: tuple[str, dict[str, Any], str]
) -> None:
    preset, settings, name = case
    file, output = tmp_path / "mine.yaml", tmp_path / "model"
    file.write_text(yaml.safe_dump(settings))
    command = ("train", known / "faces.npy", known / "people.npy", "-o", output, "--preset", preset)
    line = refused(*command, "--config", file)
    assert name in line
    assert len(line.replace(str(file), "")) < 300
    assert not output.exists()


MODEL: list[tuple[str, Any]] = [
    ("k", HUGE),
    ("k", True),
    ("dimension", 10**11),
    ("tau", float("nan")),
    ("tau", True),
    ("connect", float("inf")),
    ("calibration", [float("nan"), 0]),
    ("precision", [[float("nan"), 0.5]]),
    ("precision", [[0.5, 0.5]] * 2000),
    ("cluster_comparison.uncertain_size", HUGE),
    ("cluster_comparison.minimum", True),
    ("networks.pairs.heads", True),
    ("networks.pairs.heads", 10**11),
    ("networks.pairs.width", 10**11),
    ("networks.pairs.layers", 10**11),
    ("networks.pcenet.reach", 10**11),
    ("networks.cgcn.own", float("nan")),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    make_model(STRUCTURE, cluster_comparison={}).save_pretrained(folder)
    return folder


def changed(folder: Path, to: Path, name: str, value: object) -> Path:
    """Copy a model with another setting, as if it had been written with it by an earlier version."""
    config = json.loads((folder / "config.json").read_text())
    del config["sha256"]
    place = config
    *above, last = name.split(".")
    for each in above:
        place = place[each]
    place[last] = value
    (to / "config.json").write_text(json.dumps(config))
    (to / "model.safetensors").symlink_to(folder / "model.safetensors")
    return to


@pytest.mark.parametrize(("name", "value"), MODEL, ids=lambda value: str(value)[:30])
def test_a_model_is_refused_by_the_name_of_the_setting(
    model: Path, tmp_path: Path, name: str, value: object
) -> None:
    folder = changed(model, tmp_path, f"settings.{name}", value)
    with pytest.raises(InputError) as error:
        load_model(folder)
    message = str(error.value)
    assert message.startswith(f"{folder / 'config.json'}: ")
    assert name.split(".")[0 if name.startswith("precision") else -1] in message
    assert len(message.replace(str(folder), "")) < 300
    assert message.isprintable()


def test_published_networks_of_impossible_size_are_not_allocated(tmp_path: Path) -> None:
    make_model(PUBLISHED).save_pretrained(tmp_path / "model")
    (tmp_path / "changed").mkdir()
    for name, value in (("dimension", 65_536), ("k", 65_536)):
        (tmp_path / "changed" / "model.safetensors").unlink(missing_ok=True)
        folder = changed(tmp_path / "model", tmp_path / "changed", f"settings.{name}", value)
        with pytest.raises(InputError, match=r"config\.json: \w+ of the family 'coordinates'"):
            load_model(folder)


@pytest.mark.parametrize(
    ("name", "value"), [("metrics", [1]), ("metrics", {"refine": float("nan")}), ("data", 3)]
)
def test_facts_about_a_model_are_checked_too(
    model: Path, tmp_path: Path, name: str, value: object
) -> None:
    with pytest.raises(InputError, match=r"config\.json: .*anew"):
        load_model(changed(model, tmp_path, name, value))


CARD: list[tuple[str, Any]] = [
    ("dimension", HUGE),
    ("dimension", True),
    ("faces", HUGE),
    ("effective_dimension", float("inf")),
    ("mean_length", True),
    ("title", "x" * 20_000),
    ("norm", {"mean": float("inf"), "deviation": 1}),
    ("norm", {"mean": 1, "deviation": 1e-300}),
    ("impostor_mean", {"value": float("nan"), "error": 0.1}),
    ("impostor_mean", {"value": 0.1, "error": True}),
    ("impostor_deviation", {"value": -0.1, "error": 0.1}),
    ("operating_points", [{"measure": "cosine", "threshold": float("nan"), "by": "x"}]),
]


@pytest.mark.parametrize(("name", "value"), CARD, ids=lambda value: str(value)[:30])
def test_a_card_is_refused_by_the_name_of_the_field(
    known: Path, tmp_path: Path, name: str, value: object
) -> None:
    card, output = tmp_path / "mine.yaml", tmp_path / "out"
    content = {"name": "mine", "title": "mine", "dimension": 8, "source": "none", name: value}
    card.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=name):
        EmbedderCard.read(card)
    line = refused("cluster", known / "faces.npy", "-o", output, "-m", "none", "--embedder", card)
    assert name in line
    assert not output.exists()


COMMANDS = (
    f"cluster faces.npy -o out -m none -k {HUGE}",
    "cluster faces.npy -o out -m none -k 100000000000",
    f"cluster faces.npy -o out --seed {HUGE}",
    f"cluster faces.npy -o out --min-cluster-size {HUGE}",
    "cluster faces.npy -o out --threshold nan",
    "cluster faces.npy -o out --tau inf",
    f"knn faces.npy -o out -k {HUGE}",
    f"knn faces.npy -o out --dimension {HUGE}",
    f"plan -n {HUGE} --dimension 8",
    f"plan -n 10 --dimension 1{'0' * 400}",
    f"plan faces.npy -m none -k {HUGE}",
    f"generate -n {HUGE} -o out",
    f"train faces.npy people.npy -o out --seed {HUGE}",
    "train faces.npy people.npy -o out --max-memory inf",
    f"convert faces.npy -o out --heads {HUGE}",
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[:50])
def test_a_command_is_refused_and_leaves_nothing(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("faces.npy", "people.npy"):
        Path(name).symlink_to(known / name)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    "settings", [{"k": True}, {"seed": True}, {"k": np.bool_(True)}, {"k": 10**6}, {"threshold": True}]
)
def test_a_configuration_counts_no_truth_values(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(settings))}: "):
        ClusterConfig.of(**settings)
    assert ClusterConfig.of(k=np.int64(7), seed=np.int64(3), threshold=np.float32(0.5)).k == 7


def test_aliases_that_stand_for_billions_of_values_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    card = tmp_path / "card.yaml"
    card.write_text("\n".join(lines))
    with pytest.raises(InputError, match="aliases repeat too many values"):
        EmbedderCard.read(card)
    card.write_text("a: &a [*a]")
    with pytest.raises(InputError, match=r"card\.yaml"):
        EmbedderCard.read(card)
    card.write_text("# nothing\n" * 100_000)
    with pytest.raises(InputError, match="another kind of file"):
        EmbedderCard.read(card)
    card.write_text("name: x\ntitle: &t x\ndimension: 8\nsource: *t\n")
    assert EmbedderCard.read(card).source == "x"
