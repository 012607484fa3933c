"""Neighbours proposed by products on a device: the same lists as those that faiss proposes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.errors import InputError, MemoryPlanError
from nsrfc.knn import build as neighbors_module
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.exact import exact_lists
from nsrfc.records import NeighborGraph
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

torch = pytest.importorskip("torch")

from nsrfc.knn import gpu as products_module  # noqa: E402
from nsrfc.knn.gpu import Products  # noqa: E402
from nsrfc.methods.base import Run  # noqa: E402
from nsrfc.pipeline import cluster  # noqa: E402

Vectors = npt.NDArray[np.float32]

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here"),
    ),
]


def assert_same_lists(X: Vectors, k: int, device: str) -> None:
    rows = np.arange(len(X))
    expected = exact_lists(X, rows, k)
    found = exact_lists(X, rows, k, Products(X, torch.device(device)))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("preset", "dimension"), [("wild", 64), ("ms1m", 256)])
def test_lists_are_those_of_a_search_in_float32(preset: str, dimension: int, device: str) -> None:
    assert_same_lists(generate(3000, preset, dimension=dimension).embeddings, 80, device)


@pytest.mark.parametrize("device", DEVICES)
def test_neighbours_nearer_to_each_other_than_float16_can_tell(device: str) -> None:
    angle = np.random.default_rng(0).uniform(0, 0.03, 2000)
    X = normalize(np.stack((np.cos(angle), np.sin(angle)), axis=1))
    half = torch.tensor(X).half()
    assert len((half @ half.T).unique()) < 10
    assert_same_lists(X, 10, device)


@given(st.integers(1, 300), st.integers(1, 6), st.integers(1, 45), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_any_vectors(n: int, d: int, k: int, seed: int) -> None:
    X = normalize(np.random.default_rng(seed).normal(size=(n, d)) + 1e-3)
    assert_same_lists(X, min(k, n), "cpu")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("halved", [False, True])
@pytest.mark.parametrize(("columns", "width"), [(2**16, 40), (1024, 3), (1000, 40), (64, 40)])
def test_the_largest_products_are_found_in_any_blocks(
    columns: int, width: int, halved: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products_module, "COLUMNS", columns)
    monkeypatch.setattr(products_module, "BLOCK_BYTES", 4 * columns * 100)
    X = generate(2500, "wild", dimension=32).embeddings
    rows = np.arange(0, len(X), 7)
    bound, candidates = Products(X, torch.device(device)).largest(X[rows], width, halved=halved)
    cosine = X[rows].astype(np.float64) @ X.T.astype(np.float64)
    others = cosine.copy()
    np.put_along_axis(others, candidates, -1, axis=1)
    assert (others.max(axis=1) <= bound).all()
    nearest = -np.sort(-cosine, axis=1)[:, width - 1]
    assert (bound <= nearest + (3 * products_module.ROUNDING if halved else 1e-4)).all()
    assert all(len(set(row)) == width for row in candidates.tolist())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dimension", [2, 64, 1024])
def test_the_bound_of_rounding_holds(dimension: int, seed: int) -> None:
    X = normalize(np.abs(np.random.default_rng(seed).normal(size=(400, dimension))))
    half = torch.tensor(X).half()
    error = (half @ half.T).float().numpy() - X.astype(np.float64) @ X.T.astype(np.float64)
    assert np.abs(error).max() < products_module.ROUNDING


def test_what_a_program_lets_torch_round_does_not_matter() -> None:
    X = generate(500, "wild", dimension=32).embeddings
    torch.set_float32_matmul_precision("medium")
    try:
        assert_same_lists(X, 20, "cpu")
        assert torch.get_float32_matmul_precision() == "medium", "and it is left as it was"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_device_that_is_too_small_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    X = generate(500, "wild", dimension=32).embeddings

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    products = Products(X, torch.device("cpu"))
    monkeypatch.setattr(products_module, "_largest", full)
    with pytest.raises(MemoryPlanError, match="500 faces of dimension 32 takes 3 GiB on the GPU"):
        products.largest(X[:5], 3, halved=True)


def test_few_faces_do_not_wait_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    X = generate(500, "wild", dimension=32).embeddings

    def looked(*_: object) -> None:
        raise AssertionError("looked for a GPU")

    monkeypatch.setattr(products_module, "find_device", looked)
    build_neighbor_graph(X, 10)
    monkeypatch.setattr(neighbors_module, "GPU_FROM", 500)
    monkeypatch.setattr(neighbors_module, "may_have_gpu", lambda: False)
    build_neighbor_graph(X, 10)
    monkeypatch.setattr(neighbors_module, "may_have_gpu", lambda: True)
    with pytest.raises(AssertionError, match="looked for a GPU"):
        build_neighbor_graph(X, 10)
    build_neighbor_graph(X, 10, device="cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    X = generate(50, "wild", dimension=8).embeddings
    with pytest.raises(InputError, match="no device 'abacus'"):
        build_neighbor_graph(X, 10, device="abacus")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA here")
def test_a_gpu_gives_the_graph_and_labels_of_the_cpu() -> None:
    X = generate(5000, "wild").embeddings
    graphs: list[NeighborGraph] = [build_neighbor_graph(X, device=place) for place in ("cpu", "cuda")]
    np.testing.assert_array_equal(graphs[0].ids, graphs[1].ids)
    np.testing.assert_array_equal(graphs[0].similarities, graphs[1].similarities)
    labels = [cluster(X, None, run=Run(device=place)).labels for place in ("cpu", "cuda")]
    np.testing.assert_array_equal(labels[0], labels[1])
