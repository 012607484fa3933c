"""People who teach and people who validate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.training.split import split_identities

SIZES = st.lists(st.integers(1, 6), min_size=8, max_size=40).filter(
    lambda sizes: sum(size > 1 for size in sizes) >= 4
)


@settings(max_examples=50, deadline=None)
@given(SIZES, st.floats(0.01, 0.99), st.integers(0, 5))
def test_nobody_is_on_both_sides_and_no_row_is_lost(sizes: list[int], share: float, seed: int) -> None:
    identity = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)) * 7 - 3, sizes))
    split = split_identities(identity, share, seed)
    assert not set(identity[split.train]) & set(identity[split.validation])
    assert np.array_equal(
        np.sort(np.concatenate((split.train, split.validation))), np.arange(len(identity))
    )
    for side in (split.train, split.validation):
        _, photos = np.unique(identity[side], return_counts=True)
        assert np.sum(photos > 1) >= 2, "each side has pairs of one person and of two"


def test_share_holds_for_people_of_one_photo_too() -> None:
    identity = np.concatenate((np.arange(100), np.repeat(np.arange(100, 200), 5)))
    split = split_identities(identity, 0.2, seed=0)
    people, photos = np.unique(identity[split.validation], return_counts=True)
    assert len(people) == 40
    assert np.sum(photos == 1) == 20


def test_same_people_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    identity = rng.integers(0, 60, 400)
    order = rng.permutation(400)
    straight, shuffled = split_identities(identity, 0.3, 1), split_identities(identity[order], 0.3, 1)
    assert set(identity[straight.validation]) == set(identity[order][shuffled.validation])
    other = split_identities(identity, 0.3, 2)
    assert set(identity[straight.validation]) != set(identity[other.validation])


def test_too_few_people_are_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="at least 4 identities with two photos or more"):
        split_identities(np.array([0, 0, 1, 1, 2, 2, 3]), 0.2, 0)
