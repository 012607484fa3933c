"""Neighbour graphs survive writing and reading, in both layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.records import NeighborGraph
from nsrfc.storage.neighbors import neighbors_shape, read_neighbors, write_neighbors

from .drawn import in_folder, thorough


@st.composite
def neighbor_graphs(draw: st.DrawFn) -> NeighborGraph:
    """Draw graphs whose similarities survive 1 - (1 - s), some lists shorter than others."""
    n = draw(st.integers(1, 9))
    k = draw(st.integers(1, n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = np.full((n, k), -1, dtype=np.int32)
    similarities = np.zeros((n, k), dtype=np.float32)
    for face in range(n):
        others = rng.permutation(np.delete(np.arange(n), face))[: rng.integers(0, k)]
        scores = rng.integers(-8, 9, len(others)) / 8
        order = np.lexsort((others, -scores))
        ids[face, : len(others) + 1] = [face, *others[order]]
        similarities[face, : len(others) + 1] = [1, *scores[order]]
    return NeighborGraph(ids, similarities)


@pytest.mark.parametrize("layout", ["nsrfc", "reference"])
@thorough
@given(graph=neighbor_graphs())
def test_neighbor_graphs_are_kept(layout: Literal["nsrfc", "reference"], graph: NeighborGraph) -> None:
    def round_trip(folder: Path) -> None:
        write_neighbors(folder / "knn.npz", graph, layout=layout)
        found = read_neighbors(folder / "knn.npz")
        np.testing.assert_array_equal(found.ids, graph.ids)
        np.testing.assert_array_equal(found.similarities, graph.similarities)

    in_folder(round_trip)


def test_reference_lists_are_mended(tmp_path: Path) -> None:
    ids = [
        [1, 0, 2, 3],  # a duplicate stands before the face
        [2, 3, 0, 4],  # the face is absent
        [2, 4, 3, 0],  # a tie in the wrong order
        [3, -1, 0, -1],  # short, with a hole
        [4, 0, 1, 2],  # not sorted; rounding made a distance negative
    ]
    distances = [
        [0, 0, 0.25, 0.5],
        [0, 0.25, 0.5, 0.75],
        [0, 0.5, 0.5, 1.0],
        [0, 9.0, 0.5, 9.0],
        [0, 1.5, 0.25, -1e-7],
    ]
    data = np.stack([np.array(ids, float), np.array(distances)], axis=1).astype(np.float32)
    np.savez_compressed(tmp_path / "faiss_k_80.npz", data=data)
    graph = read_neighbors(tmp_path / "faiss_k_80.npz")
    assert graph.ids.tolist() == [
        [0, 1, 2, 3],
        [1, 2, 3, 0],
        [2, 3, 4, 0],
        [3, 0, -1, -1],
        [4, 2, 1, 0],
    ]
    np.testing.assert_array_equal(
        graph.similarities,
        [
            [1, 1, 0.75, 0.5],
            [1, 1, 0.75, 0.5],
            [1, 0.5, 0.5, 0],
            [1, 0.5, 0, 0],
            [1, 1, 0.75, -0.5],
        ],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_signalling_nan_in_a_reference_list(dtype: type[np.floating[Any]], tmp_path: Path) -> None:
    """It warns where other NaN do not: it is refused as a neighbour, and ignored where there is none."""
    signalling = 0x7FA00001 if dtype == np.float32 else 0x7FF4000000000001
    data = np.array([[[0, 1], [0, 0.5]], [[1, -1], [0, np.finfo(dtype).max]]], dtype)
    bits = data.view(np.uint32 if dtype == np.float32 else np.uint64)
    path = tmp_path / "knn.npz"

    np.savez(path, data=data)
    assert read_neighbors(path).ids.tolist() == [[0, 1], [1, -1]]

    bits[1, 1, 1] = signalling
    np.savez(path, data=data)
    graph = read_neighbors(path)
    assert graph.ids.tolist() == [[0, 1], [1, -1]]
    assert graph.similarities.tolist() == [[1, 0.5], [1, 0]]

    bits[0, 0, 1] = signalling
    np.savez(path, data=data)
    with pytest.raises(InputError, match=r"ids that are not whole numbers in -1\.\.1 in row 0"):
        read_neighbors(path)


def test_reference_graph_of_the_published_code(shared: Path, tmp_path: Path) -> None:
    with np.load(shared / "golden" / "rerank_k80.npz") as golden:
        data = golden["knn"]
    np.savez(tmp_path / "faiss_k_80.npz", data=data)
    graph = read_neighbors(tmp_path / "faiss_k_80.npz")
    np.testing.assert_allclose(graph.similarities, 1 - data[:, 1], atol=1e-6)
    np.testing.assert_array_equal(np.sort(graph.ids, axis=1), np.sort(data[:, 0], axis=1))


@pytest.mark.parametrize("layout", ["nsrfc", "reference"])
@thorough
@given(graph=neighbor_graphs())
def test_the_shape_is_that_of_what_is_read(
    layout: Literal["nsrfc", "reference"], graph: NeighborGraph
) -> None:
    def compare(folder: Path) -> None:
        write_neighbors(folder / "knn.npz", graph, layout=layout)
        assert neighbors_shape(folder / "knn.npz") == (graph.n, graph.k)

    in_folder(compare)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_shape_is_read_off_the_headers_alone(tmp_path: Path, save: Callable[..., None]) -> None:
    """What the arrays hold is nobody's business yet: here it is no graph."""
    path = tmp_path / "faiss_k_80.npz"
    save(path, data=np.full((7, 2, 5), np.nan, np.float32))
    assert neighbors_shape(path) == (7, 5)
    with pytest.raises(InputError, match="not whole numbers"):
        read_neighbors(path)


def test_a_file_without_a_graph_has_no_shape(tmp_path: Path) -> None:
    others: list[tuple[str, dict[str, Any], str]] = [
        ("other.npz", {"X": np.ones((3, 2))}, "it holds X"),
        ("flat.npz", {"data": np.ones((3, 2))}, r"of shape \(3, 2\)"),
        ("empty.npz", {}, "it holds nothing"),
    ]
    for name, content, words in others:
        np.savez(tmp_path / name, **content)
        with pytest.raises(InputError, match=words) as refused:
            neighbors_shape(tmp_path / name)
        assert name in str(refused.value)
    with pytest.raises(InputError, match="There is no file"):
        neighbors_shape(tmp_path / "absent.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:40])
    with pytest.raises(InputError, match=r"cut\.npz cannot be read"):
        neighbors_shape(tmp_path / "cut.npz")
