"""Exact copies: found once, given back their place, and lists turned there and back."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.knn.build import build_neighbor_graph, known_neighbors
from nsrfc.knn.copies import DistinctFaces, canonical_rows, distinct_faces, find_copies, renumber
from nsrfc.knn.rebuilt import REBUILD_WIDTH, rebuild_neighbor_graph
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.vectors import normalize

Floats = npt.NDArray[np.float32]

SEEDS = st.integers(0, 2**32 - 1)


def drawn(n: int, pool: int, seed: int, d: int = 5) -> Floats:
    """Draw faces from a pool of vectors, some of them several times."""
    rng = np.random.default_rng(seed)
    vectors: Floats = rng.normal(size=(pool, d)).astype(np.float32)
    return vectors[rng.integers(pool, size=n)]


FACES = st.builds(drawn, st.integers(1, 25), st.integers(1, 15), SEEDS)


@settings(max_examples=40)
@given(FACES)
def test_every_row_finds_its_content_again(X: Floats) -> None:
    faces = distinct_faces(X)
    unit = normalize(X)
    np.testing.assert_array_equal(faces.vectors[faces.place], unit)
    np.testing.assert_array_equal(faces.vectors, unit[faces.rows])
    assert len(faces.vectors) == len(np.unique(unit, axis=0))


@settings(max_examples=40)
@given(FACES, SEEDS)
def test_the_order_of_distinct_faces_does_not_hang_on_the_rows(X: Floats, seed: int) -> None:
    """Nor on how often a face is there, nor on its length."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate((rng.permutation(len(X)), rng.integers(len(X), size=3)))
    lengths = 2.0 ** rng.integers(-3, 4, len(rows))
    again = distinct_faces(X[rows] * lengths[:, None].astype(np.float32))
    faces = distinct_faces(X)
    np.testing.assert_array_equal(again.vectors, faces.vectors)
    np.testing.assert_array_equal(again.place, faces.place[rows])


def test_zero_and_minus_zero_are_one_content() -> None:
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, -1.0]], np.float32)
    faces = distinct_faces(X)
    assert len(faces.vectors) == 2
    assert faces.place[0] == faces.place[1] != faces.place[2]
    assert find_copies(X).group.tolist() == [0, 0, 1]


@settings(max_examples=40)
@given(FACES)
def test_groups_of_copies_are_numbered_as_they_first_appear(X: Floats) -> None:
    copies = find_copies(X)
    numbers: dict[bytes, int] = {}
    expected = [numbers.setdefault(row.tobytes(), len(numbers)) for row in X]
    assert copies.group.tolist() == expected
    assert copies.count == len(numbers)
    assert copies.any == (len(numbers) < len(X))
    for group in range(copies.count):
        members = copies.members[copies.bounds[group] : copies.bounds[group + 1]]
        assert members.tolist() == [row for row, of in enumerate(expected) if of == group]
    np.testing.assert_array_equal(copies.distinct(X)[copies.group], X)


def spread_by_hand(faces: DistinctFaces, graph: NeighborGraph, row: int) -> list[tuple[int, float]]:
    """List a row, then every row of the faces in its face's list: best first, then by number."""
    place = faces.place.tolist()
    listed = zip(graph.ids[place[row]].tolist(), graph.similarities[place[row]].tolist(), strict=True)
    similarity = {face: value for face, value in listed if face >= 0}
    others = [
        (-similarity[face], other)
        for other, face in enumerate(place)
        if other != row and face in similarity
    ]
    whole = [(row, 1.0), *((other, -value) for value, other in sorted(others))]
    return whole[: min(graph.k, len(place))]


@settings(max_examples=40)
@given(FACES, st.integers(1, 12), SEEDS)
def test_lists_of_distinct_faces_become_lists_of_rows(X: Floats, k: int, seed: int) -> None:
    faces = distinct_faces(X)
    graph = build_neighbor_graph(faces.vectors, k)
    # In whatever order the lists are given, but for the face itself.
    order = np.argsort(np.random.default_rng(seed).random(graph.ids.shape), axis=1)
    order = np.concatenate((np.zeros((graph.n, 1), int), order[order != 0].reshape(graph.n, -1)), axis=1)
    ids, similarities = graph.ids, graph.similarities
    found = faces.spread(
        np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)
    )
    for row in range(len(X)):
        expected = spread_by_hand(faces, graph, row)
        listed = [face for face, _ in expected] + [-1] * (found.k - len(expected))
        assert found.ids[row].tolist() == listed
        np.testing.assert_allclose(found.similarities[row, : len(expected)], [s for _, s in expected])


@settings(max_examples=40)
@given(FACES, st.integers(1, 12))
def test_lists_spread_and_taken_back_are_what_they_were(X: Floats, k: int) -> None:
    """As far as copies left room."""
    faces = distinct_faces(X)
    graph = build_neighbor_graph(faces.vectors, k)
    back = renumber(faces.spread(graph.ids, graph.similarities), faces.rows, faces.place)
    assert back.n == graph.n
    for face in range(graph.n):
        left = int((back.ids[face] >= 0).sum())
        assert left >= 1
        assert back.ids[face, :left].tolist() == graph.ids[face, :left].tolist()
        np.testing.assert_array_equal(back.similarities[face, :left], graph.similarities[face, :left])
    if len(X) == graph.n:
        np.testing.assert_array_equal(back.ids, graph.ids)


def renumbered_by_hand(
    graph: NeighborGraph, faces: DistinctFaces, face: int
) -> tuple[list[int], list[float]]:
    """Take the list of a face's row, each content once and best first, ties by number."""
    row = int(faces.rows[face])
    seen: dict[int, float] = {}
    for other, similarity in zip(graph.ids[row].tolist(), graph.similarities[row].tolist(), strict=True):
        if other >= 0:
            seen.setdefault(int(faces.place[other]), similarity)
    del seen[face]
    order = sorted(seen, key=lambda other: (-seen[other], other))
    missing = graph.k - 1 - len(order)
    ids = [face, *order, *([-1] * missing)]
    return ids, [
        float(graph.similarities[row, 0]),
        *(seen[other] for other in order),
        *([0.0] * missing),
    ]


@settings(max_examples=40)
@given(FACES, st.integers(1, 12), SEEDS)
def test_renumbered_lists_hold_every_content_once(X: Floats, k: int, seed: int) -> None:
    faces = distinct_faces(X)
    whole = build_neighbor_graph(normalize(X), k)
    rng = np.random.default_rng(seed)
    ends = rng.integers(1, whole.k + 1, len(X))[:, None]
    there = np.arange(whole.k) < ends
    # Similarities of few values: ties, which the new numbers are to break.
    coarse = np.where(there, np.round(whole.similarities * 2) / 2, 0).astype(np.float32)
    graph = NeighborGraph(np.where(there, whole.ids, -1).astype(np.int32), coarse)
    found = renumber(graph, *canonical_rows(normalize(X)))
    for face in range(len(faces.vectors)):
        ids, similarities = renumbered_by_hand(graph, faces, face)
        assert found.ids[face].tolist() == ids
        assert found.similarities[face].tolist() == similarities


def index_of(X: Floats) -> faiss.Index:
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(X)
    return index


@pytest.fixture(scope="module")
def X() -> Floats:  # noqa: N802
    return np.concatenate((drawn(60, 10_000, seed=0, d=8), drawn(60, 10_000, seed=0, d=8)[:15]))


def test_neighbours_that_are_known_are_those_of_the_distinct_faces(X: Floats) -> None:
    faces, unit = distinct_faces(X), normalize(X)
    assert len(faces.vectors) == 60
    expected = build_neighbor_graph(faces.vectors, 10)
    ways: list[dict[str, Any]] = [{"graph": build_neighbor_graph(unit, 10)}, {"index": index_of(unit)}]
    for way in ways:
        found = known_neighbors(faces, way.get("graph"), way.get("index"), k=10, progress=Progress())
        assert found is not None
        for face in range(60):
            left = int((found.ids[face] >= 0).sum())
            assert 5 <= left <= 10, "copies, of which each face has one at most, take places"
            assert found.ids[face, :left].tolist() == expected.ids[face, :left].tolist()
    assert known_neighbors(faces, None, None, k=10, progress=Progress()) is None


def test_what_is_no_graph_of_these_rows_is_refused_in_a_sentence(X: Floats) -> None:
    faces, unit = distinct_faces(X), normalize(X)
    graph = build_neighbor_graph(unit, 10)
    others: list[tuple[Any, Any, str]] = [
        (graph, index_of(unit), "graph and index both bring the neighbours"),
        (build_neighbor_graph(unit[:60], 10), None, "has 60 faces, the embeddings have 75"),
        (graph.ids, None, "graph must be a NeighborGraph, got ndarray"),
        (None, index_of(unit[::-1].copy()), "in this order"),
        (None, "faces.index", "index must be a faiss.Index, got str"),
    ]
    for known, index, words in others:
        with pytest.raises(InputError, match=words) as refused:
            known_neighbors(faces, known, index, k=10, progress=Progress())
        assert "\n" not in str(refused.value)


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(1, 15), SEEDS)
def test_a_rebuilt_list_is_the_best_of_all_whom_its_first_neighbours_list(
    n: int, k: int, seed: int
) -> None:
    """Whatever the lists before were: in any order, with ends of any length."""
    rng = np.random.default_rng(seed)
    X, k = normalize(rng.normal(size=(n, 4))), min(k, n)
    around = np.full((n, k), -1, np.int32)
    for face in range(n):
        others = rng.permutation(np.delete(np.arange(n), face))[: rng.integers(0, k)]
        around[face, : 1 + len(others)] = [face, *others]
    found = rebuild_neighbor_graph(X, around)
    cosine = X.astype(np.float64) @ X.T.astype(np.float64)
    for face in range(n):
        near = [int(j) for j in around[face, :REBUILD_WIDTH] if j >= 0]
        seen = {int(other) for j in near for other in around[j] if other >= 0} - {face}
        best = sorted(seen, key=lambda other, face=face: -cosine[face, other])[: k - 1]  # type: ignore[misc]
        assert found.ids[face].tolist() == [face, *best, *([-1] * (k - 1 - len(best)))]
        np.testing.assert_allclose(
            found.similarities[face, 1 : 1 + len(best)], cosine[face, best], atol=1e-6
        )
        assert not found.similarities[face, 1 + len(best) :].any()
