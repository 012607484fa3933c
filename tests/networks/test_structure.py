"""Networks on structure: what they know untrained, and what they learn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nsrfc.graph.list_features import LIST_FEATURES, ListStructure, list_features, list_structure
from nsrfc.graph.scores import impostor_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.networks.structure import TRUST, PairScorer
from nsrfc.records import NeighborGraph
from nsrfc.synthetic import generate

K = 25


def structure_of(graph: NeighborGraph, vectors: npt.NDArray[np.float32]) -> ListStructure:
    return list_structure(graph.ids, graph.similarities, impostor_scores(vectors))


@pytest.fixture(scope="module")
def known() -> ListStructure:
    vectors = generate(500, "wild", dimension=24, seed=5).embeddings
    return structure_of(build_neighbor_graph(vectors, K), vectors)


def features_of(structure: ListStructure, rows: npt.NDArray[np.int64] | None = None) -> Tensor:
    rows = np.arange(len(structure.ids)) if rows is None else rows
    return torch.from_numpy(list_features(structure, rows))


def test_an_untrained_scorer_repeats_the_evidence(known: ListStructure) -> None:
    with torch.no_grad():
        probability = PairScorer().eval()(features_of(known)).sigmoid()
    odds = torch.from_numpy(TRUST * known.score_model.log_odds(known.score[:, 1:]).clip(-12, 12))
    np.testing.assert_allclose(probability[:, 1:], odds.sigmoid(), atol=1e-5)


def test_what_never_varied_in_learning_says_nothing_later(known: ListStructure) -> None:
    """Among people with many photos each, every near neighbour may be mutual."""
    torch.manual_seed(3)
    scorer = PairScorer()
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    features = features_of(known)
    features[..., LIST_FEATURES.index("mutual")] = 1
    scorer.train()
    for batch in features.split(64):
        scorer(batch)
    scorer.eval()
    elsewhere = features.clone()
    elsewhere[..., LIST_FEATURES.index("mutual")] = 0
    with torch.no_grad():
        torch.testing.assert_close(scorer(elsewhere), scorer(features))
        assert not torch.equal(scorer(features.flip(0)), scorer(features)), "others do say something"


def test_a_scorer_learns_more_than_cosine_and_keeps_it_on_other_people() -> None:
    known, unknown = (generate(1500, "ms1m", dimension=64, seed=seed) for seed in (0, 1))
    graph, other = (build_neighbor_graph(faces.embeddings, K) for faces in (known, unknown))
    structure = structure_of(graph, known.embeddings)
    torch.manual_seed(3)
    scorer = PairScorer()
    same = torch.from_numpy(known.identities[graph.ids] == known.identities[:, None]).float()
    optimizer = torch.optim.AdamW(scorer.parameters(), 5e-3)
    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = rng.integers(1500, size=64)
        odds = scorer(features_of(structure, rows))[:, 1:]
        loss = functional.binary_cross_entropy_with_logits(odds, same[rows, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    truth = unknown.identities[other.ids] == unknown.identities[:, None]
    with torch.no_grad():
        learned = scorer.eval()(features_of(structure_of(other, unknown.embeddings))).numpy()

    def mistaken(score: np.ndarray) -> float:
        """Share of listed pairs on the wrong side, if as many are taken as are right."""
        flat, right = score[:, 1:].ravel(), truth[:, 1:].ravel()
        taken = np.argsort(-flat)[: right.sum()]
        return 1 - float(right[taken].mean())

    assert mistaken(learned) < 0.7 * mistaken(other.similarities)
