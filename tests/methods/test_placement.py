"""New faces to the clusters found, by the method that found them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc import FaceClusterer
from nsrfc.model.bundle import load_model
from nsrfc.synthetic import generate

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


def test_below_the_minimum_size_the_rules_place_what_the_rules_found(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]],
) -> None:
    few, new = faces[0][:300], faces[1]
    by_model, by_rules = FaceClusterer().fit(few), FaceClusterer(model=None).fit(few)
    np.testing.assert_array_equal(by_model.labels_, by_rules.labels_)
    np.testing.assert_array_equal(by_model.predict(new), by_rules.predict(new))


def test_a_change_after_fit_changes_nothing(
    faces: tuple[Floats, Floats, npt.NDArray[np.int64]], tmp_path: Path
) -> None:
    known, new, _ = faces
    clusterer = FaceClusterer().fit(known)
    expected = FaceClusterer().fit(known).predict(new)
    clusterer.set_params(model=None, cache=tmp_path / "cache")
    np.testing.assert_array_equal(clusterer.predict(new), expected)
    assert not (tmp_path / "cache").exists()
