"""FaceClusterer: scikit-learn's conventions, small inputs, invariance, new faces, real faces."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

import nsrfc
from nsrfc import learned
from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.metrics import evaluate
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import ModelSettings
from nsrfc.synthetic import generate

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


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_few_faces(n: int) -> None:
    X = np.random.default_rng(0).normal(size=(n, 64)).astype(np.float32)
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


@pytest.mark.parametrize("tau", [np.nan, 2, "a"])
def test_tau_is_a_share(tau: Any) -> None:  # noqa: ANN401
    with pytest.raises(nsrfc.InputError, match=r"tau must be in 0\.\.1"):
        learned.cluster(np.eye(4), "universal", tau=tau)


Cluster = Callable[..., object]


@pytest.fixture(params=["rules", "model"])
def find_people(request: pytest.FixtureRequest) -> Cluster:
    return nsrfc.cluster if request.param == "rules" else partial(learned.cluster, model="universal")


def test_arguments_of_another_kind_are_named(find_people: Cluster) -> None:
    with pytest.raises(nsrfc.InputError, match="config must be a ClusterConfig, got dict"):
        find_people(np.eye(4), config={"k": 3})
    with pytest.raises(nsrfc.InputError, match="graph must be a NeighborGraph, got int"):
        find_people(np.eye(4), graph=3)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_cache_is_named_by_text_or_path(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    cache = kind(tmp_path / "rules")
    nsrfc.cluster(np.eye(4), cache=cache)
    model = NSRFC(ModelSettings(family="structure", dimension=None))
    execution = learned.Execution(cache=kind(tmp_path / "model"))
    learned.cluster(np.eye(4), model, execution=execution)
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
