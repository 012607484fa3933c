"""A card is a prior: it decides where faces are few, and many faces outvote it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.embedders.card import find_card
from nsrfc.graph.scores import impostor_scores
from nsrfc.metrics import evaluate
from nsrfc.records import ImpostorScores, ScorePrior
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from .faces import of_dlib

DLIB = find_card("dlib").prior


@pytest.mark.parametrize("seed", range(5))
def test_in_a_library_of_two_people_it_moves_the_mean_towards_its_own(seed: int) -> None:
    X = normalize(of_dlib(2, 4, seed)[0])
    assert DLIB.mean is not None
    without, found = impostor_scores(X), impostor_scores(X, prior=DLIB)
    assert abs(found.mean - DLIB.mean[0]) < abs(without.mean - DLIB.mean[0])
    assert abs(found.mean - DLIB.mean[0]) < 3 * DLIB.mean[1]


def test_it_tells_one_person_from_many() -> None:
    """Without it the lowest scores of one person's photos are taken for those of impostor pairs."""
    X = normalize(of_dlib(1, 6)[0])
    assert impostor_scores(X).genuine_share < 0.6
    assert impostor_scores(X, prior=DLIB).genuine_share > 0.9


@pytest.mark.parametrize("n", [1, 2])
def test_where_no_face_tells_anything_it_alone_decides(n: int) -> None:
    X = normalize(of_dlib(2, 1)[0])[:n]
    assert DLIB.mean is not None
    assert DLIB.deviation is not None
    assert impostor_scores(X, prior=DLIB) == ImpostorScores(DLIB.mean[0], DLIB.deviation[0], 0.0)


@settings(max_examples=20)
@given(
    mean=st.floats(-0.5, 0.95),
    error=st.floats(0.005, 0.2),
    deviation=st.floats(0.01, 0.3),
    relative=st.floats(0.1, 0.5),
)
def test_thousands_of_faces_outvote_any_card(
    mean: float, error: float, deviation: float, relative: float
) -> None:
    prior = ScorePrior("wrong", (mean, error), (deviation, relative * deviation))
    found = impostor_scores(MANY, prior=prior)
    assert abs(found.mean - ALONE.mean) < 0.5 * ALONE.deviation
    assert found.deviation == pytest.approx(ALONE.deviation, rel=0.3)


MANY = generate(2500, "wild", dimension=64, seed=1).embeddings
ALONE = impostor_scores(MANY)


@pytest.mark.parametrize("embedder", ["sface", "facenet"])
def test_a_card_without_impostor_scores_changes_nothing(embedder: str) -> None:
    X = normalize(of_dlib(3, 4)[0])
    assert impostor_scores(X, prior=find_card(embedder).prior) == impostor_scores(X)


@pytest.mark.parametrize("model", [None, "universal"])
def test_a_few_faces_of_dlib_are_told_apart(model: str | None) -> None:
    right = []
    for seed in range(4):
        X, identities = of_dlib(3, 2, seed)
        for embedder in ("none", "dlib"):
            labels = nsrfc.cluster(X, model, ClusterConfig(embedder=embedder)).labels
            right.append(evaluate(identities, labels).bcubed.f)
    without, found = np.mean(np.reshape(right, (4, 2)), axis=0)
    assert found >= 0.9
    assert found >= without


def test_wider_errors_leave_the_values() -> None:
    wide = DLIB.widened(3)
    assert DLIB.mean is not None
    assert wide.mean == (DLIB.mean[0], 3 * DLIB.mean[1])
    empty = ScorePrior("empty")
    assert empty.widened(3) == empty
    assert replace(wide, mean=DLIB.mean, deviation=DLIB.deviation) == DLIB


def test_it_survives_a_record() -> None:
    assert ScorePrior.of(DLIB.as_dict()) == DLIB
    assert ScorePrior.of(json.loads(json.dumps(DLIB.as_dict()))) == DLIB
    assert ScorePrior.of(None) is None
