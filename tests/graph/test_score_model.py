"""The score model: order, bounds and what it assumes before looking, for whatever scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gumbel_r

from nsrfc.graph.scores import best_impostor, fit_score_model, probability
from nsrfc.vectors import normalize

SEEDS = st.integers(0, 2**32 - 1)


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
        assert best_impostor(5, identical)[0] < model.threshold < identical
        # Directions drawn at random, of which one in five is as close as the location says.
        dimension = round(identical**2)
        drawn = normalize(np.random.default_rng(0).standard_normal((4000, dimension)))[:, 0] * identical
        assert (drawn > best_impostor(5, identical)[0]).mean() == pytest.approx(1 / 5, abs=0.03)
    far = fit_score_model(np.empty(0), 10_000_000, 16.0).threshold
    assert far > fit_score_model(np.empty(0), 5, 16.0).threshold, "of many impostors some reach further"
