"""Probabilities of edges are made to mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from nsrfc.methods.networks import calibrated, reported
from nsrfc.model.settings import AS_DECIDED, UNCHANGED
from nsrfc.training.calibration import fit_calibration, fit_reported


def edges(n: int, slope: float, offset: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw edges whose true log-odds are slope * logit(p) + offset, and whether they hold."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, n)
    same = rng.random(n) < expit(slope * odds + offset)
    return expit(odds).astype(np.float32), same


def gap(probability: np.ndarray, same: np.ndarray) -> float:
    """Mean distance between what is said and what is so, in ten bins."""
    place = np.minimum((10 * probability).astype(int), 9)
    apart = [abs(probability[place == b].sum() - same[place == b].sum()) for b in range(10)]
    return float(sum(apart) / len(same))


def test_what_is_said_of_other_edges_becomes_true() -> None:
    calibration = fit_calibration([edges(20_000, 0.7, 1.5, seed=0)])
    probability, same = edges(20_000, 0.7, 1.5, seed=1)
    assert gap(probability, same) > 0.1
    assert gap(calibrated(probability, calibration), same) < 0.01


def test_the_order_stays() -> None:
    probability = np.linspace(0, 1, 101, dtype=np.float32)
    found = calibrated(probability, (0.7, 1.5))
    assert found.dtype == np.float32
    assert (np.diff(found) > 0).all()
    assert 0 <= found[0] < found[-1] <= 1


def test_every_set_counts_alike() -> None:
    one, other = edges(2_000, 1, 1, seed=0), edges(20_000, 1, -1, seed=1)
    offset = fit_calibration([one, other])[1]
    assert abs(offset) < 0.2
    many = fit_calibration(
        [(np.concatenate(a), np.concatenate(b)) for a, b in [zip(one, other, strict=True)]]
    )
    assert many[1] < -0.5


@pytest.mark.parametrize("same", [[True] * 4, [False] * 4, [True, True, False, False], []])
def test_what_teaches_nothing_changes_nothing(same: list[bool]) -> None:
    """Edges of one kind, edges of which the less probable hold, and none."""
    probability = np.array([0.1, 0.2, 0.8, 0.9], np.float32)[: len(same)]
    assert fit_calibration([(probability, np.array(same, bool))]) == UNCHANGED
    assert calibrated(probability, UNCHANGED) is probability


def edges_of_a_set(share: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw edges of which a share is genuine: what networks say, which do not know it, and the odds.

    The networks take nine in ten to be genuine. The score model knows the share, and half as much else.
    """
    rng = np.random.default_rng(seed)
    genuine = rng.random(20_000) < share
    of_networks, of_scores = (
        rng.normal(np.where(genuine, ratio / 2, -ratio / 2), np.sqrt(ratio)) for ratio in (8, 4)
    )
    probability = expit(of_networks + np.log(9)).astype(np.float32)
    return probability, (of_scores + np.log(share / (1 - share))).astype(np.float32), genuine


@pytest.mark.parametrize("share", [0.15, 0.4, 0.7, 0.95])
def test_what_is_reported_is_true_of_sets_with_another_share_of_genuine_edges(share: float) -> None:
    weights = fit_reported([edges_of_a_set(one, seed) for seed, one in enumerate((0.1, 0.5, 0.9))])
    probability, odds, genuine = edges_of_a_set(share, seed=9)
    after = gap(reported(probability, odds, weights), genuine)
    assert after < 0.03
    assert after < gap(probability, genuine) or share > 0.9


def test_every_edge_counts_alike_in_what_is_reported() -> None:
    few, many = edges_of_a_set(0.5, seed=0), edges_of_a_set(0.9, seed=1)
    few = (few[0][:200], few[1][:200], few[2][:200])
    joined = tuple(np.concatenate(parts) for parts in zip(few, many, strict=True))
    one, two, three = joined
    np.testing.assert_allclose(fit_reported([few, many]), fit_reported([(one, two, three)]), rtol=1e-3)


@pytest.mark.parametrize("genuine", [True, False])
def test_edges_of_one_kind_leave_what_is_reported_as_it_was_decided(genuine: bool) -> None:
    half = np.full(4, 0.5, np.float32)
    assert fit_reported([(half, half, np.full(4, genuine))]) == AS_DECIDED
