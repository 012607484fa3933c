"""Networks of the structure family: blind to coordinates, and the same however they are run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from nsrfc.graph.density_graph import mutual_probability
from nsrfc.graph.list_features import LIST_FEATURES, list_structure
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.networks.structure.edges import StructureEdges
from nsrfc.networks.structure.lists import (
    TRUST,
    PairScorer,
    StructureLists,
    StructurePairs,
    StructureRefinement,
)
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.steps import EdgeJudge, Faces, list_probability
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

K = 25


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Make networks with the same random weights in every run."""
    torch.manual_seed(3)


def neighbors(vectors: np.ndarray) -> NeighborGraph:
    return build_neighbor_graph(np.ascontiguousarray(vectors), K)


def faces_of(vectors: np.ndarray) -> Faces:
    graph = neighbors(vectors)
    return Faces(vectors, graph.ids, graph.similarities)


def stirred(network: nn.Module) -> nn.Module:
    """Give weights that make every input count, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def variants(vectors: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Turn, pad and shuffle faces; with the old number of each new row."""
    rng = np.random.default_rng(0)
    d, n = vectors.shape[1], len(vectors)
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0].astype(np.float32)
    order = rng.permutation(n)
    return {
        "rotated": (vectors @ rotation, np.arange(n)),
        "padded": (np.pad(vectors, ((0, 0), (0, 9))), np.arange(n)),
        "reordered": (vectors[order], order),
    }


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return generate(500, "wild", dimension=24, seed=5).embeddings


@pytest.fixture(scope="module")
def judged(vectors: np.ndarray) -> Faces:
    faces = faces_of(vectors)
    faces = replace(faces, pair=list_probability(stirred(StructurePairs()), faces))
    return replace(faces, same=list_probability(stirred(StructureLists()), faces))


def by_pair(faces: Faces, values: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Values of listed pairs as a square matrix in the old numbering."""
    matrix = np.zeros((len(old), len(old)), np.float32)
    row, column = np.nonzero(faces.ids >= 0)
    matrix[old[row], old[faces.ids[row, column]]] = values[row, column]
    return matrix


def edges_between(source: np.ndarray, target: np.ndarray) -> EdgeList:
    return EdgeList(
        source.astype(np.int32), target.astype(np.int32), np.full(len(source), 0.5, np.float32)
    )


@pytest.mark.parametrize("variant", ["rotated", "padded", "reordered"])
def test_probabilities_do_not_depend_on_coordinates_or_order(vectors: np.ndarray, variant: str) -> None:
    refinement, pairs = StructureRefinement(), stirred(StructurePairs())
    stirred(refinement)
    lists, edges = stirred(StructureLists()), stirred(StructureEdges())
    other, old = variants(vectors)[variant]
    results = []
    for x, number in ((vectors, np.arange(len(vectors))), (other, old)):
        refined = refinement.refine(x, neighbors(x))
        white = refinement.refine(x, neighbors(x), neighbors)
        faces = faces_of(x)
        faces = replace(faces, pair=list_probability(pairs, faces))
        faces = replace(faces, same=list_probability(lists, faces))
        place = np.argsort(number)
        joined = edges_between(place[np.arange(100)], place[np.arange(100, 200)])
        results.append(
            (
                (white @ white.T)[place][:, place],
                (refined @ refined.T)[place][:, place],
                by_pair(faces, faces.a, number),
                by_pair(faces, faces.S, number),
                EdgeJudge(edges, faces)(joined),
            )
        )
    # The last bit of a cosine may decide the rank of a face, which changes its list. A rotation changes
    # more of them, also whether a neighbour is likely, and so what whitening measures.
    allowed = (0.1 if variant == "rotated" else 2e-3, 2e-3, 2e-3, 2e-3, 2e-3)
    for one, two, most in zip(*results, allowed, strict=True):
        assert np.quantile(np.abs(one - two), 0.99) < most


def test_without_whitening_no_other_graph_is_searched(vectors: np.ndarray) -> None:
    refinement = stirred(StructureRefinement())
    plain = refinement.refine(vectors, neighbors(vectors))  # type: ignore[operator]
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1), 1, atol=1e-5)
    whitened = refinement.refine(vectors, neighbors(vectors), neighbors)  # type: ignore[operator]
    assert np.abs(plain - whitened).max() > 0.01


def test_where_whitening_does_not_help_no_other_graph_is_searched() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(rng.standard_normal((60, 32)), 5, axis=0)
    faces = normalize(people + 0.2 * rng.standard_normal((300, 32)))
    graph = neighbors(faces)

    def search(vectors: np.ndarray) -> NeighborGraph:
        raise AssertionError("the graph is there already")

    refined = stirred(StructureRefinement(whitening=[0, 0.5])).refine(faces, graph, search)  # type: ignore[operator]
    np.testing.assert_allclose(np.linalg.norm(refined, axis=1), 1, atol=1e-5)


def test_less_whitening_changes_less(vectors: np.ndarray) -> None:
    graph = neighbors(vectors)
    moved = []
    for power in (0.0, 0.25, 0.5):
        network = stirred(StructureRefinement(whitening=power))
        moved.append(np.abs(network.whiten(vectors, graph) - vectors).max())  # type: ignore[operator]
    assert moved[0] < 1e-5
    assert moved[0] < moved[1] < moved[2]


def test_cosines_weigh_the_density_where_that_is_wanted(judged: Faces) -> None:
    weighed = replace(judged, weighted=True).density_graph()
    strength = judged.a * mutual_probability(judged.ids, judged.S, judged.mutual)
    for faces, weight in ((weighed, np.maximum(judged.similarities, 0)), (judged.density_graph(), 1)):
        expected = (weight * strength * (judged.ids >= 0))[:, 1:].sum(axis=1)
        np.testing.assert_allclose(faces.density, expected, rtol=1e-4)
    assert (weighed.density < judged.density_graph().density).any()


def test_a_veto_only_lowers_the_strength_of_an_edge(judged: Faces) -> None:
    network, edges = stirred(StructureEdges()), judged.density_graph().density_edges
    alone, strength = EdgeJudge(network, judged)(edges), edges.score
    np.testing.assert_array_equal(EdgeJudge(network, judged, veto=True)(edges), alone * strength)
    assert (strength <= 1).all()


def test_batches_are_invisible(judged: Faces) -> None:
    rng = np.random.default_rng(1)
    joined = edges_between(*rng.integers(500, size=(2, 90)))
    for network in (PairScorer(), StructurePairs(), StructureLists()):
        stirred(network)
        whole = list_probability(network, judged)
        np.testing.assert_allclose(list_probability(network, judged, batch=131), whole, atol=1e-5)
    edges = stirred(StructureEdges())
    whole = EdgeJudge(edges, judged)(joined)
    np.testing.assert_allclose(EdgeJudge(edges, judged, batch=131)(joined), whole, atol=1e-5)


def test_an_edge_has_no_direction(judged: Faces) -> None:
    edges = stirred(StructureEdges())
    source, target = np.arange(100), judged.ids[:100, 3]
    there = EdgeJudge(edges, judged)(edges_between(source, target))
    back = EdgeJudge(edges, judged)(edges_between(target, source))
    np.testing.assert_allclose(back, there, atol=1e-5)


def test_an_untrained_scorer_repeats_the_evidence(judged: Faces) -> None:
    probability = list_probability(PairScorer().eval(), judged)
    known = list_structure(judged.vectors, judged.ids, judged.similarities)
    odds = torch.from_numpy(TRUST * known.law.log_odds(known.strength[:, 1:]).clip(-12, 12))
    np.testing.assert_allclose(probability[:, 1:], odds.sigmoid(), atol=1e-5)


def test_what_never_varied_in_learning_says_nothing_later(judged: Faces) -> None:
    """Among people with many photos each, every near neighbour may be mutual."""
    scorer = PairScorer()
    stirred(scorer)
    (features,) = scorer.lists_of(judged)(np.arange(len(judged.ids)))
    features[..., LIST_FEATURES.index("mutual")] = 1
    scorer.train()
    for batch in features.split(64):
        scorer(batch)
    scorer.eval()
    elsewhere = features.clone()
    elsewhere[..., LIST_FEATURES.index("mutual")] = 0
    with torch.no_grad():
        torch.testing.assert_close(scorer(elsewhere), scorer(features))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_faces(n: int) -> None:
    vectors = generate(n, "wild", dimension=16, seed=0).embeddings
    refined = stirred(StructureRefinement()).refine(vectors, neighbors(vectors), neighbors)  # type: ignore[operator]
    np.testing.assert_allclose(np.linalg.norm(refined, axis=1), 1, atol=1e-5)
    faces = faces_of(refined)
    for network in (StructurePairs(), StructureLists()):
        assert np.isfinite(list_probability(stirred(network), faces)).all()
    ends = edges_between(np.zeros(1, int), np.full(1, n - 1))
    assert np.isfinite(EdgeJudge(stirred(StructureEdges()), faces)(ends)).all()


def test_lists_that_end_early_are_read_to_their_end(judged: Faces) -> None:
    short = judged.ids.copy()
    short[:, 10:] = -1
    cut = Faces(judged.vectors, short[:, :10].copy(), judged.similarities[:, :10].copy())
    ended = Faces(judged.vectors, short, np.where(short >= 0, judged.similarities, np.float32(0)))
    network = stirred(StructurePairs())
    probability = list_probability(network, ended)
    assert not probability[:, 10:].any()
    # Both differ in k, which some features name; the mask hides everything else.
    assert np.abs(probability[:, :10] - list_probability(network, cut)).mean() < 0.1


def test_a_scorer_learns_more_than_cosine_and_keeps_it_on_other_people() -> None:
    known, unknown = (generate(1500, "ms1m", dimension=64, seed=seed) for seed in (0, 1))
    faces, others = faces_of(known.embeddings), faces_of(unknown.embeddings)
    torch.manual_seed(3)
    scorer = PairScorer()
    gather = scorer.lists_of(faces)
    same = torch.from_numpy(known.identities[faces.ids] == known.identities[:, None]).float()
    optimizer = torch.optim.AdamW(scorer.parameters(), 5e-3)
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = rng.integers(1500, size=64)
        odds = scorer(*gather(rows))[:, 1:]
        loss = functional.binary_cross_entropy_with_logits(odds, same[rows, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    truth = unknown.identities[others.ids] == unknown.identities[:, None]
    learned = list_probability(scorer.eval(), others)

    def mistaken(score: np.ndarray) -> float:
        """Share of listed pairs on the wrong side, if as many are taken as are right."""
        flat, right = score[:, 1:].ravel(), truth[:, 1:].ravel()
        taken = np.argsort(-flat)[: right.sum()]
        return 1 - float(right[taken].mean())

    assert mistaken(learned) < 0.7 * mistaken(others.similarities)
