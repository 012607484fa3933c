"""The steps by rules: what each leaves, which way its settings turn, and the smallest sets of faces."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.graph.scores import fit_score_model, impostor_scores, probability
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.methods.rules import Rules
from nsrfc.model.settings import ClusterComparison
from nsrfc.records import (
    Components,
    DensityGraph,
    EdgeList,
    ImpostorScores,
    NeighborGraph,
    Neighborhood,
    ScorePrior,
)
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

K = 20

NONE = ImpostorScores(0.0, 0.1, 0.0)


class Steps:
    """Some faces, taken through the four steps."""

    def __init__(self, X: Floats, rules: Rules) -> None:
        run = Run(device="cpu")
        self.rules, self.near = rules, rules.neighborhood(X.copy(), None, run)
        self.density = rules.density_graph(self.near, rules.affinity(self.near, run), run)
        scorer = rules.edge_scorer(self.near, self.density, run)
        self.found = rules.components(self.near, self.density, scorer, run)

    @property
    def clusters(self) -> int:
        return int(self.found.labels.max()) + 1


@pytest.fixture(scope="module")
def X() -> Floats:  # noqa: N802
    return normalize(generate(500, "wild", dimension=48, seed=2).embeddings)


@pytest.fixture(scope="module")
def steps(X: Floats) -> Steps:
    return Steps(X, Rules(k=K))


def test_similarities_of_lists_are_scores_that_descend(X: Floats, steps: Steps) -> None:
    near = steps.near
    np.testing.assert_array_equal(near.ids[:, 0], np.arange(len(X)))
    assert (near.similarities[:, 0] == np.inf).all()
    listed = near.ids >= 0
    assert listed[:, :2].all()
    for scores, row in zip(near.similarities, listed, strict=True):
        assert (np.diff(scores[1:][row[1:]]) <= 0).all()
        assert (scores[~row] == -np.inf).all()
    assert all(len(np.unique(ids[ids >= 0])) == (ids >= 0).sum() for ids in near.ids)
    np.testing.assert_allclose(np.linalg.norm(near.vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite(near.identical)


def test_without_whitening_and_refinement_scores_are_those_of_cosines(X: Floats) -> None:
    near = Steps(X, Rules(k=K, whitening=(0,), refinements=())).near
    cosine = X.astype(np.float64) @ X.T
    impostors = impostor_scores(X)
    expected = impostors.normalized(cosine.astype(np.float32))
    np.testing.assert_allclose(
        near.similarities[:, 1:], np.take_along_axis(expected, near.ids[:, 1:], axis=1), atol=1e-3
    )
    np.testing.assert_array_equal(near.vectors, X)
    np.testing.assert_array_equal(near.ids, build_neighbor_graph(X, K).ids)
    assert near.impostors == (impostors, impostors)


def test_where_a_list_ends_there_is_nobody_to_join(X: Floats) -> None:
    """The last face, whose number an absent one would have, is nobody's neighbour here."""
    graph = build_neighbor_graph(X, K)
    ids, similarities = graph.ids.copy(), graph.similarities.copy()
    ids[ids == len(X) - 1], ids[:, 8:], ids[3, 1:] = -1, -1, -1
    ids[-1, 0] = len(X) - 1
    order = np.argsort(ids < 0, axis=1, kind="stable")
    ids = np.take_along_axis(ids, order, axis=1)
    similarities = np.where(ids >= 0, np.take_along_axis(similarities, order, axis=1), 0)
    rules, run = Rules(k=K, whitening=(0,), refinements=()), Run()
    near = rules.neighborhood(X.copy(), NeighborGraph(ids, similarities.astype(np.float32)), run)
    np.testing.assert_array_equal(np.sort(near.ids), np.sort(ids))
    np.testing.assert_array_equal(near.similarities == -np.inf, near.ids < 0)
    density = rules.density_graph(near, near.similarities, run)
    assert np.isfinite(density.density).all()
    for edges in (density.density_edges, density.similarity_edges):
        assert len(edges) > 0
        assert len(X) - 1 not in edges.target
        assert (edges.target >= 0).all()
        assert 3 not in edges.source
    assert density.density[3] == 0


def test_a_face_has_its_density_edge_to_the_best_denser_neighbour(steps: Steps) -> None:
    """With scores, probabilities, densities and edges reckoned face by face."""
    near, density = steps.near, steps.density
    n, score = len(near.ids), near.similarities
    best = score[:, 1:].max(axis=1)
    model = fit_score_model(best, n, near.identical)
    rho = np.zeros(n)
    for i in range(n):
        for s in score[i, 1:][near.ids[i, 1:] >= 0].tolist():
            rho[i] += max(s, 0) / (1 + np.exp(-model.slope * (s - model.threshold)))
    np.testing.assert_allclose(density.density, rho, rtol=1e-4)
    edges = {}
    for i in range(n):
        above = [
            (score[i, c], -c, int(j))
            for c, j in enumerate(near.ids[i].tolist())
            if c > 0 and j >= 0 and (density.density[j], -j) > (density.density[i], -i)
        ]
        if above:
            edges[i] = max(above)
    assert density.density_edges.source.tolist() == list(edges)
    assert density.density_edges.target.tolist() == [j for _, _, j in edges.values()]
    local = [2 * s - max(best[i], best[j]) for i, (s, _, j) in edges.items()]
    np.testing.assert_allclose(density.density_edges.score, local, rtol=1e-5)
    of_edges = fit_score_model(density.density_edges.score, n, near.identical)
    assert density.threshold == pytest.approx(of_edges.threshold + steps.rules.margin)
    np.testing.assert_allclose(
        steps.found.density_edges.score,
        probability(of_edges.log_odds(density.density_edges.score)),
        atol=1e-6,
    )


def test_density_edges_lead_up_to_a_face_that_has_none(steps: Steps) -> None:
    edges, n = steps.density.density_edges, len(steps.near.ids)
    up = np.arange(n)
    up[edges.source] = edges.target
    for _ in range(n.bit_length()):
        up = up[up]
    tops = np.setdiff1d(np.arange(n), edges.source)
    assert np.isin(up, tops).all()
    assert 0 < len(tops) < n / 3


def test_a_scorer_gives_an_edge_the_same_whatever_is_asked_with_it(steps: Steps) -> None:
    scorer = steps.rules.edge_scorer(steps.near, steps.density, Run())
    whole = scorer(np.arange(len(steps.density.density_edges)))
    chosen = np.array([7, 3, 3, len(whole) - 1])
    np.testing.assert_array_equal(scorer(chosen), whole[chosen])
    assert ((whole >= 0) & (whole <= 1)).all()


def test_the_record_makes_the_same_rules_again() -> None:
    rules = Rules(
        k=33,
        whitening=(0, 0.25, 0.5),
        refinements=((5, 0.0),),
        followed=0.5,
        margin=2.0,
        cluster_comparison=ClusterComparison(minimum=0.4, minimum_score=1.0, unlinked_size=7),
        search="exact",
        seed=9,
        prior=ScorePrior("mine", (0.1, 0.01), None),
    )
    record = json.loads(json.dumps(rules.record()))
    assert record["name"] == "rules"
    settings = record["settings"]
    assert {*settings, "prior"} == {each.name for each in fields(Rules)}
    assert all(getattr(rules, each.name) != each.default for each in fields(Rules))
    tuples = {
        "whitening": tuple(settings["whitening"]),
        "refinements": tuple(map(tuple, settings["refinements"])),
        "cluster_comparison": ClusterComparison(**settings["cluster_comparison"]),
        "prior": ScorePrior.of(record["embedder"]),
    }
    assert Rules(**(settings | tuples)) == rules


def test_a_larger_margin_leaves_fewer_of_the_same_similarity_edges(steps: Steps) -> None:
    def joined(margin: float) -> tuple[set[tuple[int, int]], float]:
        rules = replace(steps.rules, margin=margin)
        density = rules.density_graph(steps.near, steps.near.similarities, Run())
        edges = density.similarity_edges
        assert (edges.score >= density.threshold).all()
        pairs = zip(edges.source.tolist(), edges.target.tolist(), strict=True)
        return {(min(pair), max(pair)) for pair in pairs}, density.threshold

    few, high = joined(3.0)
    more, low = joined(0.0)
    assert few < more
    assert high - low == pytest.approx(3)


def given_edges(chance: list[float], X: Floats, rules: Rules, ends: list[tuple[int, int]]) -> Components:
    """Cluster faces by density edges of given probabilities."""
    source, target = np.array(ends, np.int32).T
    edges = EdgeList(source.copy(), target.copy(), np.array(chance, np.float32))
    density = DensityGraph(np.ones(len(X)), edges, edges.where(np.zeros(len(edges), bool)), 0.0)
    ids = np.arange(len(X), dtype=np.int32)[:, None]
    ones, impostors = np.ones((len(X), 1), np.float32), (NONE, NONE)
    near = Neighborhood(X, X, ids, ones, ids, impostors=impostors, identical=NONE.identical)
    scorer = np.array(chance, np.float32).__getitem__
    return rules.components(near, density, scorer, Run())


def test_an_edge_is_followed_from_its_log_odds_on() -> None:
    """Three lone faces: nothing but the probability decides."""
    X = np.eye(3, dtype=np.float32)
    chance = [float(probability(np.array(odds, np.float32))) for odds in (-0.9, -1.1)]

    def labels(followed: float) -> list[int]:
        rules = Rules(followed=followed)
        found: list[int] = given_edges(chance, X, rules, [(0, 1), (2, 1)]).labels.tolist()
        return found

    assert labels(-1.0) == [0, 0, 1]
    assert labels(-2.0) == [0, 0, 0]
    assert labels(0.0) == [0, 1, 2]


def test_two_clusters_are_joined_from_their_normalised_similarity_on() -> None:
    """Two pairs of faces whose normalised similarity is 0.5, tied by an edge."""
    directions = np.array([[1, 0], [0.5, np.sqrt(0.75)]], np.float32)
    X = np.repeat(directions, 2, axis=0)

    def labels(minimum: float) -> list[int]:
        rules = Rules(cluster_comparison=ClusterComparison(minimum=minimum))
        ends = [(0, 1), (2, 3), (1, 2)]
        found: list[int] = given_edges([0.99, 0.98, 0.9], X, rules, ends).labels.tolist()
        return found

    assert labels(0.49) == labels(0.0) == [0, 0, 0, 0]
    assert labels(0.51) == labels(1.0) == [0, 0, 1, 1]


def test_two_clusters_must_lie_above_impostor_pairs_as_well() -> None:
    """Two pairs of faces of cosine 0.5, where that of impostor pairs is 0 and their deviation 0.1."""
    directions = np.array([[1, 0], [0.5, np.sqrt(0.75)]], np.float32)
    X = np.repeat(directions, 2, axis=0)

    def labels(minimum_score: float) -> list[int]:
        rules = Rules(cluster_comparison=ClusterComparison(minimum=0, minimum_score=minimum_score))
        ends = [(0, 1), (2, 3), (1, 2)]
        found: list[int] = given_edges([0.99, 0.98, 0.9], X, rules, ends).labels.tolist()
        return found

    assert labels(4.9) == [0, 0, 0, 0]
    assert labels(5.1) == [0, 0, 1, 1]


def test_settings_turn_the_number_of_clusters_the_way_they_say(X: Floats, steps: Steps) -> None:
    run = Run()
    scorer = steps.rules.edge_scorer(steps.near, steps.density, run)

    def clusters(rules: Rules) -> int:
        found = rules.components(steps.near, steps.density, scorer, run)
        return int(found.labels.max()) + 1

    # With every density edge followed, the comparison alone keeps identities apart.
    every = replace(steps.rules, followed=-30.0)
    by_minimum = [
        clusters(replace(every, cluster_comparison=ClusterComparison(minimum=minimum)))
        for minimum in (0.0, 0.6, 1.0)
    ]
    assert by_minimum[0] < by_minimum[1] < by_minimum[2]
    by_odds = [clusters(replace(steps.rules, followed=odds)) for odds in (-30.0, -1.0, 1.0, 30.0)]
    assert by_odds == sorted(by_odds)
    assert by_odds[0] < by_odds[-1]
    assert clusters(steps.rules) == steps.clusters


def test_large_clusters_need_no_edge_where_that_is_allowed() -> None:
    """Two halves of an identity, no edge between them, of which one lists the other."""
    X = normalize(np.ones((8, 16)) + 0.01 * np.eye(8, 16))
    ends = [(face, face + 1) for face in (0, 1, 2, 4, 5, 6)]
    source, target = np.array(ends, np.int32).T
    edges = EdgeList(source.copy(), target.copy(), np.ones(6, np.float32))
    density = DensityGraph(np.ones(8), edges, edges.where(np.zeros(6, bool)), 0.0)
    ids = np.stack((np.arange(8), (np.arange(8) + 4) % 8), axis=1).astype(np.int32)
    ones, impostors = np.ones((8, 2), np.float32), (NONE, NONE)
    near = Neighborhood(X, X, ids, ones, ids, impostors=impostors, identical=NONE.identical)

    def labels(size: int) -> list[int]:
        rules = Rules(cluster_comparison=ClusterComparison(unlinked_size=size, unlinked_minimum=0.9))
        sure = np.ones(6, np.float32)
        found: list[int] = rules.components(near, density, sure.__getitem__, Run()).labels.tolist()
        return found

    assert labels(4) == [0] * 8
    assert labels(5) == [0] * 4 + [1] * 4


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_a_handful_of_faces_is_clustered_in_few_dimensions(n: int, d: int) -> None:
    X = np.random.default_rng(n + d).normal(size=(n, d)).astype(np.float32)
    found = nsrfc.cluster(X, None)
    np.testing.assert_array_equal(found.labels, relabel_by_first_appearance(found.labels))
    assert found.labels.shape == found.confidence.shape == (n,)
    assert found.labels.min() == 0
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    assert (found.confidence == 1).any(), "the densest face has no edge"
    if d == 1:
        assert len(np.unique(found.labels)) <= len(np.unique(X > 0))


def test_copies_of_few_faces_are_one_cluster_each_however_many_there_are() -> None:
    axes = np.eye(3, 8, dtype=np.float32)
    rows = np.array([0, 1, 1, 2, 0, 2, 2])
    assert nsrfc.cluster(axes[rows], None).labels.tolist() == [0, 1, 1, 2, 0, 2, 2]
    assert nsrfc.cluster(-axes[[1, 1]], None).labels.tolist() == [0, 0]


def test_a_list_is_no_longer_than_the_faces_are_many(X: Floats) -> None:
    few = X[:30]
    clamped, whole = Steps(few, Rules(k=80)), Steps(few, Rules(k=30))
    assert clamped.near.ids.shape == (30, 30)
    np.testing.assert_array_equal(clamped.near.ids, whole.near.ids)
    np.testing.assert_array_equal(clamped.found.labels, whole.found.labels)
    np.testing.assert_array_equal(clamped.found.density_edges.score, whole.found.density_edges.score)


def test_the_faces_choose_between_the_powers_of_whitening(X: Floats, steps: Steps) -> None:
    """They lose what all identities have in common, or stay as they are."""
    plain, white = (Steps(X, Rules(k=K, whitening=(power,))).near.vectors for power in (0, 0.5))
    np.testing.assert_array_equal(plain, X)
    assert np.abs(white - X).max() > 0.01
    chosen = steps.near.vectors
    assert any(np.array_equal(chosen, each) for each in (plain, white))
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.standard_normal((60, 32)), 5, axis=0)
    clear = normalize(centres + 0.2 * rng.standard_normal((300, 32)))
    unmoved = Steps(clear, Rules(k=K)).near.vectors
    np.testing.assert_array_equal(unmoved, clear, "there is no doubt to take away")


def test_of_a_longer_graph_the_rules_take_as_much_as_their_k_says(X: Floats) -> None:
    config = ClusterConfig(k=K)
    found = nsrfc.cluster(X, None, config, graph=build_neighbor_graph(X, 3 * K))
    assert found.method["settings"]["k"] == K
    np.testing.assert_array_equal(found.labels, nsrfc.cluster(X, None, config).labels)
