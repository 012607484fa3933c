"""New faces to the clusters found, by the method that found them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc import FaceClusterer
from nsrfc.model.bundle import load_model
from nsrfc.synthetic import PRESETS, generate

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Known faces, new ones, and the identity of all."""
    made = generate(1500, "wild", dimension=128, seed=3)
    return made.embeddings[:1300], made.embeddings[1300:], made.identities


@pytest.mark.parametrize("model", [None, "universal"])
def test_new_faces_join_their_identity(
    model: str | None, faces: tuple[Floats, Floats, npt.NDArray[np.int64]]
) -> None:
    known, new, identities = faces
    clusterer = FaceClusterer(model=model).fit(known)
    placed = clusterer.predict(new)
    alone = np.where(placed < 0, 10_000 + np.arange(len(new)), placed)
    scores = nsrfc.evaluate(identities, np.concatenate((clusterer.labels_, alone)))
    fitted = nsrfc.evaluate(identities[: len(known)], clusterer.labels_)
    assert scores.pairwise.f > fitted.pairwise.f - 0.02


@pytest.mark.parametrize("model", [None, "universal"])
def test_a_face_is_placed_by_itself(
    model: str | None, faces: tuple[Floats, Floats, npt.NDArray[np.int64]]
) -> None:
    known, new, _ = faces
    clusterer = FaceClusterer(model=model).fit(known)
    together = clusterer.predict(new)
    np.testing.assert_array_equal(clusterer.predict(new[::-1])[::-1], together)
    np.testing.assert_array_equal([clusterer.predict(face[None])[0] for face in new[:10]], together[:10])


def test_a_higher_threshold_places_fewer_faces(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]],
) -> None:
    known, new, _ = faces
    placed = [
        FaceClusterer(threshold=threshold).fit(known).predict(new) >= 0 for threshold in (0.2, 0.8, 1)
    ]
    assert placed[0].sum() > placed[1].sum() > placed[2].sum() == 0


def test_precision_decides_the_threshold_of_both(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]],
) -> None:
    known, new, _ = faces
    threshold = load_model("universal").settings.connect_for(0.98)
    by_precision = FaceClusterer(precision=0.98).fit(known)
    by_threshold = FaceClusterer(threshold=threshold).fit(known)
    np.testing.assert_array_equal(by_precision.labels_, by_threshold.labels_)
    np.testing.assert_array_equal(by_precision.predict(new), by_threshold.predict(new))


def test_k_of_the_rules_is_that_of_fit(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]],
) -> None:
    clusterer = FaceClusterer(model=None, k=7).fit(faces[0])
    clusterer.predict(faces[1])
    assert [placed.k for placed in clusterer._placed] == [7]


@pytest.mark.parametrize("model", [None, "universal"])
def test_a_face_that_was_fitted_gets_its_own_label(
    model: str | None, faces: tuple[Floats, Floats, npt.NDArray[np.int64]]
) -> None:
    """Those without a cluster as well, and whatever the scale of the vector."""
    known = faces[0][:400]
    clusterer = FaceClusterer(model=model, min_cluster_size=3).fit(known)
    assert (clusterer.labels_ == -1).any()
    np.testing.assert_array_equal(clusterer.predict(known), clusterer.labels_)
    np.testing.assert_array_equal(clusterer.predict(3 * known), clusterer.labels_)


@pytest.mark.parametrize("model", [None, "universal"])
@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_new_photos_of_whoever_has_most_photos_are_found(model: str | None, share: float) -> None:
    """Beside guests of one to five photos; the more of one person, the fewer impostor pairs."""
    n, own = 400, int(400 * share)
    usual = replace(PRESETS["lfw"], wrong=0.0, tail_share=0)
    one = generate(own + 30, replace(usual, body_size=1000, max_size=1000), seed=1).embeddings
    several = replace(usual, body_size=3, body_spread=1.5, max_size=5)
    guests = generate(n - own, several, seed=2).embeddings
    clusterer = FaceClusterer(model=model).fit(np.concatenate((one[30:], guests)))
    found = clusterer.predict(one[:30])
    assert np.isin(found, clusterer.labels_[:own]).mean() >= 0.9


@pytest.mark.parametrize("model", [None, "universal"])
def test_who_has_few_photos_is_not_outvoted_by_a_look_alike_with_many(model: str | None) -> None:
    """Two people, their cosine half of that within each, with a hundred photos and with four."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal(64)
    centres = [np.sqrt(0.5) * (common + rng.standard_normal(64)) for _ in range(2)]
    many, few = (np.tile(centre, (size, 1)) for centre, size in zip(centres, (100, 8), strict=True))
    faces = np.concatenate((rng.standard_normal((20, 64)).repeat(5, axis=0), many, few))
    faces += 0.6 * rng.standard_normal(faces.shape)
    clusterer = FaceClusterer(model=model).fit(faces[:-4])
    own = clusterer.labels_[-4:]
    assert len(set(own)) == 1
    assert own[0] not in clusterer.labels_[:-4]
    np.testing.assert_array_equal(clusterer.predict(faces[-4:]), own)


def test_copies_do_not_lengthen_what_is_searched(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]],
) -> None:
    known, new, _ = faces
    once = FaceClusterer().fit(known)
    often = FaceClusterer().fit(np.concatenate((known, np.repeat(known[:1], 3000, axis=0))))
    np.testing.assert_array_equal(often.predict(new), once.predict(new))
    assert [len(placed.faces) for placed in often._placed] == [len(known)]


def test_a_change_after_fit_changes_nothing(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]], tmp_path: Path
) -> None:
    known, new, _ = faces
    clusterer = FaceClusterer().fit(known)
    expected = FaceClusterer().fit(known).predict(new)
    clusterer.set_params(model=None, cache=tmp_path / "cache")
    np.testing.assert_array_equal(clusterer.predict(new), expected)
    assert not (tmp_path / "cache").exists()
