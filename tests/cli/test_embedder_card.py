"""``nsrfc embedder-card`` measures unlabelled faces, and ``--embedder`` reads what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nsrfc.embedders.card import EmbedderCard
from nsrfc.knn.copies import distinct_faces
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..commands import refused, run, run_json
from ..embedders.faces import of_dlib


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("here")
    np.save(folder / "many.npy", of_dlib(150, 4, seed=3)[0])
    np.save(folder / "normalised.npy", normalize(of_dlib(150, 4, seed=3)[0]))
    np.save(folder / "few.npy", of_dlib(40, 2)[0])
    np.save(folder / "two people.npy", of_dlib(2, 200)[0])
    np.save(folder / "library.npy", of_dlib(3, 2)[0])
    np.save(folder / "others.npy", generate(80, "wild", dimension=64, seed=1).embeddings)
    return folder


def test_a_card_of_many_faces_says_how_they_lie(here: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    printed = run("embedder-card", here / "many.npy", "-o", path)
    assert "Card of mine" in printed
    card, (X, identities) = EmbedderCard.read(path), of_dlib(150, 4, seed=3)
    unit = normalize(X)
    above = np.triu_indices(len(X), 1)
    impostor = (unit @ unit.T)[above][(identities[:, None] != identities)[above]]
    assert (card.name, card.dimension, card.faces) == ("mine", 128, len(distinct_faces(X).vectors))
    assert card.impostor_mean is not None
    assert card.impostor_mean.value == pytest.approx(impostor.mean(), abs=card.impostor_mean.error)
    assert card.impostor_deviation is not None
    assert card.impostor_deviation.value == pytest.approx(impostor.std(), rel=0.25)
    assert card.norm is not None
    assert card.norm.mean == pytest.approx(1.44, abs=0.02)
    assert card.norm.deviation == pytest.approx(0.08, rel=0.2)
    assert card.mean_length == pytest.approx(np.linalg.norm(unit.mean(axis=0)), abs=1e-3)
    assert card.effective_dimension is not None
    assert 10 < card.effective_dimension < 40
    assert card.genuine_mean is None, "no label, no genuine pair"


def test_normalised_faces_have_no_length_to_tell(here: Path, tmp_path: Path) -> None:
    record = run_json(
        "embedder-card", here / "normalised.npy", "-o", tmp_path / "c.yaml", "--name", "a.b"
    )
    assert record["name"] == "a.b"
    assert "norm" not in record
    assert "1, normalised" in run("embedder-card", here / "normalised.npy", "-o", tmp_path / "c.yaml")


@pytest.mark.parametrize("model", ["none", "universal"])
def test_the_card_is_used_and_recorded(here: Path, model: str, tmp_path: Path) -> None:
    run("embedder-card", here / "many.npy", "-o", tmp_path / "mine.yaml")
    card = EmbedderCard.read(tmp_path / "mine.yaml")
    library = here / "library.npy"
    options = ("cluster", library, "-m", model, "-o", tmp_path / "out", "--embedder")
    record = run_json(*options, tmp_path / "mine.yaml")
    assert record["config"]["embedder"] == str(tmp_path / "mine.yaml")
    assert record["method"]["embedder"] == json.loads(json.dumps(card.prior.as_dict()))
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == record
    assert run_json(*options, "none")["method"]["embedder"] is None
    assert run_json(*options, "dlib")["method"]["embedder"]["card"] == "dlib"
    assert record["result"]["people"] == 3


def test_a_suggested_card_is_recorded_too(here: Path, tmp_path: Path) -> None:
    record = run_json("cluster", here / "many.npy", "-m", "none", "-o", tmp_path)
    assert record["config"]["embedder"] == "auto"
    assert record["method"]["embedder"]["card"] == "dlib"


@pytest.mark.parametrize(
    ("faces", "words"),
    [
        ("few.npy", "needs 200 different faces or more, got 80"),
        ("two people.npy", "20 people or more, but these seem to show about 2"),
        ("missing.npy", "There is no file"),
    ],
)
def test_too_little_is_refused_without_a_trace(
    here: Path, faces: str, words: str, tmp_path: Path
) -> None:
    assert words in refused("embedder-card", here / faces, "-o", tmp_path / "mine.yaml")
    assert not [*tmp_path.iterdir()]


def test_bad_options_are_refused(here: Path, tmp_path: Path) -> None:
    many = here / "many.npy"
    assert "use one of these" in refused("embedder-card", many, "-o", tmp_path / "mine.json")
    assert "name: " in refused("embedder-card", many, "-o", tmp_path / "c.yaml", "--name", "a b")
    out = ("-o", tmp_path / "out")
    assert "dimension 128, but these have 64" in refused(
        "cluster", here / "others.npy", "--embedder", "dlib", *out
    )
    assert "take auto, none, arcface-mbf" in refused("cluster", many, "--embedder", "mine", *out)
    assert not (tmp_path / "out").exists()
