"""What the networks learn from, and what validation people say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from nsrfc.steps import EdgeJudge, Faces, list_probability
from torch import nn

from nsrfc.cli import refine
from nsrfc.graph.subgraphs import local_adjacency
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.networks import padded
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.lcenet import LCENet
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.networks.published.pcenet import PCENet
from nsrfc.networks.structure.edges import StructureEdges
from nsrfc.networks.structure.lists import StructurePairs, StructureRefinement
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.synthetic import generate
from nsrfc.training.config import CGCNSettings, TrainingConfig
from nsrfc.training.loop import Task
from nsrfc.training.pieces import cut_piece, grow_piece
from nsrfc.training.tasks import (
    EdgeTask,
    ListTask,
    People,
    RefineTask,
    Shuffle,
    hard_pairs,
    refinement_tasks,
)
from nsrfc.training.thresholds import TOLERANCE, Judged, best_clusters, ranking_quality

K, D = 12, 16
PIECES = {"form": "pieces", "piece": 128, "loop": {"batch": 4}}
SMALL = {"loop": {"batch": 32}}
CONFIG = TrainingConfig.load(
    "paper", None, {"cgcn": PIECES, "pairs": SMALL, "lcenet": SMALL, "pcenet": SMALL}
)


@pytest.fixture(scope="module")
def people() -> People:
    found = generate(400, "wild", dimension=D, seed=0)
    X = np.ascontiguousarray(found.embeddings / np.linalg.norm(found.embeddings, axis=1)[:, None])
    faces = Faces(X, *padded(build_neighbor_graph(X, K), K))
    return People(faces, found.identities, faces.ids)


def tasks(people: People) -> Iterator[Task]:
    torch.manual_seed(0)
    small: dict[str, Any] = {"heads": 2, "hidden": 8}
    pieces = CONFIG.cgcn
    assert isinstance(pieces, CGCNSettings)
    subgraphs = pieces.model_copy(update={"form": "subgraphs"})
    yield RefineTask(CGCN(D), people, people, pieces, 0)
    yield RefineTask(CGCN(D), people, people, subgraphs, 0)
    yield ListTask("pairs", PairNetwork(D, **small), people, people, CONFIG.pairs, 0)
    yield ListTask("lcenet", LCENet(D, K, **small), people, people, CONFIG.lcenet, 0)
    yield EdgeTask(PCENet(D, K, classifier_hidden=8, **small), people, people, CONFIG.pcenet, 0)
    yield ListTask("pairs", StructurePairs(), people, people, CONFIG.pairs, 0)
    yield EdgeTask(StructureEdges(), people, people, CONFIG.pcenet, 0)


def test_a_refinement_of_two_scorers_learns_the_second_on_what_the_first_gives(people: People) -> None:
    network = StructureRefinement()
    searched = []

    def search(X: npt.NDArray[np.float32]) -> NeighborGraph:
        searched.append(X)
        return build_neighbor_graph(X, K)

    found = refinement_tasks(network, [people], [people], CONFIG.pairs, search, 0)
    first = next(found)
    assert first.network is network.first
    assert not searched
    with torch.no_grad():
        network.eval()
        network.first.evidence.even.add_(0.3)
    second = next(found)
    assert second.network is network.second
    assert np.array_equal(searched[0], network.whiten(people.faces.vectors, people.graph))
    assert next(found, None) is None


def test_every_task_lowers_its_loss_and_a_batch_is_a_function_of_its_place(people: People) -> None:
    for task in tasks(people):
        task.network.train()
        torch.manual_seed(0)
        losses = []
        optimizer = torch.optim.AdamW(task.network.parameters(), 3e-3)
        for _ in range(8):
            loss = task.loss(task.batch(1, 0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0], task.name
        task.network.eval()
        task.batch(0, 0)
        with torch.no_grad():
            first, again = task.loss(task.batch(1, 0)), task.loss(task.batch(1, 0))
            assert torch.equal(first, again), task.name
            assert 0 <= task.score() <= 1


def test_an_epoch_shows_every_number_once() -> None:
    shuffle = Shuffle(10, 4, seed=0, pool=20, drawn=5)
    first, second = (
        np.concatenate([shuffle(epoch, step) for step in range(shuffle.steps)]) for epoch in (0, 1)
    )
    for order in (first, second):
        assert sorted(order[order < 10]) == list(range(10))
        drawn = order[order >= 10]
        assert len(set(drawn)) == len(drawn) == 5
        assert drawn.max() < 30
    assert not np.array_equal(first, second)


def test_a_short_epoch_shows_some_numbers_and_the_next_one_others() -> None:
    shuffle = Shuffle(10, 4, seed=0, pool=20, drawn=5, most=7)
    assert shuffle.steps == 2
    orders = [
        np.concatenate([shuffle(epoch, step) for step in range(shuffle.steps)]) for epoch in range(20)
    ]
    for order in orders:
        assert len(set(order)) == len(order) == 7
    assert not np.array_equal(orders[0], orders[1])
    assert set(np.concatenate(orders)) >= set(range(10))
    again = Shuffle(10, 4, seed=0, pool=20, drawn=5, most=7)
    assert np.array_equal(again(3, 1), shuffle(3, 1)), "whatever was asked for before"
    ample, whole = Shuffle(10, 4, seed=0, most=11), Shuffle(10, 4, seed=0)
    assert ample.steps == whole.steps
    assert np.array_equal(ample(1, 2), whole(1, 2))


def test_a_piece_holds_its_starts_and_the_ties_of_the_whole_graph(people: People) -> None:
    faces = people.faces
    local = local_adjacency(faces.ids, faces.similarities)
    starts = np.array([7, 300])
    nodes = grow_piece(faces.ids, starts, 60, np.random.default_rng(0))
    assert len(nodes) == len(set(nodes)) == 60
    assert set(starts) | set(faces.ids[starts].ravel()) <= set(nodes)
    piece = cut_piece(faces.ids, local, nodes)
    assert np.array_equal(piece.local.toarray(), local.toarray()[np.ix_(nodes, nodes)])
    inside = np.isin(faces.ids[nodes], nodes)
    assert np.array_equal(piece.lists >= 0, inside)
    assert np.array_equal(nodes[piece.lists][inside], faces.ids[nodes][inside])


def test_a_piece_is_no_larger_than_what_can_be_reached() -> None:
    lists = np.array([[0, 1], [1, 0], [2, 3], [3, 2]], np.int32)
    nodes = grow_piece(lists, np.array([2]), 10, np.random.default_rng(0))
    assert nodes.tolist() == [2, 3]


def test_hard_pairs_are_the_strongest_stranger_and_the_weakest_own_photo() -> None:
    ids = np.array([[0, 1, 2, 3], [1, 0, 2, -1], [2, 0, 1, 3], [3, 0, 1, 2]], np.int32)
    similarities = np.array(
        [[1, 0.9, 0.8, 0.7], [1, 0.9, 0.5, 0], [1, 0.8, 0.5, 0.1], [1, 0.7, 0.3, 0.1]], np.float32
    )
    X = np.eye(4, dtype=np.float32)
    pairs = hard_pairs(People(Faces(X, ids, similarities), np.array([0, 0, 1, 0]), ids))
    found = {*zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)}
    assert {(0, 2), (1, 2), (2, 0), (3, 2)} <= found, "strangers"
    assert {(0, 3), (1, 0), (3, 1)} <= found, "own photos"
    assert len(pairs) == 7, "face 2 has no own photo"


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
    faces = Faces(X, *padded(build_neighbor_graph(X, K), K))
    assert best_clusters(Judged(faces, identity)).quality == 1
    edges = faces.density_graph().density_edges
    same = (identity[edges.source] == identity[edges.target]).astype(np.float32)
    known = best_clusters(Judged(faces, identity, EdgeList(edges.source, edges.target, same)))
    assert known.quality == 1
    assert 0 < known.connect <= 1


def test_rounding_flips_no_edge_at_the_thresholds_found(people: People) -> None:
    found = best_clusters(Judged(people.faces, people.identity))
    graph = people.faces.density_graph(tau=0.0)
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
    faces = Faces(X, *padded(build_neighbor_graph(X, K), K))
    chained, compared = Judged(faces, identity), Judged(faces, identity, groups=True)
    assert chained.labels(0.3, 0.3).max() == 0
    assert compared.labels(0.3, 0.3)[:12].tolist() == [0] * 6 + [1] * 6
    assert compared.quality(0.3, 0.3) > chained.quality(0.3, 0.3)


def test_several_sets_are_given_the_thresholds_that_are_best_in_the_mean(people: People) -> None:
    faces = people.faces
    judged = Judged(faces, people.identity)
    blurred = Judged(replace(faces, similarities=faces.similarities**2), people.identity)
    found = best_clusters(judged, blurred)
    alone = [each.quality(found.tau, found.connect) for each in (judged, blurred)]
    assert found.quality == pytest.approx(np.mean(alone))
    for each in (judged, blurred):
        own = best_clusters(each)
        both = [other.quality(own.tau, own.connect) for other in (judged, blurred)]
        assert found.quality >= np.mean(both) - 2 * TOLERANCE


def test_batch_size_and_lists_cut_short_do_not_change_a_verdict(people: People) -> None:
    torch.manual_seed(0)
    faces = people.faces
    ids = faces.ids.copy()
    ids[::3, 7:] = -1
    faces = replace(faces, ids=ids)
    judges: list[nn.Module] = [PairNetwork(D, heads=2), LCENet(D, K, heads=2)]
    for network in judges:
        network.eval()
        probability = list_probability(network, faces)
        np.testing.assert_allclose(list_probability(network, faces, batch=7), probability, atol=1e-6)
        assert (probability[:, 0] == 1).all()
        assert (probability[ids < 0] == 0).all()
    edge_judge = PCENet(D, K, heads=2).eval()
    edges = faces.density_graph().density_edges
    several = EdgeJudge(edge_judge, faces, batch=9)(edges)
    whole = EdgeJudge(edge_judge, faces)(edges)
    np.testing.assert_allclose(several, whole, atol=1e-6)


def test_chunks_of_the_refinement_are_invisible(people: People) -> None:
    torch.manual_seed(0)
    network = CGCN(D).eval()
    faces = people.faces
    graph = NeighborGraph(faces.ids, faces.similarities)

    def search(X: npt.NDArray[np.float32]) -> NeighborGraph:
        raise AssertionError("a C-GCN needs no other graph")

    whole = refine(network, faces.vectors, graph, faces.ids, search)
    np.testing.assert_allclose(
        refine(network, faces.vectors, graph, faces.ids, search, rows=33), whole, atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
