"""Structural features of neighbour lists against their definitions, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest

from nsrfc.graph.list_features import LIST_FEATURES, ListStructure, list_features, list_structure
from nsrfc.graph.scores import fit_score_model, impostor_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.synthetic import generate

K = 30


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return generate(400, "wild", dimension=32, seed=3).embeddings


def structure_of(vectors: np.ndarray, k: int = K) -> ListStructure:
    graph = build_neighbor_graph(vectors, k)
    return list_structure(graph.ids, graph.similarities, impostor_scores(vectors))


def test_features_are_what_their_names_say(vectors: np.ndarray) -> None:
    known = structure_of(vectors)
    features = list_features(known, np.arange(len(vectors)))
    place = {name: number for number, name in enumerate(LIST_FEATURES)}
    best = known.score[:, 1:].max(axis=1)
    model = fit_score_model(best, len(vectors), known.impostors.identical)
    for i, c in ((0, 1), (5, 3), (17, 29), (399, 12)):
        j = known.ids[i, c]
        in_order = [known.ids[row][np.argsort(known.rank[row])] for row in (i, j)]
        row = features[i, c]
        assert row[place["score"]] == pytest.approx(known.score[i, c] / 10, rel=1e-6)
        assert row[place["rank"]] == pytest.approx(np.log1p(known.rank[i, c]) / np.log(80), rel=1e-5)
        assert row[place["mutual"]] == (i in known.ids[j])
        found = np.flatnonzero(in_order[1] == i)
        reverse = found[0] if len(found) else K
        assert row[place["reverse rank"]] == pytest.approx(np.log1p(reverse) / np.log(80), rel=1e-5)
        for depth in (5, 10, 20, 40, 80):
            shared = len(np.intersect1d(in_order[0][:depth], in_order[1][:depth]))
            assert row[place[f"shared {depth}"]] == pytest.approx(shared / min(depth, K))
        weights = np.zeros((2, len(vectors)))
        for row_of, face in enumerate((i, j)):
            weights[row_of, known.ids[face, 1:]] = known.score[face, 1:] ** 2
        company = weights[0] @ weights[1] / np.linalg.norm(weights[0]) / np.linalg.norm(weights[1])
        assert row[place["company"]] == pytest.approx(company, rel=1e-3)
        ordered = np.sort(known.score[j])[::-1]
        assert row[place["other 3"]] == pytest.approx(ordered[3] / 10, rel=1e-6)
        odds = model.slope * (known.score[i, c] - model.threshold)
        assert row[place["odds"]] == pytest.approx(np.clip(odds, -12, 12) / 10, rel=1e-4)


def test_features_do_not_depend_on_which_rows_are_asked_for(vectors: np.ndarray) -> None:
    known = structure_of(vectors)
    whole = list_features(known, np.arange(len(vectors)))
    rows = np.array([7, 3, 399, 3])
    np.testing.assert_array_equal(list_features(known, rows), whole[rows])


def test_rotation_and_zero_padding_change_nothing(vectors: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.standard_normal((32, 32)))[0].astype(np.float32)
    padded = np.pad(vectors, ((0, 0), (0, 16)))
    graph = build_neighbor_graph(vectors, K)
    rows = np.arange(len(vectors))
    expected, *found = (
        list_features(list_structure(graph.ids, graph.similarities, impostor_scores(of)), rows)
        for of in (vectors, vectors @ rotation, padded)
    )
    for seen in found:
        # Impostor scores are of coordinates rounded to 2^-12: strengths that differ by less may change
        # places, which moves ranks and shared neighbours of some pairs by one.
        assert np.quantile(np.abs(seen - expected), 0.99) < 2e-3


def test_short_lists_and_few_faces() -> None:
    vectors = generate(3, "wild", dimension=8, seed=0).embeddings
    ids = np.array([[0, 1, 2, -1], [1, 0, -1, -1], [2, -1, -1, -1]], np.int32)
    similarities = np.where(ids >= 0, (vectors @ vectors.T)[np.arange(3)[:, None], ids], 0)
    known = list_structure(ids, similarities.astype(np.float32), impostor_scores(vectors))
    features = list_features(known, np.arange(3))
    assert np.isfinite(features).all()
    assert not features[ids < 0].any()
    assert not known.curve[2, 1:].any()
