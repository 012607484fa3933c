"""The local density graph: as published, and the similarity edges of the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc import chunks as chunks_module
from nsrfc.graph.components import connected_components, relabel_by_first_appearance
from nsrfc.graph.density_graph import (
    build_density_graph,
    mutual_probability,
    similarity_edges,
    similarity_threshold,
)
from nsrfc.records import EdgeList

Golden = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    with np.load(shared / "golden" / "pcenet_dataset_b.npz", allow_pickle=False) as stored:
        return dict(stored)


def pairs(edges: EdgeList) -> npt.NDArray[np.int32]:
    return np.stack((edges.source, edges.target), axis=1)


def test_density_graph_equals_the_reference(golden: Golden) -> None:
    graph = build_density_graph(golden["knn"], golden["sims"], golden["scores"][..., 1])
    np.testing.assert_allclose(graph.density, golden["density"], rtol=1e-6)
    assert graph.threshold == pytest.approx(float(golden["sim_threshold"]), abs=1e-6)
    np.testing.assert_array_equal(pairs(graph.density_edges), golden["E_d"])
    np.testing.assert_array_equal(pairs(graph.similarity_edges), golden["E_s"])

    kept = graph.density_edges.where(golden["keep_E_d"])
    labels = connected_components(len(golden["knn"]), kept + graph.similarity_edges)
    np.testing.assert_array_equal(labels, relabel_by_first_appearance(golden["bfs_labels"]))


def test_input_of_pcenet_equals_the_reference(golden: Golden) -> None:
    graph = build_density_graph(golden["knn"], golden["sims"], golden["scores"][..., 1])
    pair = pairs(graph.density_edges)[5]
    np.testing.assert_array_equal(pair, golden["item5_pair"])
    vectors = golden["features"][golden["knn"][pair]]
    np.testing.assert_array_equal(
        vectors.reshape(golden["item5_feature"].shape), golden["item5_feature"]
    )


def test_a_small_graph_by_hand() -> None:
    ids = np.array([[0, 1, 2, -1], [1, 0, 2, 3], [2, 1, -1, -1], [3, -1, -1, -1]], np.int32)
    a = np.array([[1, 0.8, 0.4, 0], [1, 0.8, 0.6, 0.2], [1, 0.6, 0, 0], [1, 0, 0, 0]], np.float32)
    S = np.array([[1, 0.9, 0.5, 0.7], [1, 0.7, 0.9, 0.5], [1, 0.9, 0.7, 0.7], [1, 0, 0, 0]], np.float32)
    p = np.array([[1, 0.8, 0.25, 0], [1, 0.8, 0.9, 0.25], [1, 0.9, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(mutual_probability(ids, S), p, rtol=1e-6)

    p = np.array([[1, 0.8, 0.5, 0], [1, 0.8, 0.9, 0.5], [1, 0.9, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(mutual_probability(ids, S, "present"), p, rtol=1e-6)

    tau = ((0.7 * 0.8 + 0.2 * 0.4) / 0.9 + 0.7 * 0.8 + 0.2 * 0.6 + 0.1 * 0.2 + 0.6) / 3
    assert similarity_threshold(a, ids) == pytest.approx(tau, rel=1e-6)

    graph = build_density_graph(ids, a, S, threshold=0.09)
    np.testing.assert_allclose(graph.density, [0.74, 1.23, 0.54, 0], rtol=1e-6)
    np.testing.assert_array_equal(pairs(graph.density_edges), [[0, 1], [2, 1]])
    assert len(graph.similarity_edges) == 0
    assert build_density_graph(ids, a, S).threshold == pytest.approx(tau, rel=1e-6)


def test_cosines_weigh_the_density_and_nothing_else() -> None:
    ids = np.array([[0, 1, 2, -1], [1, 0, 2, 3], [2, 1, -1, -1], [3, -1, -1, -1]], np.int32)
    a = np.array([[1, 0.8, 0.4, 0], [1, 0.8, 0.6, 0.2], [1, 0.6, 0, 0], [1, 0, 0, 0]], np.float32)
    S = np.array([[1, 0.9, 0.5, 0.7], [1, 0.7, 0.9, 0.5], [1, 0.9, 0.7, 0.7], [1, 0, 0, 0]], np.float32)
    cosine = np.array([[1, 0.5, -1, 0], [1, 0.5, 0.2, 0.4], [1, 0.9, 0, 0], [1, 0, 0, 0]], np.float32)
    # a_ij p_ij are 0.64 and 0.1 of face 0; 0.64, 0.54 and 0.05 of face 1; 0.54 of face 2.
    graph = build_density_graph(ids, a, S, threshold=0.09, weight=cosine)
    np.testing.assert_allclose(graph.density, [0.32, 0.448, 0.486, 0], rtol=1e-6)
    np.testing.assert_array_equal(pairs(graph.density_edges), [[0, 1], [1, 2]])
    np.testing.assert_allclose(graph.density_edges.score, [0.64, 0.54], rtol=1e-6)
    np.testing.assert_array_equal(pairs(graph.similarity_edges), [[0, 2]])
    np.testing.assert_allclose(graph.similarity_edges.score, [0.1], rtol=1e-6)


def test_similarity_edges_join_a_face_to_all_denser_ones_that_are_like_it() -> None:
    ids = np.array([[0, 2, 1], [1, 2, 0], [2, 1, 0]], np.int32)
    a = np.array([[1, 0.9, 0.8], [1, 0.95, 0.8], [1, 0.95, 0.9]], np.float32)
    graph = build_density_graph(ids, a, np.ones_like(a), threshold=0.8)
    np.testing.assert_array_equal(pairs(graph.density_edges), [[0, 2], [1, 2]])
    np.testing.assert_array_equal(pairs(graph.similarity_edges), [[0, 1]])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_faces_alone_have_no_edges(k: int) -> None:
    ids = np.full((3, k), -1, np.int32)
    ids[:, 0] = np.arange(3)
    graph = build_density_graph(ids, np.ones((3, k), np.float32), np.ones((3, k), np.float32))
    assert graph.threshold == 1
    assert len(graph.density_edges) == len(graph.similarity_edges) == 0
    np.testing.assert_array_equal(graph.density, 0)


def lists_of(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours in random lists, some ends missing, with a strength that is the same both ways."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=(n, n)).astype(np.float32)
    strength += strength.T
    np.fill_diagonal(strength, np.inf)
    ids = np.argsort(-strength + rng.normal(size=(n, n)), axis=1)[:, :k].astype(np.int32)
    listed = np.take_along_axis(strength, ids, axis=1)
    missing = np.sort(rng.random((n, k)) < 0.1, axis=1)
    missing[:, 0] = False
    return np.where(missing, -1, ids).astype(np.int32), listed


@given(st.integers(2, 30), st.integers(2, 8), st.floats(-2, 3, width=32), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_every_pair_that_is_strong_enough_is_linked_once(
    n: int, k: int, threshold: float, seed: int
) -> None:
    ids, strength = lists_of(n, min(k, n), seed)
    known = np.where(ids >= 0, strength, -np.inf)
    known[:, 0] = -np.inf
    top = known.max(axis=1).astype(np.float32)
    expected = {
        (min(i, j), max(i, j))
        for i in range(n)
        for j, s in zip(ids[i, 1:].tolist(), strength[i, 1:], strict=True)
        if j >= 0 and 2 * s - max(top[i], top[j]) >= threshold
    }
    found = similarity_edges(ids, strength, top, threshold)
    ends = np.sort(np.stack((found.source, found.target), axis=1), axis=1).tolist()
    assert sorted(map(tuple, ends)) == sorted(expected)
    assert (found.score >= threshold).all()


def test_chunk_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, strength = lists_of(200, 12, 0)
    top = strength[:, 1:].max(axis=1)
    whole = similarity_edges(ids, strength, top, 0.5)
    monkeypatch.setattr(chunks_module.chunks, "__defaults__", (7,))
    parts = similarity_edges(ids, strength, top, 0.5)
    np.testing.assert_array_equal(parts.source, whole.source)
    np.testing.assert_array_equal(parts.target, whole.target)
    np.testing.assert_array_equal(parts.score, whole.score)
