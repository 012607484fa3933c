"""What the published networks are given and give: vectors, nothing where a list ends, two classes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.methods.published import PublishedMethod
from nsrfc.model.settings import ModelSettings, NetworkName
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.lcenet import LCENet
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.networks.published.pcenet import PCENet
from nsrfc.records import Neighborhood
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

N, K, D = 50, 6, 8
SIZES: dict[str, Any] = {"layers": 1, "heads": 2, "hidden": 8}


def made_method() -> PublishedMethod:
    torch.manual_seed(0)
    networks: dict[NetworkName, nn.Module] = {
        "cgcn": CGCN(D),
        "pairs": PairNetwork(D, **SIZES),
        "lcenet": LCENet(D, K, **SIZES),
        "pcenet": PCENet(D, K, **SIZES, classifier_hidden=8),
    }
    made = ModelSettings(
        family="coordinates", dimension=D, k=K, networks={name: {} for name in networks}, veto=False
    )
    return PublishedMethod(made, {name: network.eval() for name, network in networks.items()})


def made_faces() -> Neighborhood:
    """Make faces of which every third has a short list, and one has nobody."""
    X = normalize(generate(N, "wild", dimension=D, seed=1).embeddings)
    graph = build_neighbor_graph(X, K)
    ids, similarities = graph.ids.copy(), graph.similarities.copy()
    ids[::3, 4:], ids[7, 1:] = -1, -1
    similarities[ids < 0] = 0
    return Neighborhood(X, X, ids, similarities, ids)


METHOD, NEAR = made_method(), made_faces()


def test_lists_are_gathered_with_nothing_where_they_end() -> None:
    rows = np.array([7, 0, 49, 7])
    vectors, present = METHOD.list_inputs(METHOD.networks["pairs"], NEAR)(rows)
    assert vectors.shape == (4, K, D)
    for b, i in enumerate(rows.tolist()):
        for c, j in enumerate(NEAR.ids[i].tolist()):
            assert bool(present[b, c]) == (j >= 0)
            expected = NEAR.vectors[j] if j >= 0 else np.zeros(D)
            np.testing.assert_array_equal(vectors[b, c], expected)


def test_edges_are_gathered_as_the_lists_of_their_two_ends() -> None:
    unused = np.zeros((N, K), np.float32)
    source, target = np.array([7, 3, 12]), np.array([1, 7, 0])
    vectors, present = METHOD.edge_inputs(NEAR, unused, unused)(source, target)
    gather = METHOD.list_inputs(METHOD.networks["lcenet"], NEAR)
    for side, ends in enumerate((source, target)):
        listed, there = gather(ends)
        assert torch.equal(vectors[:, side], listed)
        assert torch.equal(present[:, side], there)


def test_gathering_leaves_the_vectors_as_they_were() -> None:
    before = NEAR.vectors.copy()
    vectors, _ = METHOD.list_inputs(METHOD.networks["pairs"], NEAR)(np.arange(N))
    vectors.fill_(9)
    np.testing.assert_array_equal(NEAR.vectors, before)


@pytest.mark.parametrize("rows", [1, 7, N - 1, N, 10 * N])
def test_the_refinement_works_on_any_number_of_faces_at_a_time(rows: int) -> None:
    whole = METHOD.convolved(NEAR, NEAR.ids)
    assert whole.shape == (N, 2 * D)
    assert whole.flags.c_contiguous
    np.testing.assert_allclose(METHOD.convolved(NEAR, NEAR.ids, rows=rows), whole, atol=1e-6)


@pytest.mark.parametrize("name", ["lcenet", "pcenet"])
def test_the_probability_of_two_classes_is_the_softmax_of_the_second(name: NetworkName) -> None:
    network, unused = METHOD.networks[name], np.zeros((N, K), np.float32)
    if name == "lcenet":
        inputs = METHOD.list_inputs(network, NEAR)(np.arange(N))
    else:
        inputs = METHOD.edge_inputs(NEAR, unused, unused)(np.arange(N), NEAR.ids[:, 0])
    with torch.no_grad():
        found = METHOD.log_odds(network, inputs).sigmoid()
        expected = network(*inputs).softmax(dim=-1)[..., 1]
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_the_pair_network_gives_log_odds_itself() -> None:
    network = METHOD.networks["pairs"]
    inputs = METHOD.list_inputs(network, NEAR)(np.arange(N))
    with torch.no_grad():
        assert torch.equal(METHOD.log_odds(network, inputs), network(*inputs))


def test_a_score_of_a_list_does_not_hang_on_whom_it_stands_beside() -> None:
    """The published pair network attended over the batch by mistake."""
    order = np.random.default_rng(0).permutation(N)
    place = np.argsort(order).astype(np.int32)
    moved = replace(
        NEAR,
        vectors=NEAR.vectors[order],
        ids=np.where(NEAR.ids[order] >= 0, place[NEAR.ids[order]], -1).astype(np.int32),
        similarities=NEAR.similarities[order],
    )
    scores: dict[str, npt.NDArray[np.float32]] = {}
    for name, near in (("straight", NEAR), ("moved", moved)):
        scores[name] = METHOD.list_scores(METHOD.networks["pairs"], near, Run(device="cpu", batch=7))
    np.testing.assert_allclose(scores["moved"], scores["straight"][order], atol=1e-6)
