"""How far clusters can be trusted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.graph.components import connected_components
from nsrfc.graph.confidence import FEW_FACES, confidence, doubt_in_words
from nsrfc.records import EdgeList

Edge = tuple[int, int, float]


def edge_list(*edges: Edge) -> EdgeList:
    rows = np.array(edges, np.float32).reshape(-1, 3).T
    source, target = rows[:2].astype(np.int32)
    return EdgeList(source, target, rows[2])


NONE = edge_list()


def strongest_paths(n: int, labels: npt.NDArray[np.int64], edges: EdgeList) -> npt.NDArray[np.float64]:
    """Probability (n, n) of the weakest edge of the best path inside a cluster; 1 without a path."""
    best = np.eye(n)
    for a, b, score in zip(edges.source, edges.target, edges.score, strict=True):
        if labels[a] == labels[b]:
            best[a, b] = best[b, a] = max(best[a, b], score)
    for through in range(n):
        best = np.maximum(best, np.minimum(best[:, through, None], best[through]))
    best[best == 0] = 1
    return best


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Edge], list[Edge], list[Edge]]:
    """A number of faces, edges that join them, density edges, and similarity edges."""
    n = draw(st.integers(1, 9))
    face, probability = st.integers(0, n - 1), st.sampled_from([0.25, 0.5, 0.75, 0.875, 1.0])
    edges = st.lists(st.tuples(face, face, probability), max_size=12)
    return n, draw(edges), draw(edges), draw(edges)


@given(graphs())
def test_a_face_doubts_the_weakest_edge_to_each_face_of_its_cluster(
    graph: tuple[int, list[Edge], list[Edge], list[Edge]],
) -> None:
    n, joining, density, similar = graph
    labels = connected_components(n, edge_list(*joining))
    together = strongest_paths(n, labels, edge_list(*density, *similar))
    within = labels[:, None] == labels
    others = within & ~np.eye(n, dtype=bool)
    expected = np.where(others.any(axis=1), (together * others).sum(axis=1), 1)
    expected /= np.maximum(others.sum(axis=1), 1)
    for i in range(n):
        leaving = [p for a, b, p in density if labels[a] == labels[i] != labels[b]]
        expected[i] *= 1 - max(leaving, default=0)
    found = confidence(labels, edge_list(*density), edge_list(*similar))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_face_that_may_not_belong_is_doubted_more_than_the_others() -> None:
    edges = edge_list((1, 0, 1.0), (2, 0, 1.0), (3, 0, 0.5))
    sure = confidence(np.zeros(4, np.int64), edges, NONE)
    np.testing.assert_allclose(sure, [5 / 6, 5 / 6, 5 / 6, 0.5])


def test_a_fragment_doubts_itself_and_not_the_cluster_it_would_belong_to() -> None:
    edges = edge_list((1, 0, 1.0), (2, 0, 0.75), (3, 2, 1.0))
    sure = confidence(np.array([0, 0, 1, 1]), edges, NONE)
    np.testing.assert_allclose(sure, [1, 1, 0.25, 0.25])


def test_two_ways_to_a_face_are_as_sure_as_the_better_one() -> None:
    labels = np.zeros(2, np.int64)
    assert confidence(labels, edge_list((1, 0, 0.5)), edge_list((0, 1, 0.75))).tolist() == [0.75] * 2


def test_many_faces_in_a_row() -> None:
    n = 20_000
    rows = np.arange(n, dtype=np.int32)
    chain = EdgeList(rows[1:], rows[:-1], np.full(n - 1, 0.5, np.float32))
    sure = confidence(np.zeros(n, np.int64), chain, NONE)
    np.testing.assert_allclose(sure, 0.5, atol=1e-4)


@pytest.mark.parametrize("doubtful", [0.0, 0.15, 0.2, 1.0])
def test_words_are_said_where_many_edges_are_in_doubt(doubtful: float) -> None:
    probability = np.where(np.arange(100) < 100 * doubtful, 0.5, 0.99).astype(np.float32)
    words = doubt_in_words(100, probability)
    assert (words is not None) == (doubtful > 1 / 6)
    assert words is None or f"{100 * doubtful:.0f} %" in words


def test_sure_impostors_are_no_doubt() -> None:
    assert doubt_in_words(100, np.full(99, 0.01, np.float32)) is None
    assert doubt_in_words(100, np.empty(0, np.float32)) is None


def test_a_handful_of_faces_is_too_few() -> None:
    sure = np.full(FEW_FACES - 2, 0.99, np.float32)
    assert "too few" in (doubt_in_words(FEW_FACES - 1, sure) or "")
    assert doubt_in_words(FEW_FACES, sure) is None
