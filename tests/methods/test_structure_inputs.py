"""What the networks on structure read of a tiny graph, against its definition reckoned pair by pair."""

from __future__ import annotations

from dataclasses import replace
from math import log, log1p, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from nsrfc.graph.list_features import LIST_FEATURES
from nsrfc.graph.scores import fit_score_model, impostor_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.exact import recall
from nsrfc.methods.base import Run
from nsrfc.methods.networks import padded
from nsrfc.methods.structure import StructureMethod
from nsrfc.model.settings import ModelSettings, NetworkName
from nsrfc.networks.structure import (
    PairScorer,
    StructureEdges,
    StructureLists,
    StructurePairs,
    StructureRefinement,
)
from nsrfc.records import Neighborhood
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

N, K, REACH = 9, 5, 3

Floats = npt.NDArray[np.float32]


class Faces(NamedTuple):
    """Some faces with lists of which two end early, and a_ij and S_ij of their own."""

    near: Neighborhood
    affinity: Floats
    same: Floats


@pytest.fixture(scope="module")
def faces() -> Faces:
    X = normalize(generate(N, "wild", dimension=6, seed=4).embeddings)
    graph = build_neighbor_graph(X, K)
    ids, similarities = graph.ids.copy(), graph.similarities.copy()
    for row, end in ((2, 3), (5, 1)):
        ids[row, end:], similarities[row, end:] = -1, 0
    rng = np.random.default_rng(0)
    affinity, same = rng.random((2, N, K)).astype(np.float32)
    affinity[:, 0] = same[:, 0] = 1
    affinity[1, 2], same[1, 2] = 1, 0  # log-odds without bound
    affinity[ids < 0] = same[ids < 0] = 0
    return Faces(Neighborhood(X, X, ids, similarities, ids), affinity, same)


def method_of(**networks: nn.Module) -> StructureMethod:
    names: tuple[NetworkName, ...] = ("cgcn", "pairs", "lcenet", "pcenet")
    given = {name: networks[name].eval() for name in names if name in networks}
    settings = ModelSettings(
        family="structure", dimension=None, k=K, networks={name: {} for name in given}
    )
    return StructureMethod(settings, given)


class Oracle:
    """Features of listed pairs, one by one, from impostor scores and lists."""

    def __init__(self, near: Neighborhood) -> None:
        self.near, X = near, near.vectors
        self.impostors = impostors = impostor_scores(X)
        self.lists = [[int(j) for j in row if j >= 0] for row in near.ids]
        # Best first; the face itself is always the first.
        self.order = [
            sorted(listed, key=lambda j, i=i: (j != i, -self.score(i, j)))  # type: ignore[misc]
            for i, listed in enumerate(self.lists)
        ]
        best = [self.score(i, order[1]) for i, order in enumerate(self.order) if len(order) > 1]
        best += [0.0] * sum(len(order) == 1 for order in self.order)
        self.model = fit_score_model(np.array(best), N, impostors.identical)

    def cosine(self, i: int, j: int) -> float:
        return float(self.near.vectors[i].astype(float) @ self.near.vectors[j].astype(float))

    def score(self, i: int, j: int) -> float:
        """Normalised score, bounded; 40 for the face itself."""
        if i == j:
            return 40.0
        return self.similarity(i, j)

    def similarity(self, i: int, j: int) -> float:
        """Deviations above the mean of impostors, bounded, of any two faces."""
        found = (self.cosine(i, j) - self.impostors.mean) / self.impostors.deviation
        return float(np.clip(found, -5, 40))

    def rank(self, i: int, j: int) -> int:
        return self.order[i].index(j) if j in self.order[i] else K

    def features(self, i: int, j: int) -> list[float]:
        def near_ones(face: int) -> dict[int, float]:
            return {other: self.score(face, other) ** 2 for other in self.lists[face] if other != face}

        def shared(depth: int) -> float:
            return len({*self.order[i][:depth]} & {*self.order[j][:depth]}) / min(depth, K)

        def company() -> float:
            one, two = near_ones(i), near_ones(j)
            product = sum(one[other] * two[other] for other in one.keys() & two.keys())
            lengths = [sum(value**2 for value in each.values()) for each in (one, two)]
            return product / sqrt(lengths[0] * lengths[1] + 1e-6)

        def ranked(face: int, place: int) -> float:
            order = self.order[face]
            end = min(place, K - 1, len(order) - 1)
            return self.score(face, order[end]) / 10 if end > 0 else 0.0

        odds = self.model.slope * (self.score(i, j) - self.model.threshold)
        curve = (1, 2, 3, 5, 10, 20, 40, 79)
        return [
            self.score(i, j) / 10,
            log1p(self.rank(i, j)) / log(80),
            log1p(self.rank(j, i)) / log(80),
            float(i in self.lists[j]),
            *(shared(depth) for depth in (5, 10, 20, 40, 80)),
            company(),
            *(ranked(i, place) for place in curve),
            *(ranked(j, place) for place in curve),
            float(np.clip(odds, -12, 12)) / 10,
        ]


@pytest.fixture(scope="module")
def oracle(faces: Faces) -> Oracle:
    return Oracle(faces.near)


def log_odds(probability: float) -> float:
    """Log-odds within 12, a tenth of them."""
    if probability in (0, 1):
        return 1.2 if probability else -1.2
    return float(np.clip(log(probability / (1 - probability)), -12, 12)) / 10


def value_of(values: Floats, near: Neighborhood, i: int, j: int) -> float | None:
    """Look a listed pair up; None where i does not list j."""
    listed = near.ids[i].tolist()
    return float(values[i, listed.index(j)]) if j in listed else None


def test_a_pair_scorer_reads_the_features_of_every_listed_pair_in_their_order(
    faces: Faces, oracle: Oracle
) -> None:
    rows = np.array([5, 0, 8, 2])
    (features,) = method_of().list_inputs(PairScorer(), faces.near)(rows)
    assert features.shape == (4, K, len(LIST_FEATURES))
    for b, i in enumerate(rows.tolist()):
        for c, j in enumerate(faces.near.ids[i].tolist()):
            expected = oracle.features(i, j) if j >= 0 else [0.0] * len(LIST_FEATURES)
            np.testing.assert_allclose(features[b, c], expected, atol=2e-4, err_msg=f"{i}, {j}")


def test_a_network_of_lists_also_reads_similarities_inside_the_list(
    faces: Faces, oracle: Oracle
) -> None:
    rows = np.arange(N)
    features, within, present = method_of().list_inputs(StructurePairs(), faces.near)(rows)
    (alone,) = method_of().list_inputs(PairScorer(), faces.near)(rows)
    assert torch.equal(features, alone)
    np.testing.assert_array_equal(present, faces.near.ids >= 0)
    for (i, c, d), found in np.ndenumerate(within.numpy()):
        one, two = int(faces.near.ids[i, c]), int(faces.near.ids[i, d])
        expected = oracle.similarity(one, two) / 10 if min(one, two) >= 0 else 0.0
        assert found == pytest.approx(expected, abs=2e-4)


def test_the_network_of_densities_reads_the_odds_of_both_directions(faces: Faces) -> None:
    near, affinity = faces.near, faces.affinity
    features, _, _ = method_of().list_inputs(StructureLists(), near, affinity)(np.arange(N))
    assert features.shape == (N, K, len(LIST_FEATURES) + 2)
    one_sided = 0
    for (i, c), j in np.ndenumerate(near.ids):
        if j < 0:
            continue
        there = float(affinity[i, c])
        back = value_of(affinity, near, int(j), i)
        one_sided += back is None
        expected = log_odds(there), log_odds(there if back is None else back)
        np.testing.assert_allclose(features[i, c, -2:], expected, rtol=1e-4)
    assert one_sided > 0


def test_the_network_of_edges_reads_the_best_neighbours_of_both_ends(
    faces: Faces, oracle: Oracle
) -> None:
    near, affinity, same = faces
    gather = method_of(pcenet=StructureEdges(reach=REACH)).edge_inputs(near, affinity, same)
    source, target = (each.ravel() for each in np.meshgrid(np.arange(N), np.arange(N)))
    odds, tokens, within, present = gather(source, target)
    assert tokens.shape == (N * N, 2, REACH, 3)
    assert within.shape == (N * N, 2 * REACH, 2 * REACH)
    kinds = set()
    for b, ends in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        read: list[int] = []
        for side, face in enumerate(ends):
            listed = near.ids[face].tolist()
            best = sorted(range(K), key=lambda c, face=face: -affinity[face, c])[:REACH]  # type: ignore[misc]
            for place, column in enumerate(best):
                other = listed[column]
                read.append(other)
                assert bool(present[b, side, place]) == (other >= 0)
                expected = [0.0, 0.0, 0.0]
                if other >= 0:
                    values = float(affinity[face, column]), float(same[face, column])
                    expected = [*values, log1p(oracle.rank(face, other))]
                np.testing.assert_allclose(tokens[b, side, place], expected, rtol=1e-5)
        similarity = [
            [oracle.similarity(one, two) / 10 if min(one, two) >= 0 else 0.0 for two in read]
            for one in read
        ]
        np.testing.assert_allclose(within[b], similarity, atol=2e-4)
        i, j = ends
        for place, of_lists in ((0, affinity), (2, same)):
            there, back = value_of(of_lists, near, i, j), value_of(of_lists, near, j, i)
            kinds.add((there is None, back is None))
            # Where one end does not list the other, the value of the other way stands for both.
            ways = (back if there is None else there), (there if back is None else back)
            expected = [-1.2 if value is None else log_odds(value) for value in ways]
            np.testing.assert_allclose(odds[b, place : place + 2], expected, rtol=1e-4)
    assert kinds == {(False, False), (True, False), (False, True), (True, True)}


def test_an_edge_and_its_reverse_are_scored_alike_by_every_kind_of_list(faces: Faces) -> None:
    torch.manual_seed(0)
    network = StructureEdges(reach=REACH)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    method = method_of(pcenet=network)
    gather = method.edge_inputs(*faces)
    source, target = (each.ravel() for each in np.meshgrid(np.arange(N), np.arange(N)))
    with torch.no_grad():
        there, back = (network(*gather(*ends)).numpy() for ends in ((source, target), (target, source)))
    np.testing.assert_allclose(there, back, atol=1e-5)
    assert there.std() > 0.1


def test_who_is_read_of_an_edge_follows_the_affinity_and_not_the_order_of_the_list(faces: Faces) -> None:
    near, affinity, same = faces
    order = np.concatenate(([0], 1 + np.random.default_rng(1).permutation(K - 1)))
    turned = replace(near, ids=near.ids[:, order], similarities=near.similarities[:, order])
    method = method_of(pcenet=StructureEdges(reach=REACH))
    ends = np.array([0, 3, 7]), np.array([4, 1, 2])
    straight = method.edge_inputs(near, affinity, same)(*ends)
    shuffled = method.edge_inputs(turned, affinity[:, order], same[:, order])(*ends)
    for one, two in zip(straight, shuffled, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), atol=1e-6)


@pytest.fixture(scope="module")
def unclear() -> Neighborhood:
    X = normalize(generate(300, "wild", dimension=24, seed=5).embeddings)
    graph = build_neighbor_graph(X, K)
    return Neighborhood(X, X, graph.ids, graph.similarities, graph.ids)


def test_faces_that_are_not_whitened_keep_their_neighbourhood(unclear: Neighborhood) -> None:
    def whitened(network: StructureRefinement, near: Neighborhood) -> Neighborhood:
        return method_of(cgcn=network).whitened(near, Run(device="cpu"))

    assert whitened(StructureRefinement(whitening=0.0), unclear) is unclear
    nobody_likely = StructureRefinement()
    with torch.no_grad():
        nobody_likely.first.evidence.even.fill_(100.0)
    assert whitened(nobody_likely, unclear) is unclear, "no neighbour is likely, so nothing is measured"
    alone = replace(unclear, ids=unclear.ids.copy(), similarities=unclear.similarities.copy())
    alone.ids[:, 1:], alone.similarities[:, 1:] = -1, 0
    assert whitened(StructureRefinement(), alone) is alone


def test_whitened_faces_have_lists_of_their_own(unclear: Neighborhood) -> None:
    white = method_of(cgcn=StructureRefinement()).whitened(unclear, Run(device="cpu"))
    assert white is not unclear
    assert white.faces is unclear.faces
    exact = build_neighbor_graph(white.vectors, K)
    assert recall(exact.ids, white.ids) > 0.5
    np.testing.assert_array_equal(white.nearest, white.ids)
    assert not white.refined


def test_lists_of_fewer_faces_than_k_are_read_with_nothing_at_their_end() -> None:
    X = np.eye(3, 6, dtype=np.float32) + np.float32(0.1)
    X = normalize(X)
    ids, similarities = padded(build_neighbor_graph(X, 3), K)
    near = Neighborhood(X, X, ids, similarities, ids)
    features, within, present = method_of().list_inputs(StructurePairs(), near)(np.arange(3))
    assert present.sum(dim=1).tolist() == [3, 3, 3]
    assert not features[:, 3:].any()
    assert not within[:, 3:].any()
    assert not within[:, :, 3:].any()
    assert torch.isfinite(features).all()
