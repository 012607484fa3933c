"""Thresholds that training finds: measured on what serves, and chosen as they say they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc import metrics
from nsrfc.config import ClusterConfig
from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.knn.copies import distinct_faces
from nsrfc.methods.base import Run
from nsrfc.methods.registry import load_networks
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import ClusterComparison
from nsrfc.records import DensityGraph, EdgeList, Neighborhood
from nsrfc.synthetic import GeneratedFaces, generate
from nsrfc.training.sample import Sample
from nsrfc.training.thresholds import (
    MOST_TAU,
    TOLERANCE,
    Clusters,
    ScoredSet,
    best_clusters,
    precision_steps,
)

from ..models import FAMILIES, D, make_model
from .samples import method_of, sample_of


@pytest.fixture(scope="module")
def faces() -> GeneratedFaces:
    return generate(150, "wild", dimension=D, seed=9)


def scored_by(model: NSRFC, faces: GeneratedFaces) -> tuple[ScoredSet, npt.NDArray[np.int64]]:
    """Score faces as training does at its end; with the place of each row among distinct faces."""
    run, distinct = Run(device="cpu"), distinct_faces(faces.embeddings)
    method = load_networks(model, ClusterConfig(tau=0.0), D, run)
    near = method.neighborhood(distinct.vectors, None, run)
    affinity = method.affinity(near, run)
    same = method.genuine_probability(near, affinity, run)
    graph = method.graph_of(near, affinity, same)
    probability = method.edge_scores("pcenet", near, affinity, same, run)(graph.density_edges)
    identity = faces.identities[distinct.rows]
    scored = ScoredSet(method, Sample(near, identity, near.ids), graph, probability)
    return scored.calibrated(model.settings.calibration), distinct.place


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("compared", [True, False])
def test_a_set_is_clustered_as_the_package_clusters_it(
    faces: GeneratedFaces, family: str, compared: bool, tmp_path: Path
) -> None:
    model = make_model(
        FAMILIES[family],
        cluster_comparison=ClusterComparison() if compared else None,
        calibration=(0.8, 0.5, 0.3),
    )
    scored, place = scored_by(model, faces)
    number = set()
    high, low = np.quantile(scored.graph.similarity_edges.score, [0.99, 0.6]).tolist()
    for tau, connect in ((high, 0.5), (low, 0.9), (1.0, 0.02), (1.0, 1.0)):
        config, run = ClusterConfig(tau=tau, threshold=connect), Run(device="cpu", cache=tmp_path)
        found = nsrfc.cluster(faces.embeddings, model, config, run=run)
        labels = relabel_by_first_appearance(scored.labels(tau, connect)[place])
        np.testing.assert_array_equal(labels, found.labels)
        number.add(found.labels.max())
    assert len(number) > 1, "thresholds make a difference"


def hand_made(
    identity: list[int],
    density: list[tuple[int, int, float]],
    similar: list[tuple[int, int, float]],
) -> ScoredSet:
    """Make a set of given edges, density edges with their probability."""
    n = len(identity)

    def edges(given: list[tuple[int, int, float]]) -> EdgeList:
        source, target, score = zip(*given, strict=True)
        return EdgeList(
            np.array(source, np.int32), np.array(target, np.int32), np.array(score, np.float32)
        )

    X, ids = np.eye(n, dtype=np.float32), np.arange(n, dtype=np.int32)[:, None]
    near = Neighborhood(X, X, ids, np.ones((n, 1), np.float32), ids)
    graph = DensityGraph(np.ones(n), edges(density), edges(similar), 0.0)
    probability = graph.density_edges.score
    return ScoredSet(
        method_of("structure", 1), Sample(near, np.array(identity), ids), graph, probability
    )


PEOPLE = [0, 0, 0, 1, 1, 1, 2, 2, 2]
INSIDE = [(0, 1, 0.8), (1, 2, 0.9), (3, 4, 0.85), (4, 5, 0.8), (6, 7, 0.9), (7, 8, 0.95)]
BETWEEN = [(2, 3, 0.2), (5, 6, 0.3)]


def test_the_connect_in_the_middle_of_those_that_do_as_well_is_taken() -> None:
    """Between the best edge of impostors, 0.3, and the worst within an identity, 0.8."""
    scored = hand_made(PEOPLE, INSIDE + BETWEEN, [(0, 1, 0.99), (3, 4, 0.97)])
    found = best_clusters(scored)
    assert found.quality == 1
    assert found.connect == pytest.approx(0.55, abs=0.06)


def test_a_high_tau_is_taken_where_a_low_one_does_as_well() -> None:
    """With these faces every tau does; with more of them a low one would chain identities."""
    ends = [(0, 1), (3, 4), (6, 8), (1, 2), (4, 5), (7, 8), (0, 2), (3, 5), (6, 7)]
    pairs = [(*pair, 0.94 - 0.06 * place) for place, pair in enumerate(ends)]
    found = best_clusters(hand_made(PEOPLE, INSIDE + BETWEEN, pairs))
    assert found.quality == 1
    assert 0.7 < found.tau <= MOST_TAU


def test_a_tau_beyond_the_most_useful_is_taken_only_where_none_up_to_it_does_as_well() -> None:
    impostors = [(2, 3, 0.96), (5, 6, 0.955)]
    pairs = [(0, 1, 0.995), (1, 2, 0.99), (3, 4, 0.985), (6, 8, 0.98)]
    found = best_clusters(hand_made(PEOPLE, INSIDE + BETWEEN, pairs + impostors))
    assert found.quality == 1
    assert MOST_TAU < 0.96 < found.tau
    scored = hand_made(PEOPLE, INSIDE + BETWEEN, pairs + impostors)
    assert scored.quality(MOST_TAU, found.connect) < 1 - TOLERANCE


def test_the_quality_is_that_of_the_thresholds_and_no_pair_of_a_grid_is_much_better() -> None:
    sample = sample_of(150, 16, 10, seed=2)
    scored = with_cosines(sample)
    found = best_clusters(scored)
    assert found == Clusters(scored.quality(found.tau, found.connect), found.tau, found.connect)
    grid = [scored.quality(tau, connect) for tau in (0.3, 0.5, 0.7, 2.0) for connect in (0.2, 0.4, 0.6)]
    assert found.quality >= max(grid) - 0.02
    labels = scored.labels(found.tau, found.connect)
    f = metrics.pairwise(sample.identity, labels).f, metrics.bcubed(sample.identity, labels).f
    assert found.quality == pytest.approx(np.mean(f))


def with_cosines(sample: Sample) -> ScoredSet:
    """Make a set before any network."""
    method = method_of("structure", sample.near.ids.shape[1])
    cosine = np.maximum(sample.near.similarities, 0)
    graph = method.graph_of(sample.near, cosine, cosine)
    return ScoredSet(method, sample, graph, graph.density_edges.score)


def precision(scored: ScoredSet, tau: float, connect: float) -> float:
    return metrics.pairwise(scored.identity, scored.labels(tau, connect)).precision


def test_precision_rises_with_the_threshold_that_reaches_it() -> None:
    scored = with_cosines(sample_of(300, 16, 10, seed=3))
    steps = precision_steps(2.0, scored)
    assert len(steps) > 3
    reached, connects = zip(*steps, strict=True)
    assert list(reached) == sorted({*reached})
    assert list(connects) == sorted({*connects})
    for found, connect in steps:
        assert found == precision(scored, 2.0, connect)
        lower = [c for c in np.linspace(0.05, 0.95, 19) if c < connect - 1e-9]
        assert all(precision(scored, 2.0, float(c)) < found for c in lower), "the lowest that does"


def test_of_several_sets_three_in_four_reach_the_precision() -> None:
    sets = [with_cosines(sample_of(120, 16, 8, seed=seed)) for seed in range(4)]
    steps = precision_steps(0.9, *sets)
    for found, connect in steps:
        each = sorted(precision(scored, 0.9, connect) for scored in sets)
        # The quartile lies between the first and the second of four.
        assert each[0] <= found <= each[1]


def test_faces_of_one_identity_reach_every_precision_at_once() -> None:
    scored = hand_made([0] * 9, INSIDE + BETWEEN, [(0, 1, 0.9)])
    assert precision_steps(2.0, scored) == [(1.0, 0.05)]


def test_a_sample_describes_its_lists() -> None:
    sample = sample_of(60, 12, 6, seed=1)
    ids = sample.near.ids.copy()
    ids[::4, 3:] = -1
    # A missing neighbour is not the last face, whose number -1 would be.
    identity = sample.identity.copy()
    identity[-1] = identity[0]
    sample = replace(sample, near=replace(sample.near, ids=ids), identity=identity)
    listed, genuine = sample.listed, sample.genuine
    for (i, c), j in np.ndenumerate(ids):
        there = c > 0 and j >= 0
        assert listed[i, c] == there
        assert genuine[i, c] == (there and identity[i] == identity[j])
    assert genuine.any()
    assert (listed & ~genuine).any()
    assert (sample.near.ids[:, 0] == np.arange(60)).all(), "reading changes nothing"


def test_what_no_network_gave_is_what_stands_before_it() -> None:
    sample = sample_of(30, 12, 6, seed=1)
    cosine = np.maximum(sample.near.similarities, 0)
    np.testing.assert_array_equal(sample.affinity, cosine)
    np.testing.assert_array_equal(sample.genuine_probability, cosine)
    pair = np.full_like(cosine, 0.25)
    paired = replace(sample, pair=pair)
    assert paired.affinity is pair
    assert paired.genuine_probability is pair
    both = replace(paired, list_probability=np.full_like(cosine, 0.75))
    assert both.affinity is pair
    assert (both.genuine_probability == 0.75).all()
