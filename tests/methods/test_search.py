"""Frames of one scene count as one face; different photos of a person do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import DistinctFaces, distinct_faces
from nsrfc.knn.exact import recall
from nsrfc.methods.base import Run
from nsrfc.methods.registry import load_method
from nsrfc.methods.search import merged, near_copies, scenes_and_neighbors
from nsrfc.records import NeighborGraph
from nsrfc.synthetic import generate

Floats = npt.NDArray[np.float32]


def frames_of(photos: Floats, frames: int, noise: float = 0.15, seed: int = 5) -> Floats:
    """Repeat every photo with noise: at 0.15 frames have a cosine of 0.978."""
    rng = np.random.default_rng(seed)
    repeated = np.repeat(photos, frames, axis=0)
    moved = rng.standard_normal(repeated.shape)
    moved *= noise / np.linalg.norm(moved, axis=1, keepdims=True)
    frames_drawn: Floats = (repeated + moved).astype(np.float32)
    return frames_drawn


def folded(X: Floats, k: int = 80) -> tuple[DistinctFaces, DistinctFaces]:
    faces = distinct_faces(X)
    leader = near_copies(faces, build_neighbor_graph(faces.vectors, k))
    return faces, merged(distinct_faces(X), leader, np.arange(len(leader)))


@pytest.fixture(scope="module")
def photos() -> Floats:
    return generate(200, "wild", dimension=128, seed=2).embeddings


def test_frames_of_a_photo_are_one_face_near_the_photo(photos: Floats) -> None:
    _, scenes = folded(frames_of(photos, 10))
    assert len(scenes.vectors) == len(photos)
    groups = scenes.place.reshape(len(photos), 10)
    assert (groups == groups[:, :1]).all()
    np.testing.assert_allclose(np.linalg.norm(scenes.vectors, axis=1), 1, atol=1e-5)
    cosine = (scenes.vectors[groups[:, 0]] * photos).sum(axis=1)
    assert cosine.min() > 0.99, "the mean is nearer to the photo than a frame is"


def test_different_photos_stay_as_they_are(photos: Floats) -> None:
    faces, scenes = folded(photos)
    np.testing.assert_array_equal(scenes.vectors, faces.vectors)


def test_more_frames_than_a_list_holds_leave_few_faces(photos: Floats) -> None:
    _, scenes = folded(frames_of(photos[:20], 50), k=20)
    assert 20 <= len(scenes.vectors) <= 20 * 8


def test_groups_are_balls_and_no_chains() -> None:
    """A face that turns by 90 degrees in small steps is several scenes."""
    turn = np.linspace(0, np.pi / 2, 91)
    X = generate(300, "lfw", dimension=128, seed=1).embeddings
    turning = np.cos(turn)[:, None] * X[0] + np.sin(turn)[:, None] * X[1]
    _, scenes = folded(np.concatenate((X[2:], turning.astype(np.float32))))
    for group in np.unique(scenes.place[len(X) - 2 :]):
        steps = np.flatnonzero(scenes.place[len(X) - 2 :] == group)
        assert steps[-1] - steps[0] <= 2 * np.degrees(np.arccos(0.94))


@pytest.mark.parametrize("d", [1, 2, 4])
def test_in_few_dimensions_nothing_is_folded(d: int) -> None:
    X = np.random.default_rng(d).standard_normal((200, d)).astype(np.float32)
    faces, scenes = folded(X)
    np.testing.assert_array_equal(scenes.vectors, faces.vectors)


@pytest.mark.parametrize("model", [None, "universal"])
def test_people_are_the_same_whether_photos_have_one_frame_or_many(
    model: str | None, photos: Floats
) -> None:
    once = nsrfc.cluster(photos, model).labels
    for frames in (5, 30):
        often = nsrfc.cluster(frames_of(photos, frames), model).labels
        same = nsrfc.evaluate(np.repeat(once, frames), often).pairwise
        assert same.f > 0.95


def test_the_order_of_rows_changes_nothing(photos: Floats) -> None:
    X = frames_of(photos[:60], 4)
    order = np.random.default_rng(0).permutation(len(X))
    straight, shuffled = nsrfc.cluster(X, None), nsrfc.cluster(X[order], None)
    np.testing.assert_array_equal(
        nsrfc.evaluate(straight.labels[order], shuffled.labels).pairwise.f, 1.0
    )
    np.testing.assert_array_equal(shuffled.confidence, straight.confidence[order])


def brought(X: Floats, config: ClusterConfig | None = None) -> tuple[DistinctFaces, NeighborGraph]:
    """Return scenes and their lists, as the rules get them."""
    faces = distinct_faces(X)
    method = load_method(None, config or ClusterConfig(), X.shape[1], Run(), None)
    return scenes_and_neighbors(faces, None, method, Run())


def test_neighbours_stand_beside_each_other() -> None:
    """A face stands nearer to its neighbours than to others, which is what later steps gather by."""
    X = generate(3000, "wild", dimension=128, seed=4).embeddings
    scenes, graph = brought(X)
    apart = np.abs(graph.ids[:, 1:4] - np.arange(len(scenes.rows))[:, None])
    assert np.median(apart) < 0.1 * len(scenes.rows), "a third, if they stood anywhere"


@pytest.mark.parametrize("search", ["auto", "exact"])
def test_lists_are_those_of_the_faces_in_their_new_order(photos: Floats, search: str) -> None:
    scenes, graph = brought(photos, ClusterConfig.of(search=search))
    np.testing.assert_allclose(scenes.vectors, photos[scenes.rows], atol=1e-6)
    np.testing.assert_array_equal(scenes.rows[scenes.place], np.arange(len(photos)))
    exact = build_neighbor_graph(scenes.vectors, graph.k)
    np.testing.assert_array_equal(graph.ids, exact.ids)
    np.testing.assert_array_equal(graph.similarities, exact.similarities)


@pytest.mark.parametrize(("some", "frames", "least"), [(20, 2, 0.95), (200, 40, 1.0)])
def test_neighbours_of_scenes_are_found(photos: Floats, some: int, frames: int, least: float) -> None:
    """A few near-copies shorten lists a little; forty frames fill them with two scenes."""
    X = np.concatenate((frames_of(photos[:some], frames), photos[some:]))
    scenes, graph = brought(X)
    assert len(scenes.rows) == len(photos)
    exact = build_neighbor_graph(scenes.vectors, graph.k)
    assert recall(exact.ids[:, :40], graph.ids) >= least


def test_an_exact_search_is_exact_beside_near_copies(photos: Floats) -> None:
    scenes, graph = brought(frames_of(photos, 2), ClusterConfig.of(search="exact"))
    np.testing.assert_array_equal(graph.ids, build_neighbor_graph(scenes.vectors, graph.k).ids)
