"""Subgraphs around faces and the local adjacency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.sparse import csr_array

from nsrfc.errors import InputError
from nsrfc.graph.subgraphs import local_adjacency, subgraphs

Golden = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    with np.load(shared / "golden" / "dataset.npz", allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def adjacency(golden: Golden) -> csr_array:
    ids = golden["knn"][:, 0].astype(np.int32)
    return local_adjacency(ids, (1 - golden["knn"][:, 1]).astype(np.float32))


def test_local_adjacency_equals_the_reference(golden: Golden, adjacency: csr_array) -> None:
    expected = csr_array(
        (golden["local_adj_val"], golden["local_adj_idx"], golden["local_adj_ptr"]),
        shape=adjacency.shape,
    )
    assert adjacency.nnz == expected.nnz
    np.testing.assert_allclose(adjacency.toarray(), expected.toarray(), atol=1e-6)


def test_subgraphs_equal_the_reference(golden: Golden, adjacency: csr_array) -> None:
    first, second = (int(value) for value in golden["K"])
    found = subgraphs(
        golden["rerank_I"], adjacency, golden["index"], (first, second), first * second + 1
    )
    assert found.nodes.shape == golden["ref_order"].shape
    for b, nodes in enumerate(found.nodes):
        expected = golden["set_idx"][golden["set_ptr"][b] : golden["set_ptr"][b + 1]]
        np.testing.assert_array_equal(nodes[: len(expected)], expected)
        assert (nodes[len(expected) :] == -1).all()
    np.testing.assert_allclose(found.adjacency, golden["sub_adj_sorted"], atol=1e-6)
    np.testing.assert_array_equal(
        found.nodes[np.arange(len(found.nodes)), found.center], golden["index"]
    )
    np.testing.assert_array_equal(found.mask.any(axis=2), found.nodes >= 0)

    training = subgraphs(golden["rerank_I"], adjacency, golden["train_index"], (first, second))
    for b, nodes in enumerate(training.nodes):
        expected = golden["train_hop_idx"][golden["train_hop_ptr"][b] : golden["train_hop_ptr"][b + 1]]
        np.testing.assert_array_equal(nodes[nodes >= 0], np.sort(expected))


def test_every_subgraph_has_the_size_of_the_reference(golden: Golden, adjacency: csr_array) -> None:
    every = subgraphs(golden["rerank_I"], adjacency, np.arange(300), (8, 4))
    sizes = (every.nodes >= 0).sum(axis=1)
    np.testing.assert_array_equal(sizes, golden["all_sizes"])
    assert every.nodes.shape[1] == sizes.max()


def test_subgraphs_of_short_lists() -> None:
    ids = np.array([[0, 1, 2], [1, 0, -1], [2, 3, 0], [3, 2, -1], [4, -1, -1]], np.int32)
    similarities = np.array(
        [[1, 0.9, 0.2], [1, 0.9, 0], [1, 0.8, 0.2], [1, 0.7, 0], [1, 0, 0]], np.float32
    )
    adjacency = local_adjacency(ids, similarities)
    expected = np.eye(5, dtype=np.float32)
    for i, j, value in ((0, 1, 0.9), (0, 2, 0.2), (2, 3, 0.8)):
        expected[i, j] = expected[j, i] = value
    np.testing.assert_array_equal(adjacency.toarray(), expected)

    found = subgraphs(ids, adjacency, [4, 1, 0], (3, 2))
    np.testing.assert_array_equal(found.nodes, [[4, -1, -1, -1], [0, 1, 2, -1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(found.center, [0, 1, 0])
    np.testing.assert_array_equal(found.adjacency[2], expected[:4, :4])
    assert found.adjacency[0].sum() == 1
    assert subgraphs(ids, adjacency, [4], width=7).nodes.shape == (1, 7)


def test_faces_outside_the_graph_are_refused() -> None:
    ids = np.array([[0]], np.int32)
    adjacency = local_adjacency(ids, np.ones((1, 1), np.float32))
    with pytest.raises(InputError, match=r"0\.\.0, found -1\.\.1"):
        subgraphs(ids, adjacency, [1, -1])
