"""Edges followed one by one, and scored only where they can change the answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.graph.components import connected_components, relabel_by_first_appearance
from nsrfc.graph.connectivity import (
    ClusterTest,
    connect,
    join_uncertain,
    join_unlinked,
    normalized_similarity,
)
from nsrfc.records import EdgeList

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def edges_of(*rows: tuple[int, int, float]) -> EdgeList:
    source, target, score = zip(*rows, strict=True) if rows else ((), (), ())
    ends = np.array(source, np.int32), np.array(target, np.int32)
    return EdgeList(*ends, np.array(score, np.float32))


@dataclass
class OneByOne:
    """The same in plain Python: every edge at its turn."""

    labels: list[int]
    test: ClusterTest | None
    asked: list[int] = field(default_factory=list)

    def follow(self, certain: EdgeList, uncertain: EdgeList, chance: Floats, threshold: float) -> None:
        for edge in np.argsort(-certain.score, kind="stable"):
            self.join(certain.source[edge], certain.target[edge])
        for edge in np.argsort(-uncertain.score, kind="stable"):
            i, j = uncertain.source[edge], uncertain.target[edge]
            if self.labels[i] != self.labels[j]:
                self.asked.append(int(edge))
                if chance[edge] >= threshold:
                    self.join(i, j)

    def join(self, i: int, j: int) -> None:
        a, b = self.members(i), self.members(j)
        if self.labels[i] != self.labels[j] and self.alike(a, b):
            for face in b:
                self.labels[face] = self.labels[i]

    def members(self, face: int) -> list[int]:
        return [other for other, label in enumerate(self.labels) if label == self.labels[face]]

    def alike(self, a: list[int], b: list[int]) -> bool:
        if self.test is None or min(len(a), len(b)) == 1:
            return True
        X, c = self.test.vectors.astype(np.float64), self.test.impostor_mean
        within = [
            ((X[g] @ X[g].T).sum() - np.square(X[g]).sum()) / (len(g) * (len(g) - 1)) - c for g in (a, b)
        ]
        inside = np.sqrt(max(within[0], 1e-4) * max(within[1], 1e-4))
        return bool((X[a] @ X[b].T).mean() - c >= self.test.minimum * inside)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_labels_and_edges_asked_about_are_those_of_following_one_by_one(
    seed: int, compared: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 25))
    X = rng.standard_normal((n, 4)) + 1.5 * rng.standard_normal((3, 4))[rng.integers(3, size=n)]
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    test = ClusterTest(X, 0.1, 0.6) if compared else None

    def drawn(m: int) -> EdgeList:
        ends = rng.integers(n, size=(2, m)).astype(np.int32)
        return EdgeList(*ends, rng.random(m).astype(np.float32).round(1))

    certain, uncertain = drawn(int(rng.integers(n))), drawn(int(rng.integers(3 * n)))
    chance = rng.random(len(uncertain)).astype(np.float32)
    found = connect(n, certain, uncertain, chance.__getitem__, 0.5, test)
    expected = OneByOne(list(range(n)), test)
    expected.follow(certain, uncertain, chance, 0.5)
    np.testing.assert_array_equal(found.labels, relabel_by_first_appearance(expected.labels))
    asked = np.flatnonzero(~np.isnan(found.probability))
    assert asked.tolist() == sorted(expected.asked)
    assert found.skipped == len(uncertain) - len(asked)


@given(st.integers(0, 2**32 - 1))
def test_without_a_test_the_clusters_are_components_of_all_edges_that_hold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    ends = rng.integers(n, size=(2, 2 * n)).astype(np.int32)
    edges = EdgeList(*ends, rng.random(2 * n).astype(np.float32))
    chance = rng.random(2 * n).astype(np.float32)
    found = connect(n, edges.where(np.arange(n // 2)), edges, chance.__getitem__, 0.6)
    holding = edges.where(np.arange(n // 2)) + edges.where(chance >= 0.6)
    np.testing.assert_array_equal(found.labels, connected_components(n, holding))


def test_an_edge_behind_one_that_the_comparison_refuses_is_asked_about() -> None:
    # Faces 0-3 and 4-6 are two identities, and 6 is a poor image of the second. The certain edge 3-4 is
    # refused; it would have joined what 5-6 and 3-6 tie, so that one of these looked redundant.
    angles = np.radians([0, 2, 4, 6, 80, 82, 50])
    X = np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)
    certain = edges_of((0, 1, 0.99), (1, 2, 0.98), (2, 3, 0.97), (4, 5, 0.96), (3, 4, 0.5))
    uncertain = edges_of((3, 6, 0.4), (5, 6, 0.3))
    chance = np.array([0.1, 0.9], np.float32)
    found = connect(7, certain, uncertain, chance.__getitem__, 0.5, ClusterTest(X, 0.0, 0.6))
    assert found.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert found.skipped == 0


def test_every_round_asks_about_as_many_edges_as_it_can() -> None:
    rounds: list[int] = []

    def scorer(chosen: npt.NDArray[np.int64]) -> Floats:
        rounds.append(len(chosen))
        return np.ones(len(chosen), np.float32)

    star = edges_of(*((0, face, 1 - face / 1000) for face in range(1, 101)))
    assert connect(101, edges_of(), star, scorer, 0.5).labels.max() == 0
    assert rounds == [100]


def test_normalized_similarity_is_one_within_an_identity_and_none_between_impostors() -> None:
    rng = np.random.default_rng(0)
    centers = np.linalg.qr(rng.standard_normal((64, 3)))[0].T
    X = np.repeat(centers, 40, axis=0) + 0.1 * rng.standard_normal((120, 64))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat([0, 1, 2, 3, 4, 5], 20)
    same = normalized_similarity(X, labels, np.array([0, 2, 4]), np.array([1, 3, 5]), 0.0)
    other = normalized_similarity(X, labels, np.array([0, 2, 4]), np.array([2, 4, 0]), 0.0)
    assert np.abs(same - 1).max() < 0.05
    assert np.abs(other).max() < 0.1


@pytest.mark.parametrize(("size", "joined"), [(20, True), (21, False)])
def test_large_clusters_of_one_identity_are_joined_without_an_edge(size: int, joined: bool) -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal(32) + 0.3 * rng.standard_normal((40, 32))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat([0, 1], 20)
    ids = np.stack((np.arange(40), (np.arange(40) + 20) % 40), axis=1).astype(np.int32)
    assert (join_unlinked(X, labels, ids, 0.0, 0.75, size).max() == 0) == joined
    nobody_lists = np.stack((np.arange(40), np.full(40, -1)), axis=1).astype(np.int32)
    assert join_unlinked(X, labels, nobody_lists, 0.0, 0.75, size).max() == 1


def test_an_uncertain_edge_joins_only_what_is_similar_in_every_view() -> None:
    rng = np.random.default_rng(2)
    one = rng.standard_normal(32) + 0.3 * rng.standard_normal((20, 32))
    two = rng.standard_normal((2, 32)).repeat(10, axis=0) + 0.3 * rng.standard_normal((20, 32))
    together, apart = (
        (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32) for X in (one, two)
    )
    labels, edge = np.repeat([0, 1], 10), edges_of((0, 10, 0.3))
    similar, unlike = (together, 0.0, 0.75), (apart, 0.0, 0.5)
    assert join_uncertain(labels, edge, 5, similar, similar).max() == 0
    assert join_uncertain(labels, edge, 5, similar, unlike).max() == 1
    assert join_uncertain(labels, edge, 11, similar, similar).max() == 1
    assert join_uncertain(labels, edges_of(), 5, similar, similar).max() == 1
