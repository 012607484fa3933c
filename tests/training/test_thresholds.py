"""What the identities held out say: how pairs are ranked, and which thresholds cluster best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.methods.base import Run
from nsrfc.records import Neighborhood
from nsrfc.training.sample import Sample
from nsrfc.training.thresholds import TOLERANCE, ScoredSet, best_clusters, ranking_quality

from .samples import method_of, neighborhood_of, sample_of

K = 12


@pytest.fixture(scope="module")
def sample() -> Sample:
    return sample_of(400, 16, K)


def scored_set(
    near: Neighborhood,
    identity: npt.NDArray[np.int64],
    probability: npt.NDArray[np.float32] | None = None,
    *,
    groups: bool = False,
) -> ScoredSet:
    """Return faces before any network: a_ij and S_ij are cosines, and a_ij p_ij judges density edges."""
    method = method_of("structure", K, groups=groups)
    cosine = np.maximum(near.similarities, 0)
    graph = method.graph_of(near, cosine, cosine)
    known = graph.density_edges.score if probability is None else probability
    return ScoredSet(method, Sample(near, identity, near.ids), graph, known)


def test_ranking_quality_is_the_share_of_pairs_of_pairs_in_order() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.1, 0.1], np.float32)
    same = np.array([True, False, True, False, True])
    assert ranking_quality(score, same) == pytest.approx((2 + 1 + 0.5) / 6)
    assert ranking_quality(score, np.ones(5, bool)) == 1


def test_thresholds_cluster_a_clear_case_perfectly() -> None:
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(20), 6)
    X = np.eye(20, 32, dtype=np.float32)[identity] + rng.normal(0, 0.06, (120, 32)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1)[:, None]
    near = neighborhood_of(X, K)
    clear = scored_set(near, identity)
    assert best_clusters(clear).quality == 1
    known = best_clusters(scored_set(near, identity, clear.genuine.astype(np.float32)))
    assert known.quality == 1
    assert 0 < known.connect <= 1


def test_rounding_flips_no_edge_at_the_thresholds_found(sample: Sample) -> None:
    scored = scored_set(sample.near, sample.identity)
    found, graph = best_clusters(scored), scored.graph
    pairs = (graph.similarity_edges.score, found.tau), (graph.density_edges.score, found.connect)
    for score, threshold in pairs:
        assert np.abs(score - threshold).min() > 1e-6


def test_groups_are_compared_where_that_is_wanted() -> None:
    """Two people, and a face between them that is as near to both."""
    X = np.repeat(np.eye(2, 16, dtype=np.float32), 6, axis=0)
    X += np.random.default_rng(0).normal(0, 0.05, X.shape).astype(np.float32)
    X = np.concatenate((X, X[:1] + X[6:7]))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    identity = np.array([0] * 6 + [1] * 6 + [0])
    near = method_of("structure", K, groups=True).nearest(X, None, Run())
    chained, compared = scored_set(near, identity), scored_set(near, identity, groups=True)
    assert chained.labels(0.3, 0.3).max() == 0
    assert compared.labels(0.3, 0.3)[:12].tolist() == [0] * 6 + [1] * 6
    assert compared.quality(0.3, 0.3) > chained.quality(0.3, 0.3)


def test_several_sets_are_given_the_thresholds_that_are_best_in_the_mean(sample: Sample) -> None:
    near, identity = sample.near, sample.identity
    blurred_near = replace(near, similarities=near.similarities**2)
    scored, blurred = scored_set(near, identity), scored_set(blurred_near, identity)
    found = best_clusters(scored, blurred)
    alone = [each.quality(found.tau, found.connect) for each in (scored, blurred)]
    assert found.quality == pytest.approx(np.mean(alone))
    for each in (scored, blurred):
        own = best_clusters(each)
        both = [other.quality(own.tau, own.connect) for other in (scored, blurred)]
        assert found.quality >= np.mean(both) - 2 * TOLERANCE


@pytest.mark.parametrize("groups", [False, True])
def test_a_set_is_clustered_as_the_method_clusters(sample: Sample, *, groups: bool) -> None:
    """With tau and connect as settings of the method, from its first step to its last."""
    X, run = sample.near.faces, Run()
    method = method_of("structure", K, groups=groups)
    scored = scored_set(method.nearest(X, None, run), sample.identity, groups=groups)
    serving = method.with_settings(tau=0.5, connect=0.4)
    near = serving.neighborhood(X, None, run)
    density = serving.density_graph(near, serving.affinity(near, run), run)
    found = serving.components(near, density, serving.edge_scorer(near, density, run), run)
    assert 1 < found.labels.max() < len(X) - 1
    np.testing.assert_array_equal(scored.labels(0.5, 0.4), found.labels)
