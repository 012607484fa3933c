"""Normalised scores and their model: symmetry, units, order and bounds, for whatever similarities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gumbel_r

from nsrfc.graph.reverse import both_directions
from nsrfc.graph.scores import (
    ImpostorScores,
    fit_score_model,
    impostor_mean,
    impostor_scores,
    normalized_scores,
    probability,
)
from nsrfc.storage.artifacts import Artifacts
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

Floats = npt.NDArray[np.float32]

SEEDS = st.integers(0, 2**32 - 1)


def drawn_scores(n: int, rng: np.random.Generator) -> ImpostorScores:
    center = rng.uniform(-0.2, 0.4, n).astype(np.float32)
    return ImpostorScores(center, rng.uniform(0.02, 0.3, n).astype(np.float32))


def everybody(n: int) -> npt.NDArray[np.int32]:
    """Every face lists all, itself first."""
    ids = np.tile(np.arange(n, dtype=np.int32), (n, 1))
    for face in range(n):
        ids[face, 1 : face + 1], ids[face, 0] = ids[face, :face].copy(), face
    return ids


@given(st.integers(2, 12), SEEDS)
def test_a_score_is_the_mean_of_what_both_faces_make_of_the_pair(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.uniform(-1, 1, (n, n))
    cosine = ((drawn + drawn.T) / 2).astype(np.float32)
    impostors, ids = drawn_scores(n, rng), everybody(n)
    scores = normalized_scores(np.take_along_axis(cosine, ids, axis=1), ids, impostors, impostors)
    center, deviation = impostors.center.astype(float), impostors.deviation.astype(float)
    for (i, c), j in np.ndenumerate(ids):
        ways = [(float(cosine[i, j]) - center[face]) / deviation[face] for face in (i, int(j))]
        assert scores[i, c] == pytest.approx(sum(ways) / 2, rel=1e-3, abs=1e-4)
    there, back = np.moveaxis(both_directions(ids, scores), -1, 0)
    np.testing.assert_array_equal(there, back)


@given(st.integers(2, 12), SEEDS, st.floats(0.25, 4), st.floats(-2, 2))
def test_scores_do_not_hang_on_zero_and_unit_of_the_similarities(
    n: int, seed: int, unit: float, zero: float
) -> None:
    rng = np.random.default_rng(seed)
    ids, impostors = everybody(n), drawn_scores(n, rng)
    similarities = rng.uniform(-1, 1, (n, n)).astype(np.float32)
    moved = ImpostorScores(
        np.float32(unit) * impostors.center + np.float32(zero), np.float32(unit) * impostors.deviation
    )
    scores = normalized_scores(similarities, ids, impostors, impostors)
    again = normalized_scores(np.float32(unit) * similarities + np.float32(zero), ids, moved, moved)
    np.testing.assert_allclose(again, scores, atol=2e-3)


@pytest.fixture(scope="module")
def X() -> Floats:  # noqa: N802
    return normalize(generate(300, "wild", dimension=32, seed=8).embeddings)


def test_impostor_scores_of_some_faces_are_those_of_them_among_all(X: Floats) -> None:
    reference = X[::3]
    whole = impostor_scores(X, reference)
    for rows in (np.array([5]), np.arange(7, 90, 4), np.arange(300)[::-1].copy()):
        alone = impostor_scores(X[rows], reference)
        np.testing.assert_array_equal(alone.center, whole[rows].center)
        np.testing.assert_array_equal(alone.deviation, whole[rows].deviation)
    assert whole[10:20].center.shape == (10,)


def test_impostor_scores_are_quantiles_of_the_cosines(X: Floats) -> None:
    """To what rounding to the grid moves, and up to the share of the prior, which is small here."""
    found = impostor_scores(X, X)
    cosine = X.astype(float) @ X.T.astype(float)
    trust = 150 * 299 / (150 * 299 + 200)
    median = np.sort(cosine, axis=1)[:, 149]
    low = np.sort(cosine, axis=1)[:, int(0.1587 * 299)]
    np.testing.assert_allclose(found.center, trust * median, atol=1e-3)
    expected = np.sqrt(trust * (median - low) ** 2 + (1 - trust) / 32)
    np.testing.assert_allclose(found.deviation, expected, atol=2e-3)
    assert impostor_mean(X) == pytest.approx(float(found.center.mean()))
    assert found.identical == pytest.approx(float(((1 - found.center) / found.deviation).mean()))


def test_impostor_scores_that_were_cut_off_go_on(
    X: Floats, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = Artifacts.at(tmp_path_factory.mktemp("kept")).pieces("impostors", "key")
    first = impostor_scores(X, X, pieces)
    again = impostor_scores(np.zeros_like(X), X, pieces)
    np.testing.assert_array_equal(again.center, first.center)
    np.testing.assert_array_equal(again.deviation, first.deviation)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("d", [1, 2, 40])
def test_few_faces_in_few_dimensions_have_impostor_scores_all_the_same(n: int, d: int) -> None:
    X = normalize(np.random.default_rng(n * d).normal(size=(n, d)))
    found = impostor_scores(X, X)
    assert np.isfinite(found.center).all()
    assert (found.deviation > 0).all()
    if n == 1:
        assert found.center[0] == 0
        assert found.deviation[0] == pytest.approx(d**-0.5), "what is assumed before looking"


@st.composite
def strengths(draw: st.DrawFn) -> tuple[npt.NDArray[np.float64], float]:
    """Draw scores of one edge per face, of one kind, of two, or few values, and that of two copies."""
    rng = np.random.default_rng(draw(SEEDS))
    n, identical = draw(st.integers(1, 200)), draw(st.floats(2, 60))
    low, high = draw(st.floats(-5, 70)), draw(st.floats(-5, 70))
    spread = draw(st.sampled_from([0.0, 0.01, 1.0, 10.0]))
    x = np.where(rng.random(n) < draw(st.floats(0, 1)), low, high) + spread * rng.standard_normal(n)
    x[rng.random(n) < draw(st.sampled_from([0.0, 0.3]))] = -np.inf
    return x, identical


@settings(max_examples=60)
@given(strengths())
def test_a_higher_score_is_never_less_likely_one_identity(
    drawn: tuple[npt.NDArray[np.float64], float],
) -> None:
    x, identical = drawn
    model = fit_score_model(x, len(x), identical)
    assert np.isfinite(model.threshold)
    assert 0 < model.slope < np.inf
    score = np.linspace(-50, 100, 301, dtype=np.float32)
    chance = probability(model.log_odds(score))
    assert chance.dtype == np.float32
    assert (np.diff(chance) >= 0).all()
    assert ((chance >= 0) & (chance <= 1)).all()
    at = np.array(model.threshold, np.float32)
    assert probability(model.log_odds(at)) == pytest.approx(0.5)


@settings(max_examples=30)
@given(strengths(), SEEDS)
def test_a_score_model_does_not_hang_on_the_order_of_the_edges(
    drawn: tuple[npt.NDArray[np.float64], float], seed: int
) -> None:
    x, identical = drawn
    model = fit_score_model(x, len(x), identical)
    assert fit_score_model(np.random.default_rng(seed).permutation(x), len(x), identical) == model
    infinite = np.concatenate((x, np.full(4, -np.inf)))
    assert fit_score_model(infinite, len(x), identical) == model, "faces without an edge tell nothing"


@pytest.mark.parametrize("genuine_share", [0.2, 0.5, 0.8])
def test_two_kinds_of_edges_are_told_apart(genuine_share: float) -> None:
    """Drawn by the two laws that the model knows, around other means than it assumes."""
    rng = np.random.default_rng(0)
    n, identical = 4000, 18.0
    genuine = rng.random(n) < genuine_share
    impostor = gumbel_r.rvs(loc=4.6, scale=0.45, size=n, random_state=rng)
    x = np.where(genuine, rng.normal(0.75 * identical, 2.0, n), impostor)
    model = fit_score_model(x, n, identical)
    chance = probability(model.log_odds(x.astype(np.float32)))
    assert ((chance > 0.5) == genuine).mean() > 0.98
    assert chance.mean() == pytest.approx(genuine_share, abs=0.03)


def test_before_looking_the_threshold_lies_between_impostors_and_copies() -> None:
    """A handful of faces, of which nothing can be learned."""
    for identical in (8.0, 16.0, 40.0):
        model = fit_score_model(np.empty(0), 5, identical)
        assert 2.55 < model.threshold < identical
    far = fit_score_model(np.empty(0), 10_000_000, 16.0).threshold
    assert far > fit_score_model(np.empty(0), 5, 16.0).threshold, "of many impostors some reach further"
