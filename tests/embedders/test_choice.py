"""Which card is used: the one asked for, or one that the faces clearly fit; none against the faces."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nsrfc
from nsrfc.config import SUGGESTED_DIMENSIONS, ClusterConfig
from nsrfc.embedders.card import card_names, find_card
from nsrfc.embedders.choice import known_scores
from nsrfc.errors import InputError
from nsrfc.knn.copies import distinct_faces
from nsrfc.methods.base import Method
from nsrfc.methods.registry import load_method
from nsrfc.records import ScorePrior
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from .faces import Floats, of_dlib


def known(embedder: str, X: Floats) -> ScorePrior | None:
    return known_scores(embedder, X, distinct_faces(X))


@pytest.mark.parametrize(("people", "photos"), [(3, 5), (20, 4), (200, 1)])
def test_raw_embeddings_that_lie_as_those_of_dlib_suggest_its_card(
    people: int, photos: int, caplog: pytest.LogCaptureFixture
) -> None:
    X, _ = of_dlib(people, photos)
    with caplog.at_level(logging.INFO, "nsrfc"):
        assert known("auto", X) == find_card("dlib").prior
    (line,) = caplog.messages
    assert 'embedder="dlib"' in line


def unit(n: int, dimension: int) -> Floats:
    return normalize(np.random.default_rng(0).standard_normal((n, dimension)))


DOUBTFUL = {
    "unit Gaussians of 512 dimensions": unit(100, 512),
    "unit Gaussians of 128 dimensions": unit(100, 128),
    "Gaussians as long as dlib's": 1.44 * unit(100, 128),
    "dlib's, normalised": normalize(of_dlib(20, 4)[0]),
    "dlib's, ten times as long": 10 * of_dlib(20, 4)[0],
    "too few of dlib's": of_dlib(3, 3)[0],
    "of one person": of_dlib(1, 40)[0],
    "other dimensions": np.pad(of_dlib(20, 4)[0], ((0, 0), (0, 1))),
    "a single one": of_dlib(1, 1)[0],
    "too long to be measured": of_dlib(20, 4)[0].astype(np.float64) * 1e300,
}


@pytest.mark.parametrize("faces", DOUBTFUL)
def test_in_doubt_no_card_is_suggested(faces: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nsrfc"):
        assert known("auto", DOUBTFUL[faces]) is None
    assert not caplog.messages


def test_cards_are_read_only_for_dimensions_of_cards_that_may_be_suggested() -> None:
    cards = [find_card(name) for name in card_names()]
    possible = {
        card.dimension for card in cards if card.norm and card.impostor_mean and card.impostor_deviation
    }
    assert {*SUGGESTED_DIMENSIONS} == possible


@pytest.mark.parametrize(
    ("card", "X", "words"),
    [
        ("sface", of_dlib(20, 4)[0], "median length is 1.4"),
        ("mobilefacenet", of_dlib(20, 4)[0], "lowest cosines are about 0.7"),
        ("dlib", 1.44 * unit(100, 128), "lowest cosines are about -0.2"),
        ("dlib", unit(2, 128), "lowest cosines"),
        ("arcface-r50", 3 * unit(100, 512), "median length is 3, where it says 19"),
    ],
)
def test_a_card_that_the_faces_contradict_is_left_out_with_a_warning(
    card: str, X: Floats, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert known(card, X) is None
    (line,) = caplog.messages
    assert f"The card {card} does not fit these faces" in line
    assert words in line
    contradicted = nsrfc.cluster(X, None, ClusterConfig(embedder=card))
    assert contradicted.method["embedder"] is None
    alone = nsrfc.cluster(X, None, ClusterConfig(embedder="none"))
    np.testing.assert_array_equal(contradicted.labels, alone.labels)


@pytest.mark.parametrize("X", [of_dlib(1, 5)[0], of_dlib(1, 1)[0], of_dlib(2, 1)[0], of_dlib(100, 2)[0]])
def test_faces_of_any_number_of_people_fit_the_right_card(X: Floats) -> None:
    assert known("dlib", X) == known("dlib", normalize(X)) == find_card("dlib").prior


def test_a_few_faces_of_one_scene_do_not_contradict_a_card() -> None:
    face = unit(1, 128)
    X = normalize(face + 0.01 * unit(5, 128))
    assert known("mobilefacenet", X) == find_card("mobilefacenet").prior


@pytest.mark.parametrize("model", [None, "universal"])
def test_another_dimension_is_refused(model: str | None) -> None:
    X = np.zeros((5, 512), np.float32) + np.eye(5, 512, dtype=np.float32)
    with pytest.raises(
        InputError, match=r"^embedder: the card dlib is .* dimension 128, but these have 512"
    ):
        nsrfc.FaceClusterer(model=model, embedder="dlib").fit(X)


def test_an_unknown_card_is_refused_with_the_names() -> None:
    X, _ = of_dlib(2, 2)
    with pytest.raises(
        InputError, match=r"no card of an embedder 'facebook'.*auto, none, .*dlib, facenet"
    ):
        nsrfc.FaceClusterer(embedder="facebook").fit(X)
    with pytest.raises(InputError, match=r"^embedder: "):
        nsrfc.FaceClusterer(embedder=3).fit(X)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [None, "universal"])
def test_without_a_card_all_is_as_it_was(model: str | None) -> None:
    X = generate(60, "wild", dimension=128, seed=4).embeddings
    auto, none = (nsrfc.cluster(X, model, ClusterConfig(embedder=each)) for each in ("auto", "none"))
    np.testing.assert_array_equal(auto.labels, none.labels)
    np.testing.assert_array_equal(auto.confidence, none.confidence)
    assert auto.method == none.method
    assert auto.method["embedder"] is None


@pytest.mark.parametrize("model", [None, "universal"])
def test_labels_with_a_card_do_not_hang_on_the_order_of_the_rows(model: str | None) -> None:
    X, _ = of_dlib(8, 4)
    order = np.random.default_rng(0).permutation(len(X))
    found = nsrfc.FaceClusterer(model=model, embedder="dlib").fit(X)
    again = nsrfc.FaceClusterer(model=model, embedder="dlib").fit(X[order])
    same = found.labels_[order][:, None] == found.labels_[order]
    np.testing.assert_array_equal(again.labels_[:, None] == again.labels_, same)


@pytest.mark.parametrize("embedder", ["auto", "dlib"])
@pytest.mark.parametrize("model", [None, "universal"])
def test_new_faces_are_placed_with_the_card_of_the_fit(
    model: str | None, embedder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the clusterer was stored: what is left of the faces is of unit length."""
    X, _ = of_dlib(6, 4)
    fitted = nsrfc.FaceClusterer(model=model, embedder=embedder).fit(X)
    used = []

    def spy(*args: Any) -> Method:  # noqa: ANN401
        used.append(args[-1])
        return load_method(*args)

    monkeypatch.setattr("nsrfc.known.load_method", spy)
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.labels_)
    assert used == [find_card("dlib").prior] * 2


def test_a_card_of_ones_own_is_given_by_its_path(tmp_path: Path) -> None:
    X, _ = of_dlib(3, 2)
    path = tmp_path / "mine.yaml"
    find_card("dlib").model_copy(update={"name": "mine"}).write(path)
    mine, shipped = (nsrfc.FaceClusterer(embedder=each).fit(X) for each in (path, "DLIB"))
    np.testing.assert_array_equal(mine.labels_, shipped.labels_)
    path.unlink()
    np.testing.assert_array_equal(mine.predict(X), mine.labels_, "predict reads no card")


def test_kept_results_of_one_card_are_not_those_of_another(tmp_path: Path) -> None:
    X, _ = of_dlib(3, 2)
    for model in (None, "universal"):
        for embedder in ("none", "dlib", "none"):
            config = ClusterConfig(embedder=embedder)
            kept = nsrfc.cluster(X, model, config, run=nsrfc.Run(cache=tmp_path))
            np.testing.assert_array_equal(kept.labels, nsrfc.cluster(X, model, config).labels)
