"""Components with as few verdicts as can be: the same labels as with all of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.graph.components import connected_components
from nsrfc.graph.connect import Connected, connect
from nsrfc.records import EdgeList

THRESHOLD = 0.5


def edges(rng: np.random.Generator, n: int, m: int) -> EdgeList:
    source, target = rng.integers(0, n, (2, m)).astype(np.int32)
    return EdgeList(source, target, rng.random(m, np.float32).round(1))


def connected(
    n: int, certain: EdgeList, uncertain: EdgeList, probability: npt.NDArray[np.float32], most: int
) -> Connected:
    """Connect, and check that no edge is asked about twice."""
    asked: set[int] = set()

    def judge(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        assert 0 < len(chosen) <= most
        assert asked.isdisjoint(chosen.tolist())
        asked.update(chosen.tolist())
        return probability[chosen]

    found = connect(n, certain, uncertain, judge, THRESHOLD, most=most)
    assert found.spared == len(uncertain) - len(asked)
    return found


def one_by_one(
    n: int, certain: EdgeList, uncertain: EdgeList, probability: npt.NDArray[np.float32]
) -> list[int]:
    """Numbers of the edges that are judged if each waits for the verdicts on all better ones."""
    judged, kept = [], certain
    for edge in np.argsort(-uncertain.score, kind="stable"):
        labels = connected_components(n, kept)
        if labels[uncertain.source[edge]] != labels[uncertain.target[edge]]:
            judged.append(int(edge))
            if probability[edge] >= THRESHOLD:
                kept = kept + uncertain.where(np.arange(len(uncertain)) == edge)
    return sorted(judged)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    m=st.integers(0, 60),
    most=st.integers(1, 10),
)
def test_labels_are_those_of_judging_every_edge(seed: int, n: int, m: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    certain, uncertain = edges(rng, n, m // 4), edges(rng, n, m)
    probability = rng.random(m, np.float32)
    found = connected(n, certain, uncertain, probability, most)
    every = connected_components(n, certain + uncertain.where(probability >= THRESHOLD))
    np.testing.assert_array_equal(found.labels, every)
    judged = np.flatnonzero(~np.isnan(found.probability))
    assert judged.tolist() == one_by_one(n, certain, uncertain, probability)
    np.testing.assert_array_equal(found.probability[judged], probability[judged])


def test_certain_edges_spare_all_that_lies_within_them(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    ring = np.arange(1000, dtype=np.int32)
    certain = EdgeList(ring, np.roll(ring, 1), np.ones(1000, np.float32))
    with caplog.at_level("INFO", "nsrfc"):
        found = connected(1000, certain, edges(rng, 1000, 5000), np.zeros(5000, np.float32), 64)
    assert found.spared == 5000
    assert set(found.labels) == {0}
    assert "5,000 of 5,000 density edges" in caplog.text
