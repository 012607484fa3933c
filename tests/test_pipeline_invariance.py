"""What must not change the people that rules find: order, copies, threads, blocks, form of the input.

Where the arithmetic is the same, labels and confidence must be equal to the last bit. Where the
numbers themselves are rounded anew, the people must be the same but for what rounding can tip.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import faiss
import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from threadpoolctl import threadpool_limits

import nsrfc.chunks
import nsrfc.graph
import nsrfc.knn
from nsrfc import FaceClusterer, pipeline, vectors
from nsrfc.config import ClusterConfig
from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import ari, pairwise
from nsrfc.records import Clustering, NeighborGraph
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

Vectors = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]

N = 1000
OTHER_SETTINGS = (ClusterConfig(search="approximate"), ClusterConfig(k=20, min_cluster_size=3, seed=1))
SEEDS = st.integers(0, 2**32 - 1)


def cluster(
    X: npt.ArrayLike,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    index: faiss.Index | None = None,
) -> Clustering:
    """Cluster without a model."""
    return pipeline.cluster(X, None, config, graph=graph, index=index)


def by_settings(config: ClusterConfig) -> str:
    return str(config.model_dump(exclude_defaults=True) or "defaults")


def assert_same(found: Clustering, expected: Clustering) -> None:
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def assert_moved(moved: Clustering, found: Clustering, rows: Rows) -> None:
    """Face r of ``moved`` is face ``rows[r]`` of ``found``, and groups are numbered anew."""
    np.testing.assert_array_equal(moved.labels, relabel_by_first_appearance(found.labels[rows]))
    np.testing.assert_array_equal(moved.confidence, found.confidence[rows])


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let faiss, compiled functions and the matrix products of numpy use so many threads."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        with patch.object(numba.config, "NUMBA_NUM_THREADS", count), threadpool_limits(count, "blas"):
            yield
    finally:
        faiss.omp_set_num_threads(before)


@pytest.fixture(scope="module")
def faces() -> npt.NDArray[np.float32]:
    """Generate faces that float16 can hold, read-only."""
    X = generate(N, "wild", seed=3).embeddings.astype(np.float16).astype(np.float32)
    X.flags.writeable = False
    return X


@pytest.fixture(scope="module")
def found(faces: Vectors) -> Clustering:
    return cluster(faces)


def test_there_are_people_to_find(found: Clustering) -> None:
    assert (np.bincount(found.labels) >= 10).sum() >= 20
    assert pairwise(generate(N, "wild", seed=3).identities, found.labels).f > 0.9


@given(SEEDS)
@settings(deadline=None, max_examples=3)
def test_row_order(faces: Vectors, found: Clustering, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(N)
    assert_moved(cluster(faces[order]), found, order)


@pytest.mark.parametrize("config", OTHER_SETTINGS, ids=by_settings)
def test_row_order_with_other_settings(faces: Vectors, config: ClusterConfig) -> None:
    order = np.random.default_rng(0).permutation(N)
    assert_moved(cluster(faces[order], config), cluster(faces, config), order)


@pytest.mark.parametrize("preset", ["lfw", "lowres", "ms1m"])
def test_row_order_of_other_faces(preset: str) -> None:
    X = generate(N, preset, dimension=128, seed=1).embeddings
    order = np.random.default_rng(0).permutation(N)
    assert_moved(cluster(X[order]), cluster(X), order)


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_row_order_where_all_is_tied(data: st.DataObject) -> None:
    n, d = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 3))
    values = st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.0])
    X = data.draw(arrays(np.float32, (n, d), elements=values))
    X[~X.any(axis=1)] = 1
    order = np.array(data.draw(st.permutations(range(n))))
    with threads(1):
        assert_moved(cluster(X[order]), cluster(X), order)


@given(SEEDS, st.integers(1, 300))
@settings(deadline=None, max_examples=3)
def test_copies_follow_their_original(faces: Vectors, found: Clustering, seed: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.concatenate([np.arange(N), rng.integers(N, size=copies)]))
    assert_moved(cluster(faces[rows]), found, rows)


def test_many_copies_of_one_face(faces: Vectors, found: Clustering) -> None:
    rows = np.concatenate([np.arange(N), np.full(500, 7)])
    assert_moved(cluster(faces[rows]), found, rows)


@pytest.mark.parametrize("config", [ClusterConfig(), *OTHER_SETTINGS], ids=by_settings)
def test_number_of_threads(faces: Vectors, config: ClusterConfig) -> None:
    with threads(1):
        alone = cluster(faces, config)
    with threads(2):
        assert_same(cluster(faces, config), alone)


@pytest.mark.parametrize("rows", [1, 300])
def test_rows_worked_on_at_a_time(
    faces: Vectors, found: Clustering, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = [nsrfc.chunks] + [
        import_module(f"{package.__name__}.{entry.name}")
        for package in (nsrfc.graph, nsrfc.knn)
        for entry in pkgutil.iter_modules(package.__path__)
    ]
    names = "CHUNK", "_CHUNK", "_BLOCK"
    constants = [(m, name) for m in modules for name in names if hasattr(m, name)]
    assert constants
    for module, name in constants:
        monkeypatch.setattr(module, name, rows)
    monkeypatch.setattr(vectors, "BLOCK_BYTES", 8 * faces.shape[1] * rows)
    with threads(1):  # waking others for each row would take far longer than the work
        assert_same(cluster(faces), found)


def test_neighbors_given_or_searched(faces: Vectors, found: Clustering) -> None:
    order = np.random.default_rng(0).permutation(N)
    unit = normalize(faces)[order]
    assert_moved(cluster(unit, graph=build_neighbor_graph(unit)), found, order)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    assert_moved(cluster(unit, index=index), found, order)


def mapped(X: Vectors, folder: Path) -> Vectors:
    np.save(folder / "faces.npy", X)
    loaded: Vectors = np.load(folder / "faces.npy", mmap_mode="r", allow_pickle=False)
    return loaded


FORMS: dict[str, Callable[[Vectors, Path], Any]] = {
    "float64": lambda X, _: X.astype(np.float64),
    "float16": lambda X, _: X.astype(np.float16),
    "lists": lambda X, _: X.tolist(),
    "Fortran order": lambda X, _: np.asfortranarray(X),
    "every other value": lambda X, _: np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda X, _: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "mapped": mapped,
    "mapped float16": lambda X, folder: mapped(X.astype(np.float16), folder),
    "lengths of powers of two": lambda X, _: X * 2.0 ** (np.arange(N)[:, None] % 9 - 4),
}


@pytest.mark.parametrize("form", FORMS)
def test_form_of_the_input(faces: Vectors, found: Clustering, form: str, tmp_path: Path) -> None:
    assert_same(cluster(FORMS[form](faces, tmp_path)), found)


def test_changes_that_a_mapped_array_keeps_in_memory_are_not_lost(
    faces: Vectors, tmp_path: Path
) -> None:
    np.save(tmp_path / "faces.npy", faces)
    X = np.load(tmp_path / "faces.npy", mmap_mode="c", allow_pickle=False)
    X[:] = faces[::-1]
    cluster(X)
    np.testing.assert_array_equal(X, faces[::-1])


@pytest.mark.parametrize("dtype", [np.int16, np.int64])
def test_integers(faces: Vectors, dtype: type[np.integer]) -> None:
    scaled = np.rint(1000 * faces)
    labels = FaceClusterer(model=None).fit_predict(scaled.astype(dtype))
    np.testing.assert_array_equal(labels, cluster(scaled).labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_input_is_left_alone(faces: Vectors, dtype: type[np.floating]) -> None:
    X = (3 * faces).astype(dtype)
    before = X.copy()
    FaceClusterer().fit_predict(X)
    np.testing.assert_array_equal(X, before)


def rotated(X: Vectors, rng: np.random.Generator) -> Vectors:
    axes = np.linalg.qr(rng.normal(size=(X.shape[1], X.shape[1])))[0]
    return np.asarray(X.astype(np.float64) @ axes, np.float32)


def mirrored(X: Vectors, rng: np.random.Generator) -> Vectors:
    signs = rng.choice([-1, 1], X.shape[1]).astype(np.float32)
    return np.asarray(X[:, rng.permutation(X.shape[1])] * signs)


def padded(X: Vectors, rng: np.random.Generator) -> Vectors:
    return np.pad(X, ((0, 0), (0, int(rng.integers(1, 257)))))


def rescaled(X: Vectors, rng: np.random.Generator) -> Vectors:
    return X * rng.uniform(0.1, 10, (len(X), 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "alike"), [(rotated, 0.99), (mirrored, 0.999), (padded, 0.99), (rescaled, 0.999)]
)
def test_only_angles_count(
    faces: Vectors,
    found: Clustering,
    change: Callable[[Vectors, np.random.Generator], Vectors],
    alike: float,
) -> None:
    changed = cluster(change(faces, np.random.default_rng(0)))
    assert ari(found.labels, changed.labels) > alike


def test_only_angles_count_beyond_the_sample() -> None:
    """With more faces than stand for all impostors, other digits choose other ones."""
    X = generate(3000, "wild", seed=1).embeddings
    changed = cluster(rotated(X, np.random.default_rng(0)))
    assert ari(cluster(X).labels, changed.labels) > 0.99
