"""Groups join only if they are as alike as they are within."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nsrfc.graph.cohesion import (
    COHESION,
    DOUBTFUL_SIZE,
    REFINED_COHESION,
    SAME_SIZE,
    join_alike_groups,
    join_cohesive,
    join_doubtful,
)
from nsrfc.records import EdgeList

Floats = npt.NDArray[np.float32]


def around(center: int, size: int, spread: float, d: int = 64) -> Floats:
    """Draw unit vectors around one axis."""
    noise = np.random.default_rng(center).standard_normal((size, d)) * spread / np.sqrt(d)
    points = np.eye(d)[center] + noise
    unit: Floats = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return unit


def edge_list(pairs: list[tuple[int, int]], score: list[float]) -> EdgeList:
    ends = np.array(pairs, np.int32).reshape(-1, 2)
    return EdgeList(ends[:, 0].copy(), ends[:, 1].copy(), np.array(score, np.float32))


def chain(faces: range) -> list[tuple[int, int]]:
    return list(pairwise(faces))


def test_a_single_edge_does_not_join_two_people() -> None:
    X = np.concatenate((around(0, 5, 0.6), around(1, 5, 0.6)))
    pairs = [*chain(range(5)), *chain(range(5, 10)), (4, 5)]
    labels = join_cohesive(X, edge_list(pairs, [9.0] * 8 + [5.0]), 0.0)
    assert labels.tolist() == [0] * 5 + [1] * 5


def test_halves_of_a_person_are_joined() -> None:
    X = around(0, 10, 0.6)
    pairs = [*chain(range(5)), *chain(range(5, 10)), (4, 5)]
    assert join_cohesive(X, edge_list(pairs, [9.0] * 8 + [5.0]), 0.0).tolist() == [0] * 10


def test_a_lone_face_follows_its_edge() -> None:
    X = np.concatenate((around(0, 5, 0.6), around(1, 1, 0.6)))
    pairs = [*chain(range(5)), (0, 5)]
    assert join_cohesive(X, edge_list(pairs, [9.0] * 4 + [5.0]), 0.0).tolist() == [0] * 6


def test_best_edges_are_followed_first_whatever_their_order() -> None:
    X = np.concatenate((around(0, 5, 0.6), around(1, 5, 0.6)))
    pairs = [(4, 5), *chain(range(5)), *chain(range(5, 10))]
    edges = edge_list(pairs, [5.0] + [9.0] * 8)
    expected = join_cohesive(X, edges, 0.0)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(edges))
        shuffled = EdgeList(edges.source[order], edges.target[order], edges.score[order])
        np.testing.assert_array_equal(join_cohesive(X, shuffled, 0.0), expected)


def test_likeness_is_counted_from_that_of_strangers() -> None:
    shared = np.concatenate((around(0, 5, 0.4), around(1, 5, 0.4))) + 2 * np.eye(64, dtype=np.float32)[2]
    X = (shared / np.linalg.norm(shared, axis=1, keepdims=True)).astype(np.float32)
    stranger = float((X[:5] @ X[5:].T).mean())
    edges = edge_list([*chain(range(5)), *chain(range(5, 10)), (4, 5)], [9.0] * 8 + [5.0])
    assert join_cohesive(X, edges, 0.0).max() == 0
    assert join_cohesive(X, edges, stranger).tolist() == [0] * 5 + [1] * 5


def test_large_parts_of_one_person_are_reunited() -> None:
    size = 2 * SAME_SIZE
    X = np.concatenate((around(0, size, 0.6), around(1, size, 0.6)))
    labels = np.repeat(np.arange(4), SAME_SIZE)
    ids = np.tile(np.arange(len(X), dtype=np.int32), (len(X), 1))
    expected = [0] * size + [1] * size
    assert join_alike_groups(X, labels, ids, 0.0).tolist() == expected
    unseen = np.stack((np.arange(len(X)), np.full(len(X), -1)), axis=1).astype(np.int32)
    assert join_alike_groups(X, labels, unseen, 0.0).tolist() == labels.tolist()


def test_small_parts_are_left_as_they_are() -> None:
    X = around(0, 6, 0.6)
    labels = np.repeat(np.arange(2), 3)
    ids = np.tile(np.arange(6, dtype=np.int32), (6, 1))
    assert join_alike_groups(X, labels, ids, 0.0).tolist() == labels.tolist()


def test_an_edge_in_doubt_joins_large_groups_that_are_alike() -> None:
    one, two = around(0, 2 * DOUBTFUL_SIZE, 0.6), around(1, 2 * DOUBTFUL_SIZE, 0.6)
    two[:DOUBTFUL_SIZE] = one[:DOUBTFUL_SIZE]
    halves = np.repeat([0, 1], DOUBTFUL_SIZE)
    edge = edge_list([(0, len(halves) - 1)], [0.4])
    apart = halves.tolist()
    assert join_doubtful(one, one, halves, edge, (0.0, 0.0)).tolist() == [0] * len(halves)
    assert join_doubtful(one, two, halves, edge, (0.0, 0.0)).tolist() == apart, "unlike as given"
    assert join_doubtful(two, one, halves, edge, (0.0, 0.0)).tolist() == apart, "unlike refined"
    assert join_doubtful(one, one, halves, edge_list([], []), (0.0, 0.0)).tolist() == apart
    assert join_doubtful(one[1:], one[1:], halves[1:], edge_list([(0, 8)], [0.4]), (0.0, 0.0)).max() == 1


def test_of_refined_embeddings_more_likeness_can_be_asked() -> None:
    """Two groups, each without spread, whose directions have a cosine between both bounds."""
    between = (COHESION + REFINED_COHESION) / 2
    X = np.repeat(np.array([[1, 0], [between, np.sqrt(1 - between**2)]], np.float32), 3, axis=0)
    edges = edge_list([*chain(range(3)), *chain(range(3, 6)), (2, 3)], [9.0] * 4 + [5.0])
    assert join_cohesive(X, edges, 0.0, COHESION).tolist() == [0] * 6
    assert join_cohesive(X, edges, 0.0, REFINED_COHESION).tolist() == [0] * 3 + [1] * 3


def test_no_edges_leave_every_face_alone() -> None:
    X = around(0, 3, 0.6)
    assert join_cohesive(X, edge_list([], []), 0.0).tolist() == [0, 1, 2]
