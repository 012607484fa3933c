"""The steps by the published networks: batches and chunks are invisible, and lists may end early."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nsrfc.graph.reranking import rerank
from nsrfc.graph.subgraphs import local_adjacency
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.methods.published import PublishedMethod, sparse_adjacency
from nsrfc.model.settings import NETWORKS, ModelSettings
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.lcenet import LCENet
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.networks.published.pcenet import PCENet
from nsrfc.records import NeighborGraph, Neighborhood
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

K, D = 12, 16


@pytest.fixture(scope="module")
def near() -> Neighborhood:
    X = normalize(generate(400, "wild", dimension=D, seed=0).embeddings)
    graph = build_neighbor_graph(X, K)
    return Neighborhood(X, X, graph.ids, graph.similarities, graph.ids)


@pytest.fixture(scope="module")
def method() -> PublishedMethod:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "cgcn": CGCN(D),
        "pairs": PairNetwork(D, heads=2),
        "lcenet": LCENet(D, K, heads=2),
        "pcenet": PCENet(D, K, heads=2),
    }
    settings = ModelSettings(
        family="coordinates",
        dimension=D,
        k=K,
        networks={name: {} for name in NETWORKS},
        veto=False,
    )
    return PublishedMethod(settings, {name: networks[name].eval() for name in NETWORKS})


def test_batch_size_and_lists_cut_short_do_not_change_a_verdict(
    method: PublishedMethod, near: Neighborhood
) -> None:
    ids = near.ids.copy()
    ids[::3, 7:] = -1
    near = replace(near, ids=ids)
    for name in ("pairs", "lcenet"):
        network = method.networks[name]
        probability = method.list_scores(network, near, Run())
        several = method.list_scores(network, near, Run(batch=7))
        np.testing.assert_allclose(several, probability, atol=1e-6)
        assert (probability[:, 0] == 1).all()
        assert (probability[ids < 0] == 0).all()
    cosine = np.maximum(near.similarities, 0)
    edges = method.graph_of(near, cosine, cosine).density_edges
    whole, several = (
        method.edge_scores("pcenet", near, cosine, cosine, run)(edges) for run in (Run(), Run(batch=9))
    )
    np.testing.assert_allclose(several, whole, atol=1e-6)


def test_chunks_of_the_refinement_are_invisible(method: PublishedMethod, near: Neighborhood) -> None:
    run = Run()
    whole = method.refined(near, run, whiten=False)
    assert not run.progress.seconds, "a C-GCN needs no other graph"
    np.testing.assert_allclose(method.convolved(near, near.ids, rows=33), whole, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)


def test_a_refinement_on_re_ranked_lists_is_that_of_these_lists(
    method: PublishedMethod, near: Neighborhood
) -> None:
    lists = rerank(NeighborGraph(near.ids, near.similarities), X=near.vectors).ids
    again = method.with_settings(rerank=True)
    np.testing.assert_array_equal(again.convolved_lists(near, Run()), lists)
    refined = again.refined(near, Run(), whiten=False)
    np.testing.assert_array_equal(refined, method.convolved(near, lists))
    np.testing.assert_array_equal(refined, method.refined(near, Run(), whiten=False, lists=lists))
    assert not np.array_equal(refined, method.refined(near, Run(), whiten=False))


def test_a_sparse_matrix_multiplies_as_it_does_in_scipy(near: Neighborhood) -> None:
    matrix = local_adjacency(near.ids, near.similarities)
    adjacency = sparse_adjacency(matrix, torch.device("cpu"))
    x = near.vectors
    np.testing.assert_allclose(adjacency.aggregate(torch.from_numpy(x)).numpy(), matrix @ x, atol=1e-5)
