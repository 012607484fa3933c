"""Reciprocal sets and re-ranking: reference results, the equations as Python sets, invariance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.graph.reciprocal import k_reciprocal_sets, reciprocal_sets
from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.synthetic import generate

Sets = list[set[int]]


@st.composite
def neighbor_graphs(draw: st.DrawFn) -> NeighborGraph:
    """Draw lists of any faces in any order, some cut short, with few different similarities."""
    n = draw(st.integers(1, 14))
    k = draw(st.integers(1, n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = np.full((n, k), -1, np.int32)
    similarities = np.zeros((n, k), np.float32)
    for i in range(n):
        others = rng.permutation(np.delete(np.arange(n), i))[: rng.integers(max(1, k - 3), k + 1)]
        row = np.concatenate(([i], others))[:k]
        ids[i, : len(row)] = row
        similarities[i, : len(row)] = -np.sort(-rng.integers(-2, 4, len(row)) / 4)
        similarities[i, 0] = 1
    return NeighborGraph(ids, similarities)


def lists(graph: NeighborGraph, k: int) -> list[list[int]]:
    return [[j for j in row[:k] if j >= 0] for row in graph.ids.tolist()]


def as_sets(csr: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]) -> list[list[int]]:
    indptr, indices = csr
    return [part.tolist() for part in np.split(indices, indptr[1:-1])]


def naive_r(graph: NeighborGraph, k: int) -> Sets:
    near = lists(graph, k)
    return [{j for j in near[i] if i in near[j]} for i in range(graph.n)]


def naive_r_star(graph: NeighborGraph, k: int) -> Sets:
    full, half = naive_r(graph, k), naive_r(graph, k // 2)
    return [r.union(*(half[j] for j in r if 3 * len(half[j] & r) >= 2 * len(half[j]))) for r in full]


def naive_similarity(graph: NeighborGraph, k: int, i: int, j: int) -> float:
    for a, b in ((i, j), (j, i)):
        if b in lists(graph, k)[a]:
            return float(graph.similarities[a, lists(graph, k)[a].index(b)])
    return -2.0


def naive_rerank(graph: NeighborGraph, k: int) -> list[list[tuple[int, np.float32]]]:
    near, first, star = lists(graph, k), lists(graph, min(k, 10)), naive_r_star(graph, k)
    result = []
    for i in range(graph.n):
        candidates = set(near[i]).union(*(first[j] for j in near[i])) - {i}
        score = {j: np.float32(len(star[i] & star[j]) / len(star[i] | star[j])) for j in candidates}
        ranked = sorted(candidates, key=lambda j: (-score[j], -naive_similarity(graph, k, i, j), j))
        result.append([(i, np.float32(1)), *((j, score[j]) for j in ranked[: k - 1])])
    return result


def golden_graph(shared: Path) -> tuple[NeighborGraph, dict[str, npt.NDArray[Any]]]:
    with np.load(shared / "golden" / "rerank_k80.npz", allow_pickle=False) as stored:
        golden = dict(stored)
    ids, distances = golden["knn"][:, 0].astype(np.int32), golden["knn"][:, 1]
    return NeighborGraph(ids, 1 - distances), golden


def stored_sets(golden: dict[str, npt.NDArray[Any]], name: str) -> list[list[int]]:
    parts = np.split(golden[f"{name}_idx"], golden[f"{name}_ptr"][1:-1])
    return [sorted(part.tolist()) for part in parts]


def test_sets_equal_the_reference(shared: Path) -> None:
    graph, golden = golden_graph(shared)
    assert as_sets(reciprocal_sets(graph)) == stored_sets(golden, "R")
    assert as_sets(reciprocal_sets(graph, 40)) == stored_sets(golden, "Rhalf")
    assert as_sets(k_reciprocal_sets(graph)) == stored_sets(golden, "Rstar")


def test_scores_equal_the_reference(shared: Path) -> None:
    graph, golden = golden_graph(shared)
    reranked = rerank(graph)
    np.testing.assert_array_equal(reranked.similarities, golden["sorted_sims"])
    candidates = np.split(golden["cand_idx"], golden["cand_ptr"][1:-1])
    scores = np.split(golden["cand_sim"], golden["cand_ptr"][1:-1])
    certain = stored_sets(golden, "strict")
    for i in range(graph.n):
        score = dict(zip(candidates[i].tolist(), scores[i].tolist(), strict=True))
        assert [score[j] for j in reranked.ids[i].tolist()] == reranked.similarities[i].tolist()
        assert set(certain[i]) <= set(reranked.ids[i].tolist())


def test_order_equals_the_reference_where_scores_differ(shared: Path) -> None:
    graph, golden = golden_graph(shared)
    scores = np.asarray(golden["sorted_sims"], np.float32)
    falls = np.diff(scores, axis=1) < 0
    alone = np.pad(falls, ((0, 0), (1, 0)), constant_values=True)
    alone &= np.pad(falls, ((0, 0), (0, 1)), constant_values=False)
    np.testing.assert_array_equal(rerank(graph).ids[alone], golden["newI"][alone])


@given(neighbor_graphs(), st.integers(1, 14))
def test_sets_follow_their_definition(graph: NeighborGraph, k: int) -> None:
    k = min(k, graph.k)
    assert as_sets(reciprocal_sets(graph, k)) == [sorted(r) for r in naive_r(graph, k)]
    assert as_sets(k_reciprocal_sets(graph, k)) == [sorted(r) for r in naive_r_star(graph, k)]


@given(neighbor_graphs(), st.integers(1, 14))
@settings(deadline=None)
def test_reranking_follows_its_definition(graph: NeighborGraph, k: int) -> None:
    k = min(k, graph.k)
    reranked = rerank(graph, k)
    for i, expected in enumerate(naive_rerank(graph, k)):
        listed = reranked.ids[i] >= 0
        assert listed.sum() == len(expected)
        pairs = zip(reranked.ids[i, listed], reranked.similarities[i, listed], strict=True)
        assert list(pairs) == expected


def test_embeddings_order_equal_scores() -> None:
    X = generate(400, "wild", dimension=16).embeddings
    reranked = rerank(build_neighbor_graph(X, 12), X=X)
    cosines = np.einsum("id,ikd->ik", X.astype(np.float64), X[reranked.ids].astype(np.float64))
    tied = np.diff(reranked.similarities[:, 1:], axis=1) == 0
    assert tied.any()
    assert (np.diff(cosines[:, 1:], axis=1)[tied] < 1e-6).all()


def test_row_order_does_not_matter() -> None:
    X = generate(600, dimension=32).embeddings
    order = np.random.default_rng(1).permutation(len(X))
    straight = rerank(build_neighbor_graph(X, 20), X=X)
    shuffled = rerank(build_neighbor_graph(X[order], 20), X=X[order])
    np.testing.assert_array_equal(order[shuffled.ids], straight.ids[order])
    np.testing.assert_array_equal(shuffled.similarities, straight.similarities[order])


def test_thread_count_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_neighbor_graph(generate(1500, dimension=32).embeddings, 20)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)
    alone = rerank(graph)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    together = rerank(graph)
    np.testing.assert_array_equal(alone.ids, together.ids)
    np.testing.assert_array_equal(alone.similarities, together.similarities)


def test_identical_faces_stay_in_order() -> None:
    X = np.tile(np.array([[0.6, 0.8]], np.float32), (30, 1))
    reranked = rerank(build_neighbor_graph(X, 5), X=X)
    assert (reranked.similarities[:5] == 1).all()
    assert reranked.ids[0].tolist() == [0, 1, 2, 3, 4]
    assert reranked.ids[3].tolist() == [3, 0, 1, 2, 4]


def test_one_face() -> None:
    graph = build_neighbor_graph(np.ones((1, 1), np.float32))
    assert rerank(graph).ids.tolist() == [[0]]
    assert as_sets(k_reciprocal_sets(graph)) == [[0]]


def test_progress_counts_all_faces() -> None:
    graph = build_neighbor_graph(generate(50, dimension=8).embeddings, 5)
    progress = Progress()
    rerank(graph, progress=progress)
    assert list(progress.seconds) == ["re-ranking"]


def test_bad_arguments_are_refused() -> None:
    graph = build_neighbor_graph(generate(20, dimension=8).embeddings, 5)
    for refused in (rerank, k_reciprocal_sets, reciprocal_sets):
        with pytest.raises(InputError, match="at least 1, got 0"):
            refused(graph, 0)
    with pytest.raises(InputError, match="20 faces and X has 19"):
        rerank(graph, X=np.ones((19, 1), np.float32))
