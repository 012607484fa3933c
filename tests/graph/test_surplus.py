"""Pairs of clusters tell from which similarity on they are genuine, or say nothing."""

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.graph.surplus import surplus_from

Similarities = npt.NDArray[np.floating]


def impostors(pairs: int, seed: int, mean: float = 0.1, deviation: float = 0.1) -> Similarities:
    return mean + deviation * np.random.default_rng(seed).standard_normal(pairs)


def genuine(pairs: int, seed: int) -> Similarities:
    return 0.68 + 0.06 * np.random.default_rng([seed, 1]).standard_normal(pairs)


@pytest.mark.parametrize("pairs", [1, 10, 100, 1_000, 10_000, 300_000])
@pytest.mark.parametrize("deviation", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_impostors_alone_are_not_taken_for_genuine(pairs: int, deviation: float, seed: int) -> None:
    assert surplus_from(impostors(pairs, seed, deviation=deviation)) == np.inf


@pytest.mark.parametrize("seed", range(5))
def test_neither_are_look_alikes_that_become_rarer_with_their_similarity(seed: int) -> None:
    alike = np.random.default_rng([seed, 2]).exponential(0.15, 1_000)
    assert surplus_from(np.concatenate((impostors(5_000, seed), alike[alike < 1]))) == np.inf


@pytest.mark.parametrize("pairs", [500, 5_000, 50_000])
@pytest.mark.parametrize("deviation", [0.08, 0.1])
@pytest.mark.parametrize("seed", range(5))
def test_a_surplus_is_genuine(pairs: int, deviation: float, seed: int) -> None:
    apart, one = impostors(pairs, seed, deviation=deviation), genuine(pairs // 10, seed)
    found = surplus_from(np.concatenate((apart, one)))
    assert (one >= found).mean() > 0.8
    assert (apart >= found).sum() < 0.1 * (one >= found).sum()


def test_a_peak_nearer_to_impostors_than_to_one_identity_is_not_enough() -> None:
    rng = np.random.default_rng(0)
    siblings = 0.35 + 0.03 * rng.standard_normal(1_000)
    pairs = np.concatenate((0.05 * rng.standard_normal(5_000), siblings))
    assert surplus_from(pairs) == np.inf
    assert 0.5 <= surplus_from(np.concatenate((pairs, genuine(1_000, 0)))) < 0.65


def test_what_impostors_reach_is_left_out() -> None:
    """The wider impostor pairs spread, the more similar genuine ones must be."""
    one = genuine(2_000, 0)
    found = [
        surplus_from(np.concatenate((impostors(20_000, 0, 0.1, deviation), one)))
        for deviation in (0.05, 0.08, 0.12)
    ]
    assert found == sorted(found)
    assert found[0] < found[-1] < np.inf


def test_a_few_similar_pairs_tell_nothing() -> None:
    assert surplus_from(np.concatenate((impostors(200, 0), genuine(5, 0)))) == np.inf
    assert surplus_from(genuine(5, 0)) == np.inf
    assert surplus_from(np.empty(0)) == np.inf


def test_similarities_beyond_their_range_are_counted_at_its_ends() -> None:
    pairs = np.concatenate((impostors(1_000, 0), np.full(50, 1.7), np.full(20, -3.0)))
    assert 0.5 < surplus_from(pairs) <= 1
