"""Edges followed one by one, and scored only where they can change the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

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
from nsrfc.model.settings import ClusterComparison
from nsrfc.records import EdgeList, ImpostorScores

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

USUAL = ClusterComparison()


def edges_of(*rows: tuple[int, int, float]) -> EdgeList:
    source, target, score = zip(*rows, strict=True) if rows else ((), (), ())
    ends = np.array(source, np.int32), np.array(target, np.int32)
    return EdgeList(ends[0], ends[1], np.array(score, np.float32))


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
        X, impostors = self.test.vectors.astype(np.float64), self.test.impostors
        c = impostors.mean
        within = [
            ((X[g] @ X[g].T).sum() - np.square(X[g]).sum()) / (len(g) * (len(g) - 1)) - c for g in (a, b)
        ]
        inside = np.sqrt(max(within[0], 1e-4) * max(within[1], 1e-4))
        across = (X[a] @ X[b].T).mean() - c
        enough = across >= self.test.minimum_score * impostors.deviation
        return bool(enough and across >= self.test.minimum * inside)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_labels_and_edges_asked_about_are_those_of_following_one_by_one(
    seed: int, compared: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 25))
    X = rng.standard_normal((n, 4)) + 1.5 * rng.standard_normal((3, 4))[rng.integers(3, size=n)]
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    impostors = ImpostorScores(0.1, 0.3, 0.0)
    test = ClusterTest(X, impostors, 0.6, 1.5) if compared else None

    def drawn(m: int) -> EdgeList:
        ends = rng.integers(n, size=(2, m)).astype(np.int32)
        return EdgeList(ends[0], ends[1], rng.random(m).astype(np.float32).round(1))

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
    edges = EdgeList(ends[0], ends[1], rng.random(2 * n).astype(np.float32))
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
    test = ClusterTest(X, ImpostorScores(0.0, 0.1, 0.0), 0.6, 0.0)
    found = connect(7, certain, uncertain, chance.__getitem__, 0.5, test)
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
    assert (join_unlinked(labels, ids, size, (X, 0.0, 0.75)).max() == 0) == joined
    nobody_lists = np.stack((np.arange(40), np.full(40, -1)), axis=1).astype(np.int32)
    assert join_unlinked(labels, nobody_lists, size, (X, 0.0, 0.75)).max() == 1


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


@given(st.integers(0, 2**32 - 1))
def test_no_edge_is_asked_about_twice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, asked = int(rng.integers(1, 30)), set[int]()
    ends = rng.integers(n, size=(2, 2 * n)).astype(np.int32)
    edges = EdgeList(ends[0], ends[1], rng.random(2 * n).astype(np.float32).round(1))
    chance = rng.random(2 * n).astype(np.float32)

    def scorer(chosen: npt.NDArray[np.int64]) -> Floats:
        assert len(chosen) > 0
        assert asked.isdisjoint(chosen.tolist())
        asked.update(chosen.tolist())
        return chance[chosen]

    found = connect(n, edges_of(), edges, scorer, 0.5)
    assert found.skipped == len(edges) - len(asked)


def test_certain_edges_spare_all_that_lies_within_them() -> None:
    rng = np.random.default_rng(0)
    ring = np.arange(1000, dtype=np.int32)
    certain = EdgeList(ring, np.roll(ring, 1), np.ones(1000, np.float32))
    ends = rng.integers(1000, size=(2, 5000)).astype(np.int32)
    uncertain = EdgeList(ends[0], ends[1], rng.random(5000).astype(np.float32))
    found = connect(1000, certain, uncertain, np.zeros(5000, np.float32).__getitem__, 0.5)
    assert found.skipped == 5000
    assert set(found.labels) == {0}


def around(center: int, size: int, spread: float, d: int = 64) -> Floats:
    """Draw unit vectors around one axis."""
    noise = np.random.default_rng(center).standard_normal((size, d)) * spread / np.sqrt(d)
    points = np.eye(d)[center] + noise
    unit: Floats = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


def chain(faces: range) -> list[tuple[int, int]]:
    return list(pairwise(faces))


def edge_list(pairs: list[tuple[int, int]], score: list[float]) -> EdgeList:
    return edges_of(*((i, j, strength) for (i, j), strength in zip(pairs, score, strict=True)))


def joined(
    X: Floats, edges: EdgeList, impostor_mean: float = 0.0, minimum: float = USUAL.minimum
) -> Labels:
    """Follow edges that all hold."""
    test = ClusterTest(X, ImpostorScores(impostor_mean, 0.1, 0.0), minimum, USUAL.minimum_score)
    return connect(len(X), edges, edges_of(), np.empty(0, np.float32).__getitem__, 0.5, test).labels


def test_a_single_edge_does_not_join_two_people() -> None:
    X = np.concatenate((around(0, 5, 0.6), around(1, 5, 0.6)))
    pairs = [*chain(range(5)), *chain(range(5, 10)), (4, 5)]
    assert joined(X, edge_list(pairs, [9.0] * 8 + [5.0])).tolist() == [0] * 5 + [1] * 5


def test_halves_of_a_person_are_joined() -> None:
    X = around(0, 10, 0.6)
    pairs = [*chain(range(5)), *chain(range(5, 10)), (4, 5)]
    assert joined(X, edge_list(pairs, [9.0] * 8 + [5.0])).tolist() == [0] * 10


def test_a_lone_face_follows_its_edge() -> None:
    X = np.concatenate((around(0, 5, 0.6), around(1, 1, 0.6)))
    pairs = [*chain(range(5)), (0, 5)]
    assert joined(X, edge_list(pairs, [9.0] * 4 + [5.0])).tolist() == [0] * 6


def test_best_edges_are_followed_first_whatever_their_order() -> None:
    X = np.concatenate((around(0, 5, 0.6), around(1, 5, 0.6)))
    pairs = [(4, 5), *chain(range(5)), *chain(range(5, 10))]
    edges = edge_list(pairs, [5.0] + [9.0] * 8)
    expected = joined(X, edges)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(edges))
        np.testing.assert_array_equal(joined(X, edges.where(order)), expected)


def test_likeness_is_counted_from_that_of_strangers() -> None:
    shared = np.concatenate((around(0, 5, 0.4), around(1, 5, 0.4))) + 2 * np.eye(64, dtype=np.float32)[2]
    X = (shared / np.linalg.norm(shared, axis=1, keepdims=True)).astype(np.float32)
    stranger = float((X[:5] @ X[5:].T).mean())
    edges = edge_list([*chain(range(5)), *chain(range(5, 10)), (4, 5)], [9.0] * 8 + [5.0])
    assert joined(X, edges).max() == 0
    assert joined(X, edges, stranger).tolist() == [0] * 5 + [1] * 5


def test_more_likeness_can_be_asked_for() -> None:
    """Two groups, each without spread, whose directions have a cosine between two bounds."""
    between = (USUAL.minimum + USUAL.refined_minimum) / 2
    X = np.repeat(np.array([[1, 0], [between, np.sqrt(1 - between**2)]], np.float32), 3, axis=0)
    edges = edge_list([*chain(range(3)), *chain(range(3, 6)), (2, 3)], [9.0] * 4 + [5.0])
    assert joined(X, edges, minimum=USUAL.minimum).tolist() == [0] * 6
    assert joined(X, edges, minimum=USUAL.refined_minimum).tolist() == [0] * 3 + [1] * 3


def test_no_edges_leave_every_face_alone() -> None:
    X = around(0, 3, 0.6)
    assert joined(X, edges_of()).tolist() == [0, 1, 2]


def unlinked(X: Floats, labels: Labels, ids: npt.NDArray[np.int32]) -> list[int]:
    view = X, 0.0, USUAL.unlinked_minimum
    found: list[int] = join_unlinked(labels, ids, USUAL.unlinked_size, view).tolist()
    return found


def test_large_parts_of_one_person_are_reunited() -> None:
    size = 2 * USUAL.unlinked_size
    X = np.concatenate((around(0, size, 0.6), around(1, size, 0.6)))
    labels = np.repeat(np.arange(4), USUAL.unlinked_size)
    ids = np.tile(np.arange(len(X), dtype=np.int32), (len(X), 1))
    assert unlinked(X, labels, ids) == [0] * size + [1] * size
    unseen = np.stack((np.arange(len(X)), np.full(len(X), -1)), axis=1).astype(np.int32)
    assert unlinked(X, labels, unseen) == labels.tolist()


def test_small_parts_are_left_as_they_are() -> None:
    X = around(0, 6, 0.6)
    labels = np.repeat(np.arange(2), 3)
    ids = np.tile(np.arange(6, dtype=np.int32), (6, 1))
    assert unlinked(X, labels, ids) == labels.tolist()


def poses(people: int, between: float, rng: np.random.Generator) -> tuple[Floats, Labels]:
    """Two parts of each person, with a normalised similarity around ``between``; parts as labels."""
    size, d = USUAL.unlinked_size, 256
    centers = np.repeat(rng.standard_normal((people, d)), 2, axis=0)
    parts = np.sqrt(between) * centers + np.sqrt(1 - between) * rng.standard_normal((2 * people, d))
    faces = np.repeat(parts, size, axis=0) + 0.5 * rng.standard_normal((2 * people * size, d))
    X = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32)
    return X, np.repeat(np.arange(2 * people), size)


def test_poses_of_many_people_show_how_similar_poses_are() -> None:
    """They are less similar than would do for a single person; all list each other."""
    between = USUAL.unlinked_minimum - 0.1
    X, labels = poses(40, between, np.random.default_rng(0))
    # Every face lists one of each part.
    ids = np.tile(np.unique(labels, return_index=True)[1].astype(np.int32), (len(X), 1))
    person = labels // 2
    assert unlinked(X, labels, ids) == person.tolist()
    few = slice(0, 4 * USUAL.unlinked_size)
    assert unlinked(X[few], labels[few], ids[few, :4]) == labels[few].tolist()


def test_clusters_similar_in_one_view_are_joined() -> None:
    X, labels = poses(40, USUAL.unlinked_minimum - 0.1, np.random.default_rng(0))
    other = poses(80, 0.0, np.random.default_rng(1))[0][: len(X)]
    ids = np.tile(np.unique(labels, return_index=True)[1].astype(np.int32), (len(X), 1))
    views = (other, 0.0, USUAL.unlinked_minimum), (X, 0.0, np.inf)
    found = join_unlinked(labels, ids, USUAL.unlinked_size, *views)
    np.testing.assert_array_equal(found, labels // 2)


def test_an_edge_in_doubt_joins_large_groups_that_are_alike() -> None:
    half = USUAL.uncertain_size
    one, two = around(0, 2 * half, 0.6), around(1, 2 * half, 0.6)
    two[:half] = one[:half]
    halves = np.repeat([0, 1], half)
    edge = edge_list([(0, len(halves) - 1)], [0.4])

    def labels(refined: Floats, given: Floats, halves: Labels, edge: EdgeList) -> list[int]:
        views = (refined, 0.0, USUAL.refined_minimum), (given, 0.0, USUAL.uncertain_minimum)
        found: list[int] = join_uncertain(halves, edge, half, *views).tolist()
        return found

    apart = halves.tolist()
    assert labels(one, one, halves, edge) == [0] * len(halves)
    assert labels(one, two, halves, edge) == apart, "unlike as given"
    assert labels(two, one, halves, edge) == apart, "unlike refined"
    assert labels(one, one, halves, edges_of()) == apart
    assert max(labels(one[1:], one[1:], halves[1:], edge_list([(0, 8)], [0.4]))) == 1
