"""FaceClusterer: scikit-learn's conventions, small inputs, invariance, new faces, real faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import nsrfc
from nsrfc.errors import InputError
from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.methods.base import Run
from nsrfc.metrics import evaluate
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import ModelSettings
from nsrfc.synthetic import generate

from .models import FAMILIES, STRUCTURE, D, make_model

EXPECTED_TO_FAIL = {
    "check_estimators_dtypes": "casts small values to integers, which leaves a row of zeros: a face "
    "without a direction is refused, with its row named",
}


def expected_failures(_: object) -> dict[str, str]:
    return EXPECTED_TO_FAIL


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [nsrfc.FaceClusterer()], expected_failed_checks=expected_failures
)
def test_scikit_learn_conventions(estimator: object, check: Callable[[object], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 30])
def test_few_faces(n: int) -> None:
    for seed in range(4):
        X = np.random.default_rng(seed).normal(size=(n, 128)).astype(np.float32)
        labels = nsrfc.FaceClusterer().fit_predict(X)
        assert sorted(set(labels)) == list(range(n)), "random directions are different people"


def test_identical_faces_are_one_person() -> None:
    X = np.tile(np.random.default_rng(0).normal(size=(1, 32)), (200, 1))
    assert set(nsrfc.FaceClusterer().fit_predict(X)) == {0}


def test_two_faces_of_one_person() -> None:
    rng = np.random.default_rng(0)
    face = rng.normal(size=256)
    X = np.stack([face, face + 0.3 * rng.normal(size=256)])
    assert set(nsrfc.FaceClusterer().fit_predict(X)) == {0}


def test_one_dimension_has_two_directions() -> None:
    labels = nsrfc.FaceClusterer().fit_predict([[1.0], [-2.0], [3.0], [-0.5]])
    assert labels.tolist() == [0, 1, 0, 1]


def test_row_order_does_not_matter() -> None:
    faces = generate(700, "wild", seed=3)
    X = np.concatenate([faces.embeddings, faces.embeddings[:40]])
    order = np.random.default_rng(1).permutation(len(X))
    labels = nsrfc.FaceClusterer().fit_predict(X)
    shuffled = nsrfc.FaceClusterer().fit_predict(X[order])
    assert np.array_equal(relabel_by_first_appearance(labels[order]), shuffled)


def test_small_groups_can_be_left_out() -> None:
    faces = generate(600, "wild", seed=0)
    whole = nsrfc.FaceClusterer().fit_predict(faces.embeddings)
    labels = nsrfc.FaceClusterer(min_cluster_size=3).fit_predict(faces.embeddings)
    sizes = np.bincount(whole)
    assert np.array_equal(labels == -1, sizes[whole] < 3)


def test_new_faces_join_known_people_or_nobody() -> None:
    faces = generate(1500, "wild", seed=0)
    X, y = faces.embeddings, faces.identities
    known = np.arange(len(X)) % 5 > 0
    clusterer = nsrfc.FaceClusterer().fit(X[known])
    found = clusterer.predict(X[~known])
    assert set(found) <= set(clusterer.labels_) | {-1}
    assert np.array_equal(found[:7], clusterer.predict(X[~known][:7]))
    majority = [np.bincount(y[known][clusterer.labels_ == c]).argmax() for c in found[found >= 0]]
    assert (found >= 0).mean() > 0.7
    assert (np.array(majority) == y[~known][found >= 0]).mean() > 0.95
    strangers = np.random.default_rng(0).normal(size=(50, X.shape[1]))
    assert (clusterer.predict(strangers) == -1).mean() > 0.95


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("k", 0),
        ("search", "fast"),
        ("seed", -1),
        ("threshold", np.nan),
        ("threshold", 2),
        ("threshold", -1),
        ("threshold", "a"),
        ("precision", "x"),
        ("device", None),
        ("device", "meta"),
        ("cache", 3),
    ],
)
def test_bad_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(nsrfc.InputError, match=setting):
        nsrfc.FaceClusterer().set_params(**{setting: value}).fit(np.eye(4))


Cluster = Callable[..., object]


@pytest.fixture(params=["rules", "model"])
def find_people(request: pytest.FixtureRequest) -> Cluster:
    return partial(nsrfc.cluster, model=None if request.param == "rules" else "universal")


def test_arguments_of_another_kind_are_named(find_people: Cluster) -> None:
    with pytest.raises(nsrfc.InputError, match="config must be a ClusterConfig, got dict"):
        find_people(np.eye(4), config={"k": 3})
    with pytest.raises(nsrfc.InputError, match="graph must be a NeighborGraph, got int"):
        find_people(np.eye(4), graph=3)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_cache_is_named_by_text_or_path(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    nsrfc.cluster(np.eye(4), None, run=Run(cache=kind(tmp_path / "rules")))
    model = NSRFC(ModelSettings(family="structure", dimension=None))
    nsrfc.cluster(np.eye(4), model, run=Run(cache=kind(tmp_path / "model")))
    assert all(any((tmp_path / name).iterdir()) for name in ("rules", "model"))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_cannot_be_used_are_named(value: float) -> None:
    X = np.eye(6)
    clusterer = nsrfc.FaceClusterer().fit(X)
    X[4, 2] = value
    for call in (nsrfc.FaceClusterer().fit, clusterer.predict):
        with pytest.raises(nsrfc.InputError, match=r"NaN or infinity \(row 4\)"):
            call(X)


@pytest.mark.parametrize("embedder", ["ov256", "mfn128"])
def test_real_faces(shared: Path, embedder: str) -> None:
    with np.load(shared / "data" / "celeba_wild_dev.npz", allow_pickle=False) as data:
        labels = nsrfc.FaceClusterer().fit_predict(data[embedder].astype(np.float32))
        scores = evaluate(data["identity"], labels)
    assert scores.pairwise.f > 0.93
    assert scores.bcubed.f > 0.93


def test_directions_in_which_all_photos_vary_do_not_keep_people_apart_or_chain_them() -> None:
    rng = np.random.default_rng(0)
    people, photos, dimension = 100, 15, 64
    center = rng.normal(size=(people, dimension)) / np.sqrt(dimension)
    # Light, pose and the like: five directions along which photos vary more than two thirds of a person.
    shared = np.linalg.qr(rng.normal(size=(dimension, 5)))[0].T
    identities = np.repeat(np.arange(people), photos)
    n = len(identities)
    common = 0.4 * rng.normal(size=(n, 5)) @ shared
    X = center[identities] + common + 0.06 * rng.normal(size=(n, dimension))
    scores = evaluate(identities, nsrfc.FaceClusterer(model=None).fit_predict(X))
    assert scores.pairwise.f > 0.97
    assert scores.bcubed.f > 0.97


@pytest.fixture(scope="module")
def X() -> npt.NDArray[np.float32]:  # noqa: N802
    faces = generate(250, "wild", dimension=D, seed=1)
    return np.concatenate([faces.embeddings, faces.embeddings[:20]])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> NSRFC:
    return make_model(FAMILIES[request.param])


def test_a_model_is_stored_as_given(tmp_path: Path) -> None:
    model = make_model(STRUCTURE)
    for given in (model, str(tmp_path), tmp_path, "owner/name"):
        clusterer = nsrfc.FaceClusterer(model=given, device="cpu", threshold=0.3)
        assert clusterer.get_params()["model"] is given
        assert clone(clusterer).get_params()["device"] == "cpu"


def test_a_folder_and_the_model_itself_do_the_same(
    X: npt.NDArray[np.float32], model: NSRFC, tmp_path: Path
) -> None:
    labels = nsrfc.cluster(X, model).labels
    model.save_pretrained(tmp_path)
    for given in (model, tmp_path, str(tmp_path)):
        clusterer = nsrfc.FaceClusterer(model=given)
        np.testing.assert_array_equal(clusterer.fit_predict(X), labels)
    assert clusterer.confidence_.min() >= 0
    assert clusterer.confidence_.max() <= 1
    assert set(clusterer.predict(X[:50])) <= {-1, *labels}


def test_minimum_size_and_cache_with_a_model(
    X: npt.NDArray[np.float32], model: NSRFC, tmp_path: Path
) -> None:
    clusterer = nsrfc.FaceClusterer(model=model, min_cluster_size=3, cache=tmp_path, threshold=0.6)
    found = clusterer.fit_predict(X)
    assert np.bincount(found[found >= 0]).min() >= 3
    assert list(tmp_path.iterdir())


def test_parameters_that_do_not_fit_the_model_are_refused(
    X: npt.NDArray[np.float32], model: NSRFC
) -> None:
    for parameters, words in (
        ({"model": model, "device": "abacus"}, "no device 'abacus'"),
        ({"model": model, "dtype": "int8"}, "dtype must be float32 or bfloat16"),
        ({"model": 3}, "got int"),
        ({"model": None, "threshold": 0.5}, "threshold would have no effect, as model=None"),
        ({"model": None, "precision": 0.5}, "precision would have no effect, as model=None"),
        ({"model": model, "k": 20}, "k would have no effect, as a model brings its own"),
        ({"model": model, "precision": 2}, "^precision: .* less than or equal to 1, got 2"),
        ({"model": model, "precision": 0.9}, "was not reached"),
        ({"model": model, "precision": 0.9, "threshold": 0.5}, "decide the same"),
        ({"model": make_model(STRUCTURE, dimension=D + 1)}, "dimension 33, these have 32"),
    ):
        with pytest.raises(InputError, match=words):
            nsrfc.FaceClusterer(**parameters).fit(X)
