"""The lists of what went wrong worst."""

from __future__ import annotations

import numpy as np
import pytest

from nsrfc.metrics import contingency, pair_sums
from nsrfc.report.errors import Merge, Split, worst_merges, worst_splits

IDENTITIES = np.array([10, 10, 10, 10, 20, 20, 20, 30, 30, 40])
LABELS = np.array([5, 5, 5, 6, 5, 6, 6, 6, -1, -1])


def test_merges_name_the_two_largest_identities() -> None:
    assert worst_merges(IDENTITIES, LABELS) == [
        Merge(6, 4, 3, 20, 2, 10, 1, wrong_pairs=5),
        Merge(5, 4, 2, 10, 3, 20, 1, wrong_pairs=3),
    ]


def test_splits_count_each_unclustered_face_as_a_piece() -> None:
    assert worst_splits(IDENTITIES, LABELS) == [
        Split(10, size=4, n_clusters=2, largest_piece=3, lost_pairs=3),
        Split(20, size=3, n_clusters=2, largest_piece=2, lost_pairs=2),
        Split(30, size=2, n_clusters=2, largest_piece=1, lost_pairs=1),
    ]
    assert worst_splits([7, 7, 7], [-1, -1, -1])[0].n_clusters == 3


@pytest.mark.parametrize("top", [0, 1, 2, 50])
def test_top_limits_the_lists_and_keeps_the_worst(top: int) -> None:
    assert worst_merges(IDENTITIES, LABELS, top) == worst_merges(IDENTITIES, LABELS)[:top]
    assert worst_splits(IDENTITIES, LABELS, top) == worst_splits(IDENTITIES, LABELS)[:top]


@pytest.mark.parametrize("identities", [[3], [1, 2, 3], [4, 4, 4]])
def test_nothing_wrong_gives_empty_lists(identities: list[int]) -> None:
    assert worst_merges(identities, identities) == []
    assert worst_splits(identities, identities) == []


def test_all_errors_together_are_what_the_metrics_miss() -> None:
    rng = np.random.default_rng(0)
    identities, labels = rng.integers(0, 40, 500), rng.integers(-1, 30, 500)
    both, joined, same = pair_sums(contingency(identities, labels))
    merges = worst_merges(identities, labels, top=500)
    splits = worst_splits(identities, labels, top=500)
    assert sum(merge.wrong_pairs for merge in merges) == joined - both
    assert sum(split.lost_pairs for split in splits) == same - both
    for merge in merges:
        inside = identities[labels == merge.cluster]
        assert (merge.size, merge.n_identities) == (len(inside), len(np.unique(inside)))
        assert merge.first_count == (inside == merge.first_identity).sum()
        assert merge.second_count == (inside == merge.second_identity).sum()
        assert np.sort(np.bincount(inside))[-2:].tolist() == [merge.second_count, merge.first_count]
