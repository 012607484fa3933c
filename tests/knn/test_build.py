"""Neighbour lists: exact, approximate and from a given index."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numba
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.knn import build as neighbors_module
from nsrfc.knn import cells as search_module
from nsrfc.knn import exact as exact_module
from nsrfc.knn.build import build_neighbor_graph, sampled_recall
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.storage.artifacts import Pieces
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

Vectors = npt.NDArray[np.float32]


def unit(X: npt.NDArray[np.floating]) -> Vectors:
    return np.ascontiguousarray(X / np.linalg.norm(X, axis=1, keepdims=True), np.float32)


def naive_lists(X: Vectors, k: int) -> list[list[int]]:
    """Compare all pairs; a face comes first, then its copies, then the others."""
    wide = X.astype(np.float64)
    cosine = wide @ wide.T
    cosine[(X[:, None] == X[None]).all(axis=2)] = 2
    return [np.lexsort((np.arange(len(X)) != i, -cosine[i]))[:k].tolist() for i in range(len(X))]


def assert_true_lists(graph: NeighborGraph, X: Vectors, k: int) -> None:
    ids = naive_lists(X, min(k, len(X)))
    assert graph.ids.tolist() == ids
    cosines = np.einsum("id,ikd->ik", X.astype(np.float64), X[graph.ids].astype(np.float64))
    np.testing.assert_allclose(graph.similarities, cosines, atol=1e-5)


def assert_same(a: NeighborGraph, b: NeighborGraph) -> None:
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.similarities, b.similarities)


@pytest.fixture(scope="module")
def faces() -> Vectors:
    return generate(3000, dimension=48).embeddings


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 45), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_lists_are_what_comparing_all_pairs_gives(n: int, d: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pool = unit(rng.normal(size=(max(1, n // 2), d)) + 1e-3)
    X = pool[rng.integers(len(pool), size=n)]
    graph = build_neighbor_graph(X, k)
    assert_true_lists(graph, X, k)


def test_faces_closer_than_float32_can_tell_are_in_order() -> None:
    angle = np.random.default_rng(0).uniform(0, 1e-3, 400)
    X = unit(np.stack((np.cos(angle), np.sin(angle)), axis=1))
    graph = build_neighbor_graph(X, 10)
    assert_true_lists(graph, X, 10)
    assert (np.diff(graph.similarities, axis=1) < 0).all()


def test_more_copies_than_neighbours() -> None:
    X = np.tile(unit(np.ones((1, 3))), (500, 1))
    X[7] = [1, 0, 0]
    graph = build_neighbor_graph(X, 6)
    assert graph.ids[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert graph.ids[7].tolist() == [7, 0, 1, 2, 3, 4]
    assert graph.ids[499].tolist() == [499, 0, 1, 2, 3, 4]
    assert (graph.similarities[[0, 499]] == 1).all()


@pytest.mark.parametrize("method", ["exact", "approximate"])
@pytest.mark.parametrize(
    ("X", "ids"),
    [
        ([[1.0]], [[0]]),
        ([[1.0], [-1.0]], [[0, 1], [1, 0]]),
        ([[1.0], [-1.0], [1.0]], [[0, 2, 1], [1, 0, 2], [2, 0, 1]]),
        ([[0.6, 0.8]] * 3, [[0, 1, 2], [1, 0, 2], [2, 0, 1]]),
    ],
)
def test_tiny_inputs(X: list[list[float]], ids: list[list[int]], method: str) -> None:
    assert build_neighbor_graph(np.array(X, np.float32), method=method).ids.tolist() == ids


def test_row_order_does_not_matter(faces: Vectors) -> None:
    order = np.random.default_rng(1).permutation(len(faces))
    straight = build_neighbor_graph(faces, 20)
    shuffled = build_neighbor_graph(faces[order], 20)
    np.testing.assert_array_equal(order[shuffled.ids], straight.ids[order])
    np.testing.assert_array_equal(shuffled.similarities, straight.similarities[order])


def test_chunk_size_does_not_matter(faces: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = build_neighbor_graph(faces, 20)
    monkeypatch.setattr(exact_module.ListTask, "step", 701)
    assert_same(build_neighbor_graph(faces, 20), whole)


@pytest.mark.parametrize("method", ["exact", "approximate"])
def test_thread_count_does_not_matter(
    faces: Vectors, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = build_neighbor_graph(faces, 20, method=method)
    threads = faiss.omp_get_max_threads()
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 1)
    faiss.omp_set_num_threads(1)
    try:
        alone = build_neighbor_graph(faces, 20, method=method)
    finally:
        faiss.omp_set_num_threads(threads)
    assert_same(alone, together)


@pytest.mark.parametrize("crowded", [search_module.CROWDED, 1000, 2])
@pytest.mark.parametrize("flat_centers", [search_module.FLAT_CENTRES, 2])
def test_approximate_lists_repeat_themselves_and_report_their_recall(
    faces: Vectors,
    flat_centers: int,
    crowded: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(search_module, "FLAT_CENTRES", flat_centers)
    monkeypatch.setattr(search_module, "CROWDED", crowded)
    with caplog.at_level(logging.INFO, logger=neighbors_module.__name__):
        graph = build_neighbor_graph(faces, 20, method="approximate", seed=3)
    assert sampled_recall(graph, faces) > 0.85
    assert "neighbours" in caplog.text
    assert_same(graph, build_neighbor_graph(faces, 20, method="approximate", seed=3))


@pytest.mark.parametrize("d", [3, 64, 512])
def test_centres_in_groups_are_found_alike_however_many_faces_are_asked_at_a_time(d: int) -> None:
    rng = np.random.default_rng(d)
    centers, asked = (normalize(rng.standard_normal((n, d)).astype(np.float32)) for n in (3000, 700))
    groups = search_module._Groups.of(centers, seed=0)
    together = groups.nearest(asked, 4)
    for size in (1, 13, 256):
        apart = [groups.nearest(asked[start : start + size], 4) for start in range(0, 700, size)]
        np.testing.assert_array_equal(np.concatenate(apart), together)
    # All groups visited, all centres are compared.
    everything = search_module._Groups.of(centers[:200], seed=0).nearest(asked, 3)
    exact = np.argsort(-(asked @ centers[:200].T), axis=1)[:, :3]
    assert (everything == exact).mean() > 0.98, "but for the rounding of near ties"


def test_an_approximate_search_that_was_cut_off_needs_no_index_to_go_on(
    faces: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search() -> NeighborGraph:
        pieces = Pieces(tmp_path / "neighbours", "key")
        return build_neighbor_graph(faces, 20, method="approximate", pieces=pieces)

    def cut_off(*_: object, **__: object) -> NeighborGraph:
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr(search_module, "lists_among", cut_off)
        with pytest.raises(KeyboardInterrupt):
            search()
    with monkeypatch.context() as second:
        second.setattr(search_module._Centers, "of", cut_off)
        found = search()
    assert_same(found, build_neighbor_graph(faces, 20, method="approximate"))
    assert [path.name for path in tmp_path.iterdir()] == ["neighbours"], "what it was made of is gone"


class Impatient(Progress):
    """Notes how many faces each call of a stage's ``advance`` tells of, and interrupts after enough."""

    def __init__(self, stage: str, enough: float) -> None:
        super().__init__()
        self.of_interest, self.enough, self.told = stage, enough, list[int]()

    @contextmanager
    def show(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        def advance(count: int) -> None:
            if name == self.of_interest:
                self.told.append(count)
                if self.enough * total < sum(self.told) < total:
                    raise KeyboardInterrupt

        yield advance


def test_an_approximate_search_that_was_cut_off_finds_hardly_a_cell_twice(
    faces: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "_STEP", 50)
    monkeypatch.setattr("nsrfc.storage.artifacts.RECORD_SECONDS", 0)

    def search(progress: Progress) -> NeighborGraph:
        pieces = Pieces(tmp_path / "neighbours", "key")
        return build_neighbor_graph(faces, 20, method="approximate", pieces=pieces, progress=progress)

    reached = 0
    for enough in (0.1, 0.5, 0.8):
        cut_off = Impatient("index", enough)
        with pytest.raises(KeyboardInterrupt):
            search(cut_off)
        again = cut_off.told.count(50)
        assert 50 * again <= sum(cut_off.told) - reached + 100, "only what was not recorded"
        reached = sum(cut_off.told)
    last = Impatient("index", 1)
    assert_same(search(last), build_neighbor_graph(faces, 20, method="approximate"))
    assert 50 * last.told.count(50) <= sum(last.told) - reached + 100
    assert [path.name for path in tmp_path.iterdir()] == ["neighbours"], "what it was made of is gone"


def test_going_on_among_neighbours_of_neighbours_finds_more(
    faces: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sampled_recall(build_neighbor_graph(faces, 20, method="approximate"), faces)
    monkeypatch.setattr(search_module, "REBUILD_WIDTH", 1)
    assert whole > sampled_recall(build_neighbor_graph(faces, 20, method="approximate"), faces)


@pytest.mark.parametrize("preset", ["wild", "ms1m"])
def test_approximate_lists_hold_the_faces_of_an_identity_whichever_cells_are_drawn(preset: str) -> None:
    made = generate(6_000, preset, dimension=128, seed=1)
    X, person = normalize(made.embeddings), made.identities
    true = build_neighbor_graph(X, 40, method="exact").ids
    same = person[true] == person[:, None]
    for seed in range(3):
        found = build_neighbor_graph(X, 40, method="approximate", seed=seed).ids
        held = (true[:, :, None] == found[:, None, :]).any(axis=2)
        assert held[same].mean() > 0.97


def test_auto_is_exact_for_few_faces(faces: Vectors) -> None:
    assert_same(build_neighbor_graph(faces, 20), build_neighbor_graph(faces, 20, method="exact"))


def test_auto_is_approximate_for_many(faces: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors_module, "EXACT_LIMIT", len(faces) - 1)
    assert_same(build_neighbor_graph(faces, 20), build_neighbor_graph(faces, 20, method="approximate"))


def flat_index(X: Vectors) -> faiss.IndexFlatIP:
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(X)
    return index


def test_a_given_index_is_searched(faces: Vectors) -> None:
    X = np.concatenate((faces[:500], faces[:100], np.tile(faces[:1], (50, 1))))
    assert_same(build_neighbor_graph(X, 20, index=flat_index(X)), build_neighbor_graph(X, 20))


def test_an_index_that_finds_too_few_leaves_minus_one(faces: Vectors) -> None:
    cells = faiss.IndexIVFFlat(faiss.IndexFlatIP(48), 48, 64, faiss.METRIC_INNER_PRODUCT)
    cells.train(faces)
    cells.add(faces)
    graph = build_neighbor_graph(faces, 200, index=cells)
    assert (graph.ids == -1).any()
    assert (graph.similarities[graph.ids == -1] == 0).all()
    assert sampled_recall(graph, faces) < 1


def test_an_index_of_something_else_is_refused(faces: Vectors) -> None:
    euclidean = faiss.IndexFlatL2(48)
    euclidean.add(faces)
    for index, reason in (
        (flat_index(faces[1:]), "holds 2999 vectors of dimension 48"),
        (flat_index(np.ascontiguousarray(faces[:, :20])), "of dimension 20"),
        (euclidean, "METRIC_INNER_PRODUCT"),
        (flat_index(faces[::-1].copy()), "in this order"),
        ("index.faiss", "got str"),
    ):
        with pytest.raises(InputError, match=reason):
            build_neighbor_graph(faces, 5, index=index)  # type: ignore[arg-type]


def test_an_index_with_a_wrong_number_among_many_is_refused(faces: Vectors) -> None:
    numbers = np.arange(len(faces))
    numbers[1] = len(faces) + 5
    index = faiss.IndexIDMap(faiss.IndexFlatIP(48))
    index.add_with_ids(faces, numbers)
    with pytest.raises(InputError, match="under their row numbers"):
        build_neighbor_graph(faces, 20, index=index)


def test_an_index_that_fails_in_a_search_is_refused(faces: Vectors) -> None:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(48), 48, 8, faiss.METRIC_INNER_PRODUCT)
    index.train(faces)
    index.add(faces)
    index.nprobe = 0
    with pytest.raises(InputError, match="cannot be searched"):
        build_neighbor_graph(faces, 20, index=index)


def test_recall_of_exact_lists_is_one_even_with_copies(faces: Vectors) -> None:
    X = np.concatenate((faces[:300], faces[:50], np.tile(faces[:1], (40, 1))))
    assert sampled_recall(build_neighbor_graph(X, 20), X, sample=200) == 1


def test_recall_counts_what_is_missing(faces: Vectors) -> None:
    graph = build_neighbor_graph(faces, 11)
    ids, similarities = graph.ids.copy(), graph.similarities.copy()
    ids[:, 6:] = -1
    similarities[:, 6:] = 0
    assert sampled_recall(NeighborGraph(ids, similarities), faces) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("X", "reason"),
    [
        (np.ones((2, 1)), "float32"),
        (np.ones(2, np.float32), "float32"),
        (np.ones((0, 4), np.float32), "n, d >= 1"),
        (np.ones((4, 2), np.float32)[:, ::2], "C-contiguous"),
        (np.array([[1, 0], [0, 2]], np.float32), "row 1 has length 2"),
        (np.array([[1, 0], [np.nan, 0]], np.float32), "row 1 has length nan"),
    ],
)
def test_bad_embeddings_are_refused(X: Vectors, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build_neighbor_graph(X)


def test_bad_arguments_are_refused(faces: Vectors) -> None:
    with pytest.raises(InputError, match="at least 1, got 0"):
        build_neighbor_graph(faces, 0)
    with pytest.raises(InputError, match="one of auto, exact, approximate, got 'fast'"):
        build_neighbor_graph(faces, method="fast")


class Recorder(Progress):
    """Keeps the size of each stage, and what is left of it."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[str, list[int]] = {}
        self.left: Counter[str] = Counter()

    @contextmanager
    def show(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        self.totals.setdefault(name, []).append(total)
        self.left[name] += total
        yield lambda done: self.left.subtract({name: done})


def test_progress_counts_distinct_faces() -> None:
    progress = Recorder()
    build_neighbor_graph(np.array([[1], [1], [-1]], np.float32), progress=progress)
    assert progress.totals == {"neighbours": [2]}
    assert progress.left["neighbours"] == 0


def test_progress_shows_the_index_of_an_approximate_search(faces: Vectors) -> None:
    progress = Recorder()
    build_neighbor_graph(faces, 20, method="approximate", progress=progress)
    n = len(faces)
    assert progress.totals == {"index": [n + n // 4], "neighbours": [n] * 3}
    assert not any(progress.left.values())
