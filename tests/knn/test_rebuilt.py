"""Graphs rebuilt on moved vectors: the best among the neighbours of neighbours."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.knn.build import build_neighbor_graph
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


def test_few_neighbours_leave_minus_one(faces: Vectors) -> None:
    X = faces[:5]
    around = np.full((5, 3), -1, np.int32)
    around[:, 0] = np.arange(5)
    around[0, 1] = 3
    graph = rebuild_neighbor_graph(X, around)
    assert graph.ids.tolist() == [[0, 3, -1], [1, -1, -1], [2, -1, -1], [3, -1, -1], [4, -1, -1]]
