"""Graphs rebuilt on moved vectors: the best among the neighbours of neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.cells import PassTask
from nsrfc.knn.exact import Fresh, lists_among
from nsrfc.knn.rebuilt import REBUILD_WIDTH, rebuild_neighbor_graph
from nsrfc.synthetic import generate

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> Vectors:
    return generate(3000, dimension=48).embeddings


def test_a_rebuilt_graph_holds_the_best_of_the_neighbours_of_neighbours(faces: Vectors) -> None:
    X = faces[:400]
    around = build_neighbor_graph(X, 12).ids
    graph = rebuild_neighbor_graph(X, around)
    cosine = X.astype(np.float64) @ X.T.astype(np.float64)
    for face in range(0, len(X), 7):
        seen = np.setdiff1d(around[around[face, :REBUILD_WIDTH]], face)
        best = seen[np.argsort(-cosine[face, seen], kind="stable")][: graph.k - 1]
        assert graph.ids[face].tolist() == [face, *best]


def test_a_graph_rebuilt_from_whole_lists_is_the_exact_one(faces: Vectors) -> None:
    X = faces[:60]
    whole = build_neighbor_graph(X, 60)
    graph = rebuild_neighbor_graph(X, whole.ids)
    np.testing.assert_array_equal(graph.ids, whole.ids)
    np.testing.assert_array_equal(graph.similarities, whole.similarities)


@given(st.integers(2, 80), st.integers(1, 12), st.floats(0, 0.9), st.integers(0, 2**32 - 1))
def test_a_pass_that_compares_only_what_is_fresh_finds_what_one_that_compares_all_finds(
    faces: Vectors, n: int, k: int, missing: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X, k = faces[rng.choice(len(faces), n, replace=False)], min(k, n)
    ids = np.stack(
        [np.append(i, rng.permutation(np.delete(np.arange(n), i))[: k - 1]) for i in range(n)]
    )
    ids[:, 1:][rng.random((n, k - 1)) < missing] = -1
    ids, fresh = ids.astype(np.int32), None
    for _ in range(3):
        all_compared = lists_among(X, np.arange(n), k, ids, k)
        found = PassTask(X, ids, k, fresh)(slice(0, n))
        np.testing.assert_array_equal(found["ids"], all_compared[0])
        np.testing.assert_array_equal(found["similarities"], all_compared[1])
        new = ~(found["ids"][:, :, None] == ids[:, None, :]).any(axis=2)
        np.testing.assert_array_equal(found["fresh"][:, 1:], new[:, 1:])
        ids, fresh = found["ids"], Fresh.of(found["ids"], found["fresh"])
    assert fresh is not None
    assert fresh.starts[-1] == len(fresh.ids) == fresh.mask.sum()


def test_few_neighbours_leave_minus_one(faces: Vectors) -> None:
    X = faces[:5]
    around = np.full((5, 3), -1, np.int32)
    around[:, 0] = np.arange(5)
    around[0, 1] = 3
    graph = rebuild_neighbor_graph(X, around)
    assert graph.ids.tolist() == [[0, 3, -1], [1, -1, -1], [2, -1, -1], [3, -1, -1], [4, -1, -1]]
