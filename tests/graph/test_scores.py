"""Impostor score statistics: right whatever the embedder and the mix of identities, and reproducible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.graph.scores import DEVIATION, impostor_scores
from nsrfc.records import ImpostorScores
from nsrfc.synthetic import PRESETS, FaceDistribution, generate
from nsrfc.vectors import normalize

Floats = npt.NDArray[np.float32]

WIDE = replace(PRESETS["wild"], wrong=0.0)
NARROW = replace(WIDE, spectrum_decay=1.9, noise_decay=1.9, common_mean=0.7, fading=0.4)


def album(
    sizes: list[int], distribution: FaceDistribution = WIDE
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Draw faces of identities of given sizes, at most 60 each."""
    drawn = replace(distribution, body_size=60, body_spread=0, tail_share=0, max_size=60)
    faces = generate(60 * len(sizes), drawn, dimension=128, seed=1)
    rows = [np.flatnonzero(faces.identities == i)[:size] for i, size in enumerate(sizes)]
    chosen = np.concatenate(rows)
    return faces.embeddings[chosen], faces.identities[chosen]


MIXES = {
    "two identities": [30, 30],
    "two of which one has most photos": [45, 15],
    "four": [15] * 4,
    "one with half of the photos": [60, *[3] * 20],
    "twenty": [10] * 20,
    "only different ones": [1] * 60,
}


@pytest.mark.parametrize("distribution", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("mix", MIXES)
def test_they_are_those_of_the_impostor_pairs_whatever_the_mix(
    mix: str, distribution: FaceDistribution
) -> None:
    """No identity is told; the true statistics are taken from the labels."""
    X, identity = album(MIXES[mix], distribution)
    above = np.triu_indices(len(X), 1)
    cosine, same = (X @ X.T)[above], (identity[:, None] == identity)[above]
    true = np.median(cosine[~same])
    deviation = true - np.quantile(cosine[~same], 0.1587)
    found = impostor_scores(X)
    assert abs(found.mean - true) < 0.7 * deviation
    assert found.deviation == pytest.approx(deviation, rel=0.35)
    assert found.genuine_share == pytest.approx(same.mean(), abs=0.2)


def test_a_mean_that_all_faces_share_changes_no_normalised_score() -> None:
    """Cosines then lie between the share of the mean and 1, but in the same proportions."""
    X, _ = album([12] * 15)
    cosine = X @ X.T
    shifted = normalize(np.hstack((X, np.full((len(X), 1), 1.5, np.float32))))
    before = impostor_scores(X).normalized(cosine)
    after = impostor_scores(shifted).normalized(shifted @ shifted.T)
    np.testing.assert_allclose(after, before, atol=0.4)
    assert impostor_scores(shifted).identical == pytest.approx(impostor_scores(X).identical, rel=0.05)


def test_a_normalised_score_counts_deviations_from_the_mean() -> None:
    impostors = ImpostorScores(0.2, 0.1, 0.0)
    found = impostors.normalized(np.array([0.2, 0.3, 0.0, 1.0], np.float32))
    np.testing.assert_allclose(found, [0, 1, -2, 8], atol=1e-5)
    assert found.dtype == np.float32
    assert impostors.identical == pytest.approx(8)


def test_neither_order_nor_appended_zeros_nor_other_lengths_change_them() -> None:
    X, _ = album([12] * 15)
    expected = impostor_scores(X)
    order = np.random.default_rng(0).permutation(len(X))
    assert impostor_scores(X[order]) == expected
    assert impostor_scores(np.pad(X, ((0, 0), (0, 7)))) == expected
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((128, 128)))[0]
    rotated = impostor_scores((X @ rotation).astype(np.float32))
    assert rotated.mean == pytest.approx(expected.mean, abs=0.02 * expected.deviation)
    assert rotated.deviation == pytest.approx(expected.deviation, rel=0.02)


def test_a_sample_says_what_all_faces_say() -> None:
    X = generate(6000, "wild", dimension=64, seed=2).embeddings
    found = [impostor_scores(X, seed) for seed in range(3)]
    assert len({each.mean for each in found}) == 3, "another sample each"
    for each in found:
        assert each.mean == pytest.approx(found[0].mean, abs=0.05 * each.deviation)
        assert each.deviation == pytest.approx(found[0].deviation, rel=0.05)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("d", [1, 2, 40])
def test_a_handful_of_faces_has_statistics_all_the_same(n: int, d: int) -> None:
    X = normalize(np.random.default_rng(n * d).normal(size=(n, d)))
    found = impostor_scores(X)
    assert np.isfinite([found.mean, found.deviation, found.genuine_share]).all()
    assert found.deviation > 0
    assert found.identical > 0
    if n == 1:
        assert (found.mean, found.deviation) == (0, DEVIATION), "what is assumed before looking"
