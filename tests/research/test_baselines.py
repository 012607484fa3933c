"""The comparison methods: what they find, and that oracles really find the best."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.cluster import DBSCAN, HDBSCAN

from nsrfc.errors import InputError, OptionalDependencyError
from nsrfc.metrics import pairwise
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def unit(X: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True), dtype=np.float32)


def faces(noise: float, n: int = 120, people: int = 12, seed: int = 0) -> tuple[Floats, Ints]:
    """Return unit vectors around ``people`` random directions, and who is who."""
    rng = np.random.default_rng(seed)
    identities = rng.integers(0, people, n)
    centres = unit(rng.normal(size=(people, 16)))
    return unit(centres[identities] + noise * rng.normal(size=(n, 16)) / 4), identities


def neighbors(X: Floats, k: int) -> NeighborGraph:
    """Sort all pairs; float64 sums rounded once keep a pair's two similarities equal."""
    similarities = np.clip(X.astype(np.float64) @ X.T.astype(np.float64), -1, 1)
    similarities = np.maximum(similarities, similarities.T).astype(np.float32)
    np.fill_diagonal(similarities, 2)
    ids = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(similarities, ids, axis=1)
    return NeighborGraph(ids.astype(np.int32), np.minimum(nearest, 1))


def same_groups(one: Ints, two: Ints) -> bool:
    clustered = one != -1
    return np.array_equal(clustered, two != -1) and (
        not clustered.any() or pairwise(one[clustered], two[clustered]).f == 1.0
    )


EASY = faces(noise=0.25)
HARD = faces(noise=0.9)


@pytest.mark.parametrize(
    "labels_of",
    [
        lambda X: baselines.kmeans(X, 12),
        lambda X: baselines.dbscan(neighbors(X, 20), threshold=0.7),
        lambda X: baselines.hdbscan(neighbors(X, 20), min_cluster_size=3),
        lambda X: baselines.threshold_components(neighbors(X, 20), threshold=0.7),
        lambda X: baselines.average_linkage(X, threshold=0.6),
    ],
    ids=["kmeans", "dbscan", "hdbscan", "threshold_components", "average_linkage"],
)
def test_finds_people_who_are_far_apart(labels_of: object) -> None:
    X, identities = EASY
    before = X.copy()
    labels = labels_of(X)  # type: ignore[operator]
    assert labels.dtype == np.int64
    assert labels.shape == (len(X),)
    assert pairwise(identities, labels).f == 1.0
    np.testing.assert_array_equal(X, before)


def test_kmeans_repeats_with_its_seed_and_takes_more_clusters_than_faces() -> None:
    X, _ = HARD
    np.testing.assert_array_equal(baselines.kmeans(X, 9, seed=4), baselines.kmeans(X, 9, seed=4))
    assert len(np.unique(baselines.kmeans(X[:5], 50))) == 5


@pytest.mark.parametrize("min_samples", [2, 4])
@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_dbscan_on_complete_lists_is_dbscan_on_coordinates(threshold: float, min_samples: int) -> None:
    X, _ = HARD
    model = DBSCAN(eps=float(np.sqrt(2 - 2 * threshold)), min_samples=min_samples)
    labels = baselines.dbscan(neighbors(X, len(X)), threshold, min_samples)
    assert same_groups(model.fit_predict(X), labels)


@pytest.mark.parametrize("k", [40, 120])
def test_hdbscan_on_lists_is_hdbscan_on_coordinates(k: int) -> None:
    X, _ = HARD
    model = HDBSCAN(min_cluster_size=2, algorithm="brute", copy=True)
    assert same_groups(model.fit_predict(X.astype(np.float64)), baselines.hdbscan(neighbors(X, k), 2))


def test_hdbscan_takes_a_graph_in_several_pieces() -> None:
    X, identities = EASY
    graph = neighbors(X, 5)
    assert pairwise(identities, baselines.hdbscan(graph, 3)).precision == 1.0
    assert (baselines.hdbscan(graph, 3) >= 0).mean() > 0.9


def test_hdbscan_asks_for_longer_lists() -> None:
    with pytest.raises(InputError, match="shortest list has 4: search with a larger k"):
        baselines.hdbscan(neighbors(EASY[0], 4), min_cluster_size=5)


def test_components_are_cut_at_the_threshold_inclusively_and_named_by_first_appearance() -> None:
    graph = NeighborGraph(
        np.array([[0, 2], [1, -1], [2, 0], [3, 2]], dtype=np.int32),
        np.array([[1, 0.5], [1, 0], [1, 0.5], [1, 0.25]], dtype=np.float32),
    )
    assert baselines.threshold_components(graph, 0.5).tolist() == [0, 1, 0, 2]
    assert baselines.threshold_components(graph, 0.25).tolist() == [0, 1, 0, 0]
    assert baselines.threshold_components(graph, 0.51).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [1, 6])
def test_best_threshold_is_the_best_of_all(seed: int, decimals: int) -> None:
    X, identities = faces(noise=0.9, n=60, seed=seed)
    graph = neighbors(X, 12)
    graph = NeighborGraph(graph.ids, np.round(graph.similarities, decimals))
    labels, threshold = baselines.best_threshold_components(graph, identities)
    all_thresholds = [np.inf, *np.unique(graph.similarities)]
    brute = baselines.best_by_labels(
        ((t, baselines.threshold_components(graph, t)) for t in all_thresholds), identities
    )
    assert pairwise(identities, labels).f == pytest.approx(brute.f)
    np.testing.assert_array_equal(labels, baselines.threshold_components(graph, threshold))


@pytest.mark.parametrize("seed", range(3))
def test_best_average_linkage_is_the_best_of_all(seed: int) -> None:
    X, identities = faces(noise=0.9, n=60, seed=seed)
    labels, threshold = baselines.best_average_linkage(X, identities)
    tree = linkage(X.astype(np.float64), method="average", metric="cosine")
    best = max(
        pairwise(identities, fcluster(tree, height, criterion="distance")).f
        for height in tree[:, 2] + 1e-9
    )
    assert pairwise(identities, labels).f == pytest.approx(best)
    again = baselines.average_linkage(X, threshold - 1e-9)
    assert same_groups(labels, again)


def test_strangers_only_are_best_left_alone() -> None:
    X, _ = faces(noise=0.9, n=20)
    strangers = np.arange(20)
    labels, threshold = baselines.best_threshold_components(neighbors(X, 5), strangers)
    assert (labels.tolist(), threshold) == (list(range(20)), np.inf)
    labels, threshold = baselines.best_average_linkage(X, strangers)
    assert (len(np.unique(labels)), threshold) == (20, np.inf)


def test_best_by_labels_keeps_the_first_of_equals() -> None:
    identities = np.array([0, 0, 1])
    candidates = [("all", [0, 0, 0]), ("right", [4, 4, 5]), ("right too", [1, 1, -1])]
    best = baselines.best_by_labels(
        ((name, np.array(labels)) for name, labels in candidates), identities
    )
    assert (best.setting, best.labels.tolist(), best.f) == ("right", [4, 4, 5], 1.0)
    with pytest.raises(InputError, match="at least one setting"):
        baselines.best_by_labels([], identities)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_few_and_identical_faces(n: int) -> None:
    X = unit(np.ones((n, 4)))
    graph = neighbors(X, n)
    one_group = np.zeros(n, dtype=np.int64)
    assert same_groups(one_group, baselines.threshold_components(graph, 0.5))
    assert same_groups(one_group, baselines.average_linkage(X, 0.5))
    assert same_groups(one_group, baselines.dbscan(graph, 0.5, min_samples=1))
    assert same_groups(one_group, baselines.best_threshold_components(graph, one_group)[0])
    assert same_groups(one_group, baselines.best_average_linkage(X, one_group)[0])
    assert baselines.kmeans(X, 1).tolist() == [0] * n
    assert baselines.hdbscan(graph, min_cluster_size=8).tolist() == [-1] * n


def test_duplicates_of_two_people_are_close_to_themselves() -> None:
    X = unit(np.repeat([[1.0, 0.0], [0.0, 1.0]], 5, axis=0))
    graph = neighbors(X, 10)
    expected = np.repeat([0, 1], 5)
    assert same_groups(expected, baselines.hdbscan(graph, 3))
    assert same_groups(expected, baselines.dbscan(graph, 0.9, min_samples=5))


def test_average_linkage_refuses_what_memory_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_LINKAGE_FACES", 100)
    with pytest.raises(InputError, match="up to 100 faces, got 120"):
        baselines.average_linkage(EASY[0], 0.5)


def test_infomap_finds_people_who_are_far_apart() -> None:
    pytest.importorskip("infomap", reason="the infomap extra (GPL) is not installed")
    X, identities = EASY
    labels = baselines.infomap(neighbors(X, 20), threshold=0.7)
    assert labels.dtype == np.int64
    assert pairwise(identities, labels).f == 1.0
    assert len(np.unique(baselines.infomap(neighbors(X, 20), threshold=1.1))) == len(X)


def test_infomap_says_which_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "infomap", None)
    with pytest.raises(OptionalDependencyError, match=r"nsrfc\[infomap\]"):
        baselines.infomap(neighbors(EASY[0], 5), threshold=0.5)


@pytest.mark.parametrize(
    ("embedder", "components", "hdbscan", "linkage_f"),
    [("ov256", 0.935, 0.958, 0.964), ("mfn128", 0.928, 0.932, 0.949)],
)
def test_real_faces_score_what_they_are_known_to(
    shared: Path, embedder: str, components: float, hdbscan: float, linkage_f: float
) -> None:
    with np.load(shared / "data" / "celeba_wild_dev.npz", allow_pickle=False) as data:
        X, identities = unit(data[embedder].astype(np.float32)), data["identity"]
    graph = neighbors(X, 80)

    def f(labels: Ints) -> float:
        return pairwise(identities, labels).f

    assert components <= f(baselines.best_threshold_components(graph, identities)[0]) < 0.95
    assert hdbscan <= f(baselines.hdbscan(graph, 3)) < 0.97
    assert linkage_f <= f(baselines.best_average_linkage(X, identities)[0]) < 0.97
