"""Whitening takes away what all people share, where that leaves less neighbor_entropy."""

from __future__ import annotations

import numpy as np

from nsrfc.graph.whitening import best_power, neighbor_entropy, neighborhood_scatter, whiten
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.vectors import normalize


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
        vectors, neighborhood_scatter(vectors, ids, np.ones(ids.shape, np.float32)), power=0
    )
    np.testing.assert_allclose(unmoved, vectors, atol=1e-6)
    half = whiten(
        vectors, neighborhood_scatter(vectors, ids, np.ones(ids.shape, np.float32)), power=0.25
    )
    moved = [float(np.linalg.norm(x - vectors)) for x in (half, white)]
    assert 0 < moved[0] < moved[1], "a lower power moves less"
    nothing = whiten(vectors, neighborhood_scatter(vectors, ids, np.zeros(ids.shape, np.float32)))
    np.testing.assert_array_equal(nothing, vectors)


def test_of_several_powers_the_one_is_taken_that_leaves_least_doubt() -> None:
    powers = 0, 0.25, 0.5
    vectors, _, ids = photos(shared=5, dimension=128)
    sure = np.ones(ids.shape, np.float32)
    white = [whiten(vectors, neighborhood_scatter(vectors, ids, sure), power) for power in powers]
    left = [neighbor_entropy(x) for x in white]
    assert left[2] < 0.5 * left[0]
    assert left[1] - left[2] < 0.002 < left[0] - left[2], "half does as well as whole"
    scatter = neighborhood_scatter(vectors, ids, sure)
    assert best_power(vectors, scatter, powers) == 0.5
    np.testing.assert_array_equal(whiten(vectors, scatter, 0.5, out=vectors), white[2])
    vectors, _, ids = photos(shared=0)
    scatter = neighborhood_scatter(vectors, ids, sure)
    assert best_power(vectors, scatter, powers) == 0, "nothing is gained, nothing is moved"


def test_doubt_is_of_neighbours_half_way_between_strangers_and_one_person() -> None:
    rng = np.random.default_rng(3)
    people = rng.standard_normal((500, 64))
    found = {}
    for noise in (0.2, 1.2, 50):
        faces = np.repeat(people, 2, axis=0) + noise * rng.standard_normal((1000, 64))
        found[noise] = neighbor_entropy(normalize(faces))
    assert found[0.2] < found[1.2] / 3
    assert found[50] < found[1.2] <= np.log(2)
    assert neighbor_entropy(np.full((1, 4), 0.5, np.float32)) == 0
