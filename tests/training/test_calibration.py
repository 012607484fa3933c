"""Probabilities of edges are made to mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from nsrfc.methods.networks import calibrated
from nsrfc.model.settings import UNCHANGED
from nsrfc.training.calibration import Evidence, fit_calibration


def edges(n: int, slope: float, offset: float, seed: int) -> Evidence:
    """Draw edges whose true log-odds are slope * logit(p) + offset, without a score model."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 3, n)
    same = rng.random(n) < expit(slope * odds + offset)
    return Evidence(expit(odds).astype(np.float32), None, same)


def gap(probability: np.ndarray, same: np.ndarray) -> float:
    """Mean distance between what is said and what is so, in ten bins."""
    place = np.minimum((10 * probability).astype(int), 9)
    apart = [abs(probability[place == b].sum() - same[place == b].sum()) for b in range(10)]
    return float(sum(apart) / len(same))


def test_what_is_said_of_other_edges_becomes_true() -> None:
    calibration = fit_calibration([edges(20_000, 0.7, 1.5, seed=0)])
    assert calibration[1] == 0
    probability, _, same = edges(20_000, 0.7, 1.5, seed=1)
    assert gap(probability, same) > 0.1
    assert gap(calibrated(probability, calibration), same) < 0.01


def test_the_order_stays() -> None:
    probability = np.linspace(0, 1, 101, dtype=np.float32)
    found = calibrated(probability, (0.7, 0.0, 1.5))
    assert found.dtype == np.float32
    assert (np.diff(found) > 0).all()
    assert 0 <= found[0] < found[-1] <= 1


def test_every_edge_counts_alike() -> None:
    few, many = edges(200, 1, 1, seed=0), edges(20_000, 1, -1, seed=1)
    joined = Evidence(
        np.concatenate((few.probability, many.probability)),
        None,
        np.concatenate((few.genuine, many.genuine)),
    )
    assert fit_calibration([few, many]) == pytest.approx(fit_calibration([joined]))
    assert fit_calibration([few, many])[2] < -0.9


@pytest.mark.parametrize("same", [[True] * 4, [False] * 4, [True, True, False, False], []])
def test_what_teaches_nothing_changes_nothing(same: list[bool]) -> None:
    """Edges of one kind, edges of which the less probable hold, and none."""
    probability = np.array([0.1, 0.2, 0.8, 0.9], np.float32)[: len(same)]
    for odds in (None, np.zeros(len(same), np.float32)):
        assert fit_calibration([Evidence(probability, odds, np.array(same, bool))]) == UNCHANGED
    assert calibrated(probability, UNCHANGED) is probability


def edges_of_a_set(share: float, seed: int) -> Evidence:
    """Draw edges of which a share is genuine: what networks say, which do not know it, and the odds.

    The networks take nine in ten to be genuine. The score model knows the share, and half as much else.
    """
    rng = np.random.default_rng(seed)
    genuine = rng.random(20_000) < share
    of_networks, of_scores = (
        rng.normal(np.where(genuine, ratio / 2, -ratio / 2), np.sqrt(ratio)) for ratio in (8, 4)
    )
    probability = expit(of_networks + np.log(9)).astype(np.float32)
    odds = (of_scores + np.log(share / (1 - share))).astype(np.float32)
    return Evidence(probability, odds, genuine)


@pytest.mark.parametrize("share", [0.15, 0.4, 0.7, 0.95])
def test_the_score_model_tells_what_share_of_other_edges_is_genuine(share: float) -> None:
    calibration = fit_calibration(
        [edges_of_a_set(one, seed) for seed, one in enumerate((0.1, 0.5, 0.9))]
    )
    probability, odds, genuine = edges_of_a_set(share, seed=9)
    after = gap(calibrated(probability, calibration, odds), genuine)
    assert after < 0.03
    assert after < gap(probability, genuine) or share > 0.9


def test_a_score_model_that_speaks_against_genuine_pairs_is_not_heard() -> None:
    probability, odds, genuine = edges_of_a_set(0.5, seed=0)
    assert odds is not None
    heard = fit_calibration([Evidence(probability, odds, genuine)])
    found = fit_calibration([Evidence(probability, -odds, genuine)])
    assert heard[1] > 0 == found[1]
    assert found == fit_calibration([Evidence(probability, None, genuine)])


def test_without_a_score_model_the_networks_alone_are_heard() -> None:
    probability = np.linspace(0.1, 0.9, 9, dtype=np.float32)
    without, with_one = (
        calibrated(probability, (1.0, 2.0, 0.5)),
        calibrated(probability, (1.0, 0.0, 0.5)),
    )
    np.testing.assert_array_equal(without, with_one)
    assert (calibrated(probability, (1.0, 2.0, 0.5), np.full(9, 3, np.float32)) > without).all()
