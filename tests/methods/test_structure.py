"""The steps by networks on structure: blind to coordinates, and the same however they are run."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from nsrfc.graph.density_graph import mutual_probability
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.methods.structure import StructureMethod
from nsrfc.model.settings import NETWORKS, ModelSettings
from nsrfc.networks.structure import (
    PairScorer,
    StructureEdges,
    StructureLists,
    StructurePairs,
    StructureRefinement,
)
from nsrfc.records import EdgeList, Neighborhood
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

K = 25

Network = TypeVar("Network", bound=nn.Module)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Make networks with the same random weights in every run."""
    torch.manual_seed(3)


def stirred(network: Network) -> Network:
    """Give weights that make every input count, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def method_of(
    refinement: StructureRefinement | None = None, edges: StructureEdges | None = None
) -> StructureMethod:
    """Return a method with stirred networks, or with those given."""
    networks: dict[str, nn.Module] = {
        "cgcn": refinement or stirred(StructureRefinement()),
        "pairs": stirred(StructurePairs()),
        "lcenet": stirred(StructureLists()),
        "pcenet": edges or stirred(StructureEdges()),
    }
    settings = ModelSettings(
        family="structure",
        dimension=None,
        k=K,
        networks={name: {} for name in NETWORKS},
        used={"pairs": True, "density": True, "connect": True},
        veto=False,
    )
    return StructureMethod(settings, {name: networks[name] for name in NETWORKS})


def neighborhood(vectors: np.ndarray) -> Neighborhood:
    graph = build_neighbor_graph(np.ascontiguousarray(vectors), K)
    return Neighborhood(vectors, vectors, graph.ids, graph.similarities, graph.ids)


class Scored(NamedTuple):
    """Faces, and what networks made of their lists."""

    near: Neighborhood
    affinity: np.ndarray
    same: np.ndarray


def scored_by(method: StructureMethod, vectors: np.ndarray) -> Scored:
    near, run = neighborhood(vectors), Run()
    affinity = method.affinity(near, run)
    return Scored(near, affinity, method.genuine_probability(near, affinity, run))


def probability(
    method: StructureMethod, scored: Scored, edges: EdgeList, run: Run | None = None
) -> np.ndarray:
    return method.edge_scores("pcenet", *scored, run or Run())(edges)


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
def scored(vectors: np.ndarray) -> Scored:
    torch.manual_seed(3)
    return scored_by(method_of(), vectors)


def by_pair(near: Neighborhood, values: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Values of listed pairs as a square matrix in the old numbering."""
    matrix = np.zeros((len(old), len(old)), np.float32)
    row, column = np.nonzero(near.ids >= 0)
    matrix[old[row], old[near.ids[row, column]]] = values[row, column]
    return matrix


def edges_between(source: np.ndarray, target: np.ndarray) -> EdgeList:
    return EdgeList(
        source.astype(np.int32), target.astype(np.int32), np.full(len(source), 0.5, np.float32)
    )


@pytest.mark.parametrize("variant", ["rotated", "padded", "reordered"])
def test_probabilities_do_not_depend_on_coordinates_or_order(vectors: np.ndarray, variant: str) -> None:
    method, run = method_of(), Run()
    other, old = variants(vectors)[variant]
    results = []
    for x, number in ((vectors, np.arange(len(vectors))), (other, old)):
        found = scored_by(method, x)
        refined, white = (method.refined(found.near, run, whiten=whiten) for whiten in (False, True))
        place = np.argsort(number)
        joined = edges_between(place[np.arange(100)], place[np.arange(100, 200)])
        results.append(
            (
                (white @ white.T)[place][:, place],
                (refined @ refined.T)[place][:, place],
                by_pair(found.near, found.affinity, number),
                by_pair(found.near, found.same, number),
                probability(method, found, joined),
            )
        )
    # The last bit of a cosine may decide the rank of a face, which changes its list. A rotation changes
    # more of them, also whether a neighbour is likely, and so what whitening measures.
    allowed = (0.1 if variant == "rotated" else 2e-3, 2e-3, 4e-3, 4e-3, 4e-3)
    for one, two, most in zip(*results, allowed, strict=True):
        assert np.quantile(np.abs(one - two), 0.99) < most


def test_without_whitening_no_other_graph_is_searched(vectors: np.ndarray) -> None:
    method, near = method_of(), neighborhood(vectors)
    plainly, white = Run(), Run()
    plain = method.refined(near, plainly, whiten=False)
    assert not plainly.progress.seconds
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1), 1, atol=1e-5)
    whitened = method.refined(near, white, whiten=True)
    assert set(white.progress.seconds) == {"neighbours"}
    assert np.abs(plain - whitened).max() > 0.01


def test_where_whitening_does_not_help_no_other_graph_is_searched() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(rng.standard_normal((60, 32)), 5, axis=0)
    faces = normalize(people + 0.2 * rng.standard_normal((300, 32)))
    method, run = method_of(stirred(StructureRefinement(whitening=[0, 0.5]))), Run()
    refined = method.refined(neighborhood(faces), run, whiten=True)
    assert not run.progress.seconds, "the graph is there already"
    np.testing.assert_allclose(np.linalg.norm(refined, axis=1), 1, atol=1e-5)


def test_less_whitening_changes_less(vectors: np.ndarray) -> None:
    near = neighborhood(vectors)
    moved = []
    for power in (0.0, 0.25, 0.5):
        method = method_of(stirred(StructureRefinement(whitening=power)))
        moved.append(np.abs(method.whitened(near, Run()).vectors - vectors).max())
    assert moved[0] < 1e-5
    assert moved[0] < moved[1] < moved[2]


def test_cosines_weigh_the_density_where_that_is_wanted(scored: Scored) -> None:
    near, affinity, same = scored
    strength = affinity * mutual_probability(near.ids, same, "present")
    plain, weighed = (
        method_of().with_settings(weighted=weighted).graph_of(*scored) for weighted in (False, True)
    )
    for graph, weight in ((weighed, np.maximum(near.similarities, 0)), (plain, 1)):
        expected = (weight * strength * (near.ids >= 0))[:, 1:].sum(axis=1)
        np.testing.assert_allclose(graph.density, expected, rtol=1e-4)
    assert (weighed.density < plain.density).any()


def test_a_veto_only_lowers_the_strength_of_an_edge(scored: Scored) -> None:
    method = method_of()
    edges = method.graph_of(*scored).density_edges
    alone, strength = probability(method, scored, edges), edges.score
    vetoed = probability(method.with_settings(veto=True), scored, edges)
    np.testing.assert_array_equal(vetoed, alone * strength)
    assert (strength <= 1).all()


def test_batches_are_invisible(scored: Scored) -> None:
    rng = np.random.default_rng(1)
    joined = edges_between(*rng.integers(500, size=(2, 90)))
    method, several = method_of(), Run(batch=31)
    for network in (PairScorer(), StructurePairs(), StructureLists()):
        stirred(network)
        whole = method.list_scores(network, scored.near, Run(), scored.affinity)
        parts = method.list_scores(network, scored.near, several, scored.affinity)
        np.testing.assert_allclose(parts, whole, atol=1e-5)
        rows = rng.permutation(len(whole))[:40]
        some = method.list_scores(network, scored.near, several, scored.affinity, rows=rows)
        np.testing.assert_allclose(some, whole[rows], atol=1e-5)
    whole = probability(method, scored, joined)
    np.testing.assert_allclose(probability(method, scored, joined, several), whole, atol=1e-5)


def test_an_edge_has_no_direction(scored: Scored) -> None:
    method = method_of()
    source, target = np.arange(100), scored.near.ids[:100, 3]
    there = probability(method, scored, edges_between(source, target))
    back = probability(method, scored, edges_between(target, source))
    np.testing.assert_allclose(back, there, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_faces(n: int) -> None:
    vectors = generate(n, "wild", dimension=16, seed=0).embeddings
    method = method_of()
    refined = method.refined(neighborhood(vectors), Run(), whiten=True)
    np.testing.assert_allclose(np.linalg.norm(refined, axis=1), 1, atol=1e-5)
    found = scored_by(method, refined)
    assert np.isfinite(found.affinity).all()
    assert np.isfinite(found.same).all()
    ends = edges_between(np.zeros(1, int), np.full(1, n - 1))
    assert np.isfinite(probability(method, found, ends)).all()


def test_lists_that_end_early_are_read_to_their_end(scored: Scored) -> None:
    method, near = method_of(), scored.near
    short = near.ids.copy()
    short[:, 10:] = -1
    similarities = np.where(short >= 0, near.similarities, np.float32(0))
    ended = replace(near, ids=short, similarities=similarities)
    cut = replace(near, ids=short[:, :10].copy(), similarities=near.similarities[:, :10].copy())
    found = method.affinity(ended, Run())
    assert not found[:, 10:].any()
    # Both differ in k, which some features name; the mask hides everything else.
    assert np.abs(found[:, :10] - method.affinity(cut, Run())).mean() < 0.1
