"""Structural features of neighbour lists against their definitions, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest

from nsrfc.graph.list_features import LIST_FEATURES, ListStructure, list_features, list_structure
from nsrfc.graph.reverse import both_directions, reverse_columns
from nsrfc.graph.score_model import fit_score_model
from nsrfc.graph.score_normalization import impostor_mean, impostor_scores
from nsrfc.graph.whitening import doubt, neighborhood_scatter, whiten
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

K = 30


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return generate(400, "wild", dimension=32, seed=3).embeddings


def structure_of(vectors: np.ndarray, k: int = K) -> ListStructure:
    graph = build_neighbor_graph(vectors, k)
    return list_structure(vectors, graph.ids, graph.similarities)


def test_features_are_what_their_names_say(vectors: np.ndarray) -> None:
    known = structure_of(vectors)
    features = list_features(known, np.arange(len(vectors)))
    place = {name: number for number, name in enumerate(LIST_FEATURES)}
    best = known.strength[:, 1:].max(axis=1)
    law = fit_score_model(best, len(vectors), float(((1 - known.center) / known.deviation).mean()))
    for i, c in ((0, 1), (5, 3), (17, 29), (399, 12)):
        j = known.ids[i, c]
        in_order = [known.ids[row][np.argsort(known.rank[row])] for row in (i, j)]
        row = features[i, c]
        assert row[place["strength"]] == pytest.approx(known.strength[i, c] / 10, rel=1e-6)
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
            weights[row_of, known.ids[face, 1:]] = known.strength[face, 1:] ** 2
        company = weights[0] @ weights[1] / np.linalg.norm(weights[0]) / np.linalg.norm(weights[1])
        assert row[place["company"]] == pytest.approx(company, rel=1e-3)
        ordered = np.sort(known.strength[j])[::-1]
        assert row[place["other 3"]] == pytest.approx(ordered[3] / 10, rel=1e-6)
        odds = law.slope * (known.strength[i, c] - law.threshold)
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
    expected = list_features(list_structure(vectors, graph.ids, graph.similarities), rows)
    for other in (vectors @ rotation, padded):
        seen = list_features(list_structure(other, graph.ids, graph.similarities), rows)
        # The background rounds coordinates to 2^-12: strengths that differ by less may change places,
        # which moves ranks and shared neighbours of some pairs by one.
        assert np.quantile(np.abs(seen - expected), 0.99) < 2e-3


def test_short_lists_and_few_faces() -> None:
    vectors = generate(3, "wild", dimension=8, seed=0).embeddings
    ids = np.array([[0, 1, 2, -1], [1, 0, -1, -1], [2, -1, -1, -1]], np.int32)
    similarities = np.where(ids >= 0, (vectors @ vectors.T)[np.arange(3)[:, None], ids], 0)
    known = list_structure(vectors, ids, similarities.astype(np.float32))
    features = list_features(known, np.arange(3))
    assert np.isfinite(features).all()
    assert not features[ids < 0].any()
    assert not known.curve[2, 1:].any()


def test_zero_padding_does_not_change_the_background_of_a_few_faces() -> None:
    """With so few faces what is assumed before looking decides, and that hangs on the dimension."""
    vectors = generate(20, "wild", dimension=48, seed=0).embeddings
    expected = impostor_scores(vectors, vectors)
    assert expected.deviation.mean() == pytest.approx(48**-0.5, rel=0.4)
    for zeros in (1, 48, 1000):
        longer = np.pad(vectors, ((0, 0), (0, zeros)))
        found = impostor_scores(longer, longer)
        np.testing.assert_array_equal(found.center, expected.center)
        np.testing.assert_array_equal(found.deviation, expected.deviation)
    assert impostor_mean(longer) == pytest.approx(float(expected.center.mean()))


def test_reverse_columns_find_the_face_in_its_neighbours_lists() -> None:
    ids = np.array([[0, 2, 1], [1, 2, -1], [2, 1, -1]], np.int32)
    np.testing.assert_array_equal(reverse_columns(ids), [[0, -1, -1], [0, 1, -1], [0, 1, -1]])
    values = np.arange(9, dtype=np.float32).reshape(3, 3)
    pairs = both_directions(ids, values)
    assert pairs[1, 1].tolist() == [4, 7]  # listed by both
    assert pairs[0, 1].tolist() == [1, 1]  # 2 does not list 0


def photos(shared: float, dimension: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw faces of 40 people, moved along two directions that all share; with identities and lists."""
    rng = np.random.default_rng(1)
    people = rng.standard_normal((40, dimension))
    nuisance = rng.standard_normal((2, dimension))
    nuisance *= shared / np.linalg.norm(nuisance, axis=1, keepdims=True)
    identity = np.repeat(np.arange(40), 10)
    vectors = people[identity] + rng.standard_normal((400, 2)) @ nuisance
    vectors += 0.2 * rng.standard_normal(vectors.shape)
    ids = [np.r_[i, np.setdiff1d(np.flatnonzero(identity == identity[i]), i)] for i in range(400)]
    return normalize(vectors), identity, np.array(ids, np.int32)


def test_whitening_removes_what_all_people_share_and_turns_with_the_space() -> None:
    vectors, identity, ids = photos(shared=6)
    white = whiten(vectors, neighborhood_scatter(vectors, ids, np.ones(ids.shape, np.float32)))

    def nearest_is_right(x: np.ndarray) -> float:
        nearest = build_neighbor_graph(np.ascontiguousarray(x), 2).ids[:, 1]
        return float((identity[nearest] == identity).mean())

    assert nearest_is_right(white) > nearest_is_right(vectors) + 0.1
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((24, 24)))[0].astype(np.float32)
    turned = whiten(
        vectors @ rotation, neighborhood_scatter(vectors @ rotation, ids, np.ones(ids.shape, np.float32))
    )
    np.testing.assert_allclose(turned, white @ rotation, atol=1e-3)
    unmoved = whiten(
        vectors, neighborhood_scatter(vectors, ids, np.ones(ids.shape, np.float32)), powers=(0,)
    )
    np.testing.assert_allclose(unmoved, vectors, atol=1e-6)
    half = whiten(
        vectors, neighborhood_scatter(vectors, ids, np.ones(ids.shape, np.float32)), powers=(0.25,)
    )
    moved = [float(np.linalg.norm(x - vectors)) for x in (half, white)]
    assert 0 < moved[0] < moved[1], "a lower power moves less"
    nothing = whiten(vectors, neighborhood_scatter(vectors, ids, np.zeros(ids.shape, np.float32)))
    np.testing.assert_array_equal(nothing, vectors)


def test_of_several_powers_the_one_is_taken_that_leaves_least_doubt() -> None:
    powers = 0, 0.25, 0.5
    vectors, _, ids = photos(shared=5, dimension=128)
    sure = np.ones(ids.shape, np.float32)
    white = [whiten(vectors, neighborhood_scatter(vectors, ids, sure), [power]) for power in powers]
    left = [doubt(x) for x in white]
    assert left[2] < 0.5 * left[0]
    assert left[1] - left[2] < 0.002 < left[0] - left[2], "half does as well as whole"
    np.testing.assert_array_equal(
        whiten(vectors, neighborhood_scatter(vectors, ids, sure), powers), white[2]
    )
    vectors, _, ids = photos(shared=0)
    assert whiten(vectors, neighborhood_scatter(vectors, ids, sure), powers) is vectors, (
        "nothing is gained, nothing is moved"
    )


def test_doubt_is_of_neighbours_half_way_between_strangers_and_one_person() -> None:
    rng = np.random.default_rng(3)
    people = rng.standard_normal((500, 64))
    found = {}
    for noise in (0.2, 1.2, 50):
        faces = np.repeat(people, 2, axis=0) + noise * rng.standard_normal((1000, 64))
        found[noise] = doubt(normalize(faces))
    assert found[0.2] < 0.01 < found[1.2]
    assert found[50] < found[1.2] <= np.log(2)
    assert doubt(np.full((1, 4), 0.5, np.float32)) == 0
