"""The four steps by networks: which edges are scored, and which groups they join."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.config import ClusterConfig
from nsrfc.graph.components import connected_components, relabel_by_first_appearance
from nsrfc.graph.reverse import columns_in_lists
from nsrfc.graph.scores import ScoreModel
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import distinct_faces
from nsrfc.knn.rebuilt import listed_cosines
from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod, padded
from nsrfc.methods.registry import load_networks
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import ClusterComparison
from nsrfc.pipeline import cluster, pair_probabilities
from nsrfc.records import Components, DensityGraph, EdgeList, ImpostorScores, Neighborhood
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..models import FAMILIES, PUBLISHED, STRUCTURE, D, K, make_model

USUAL = ClusterComparison()

Floats = npt.NDArray[np.float32]


def method_of(model: NSRFC, dimension: int = D) -> NetworkMethod:
    return load_networks(model, ClusterConfig(), dimension, Run())


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_are_those_of_scoring_every_edge(family: str, caplog: pytest.LogCaptureFixture) -> None:
    model, run = make_model(FAMILIES[family]), Run()
    X = generate(250, "wild", dimension=D, seed=1).embeddings
    X = np.concatenate([X, X[:20]])
    faces, method = distinct_faces(X), method_of(model)
    near = method.neighborhood(faces.vectors, None, run)
    graph = method.density_graph(near, method.affinity(near, run), run)
    edges = graph.density_edges
    assert graph.affinity is not None
    assert graph.genuine_probability is not None
    probability = method.edge_scores("pcenet", near, graph.affinity, graph.genuine_probability, run)(
        edges
    )
    kept = edges.where(probability >= model.settings.connect)
    every = connected_components(len(near.ids), kept + graph.similarity_edges)
    labels = relabel_by_first_appearance(every[faces.place])
    with caplog.at_level("INFO", "nsrfc"):
        np.testing.assert_array_equal(labels, cluster(X, model).labels)

    scorer, asked = method.edge_scorer(near, graph, run), np.zeros(len(edges), bool)

    def counted(chosen: npt.NDArray[np.int64]) -> Floats:
        asked[chosen] = True
        return scorer(chosen)

    found = method.components(near, graph, counted, run)
    np.testing.assert_array_equal(relabel_by_first_appearance(found.labels), every)
    seen = found.density_edges.score
    np.testing.assert_allclose(seen[asked], probability[asked], atol=1e-6)
    np.testing.assert_allclose(seen[~asked], edges.score[~asked], atol=1e-6)
    skipped = np.count_nonzero(~asked)
    assert skipped > 0
    assert f"{skipped:,} of {len(edges):,} density edges" in caplog.text


def test_a_bridge_between_unlike_groups_is_left_out() -> None:
    """Two people with a face between them, which is tied to both."""
    rng = np.random.default_rng(0)
    apart = np.repeat(np.eye(2, 16), 6, axis=0) + rng.normal(0, 0.05, (12, 16))
    X = normalize(np.concatenate((apart, apart[:1] + apart[6:7])))
    settings = {**STRUCTURE, "dimension": None, "used": {}, "tau": 0.3}
    assert cluster(X, make_model(settings)).labels.max() == 0
    labels = cluster(X, make_model(settings, cluster_comparison=USUAL)).labels
    assert labels[:12].tolist() == [0] * 6 + [1] * 6
    assert labels[12] in (0, 1), "the face between them follows its best edge"


def compared(threshold: float) -> NSRFC:
    """Return a model of cosines that compares clusters."""
    return make_model(STRUCTURE, dimension=None, used={}, cluster_comparison=USUAL, connect=threshold)


class Compared:
    """Faces whose density edges, and the probabilities of these, are given."""

    def __init__(self, X: Floats, pairs: list[tuple[int, int]], score: list[float]) -> None:
        self.X, ends = X, np.array(pairs, np.int32)
        edges = EdgeList(ends[:, 0].copy(), ends[:, 1].copy(), np.array(score, np.float32))
        self.graph = DensityGraph(np.ones(len(X)), edges, edges.where(np.zeros(len(edges), bool)), 0.5)

    def components(self, probability: list[float], threshold: float) -> Components:
        model = make_model(
            STRUCTURE, dimension=None, used={}, cluster_comparison=USUAL, connect=threshold
        )
        method, run = method_of(model, self.X.shape[1]), Run()
        near = method.neighborhood(self.X, None, run)
        return method.components(near, self.graph, np.array(probability, np.float32).__getitem__, run)

    def labels(self, probability: list[float], threshold: float) -> list[int]:
        found: list[int] = self.components(probability, threshold).labels.tolist()
        return found


INSIDE = [(4 * group + face, 4 * group + face - 1) for group in range(3) for face in (1, 2, 3)]
"""Edges that make three groups of four faces."""

BETWEEN = [(0, 4), (8, 0), (4, 8)]
"""Edges between the first and the second, the first and the third, and the other two."""

OWN = np.eye(12, 16, 4)
"""A direction of its own for each of their faces."""


def test_groups_are_compared_over_the_edges_that_hold() -> None:
    score, sure = [1.0] * 9 + [0.9, 0.8, 0.5], [0.9] * 9
    unlike = Compared(
        normalize(np.repeat(np.eye(3, 16), 4, axis=0) + 0.01 * OWN), INSIDE + BETWEEN, score
    )
    assert unlike.labels([*sure, 0.8, 0.8, 0.8], 0.5) == [0] * 4 + [1] * 4 + [2] * 4
    assert unlike.labels([*sure, 0.8, 0.8, 0.8], 0.95) == list(range(12))
    alike = Compared(normalize(np.ones((12, 16)) + 0.01 * OWN), INSIDE + BETWEEN, score)
    assert alike.labels([*sure, 0.8, 0.1, 0.1], 0.5) == [0] * 8 + [1] * 4
    assert alike.labels([*sure, 0.8, 0.8, 0.1], 0.5) == [0] * 12


def test_an_edge_is_asked_about_where_better_ones_join_unlike_groups() -> None:
    """The second group is like the third, and both are tied to the first, which is unlike them."""
    axis = np.repeat(np.eye(2, 16)[[0, 1, 1]], 4, axis=0)
    score = [1.0] * 9 + [0.9, 0.8, 0.5]
    faces = Compared(normalize(axis + 0.01 * OWN), INSIDE + BETWEEN, score)
    assert faces.labels([0.9] * 9 + [0.8, 0.8, 0.8], 0.5) == [0] * 4 + [1] * 8
    assert faces.labels([0.9] * 9 + [0.8, 0.8, 0.1], 0.5) == [0] * 4 + [1] * 4 + [2] * 4


def test_the_score_of_a_skipped_edge_stands_for_its_probability() -> None:
    score = [1.0] * 9 + [0.9, 0.8, 0.5]
    faces = Compared(normalize(np.ones((12, 16)) + 0.01 * OWN), INSIDE + BETWEEN, score)
    found = faces.components([0.9] * 9 + [0.8, 0.7, np.nan], 0.5)
    assert found.labels.tolist() == [0] * 12
    np.testing.assert_allclose(found.density_edges.score, [0.9] * 9 + [0.8, 0.7, 0.5], rtol=1e-6)


def test_an_edge_somewhat_below_the_threshold_joins_large_groups_that_are_alike() -> None:
    X = normalize(np.repeat(np.eye(2, 16), [10, 5], axis=0) + 0.01 * np.eye(15, 16))
    faces = Compared(X, [(face, face - 1) for face in range(1, 15)], [1.0] * 14)

    def labels(doubt: float) -> list[int]:
        probability = [0.9] * 14
        probability[4] = probability[9] = doubt
        return faces.labels(probability, 0.75)

    assert labels(0.5) == [0] * 10 + [1] * 5
    assert labels(0.75 * USUAL.uncertain_share - 0.01) == [0] * 5 + [1] * 5 + [2] * 5


def test_more_likeness_is_asked_of_refined_embeddings() -> None:
    """Two groups, each without spread, whose directions have a cosine between both bounds."""
    between = (USUAL.minimum + USUAL.refined_minimum) / 2
    X = np.repeat(np.array([[1, 0], [between, np.sqrt(1 - between**2)]], np.float32), 3, axis=0)
    ids = np.tile(np.arange(6, dtype=np.int32), (6, 1))
    none = ImpostorScores(0.0, 0.1, 0.0)
    model = ScoreModel(5.0, 1.0)
    near = Neighborhood(X, X, ids, X @ X.T, ids, impostors=(none, none), score_model=model)
    pairs = [(1, 0), (2, 1), (4, 3), (5, 4), (3, 2)]
    faces = Compared(X, pairs, [0.9] * 4 + [0.8])
    method = method_of(
        make_model(STRUCTURE, dimension=None, used={}, cluster_comparison=USUAL, connect=0.5), 2
    )

    def labels(near: Neighborhood) -> list[int]:
        probability = faces.graph.density_edges.score
        found: list[int] = method.components(
            near, faces.graph, probability.__getitem__, Run()
        ).labels.tolist()
        return found

    assert labels(near) == [0] * 6
    assert labels(replace(near, refined=True)) == [0] * 3 + [1] * 3


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_refined_is_compared_and_what_was_given_is_kept(family: str) -> None:
    X = generate(250, "wild", dimension=D, seed=1).embeddings
    unit = distinct_faces(X).vectors
    for rebuild in (False, True):
        model = make_model(
            FAMILIES[family], used={"refine": True, "rebuild": rebuild}, cluster_comparison=USUAL
        )
        method = method_of(model)
        first = method.nearest(unit, None, Run())
        near = method.neighborhood(unit, None, Run())
        assert near.refined
        assert not first.refined
        np.testing.assert_array_equal(near.faces, unit)
        np.testing.assert_array_equal(near.nearest, first.ids)
        assert np.array_equal(near.ids, first.ids) == (not rebuild)
        np.testing.assert_allclose(near.similarities, listed_cosines(near.vectors, near.ids), atol=1e-6)
        assert near.impostors is not None
        assert first.impostors == (near.impostors[1],) * 2
        assert near.impostors[0] != near.impostors[1]


def test_lists_are_padded_to_the_length_that_networks_need() -> None:
    X = generate(5, "wild", dimension=16, seed=0).embeddings
    graph = build_neighbor_graph(X, K)
    ids, similarities = padded(graph, K)
    assert ids.shape == similarities.shape == (5, K)
    np.testing.assert_array_equal(ids[:, :5], graph.ids)
    np.testing.assert_array_equal(similarities[:, :5], graph.similarities)
    assert (ids[:, 5:] == -1).all()
    assert not similarities[:, 5:].any()
    cosines = listed_cosines(X, ids)
    np.testing.assert_allclose(cosines, similarities, atol=1e-6)
    assert not cosines[:, 5:].any()
    assert padded(graph, 5)[0] is graph.ids


def test_networks_score_the_nearest_of_a_list() -> None:
    """No edge leads beyond them, while the whole list still describes the faces."""
    X = generate(300, "wild", dimension=D, seed=3).embeddings
    whole, nearest = (make_model(STRUCTURE, scored=scored) for scored in (None, 5))
    assert pair_probabilities(X, nearest).k == 5
    method = method_of(nearest)
    near = method.neighborhood(X, None, Run(device="cpu"))
    affinity = method.affinity(near, Run(device="cpu"))
    assert affinity.shape == (len(X), 5)
    density = method.density_graph(near, affinity, Run(device="cpu"))
    for edges in (density.density_edges, density.similarity_edges):
        columns = columns_in_lists(near.ids, edges.source, edges.target)
        reverse = columns_in_lists(near.ids, edges.target, edges.source)
        listed = ((columns >= 0) & (columns < 5)) | ((reverse >= 0) & (reverse < 5))
        assert listed.all()
    same = make_model(STRUCTURE, scored=K)
    np.testing.assert_array_equal(
        pair_probabilities(X, same).similarities,
        pair_probabilities(X, whole).similarities,
    )


def test_networks_on_coordinates_score_whole_lists() -> None:
    with pytest.raises(ValueError, match="leave scored out"):
        make_model(PUBLISHED, scored=5)
