"""Neighbours proposed by products in bfloat16 on the processor: the same lists as those of float32."""

from __future__ import annotations

import pickle

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.knn import exact as search_module
from nsrfc.knn.bfloat16 import Bfloat16Products
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.exact import exact_lists
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

Vectors = npt.NDArray[np.float32]


def assert_same_lists(X: Vectors, k: int) -> None:
    rows = np.arange(len(X))
    expected, found = exact_lists(X, rows, k), exact_lists(X, rows, k, Bfloat16Products(X))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize(("preset", "dimension"), [("wild", 64), ("ms1m", 256), ("lfw", 512)])
def test_lists_are_those_of_a_search_in_float32(preset: str, dimension: int) -> None:
    assert_same_lists(generate(4100, preset, dimension=dimension).embeddings, 80)


def test_neighbours_nearer_to_each_other_than_bfloat16_can_tell() -> None:
    angle = np.random.default_rng(0).uniform(0, 0.03, 3000)
    assert_same_lists(normalize(np.stack((np.cos(angle), np.sin(angle)), axis=1)), 10)


def test_faces_that_the_sample_does_not_show() -> None:
    """Every third face, from which the sample is taken, is unlike all others."""
    rng = np.random.default_rng(0)
    X = np.zeros((3000, 24))
    X[::3, :8] = rng.normal(size=(1000, 8))
    X[1::3, 8:16] = rng.normal(size=(1000, 8)) + 2
    X[2::3, 16:] = -rng.normal(size=(1000, 8)) - 2
    assert_same_lists(normalize(X), 40)


@given(st.integers(1, 1500), st.integers(1, 6), st.integers(1, 90), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_any_vectors(n: int, d: int, k: int, seed: int) -> None:
    X = normalize(np.random.default_rng(seed).normal(size=(n, d)) + 1e-3)
    assert_same_lists(X, min(k, n))


@pytest.mark.parametrize("width", [1, 40, 2000])
@pytest.mark.parametrize("dimension", [2, 32, 512])
def test_no_other_row_has_a_product_above_the_bound(dimension: int, width: int) -> None:
    X = generate(2500, "wild", dimension=dimension).embeddings
    X[::2] *= -1
    asked = X[::7]
    bound, candidates = Bfloat16Products(X).largest(asked, width, halved=True)
    cosine = asked.astype(np.float64) @ X.T.astype(np.float64)
    nearest = -np.sort(-cosine, axis=1)[:, width - 1]
    assert np.abs(bound - nearest).max() < 0.025, "nor is it too careful"
    assert (candidates >= 0).all()
    np.put_along_axis(cosine, candidates, -1, axis=1)
    assert (cosine.max(axis=1) <= bound).all()


def test_another_process_makes_them_from_the_vectors() -> None:
    X = generate(600, "wild", dimension=32).embeddings
    products = Bfloat16Products(X)
    again = pickle.loads(pickle.dumps(products))
    for one, other in zip(
        again.largest(X[:5], 4, halved=True), products.largest(X[:5], 4, halved=True), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_the_graph_does_not_depend_on_what_the_processor_is_fast_at(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = generate(6000, "wild", dimension=64).embeddings
    monkeypatch.setattr(search_module, "HALVED_FROM", 1000)
    graphs = []
    for fast in (False, True):
        monkeypatch.setattr(search_module, "multiplies_bfloat16", lambda fast=fast: fast)
        graphs.append(build_neighbor_graph(X, method=method, device="cpu"))
    np.testing.assert_array_equal(graphs[0].ids, graphs[1].ids)
    np.testing.assert_array_equal(graphs[0].similarities, graphs[1].similarities)
