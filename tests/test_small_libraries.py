"""Libraries of a few people, or with one person in most photos: the first thing that people try."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc import FaceClusterer
from nsrfc.metrics import evaluate
from nsrfc.synthetic import PRESETS, FaceDistribution, generate

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

WIDE = replace(PRESETS["lfw"], wrong=0.0)
NARROW = replace(WIDE, spectrum_decay=1.9, noise_decay=1.9, common_mean=0.8, fading=0.4)
"""Faces of an embedder whose cosines are all high, as dlib's are."""


def library(sizes: list[int], distribution: FaceDistribution, seed: int) -> tuple[Floats, Labels]:
    """Draw people with given numbers of photos."""
    most = max(sizes)
    drawn = replace(distribution, body_size=most, body_spread=0, tail_share=0, max_size=most)
    faces = generate(most * len(sizes), drawn, dimension=128, seed=seed)
    rows = [np.flatnonzero(faces.identities == i)[:size] for i, size in enumerate(sizes)]
    chosen = np.random.default_rng(seed).permutation(np.concatenate(rows))
    return faces.embeddings[chosen], faces.identities[chosen]


@pytest.mark.parametrize("model", [None, "universal"])
@pytest.mark.parametrize("distribution", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("people", [2, 4, 8, 20])
def test_a_few_people_are_told_apart(
    people: int, distribution: FaceDistribution, model: str | None
) -> None:
    """Some draws are hard for this distribution, whatever the method: the median counts."""
    found = []
    for seed in range(5):
        X, identity = library([20] * people, distribution, seed)
        found.append(evaluate(identity, FaceClusterer(model=model).fit_predict(X)).pairwise.f)
    assert np.median(found) > 0.93


@pytest.mark.parametrize("model", [None, "universal"])
@pytest.mark.parametrize("share", [0.2, 0.35, 0.55])
def test_neither_guests_nor_whoever_has_most_photos_fall_apart_or_together(
    share: float, model: str | None
) -> None:
    own = int(300 * share)
    guests = [1, 2, 3, 4, 5] * ((300 - own) // 15)
    X, identity = library([own, *guests], replace(PRESETS["wild"], wrong=0.0), 1)
    labels = FaceClusterer(model=model).fit_predict(X)
    assert evaluate(identity, labels).pairwise.f > 0.9
    assert np.bincount(labels[identity == 0]).max() >= 0.9 * own
    beside = identity > 0
    assert evaluate(identity[beside], labels[beside]).pairwise.precision > 0.75


@pytest.mark.parametrize("model", [None, "universal"])
def test_people_of_whom_nobody_appears_twice_stay_alone(model: str | None) -> None:
    X, identity = library([1] * 80, replace(PRESETS["wild"], wrong=0.0, kin=0.05), 3)
    assert evaluate(identity, FaceClusterer(model=model).fit_predict(X)).n_clusters > 75
