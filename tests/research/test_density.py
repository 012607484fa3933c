"""Densities, TPDi, shared neighbours and density-peak clustering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.records import NeighborGraph
from nsrfc.research.density import (
    approximate_ndde_density,
    naive_density,
    ndde_density,
    neighbor_distances,
)
from nsrfc.research.density_peaks import density_peak_clustering, shared_neighbor_counts, tpdi
from nsrfc.synthetic import generate

Golden = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def golden(shared: Path) -> Golden:
    with np.load(shared / "golden" / "density_cos.npz", allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def golden_graph(golden: Golden) -> NeighborGraph:
    return NeighborGraph(np.asarray(golden["knn"], np.int32), np.asarray(1 - golden["dist"], np.float32))


@pytest.fixture(scope="module")
def padded() -> NeighborGraph:
    """Return lists of 12 of which every third ends after 9."""
    graph = build_neighbor_graph(generate(200, "wild", dimension=16).embeddings, 12)
    ids, similarities = graph.ids.copy(), graph.similarities.copy()
    ids[::3, 9:] = -1
    similarities[::3, 9:] = 0
    return NeighborGraph(ids, similarities)


def walk(graph: NeighborGraph, scale: float, epsilon: float) -> npt.NDArray[np.float64]:
    """Transition probabilities as a full matrix."""
    P = np.zeros((graph.n, graph.n))
    for i in range(graph.n):
        for j, similarity in zip(graph.ids[i], graph.similarities[i], strict=True):
            if j >= 0:
                P[i, j] = np.exp((float(similarity) - 1) / scale)
        P[i] /= P[i].sum() + epsilon
    return P


def test_densities_equal_the_reference(golden: Golden, golden_graph: NeighborGraph) -> None:
    np.testing.assert_array_equal(naive_density(golden_graph), golden["naive"])
    approximate = approximate_ndde_density(golden_graph)
    np.testing.assert_allclose(approximate, golden["approximate_NDDe"], rtol=1e-6)
    np.testing.assert_allclose(ndde_density(golden_graph), golden["NDDe"][:, 0], rtol=2e-6)


def test_tpdi_equals_the_reference(golden: Golden, golden_graph: NeighborGraph) -> None:
    np.testing.assert_allclose(tpdi(golden_graph), golden["TPDi"], atol=1e-6)


@pytest.mark.parametrize(
    ("expected", "by_tpdi", "max_connections"),
    [
        ("dpc_labels", True, 1),
        ("dpc_labels_maxconn3", True, 3),
        ("dpc_labels_noTPDi", False, 1),
    ],
)
def test_peaks_equal_the_reference(
    golden: Golden, golden_graph: NeighborGraph, expected: str, by_tpdi: bool, max_connections: int
) -> None:
    distances = tpdi(golden_graph) if by_tpdi else neighbor_distances(golden_graph)
    labels = density_peak_clustering(
        approximate_ndde_density(golden_graph),
        distances,
        golden_graph.ids,
        tau=0.7,
        max_connections=max_connections,
    )
    assert labels.tolist() == relabel_by_first_appearance(golden[expected]).tolist()


def test_densities_follow_their_equations(padded: NeighborGraph) -> None:
    approximate = walk(padded, 0.5, 1e-5).sum(axis=0)
    np.testing.assert_allclose(approximate_ndde_density(padded), approximate, rtol=1e-5)
    near = [(row > 0.36).sum() for row in np.where(padded.ids >= 0, padded.similarities, -1)]
    np.testing.assert_array_equal(naive_density(padded, 0.64), near)

    P = walk(padded, 0.5, 0)
    np.fill_diagonal(P, 0)
    rho = np.full(padded.n, 1 / padded.n)
    while np.abs((after := 0.1 * rho + 0.9 * P.T @ rho) - rho).sum() >= 0.05:
        rho = after
    np.testing.assert_allclose(ndde_density(padded), rho, rtol=1e-5)


def test_only_the_nearest_columns_give_density(padded: NeighborGraph) -> None:
    cut = NeighborGraph(padded.ids[:, :5].copy(), padded.similarities[:, :5].copy())
    np.testing.assert_array_equal(
        approximate_ndde_density(padded, neighbors=5), approximate_ndde_density(cut)
    )


def test_tpdi_follows_its_equation(padded: NeighborGraph) -> None:
    root = np.sqrt(walk(padded, 0.05, 1e-5))
    expected = 1 - np.take_along_axis(root @ root.T, np.maximum(padded.ids, 0), axis=1)
    expected[padded.ids < 0] = 1
    np.testing.assert_allclose(tpdi(padded), expected, atol=1e-6)


def test_shared_neighbours_are_counted(padded: NeighborGraph) -> None:
    sets = [set(row[row >= 0].tolist()) for row in padded.ids]
    expected = [
        [len(sets[i] & sets[j]) if j >= 0 else 0 for j in padded.ids[i]] for i in range(padded.n)
    ]
    assert shared_neighbor_counts(padded).tolist() == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.3, 0.7, 2.0]))
def test_peaks_follow_their_definition(seed: int, max_connections: int, tau: float) -> None:
    rng = np.random.default_rng(seed)
    n, k = 12, 5
    ids = np.array([rng.permutation(n)[:k] for _ in range(n)], np.int32)
    ids[rng.random((n, k)) < 0.2] = -1
    density = rng.integers(0, 3, n).astype(np.float64)
    distances = rng.integers(0, 8, (n, k)) / np.float32(8)

    expected = np.arange(n)
    for i in range(n):
        columns = np.argsort(distances[i], kind="stable")
        denser = [c for c in columns if ids[i, c] not in (-1, i) and density[ids[i, c]] >= density[i]]
        for c in denser[:max_connections]:
            if distances[i, c] < tau:
                expected[expected == expected[ids[i, c]]] = expected[i]
    labels = density_peak_clustering(density, distances, ids, tau, max_connections)
    assert labels.tolist() == relabel_by_first_appearance(expected).tolist()


def test_row_order_does_not_matter() -> None:
    X = generate(1000, dimension=32).embeddings
    order = np.random.default_rng(1).permutation(len(X))
    straight, shuffled = build_neighbor_graph(X, 25), build_neighbor_graph(X[order], 25)
    for density in (approximate_ndde_density, ndde_density, naive_density):
        np.testing.assert_array_equal(density(shuffled), density(straight)[order])
    np.testing.assert_array_equal(tpdi(shuffled), tpdi(straight)[order])


def test_thread_count_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_neighbor_graph(generate(1500, dimension=32).embeddings, 20)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)
    alone = tpdi(graph)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    np.testing.assert_array_equal(alone, tpdi(graph))


def test_identical_faces_share_a_density_and_a_group() -> None:
    X = np.tile(np.array([[0.6, 0.8]], np.float32), (6, 1))
    graph = build_neighbor_graph(X)
    density = approximate_ndde_density(graph)
    assert len(set(density)) == 1
    assert set(density_peak_clustering(density, tpdi(graph), graph.ids)) == {0}


def test_one_face() -> None:
    graph = build_neighbor_graph(np.ones((1, 1), np.float32))
    density = approximate_ndde_density(graph)
    assert density == pytest.approx([1], abs=1e-4)
    assert ndde_density(graph).shape == naive_density(graph).shape == (1,)
    assert density_peak_clustering(density, tpdi(graph), graph.ids).tolist() == [0]


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    ids = np.zeros((3, 2), np.int32)
    with pytest.raises(InputError, match=r"\(2,\), \(3, 2\) and \(3, 2\)"):
        density_peak_clustering(np.zeros(2), np.zeros((3, 2)), ids)
