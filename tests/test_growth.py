"""No array grows with the square of the faces: a list takes the same, however many there are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.graph import list_features, reciprocal, reranking
from nsrfc.graph.density_graph import build_density_graph
from nsrfc.graph.list_features import ListStructure, list_structure
from nsrfc.methods.networks import padded
from nsrfc.records import ImpostorScores, NeighborGraph
from nsrfc.research import density_peaks

K = 4
SIZES = 2_000, 40_000
LISTS = 6
"""A kernel is run as plain Python, where allocations are seen, for so many of the lists."""


def ring(n: int) -> npt.NDArray[np.int32]:
    """Every face lists those that follow it."""
    ids: npt.NDArray[np.int32] = (np.arange(n)[:, None] + np.arange(K)).astype(np.int32) % n
    return ids


def descending(n: int) -> npt.NDArray[np.float32]:
    return np.tile(np.linspace(1, 0.7, K, dtype=np.float32), (n, 1))


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def features_of_some_lists(n: int) -> Callable[[], object]:
    s: ListStructure = list_structure(ring(n), descending(n), ImpostorScores(0.0, 0.1, 0.0))
    out = np.zeros((LISTS, K, len(list_features.LIST_FEATURES)), np.float32)
    known, place = (s.ids, s.score, s.rank, s.curve, s.squared_length), s.place[0]
    log_rank = np.zeros(K + 1, np.float32)
    return lambda: list_features._describe.__wrapped__(
        *known, np.array([2, 4]), log_rank, np.arange(LISTS), out, place
    )


def reranking_of_some_lists(n: int) -> Callable[[], object]:
    graph = NeighborGraph(ring(n), descending(n))
    indptr, indices = reciprocal.k_reciprocal_sets(graph)
    sets = (indptr, indices, *reranking._holders(indptr, indices))
    room = np.zeros(n, np.uint8), np.zeros(n, np.int32)
    new = np.full((n, K), -1, np.int32), np.zeros((n, K), np.float32)
    vectors = np.empty((n, 0), np.float32)
    return lambda: reranking._rescore.__wrapped__(
        np.arange(LISTS), graph.ids, graph.similarities, vectors, sets, *room, *new
    )


def sets_of_some_lists(n: int) -> Callable[[], object]:
    members, sizes = reciprocal._reciprocal(ring(n))
    half = reciprocal._reciprocal(np.ascontiguousarray(ring(n)[:, :2]))
    marks, faces = np.zeros((2, n), np.uint8), np.arange(LISTS)
    sets, counts = np.empty((LISTS, 3 * K), np.int32), np.empty(LISTS, np.int64)
    return lambda: reciprocal._expand.__wrapped__(members, sizes, *half, faces, *marks, sets, counts)


def overlaps_of_some_lists(n: int) -> Callable[[], object]:
    ids, weights = ring(n), descending(n)
    own, result = np.zeros(n, np.float32), np.zeros((LISTS, K), np.float32)
    add = density_peaks._add_overlaps.__wrapped__
    return lambda: add(ids, weights, np.arange(LISTS), own, result)


@pytest.mark.parametrize(
    "prepared",
    [features_of_some_lists, reranking_of_some_lists, sets_of_some_lists, overlaps_of_some_lists],
)
def test_a_list_takes_the_same_memory_however_many_faces_there_are(
    prepared: Callable[[int], Callable[[], object]],
) -> None:
    few, many = (peak_of(prepared(n)) for n in SIZES)
    assert many < few + SIZES[0]


def test_the_density_graph_takes_a_few_bytes_for_each_listed_neighbor() -> None:
    n = 200_000
    ids, score = ring(n), descending(n) * np.float32(0.9)
    peak = peak_of(lambda: build_density_graph(ids, score, score, 0.8))
    assert peak < 40 * ids.size


def test_lists_that_are_long_enough_are_not_copied() -> None:
    graph = NeighborGraph(ring(100), descending(100))
    assert np.shares_memory(padded(graph, K)[0], graph.ids)
    assert padded(graph, K + 2)[0].shape == (100, K + 2)
