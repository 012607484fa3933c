"""Connected components and the numbering of labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.graph.components import (
    connected_components,
    drop_small,
    relabel_by_first_appearance,
)
from nsrfc.records import EdgeList

Pairs = list[tuple[int, int]]


def edge_list(pairs: Pairs) -> EdgeList:
    ends = np.array(pairs, np.int32).reshape(-1, 2)
    return EdgeList(ends[:, 0].copy(), ends[:, 1].copy(), np.zeros(len(ends), np.float32))


def merged(n: int, pairs: Pairs) -> list[int]:
    labels = list(range(n))
    for a, b in pairs:
        labels = [labels[a] if label == labels[b] else label for label in labels]
    return labels


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Pairs]:
    n = draw(st.integers(1, 12))
    face = st.integers(0, n - 1)
    return n, draw(st.lists(st.tuples(face, face), max_size=15))


@given(graphs())
def test_components_are_what_merging_one_edge_at_a_time_gives(graph: tuple[int, Pairs]) -> None:
    n, pairs = graph
    labels = connected_components(n, edge_list(pairs))
    assert labels.dtype == np.int64
    assert labels.tolist() == relabel_by_first_appearance(merged(n, pairs)).tolist()


def test_an_edge_repeated_256_times_still_joins() -> None:
    assert connected_components(3, edge_list([(2, 0)] * 256)).tolist() == [0, 1, 0]


def test_scores_of_zero_join_too() -> None:
    assert connected_components(2, edge_list([(0, 1)])).tolist() == [0, 0]


def test_no_faces() -> None:
    assert connected_components(0, edge_list([])).tolist() == []


@pytest.mark.parametrize("pair", [(0, 3), (-1, 0)])
def test_an_edge_out_of_range_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"faces 0\.\.2"):
        connected_components(3, edge_list([pair]))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([5, 5, 2, 7, 2], [0, 0, 1, 2, 1]),
        ([-1, 9, -1, -3, 9], [-1, 0, -1, 1, 0]),
        ([-1, -1], [-1, -1]),
        ([], []),
    ],
)
def test_relabelling(labels: list[int], expected: list[int]) -> None:
    assert relabel_by_first_appearance(labels).tolist() == expected


@given(st.lists(st.integers(-1, 4), max_size=12), st.integers(1, 4))
def test_small_groups_become_minus_one(labels: list[int], min_size: int) -> None:
    kept = drop_small(labels, min_size)
    expected = [x if x >= 0 and labels.count(x) >= min_size else -1 for x in labels]
    assert kept.tolist() == relabel_by_first_appearance(expected).tolist()


def test_the_labels_given_are_not_changed() -> None:
    labels: npt.NDArray[np.int64] = np.array([3, 3, 1])
    drop_small(labels, 2)
    assert labels.tolist() == [3, 3, 1]
