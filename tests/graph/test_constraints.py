"""Constraints are never broken, whatever the edges say, and change nothing where they are silent."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.graph.connectivity import ClusterTest, connect, join_unlinked
from nsrfc.graph.constraints import Constraints, groups_of
from nsrfc.records import EdgeList, ImpostorScores


def _edges(rng: np.random.Generator, n: int, m: int) -> EdgeList:
    ends = rng.integers(0, n, (2, m)).astype(np.int32)
    return EdgeList(ends[0], ends[1], rng.random(m).astype(np.float32))


def _none(n: int) -> Constraints:
    unknown = np.full(n, -1), np.full(n, np.inf), np.full(n, -np.inf)
    return Constraints.of(np.arange(n), *unknown, np.empty((0, 2), np.int64))


def _some(rng: np.random.Generator, n: int) -> Constraints:
    """Constraints that agree with hidden identities, so that none contradicts another."""
    identity = rng.integers(0, 5, n)
    known = rng.random(n) < 0.3
    person = np.where(known, identity, -1)
    pairs = rng.integers(0, n, (n, 2))
    same = identity[pairs[:, 0]] == identity[pairs[:, 1]]
    parent = np.arange(n)
    parent[pairs[same, 0]] = pairs[same, 1]
    persons = np.where(known, n + identity, np.arange(n))
    group = groups_of(parent, persons)
    birth = rng.random(5)
    first = np.where(rng.random(n) < 0.5, birth[identity] + rng.random(n), np.inf)
    born = np.where(known, birth[identity], -np.inf)
    return Constraints.of(group, person, first, born, pairs[~same])


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_no_edge_breaks_a_constraint(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    constraints = _some(rng, n)
    certain, uncertain = _edges(rng, n, n), _edges(rng, n, 2 * n)
    found = connect(n, certain, uncertain, lambda m: uncertain.score[m], 0.3, None, constraints)
    assert constraints.violations(found.labels) == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_large_clusters_are_joined_only_as_constraints_allow(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    constraints = _some(rng, n)
    X = rng.standard_normal((n, 4)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    ids = np.stack([np.roll(np.arange(n), -c) for c in range(n)], axis=1).astype(np.int32)
    labels = groups_of(constraints.group)
    joined = join_unlinked(labels, ids, 1, (X, -1.0, 0.0), constraints=constraints)
    assert constraints.violations(joined) == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.booleans())
def test_knowing_nothing_changes_nothing(seed: int, n: int, compared: bool) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    test = ClusterTest(X, ImpostorScores(0.0, 0.5, 0.1), 0.5, 0.1) if compared else None
    certain, uncertain = _edges(rng, n, n // 2), _edges(rng, n, 2 * n)

    def scorer(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return uncertain.score[chosen]

    free = connect(n, certain, uncertain, scorer, 0.5, test)
    known = connect(n, certain, uncertain, scorer, 0.5, test, _none(n))
    np.testing.assert_array_equal(free.labels, known.labels)
    np.testing.assert_array_equal(free.probability, known.probability)


def test_what_is_known_of_one_face_holds_for_its_whole_cluster() -> None:
    # 0-1-2 are joined by edges; 0 and 3 are different persons, so that 2-3 must not be followed.
    unknown = np.full(4, np.inf), np.full(4, -np.inf), np.array([[0, 3]])
    constraints = Constraints.of(np.arange(4), np.full(4, -1), *unknown)
    edges = EdgeList(
        np.array([0, 1, 2], np.int32), np.array([1, 2, 3], np.int32), np.array([3, 2, 1], np.float32)
    )
    none = edges.where(np.arange(0))
    found = connect(4, edges, none, lambda _: none.score, 0.5, None, constraints)
    assert found.labels.tolist() == [0, 0, 0, 1]


def test_faces_of_a_group_share_a_cluster_without_an_edge() -> None:
    group = np.array([0, 1, 0])
    unknown = np.full(3, -1), np.full(3, np.inf), np.full(3, -np.inf), np.empty((0, 2), np.int64)
    none = EdgeList(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    constraints = Constraints.of(group, *unknown)
    found = connect(3, none, none, lambda _: none.score, 0.5, None, constraints)
    assert found.labels.tolist() == [0, 1, 0]


def test_no_face_older_than_its_person() -> None:
    # Face 0 is of a person born in 2010; face 1 was taken in 2005, face 2 in 2012.
    dates = np.array([np.inf, 2005.0, 2012.0]), np.array([2010.0, -np.inf, -np.inf])
    constraints = Constraints.of(np.arange(3), np.array([0, -1, -1]), *dates, np.empty((0, 2), np.int64))
    edges = EdgeList(np.array([0, 0], np.int32), np.array([1, 2], np.int32), np.ones(2, np.float32))
    none = edges.where(np.arange(0))
    found = connect(3, edges, none, lambda _: none.score, 0.5, None, constraints)
    assert found.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize("labels", [[0, 0, 1], [0, 1, 1]])
def test_violations_are_counted(labels: list[int]) -> None:
    unknown = np.full(3, np.inf), np.full(3, -np.inf)
    constraints = Constraints.of(
        np.array([0, 0, 1]), np.array([0, 0, 1]), *unknown, np.empty((0, 2), int)
    )
    divided = labels[0] != labels[1]
    assert constraints.violations(np.array(labels)) == (2 if divided else 0)


def test_what_is_known_by_way_of_other_faces_is_kept_among_some() -> None:
    # 0 and 1 are one person, 1 and 2 are not: 0 and 2 are different persons, also without face 1.
    unknown = np.full(3, -1), np.full(3, np.inf), np.full(3, -np.inf)
    constraints = Constraints.of(np.array([0, 0, 1]), *unknown, np.array([[1, 2]]))
    some = constraints.among(np.array([0, 2]))
    assert some.violations(np.array([0, 0])) == 1
