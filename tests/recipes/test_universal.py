"""The model that the package brings: small, tied to no embedder, better than rules, precise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import nsrfc
from benchmarks.clustering import Faces
from benchmarks.universal import (
    VERDICTS,
    album,
    cluster_confidence,
    cluster_kinds,
    pair_probabilities,
    reliability_curve,
)
from nsrfc.config import ClusterConfig
from nsrfc.methods.base import Run
from nsrfc.methods.registry import load_networks
from nsrfc.methods.structure import StructureMethod
from nsrfc.metrics import ari
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.settings import UNIVERSAL, ModelSettings
from nsrfc.pipeline import cluster
from nsrfc.synthetic import PRESETS, generate
from recipes.universal import (
    DIMENSIONS,
    FEW_FACES,
    FIRST_VALIDATION_SEED,
    MAX_FACES,
    MIN_FACES,
    USUAL_FACES,
    draw_set,
    train_universal,
)

Floats = npt.NDArray[np.float32]

FACES = 600


@pytest.fixture(scope="module")
def model() -> NSRFC:
    return load_model(UNIVERSAL)


@pytest.fixture(scope="module")
def X() -> Floats:  # noqa: N802
    return generate(FACES, "wild", dimension=96, seed=11).embeddings


@pytest.fixture(scope="module")
def labels(X: Floats, model: NSRFC) -> npt.NDArray[np.int64]:
    return cluster(X, model).labels


def test_it_is_the_default_and_small(X: Floats, labels: npt.NDArray[np.int64]) -> None:
    assert np.array_equal(nsrfc.FaceClusterer().fit_predict(X), labels)
    files = Path(nsrfc.__file__).parent / UNIVERSAL
    assert {path.name for path in files.iterdir()} >= {"config.json", "model.safetensors", "README.md"}
    assert sum(path.stat().st_size for path in files.iterdir()) < 5e6


def test_a_model_for_another_dimension_is_refused_however_few_the_faces() -> None:
    model = NSRFC(ModelSettings(family="structure", dimension=32))
    for count in (20, 600):
        X = np.random.default_rng(0).normal(size=(count, 64))
        with pytest.raises(nsrfc.InputError, match="dimension"):
            cluster(X, model)


def test_a_face_takes_less_than_a_tenth_of_a_gigaflop(X: Floats, model: NSRFC) -> None:
    run, rows = Run(), np.arange(64)
    method = load_networks(model, ClusterConfig(), X.shape[1], run)
    assert isinstance(method, StructureMethod)
    near = method.neighborhood(X, None, run)
    affinity = method.affinity(near, run)
    same = method.genuine_probability(near, affinity, run)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        for scorer in (method.refinement.first, method.refinement.second):
            scorer(*method.list_inputs(scorer, near)(rows))
        for name in set(model.settings.networks) & {"pairs", "lcenet"}:
            network = model.network(name)
            network(*method.list_inputs(network, near, affinity)(rows))
        if model.pcenet is not None:
            model.pcenet(*method.edge_inputs(near, affinity, same)(rows, near.ids[rows, 1]))
    assert 0 < counter.get_total_flops() / len(rows) < 1e8


def test_zeros_and_the_order_of_rows_change_nothing(
    X: Floats, labels: npt.NDArray[np.int64], model: NSRFC
) -> None:
    padded_rows = np.pad(X, ((0, 0), (0, 32)))
    assert np.array_equal(cluster(padded_rows, model).labels, labels)
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = cluster(X[order], model).labels
    assert ari(labels[order], shuffled) == 1


def test_a_rotation_changes_nothing_but_what_hangs_on_rounding(
    X: Floats, labels: npt.NDArray[np.int64], model: NSRFC
) -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((96, 96)))[0].astype(np.float32)
    turned = cluster(X @ rotation, model).labels
    assert ari(labels, turned) > 0.995


@pytest.mark.parametrize("dimension", [24, 200, 700])
def test_it_serves_every_dimension(dimension: int, model: NSRFC) -> None:
    faces = generate(FACES, "wild", dimension=dimension, seed=3)
    scores = nsrfc.evaluate(faces.identities, cluster(faces.embeddings, model).labels)
    assert scores.pairwise.f > (0.6 if dimension < 64 else 0.85)


def test_it_stays_near_the_rules_on_look_alikes(model: NSRFC) -> None:
    faces = generate(6000, "ms1m", seed=21)
    found = [cluster(faces.embeddings, model).labels, cluster(faces.embeddings, None).labels]
    scores = [nsrfc.evaluate(faces.identities, labels) for labels in found]
    assert scores[0].pairwise.f > scores[1].pairwise.f - 0.03
    assert scores[0].bcubed.f > scores[1].bcubed.f - 0.03


def test_more_precision_splits_more(model: NSRFC) -> None:
    faces = generate(3000, "ms1m", seed=22)
    reached = []
    for wanted in (0.9, 0.97):
        labels = cluster(faces.embeddings, model, ClusterConfig(precision=wanted)).labels
        reached.append(nsrfc.evaluate(faces.identities, labels).pairwise)
    assert reached[0].precision <= reached[1].precision
    assert reached[0].recall >= reached[1].recall
    assert reached[1].precision > 0.95


def test_confidence_does_not_depend_on_the_order_of_rows(X: Floats, model: NSRFC) -> None:
    order = np.random.default_rng(3).permutation(len(X))
    sure, shuffled = cluster(X, model).confidence, cluster(X[order], model).confidence
    assert np.array_equal(sure[order], shuffled)


@pytest.mark.parametrize("preset", ["lfw", "lowres"])
def test_the_score_model_makes_probabilities_truer_where_most_people_have_one_photo(
    preset: str, model: NSRFC
) -> None:
    faces = generate(3000, preset, seed=31)
    truth = pair_probabilities(model, Faces(preset, faces.embeddings, faces.identities))
    own, given, offset = model.settings.calibration
    deaf = NSRFC(model.settings.model_copy(update={"calibration": (own, 0.0, offset + given)}))
    deaf.load_state_dict(model.state_dict())
    unheard = pair_probabilities(deaf, Faces(preset, faces.embeddings, faces.identities))
    after, before = (reliability_curve(*of["Density edges"])["error"] for of in (truth, unheard))
    assert after < min(before, 0.12)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_wrong_clusters_have_a_lower_confidence_than_right_ones(share: float, model: NSRFC) -> None:
    sure, kinds = [], []
    for seed in range(10):
        faces = album(240, share, seed)
        found = cluster(faces.X, model)
        sure.append(cluster_confidence(found))
        kinds.append(cluster_kinds(faces, found.labels))
    of, kind = np.concatenate(sure), np.concatenate(kinds)
    right, wrong = of[kind == VERDICTS[0]], of[kind != VERDICTS[0]]
    assert np.median(right) > 0.95
    assert wrong.mean() < right.mean() - 0.1


def test_a_set_that_cannot_be_known_is_called_so(
    X: Floats, model: NSRFC, caplog: pytest.LogCaptureFixture
) -> None:
    poor = replace(PRESETS["lowres"], quality=PRESETS["lowres"].quality - 1)
    hopeless = generate(2000, poor, dimension=128, seed=4).embeddings
    with caplog.at_level("WARNING", "nsrfc"):
        words = cluster(hopeless, model).warning
    assert words is not None
    assert "in doubt" in words
    assert [record.getMessage() for record in caplog.records] == [words]
    assert cluster(X, model).warning is None
    assert cluster(generate(2000, "lfw", seed=4).embeddings, model).warning is None


def test_a_handful_of_faces(model: NSRFC) -> None:
    people = generate(300, "lfw", dimension=256, seed=5).embeddings[:5]
    noise = np.random.default_rng(0).standard_normal((10, 256)).astype(np.float32)
    faces = np.repeat(people, 2, axis=0) + 0.02 * noise
    labels = cluster(faces, model).labels
    assert np.array_equal(labels, np.repeat(np.arange(5), 2))


def test_the_recipe_draws_from_its_seeds_alone() -> None:
    seeds = (0, 7, FIRST_VALIDATION_SEED)
    assert [draw_set(seed) for seed in seeds] == [draw_set(seed) for seed in seeds]
    assert len({draw_set(seed).dimension for seed in range(20)}) > 10


def test_what_the_recipe_draws_is_inside_its_stated_ranges() -> None:
    drawn = [draw_set(seed) for seed in range(600)]
    faces = np.array([one.faces for one in drawn])
    dimension = np.array([one.dimension for one in drawn])
    assert faces.min() >= MIN_FACES
    assert faces.max() <= MAX_FACES
    assert np.mean(faces <= USUAL_FACES) == pytest.approx(5 / 6, abs=0.06)
    assert dimension.min() >= DIMENSIONS[0]
    assert dimension.max() <= DIMENSIONS[1]
    assert max(one.distribution.wrong for one in drawn) <= 0.03
    assert max(one.distribution.max_size for one in drawn) <= 1000
    assert min(one.distribution.max_size for one in drawn) >= 4
    small = [draw_set(seed, small=True) for seed in range(300)]
    assert min(one.faces for one in small) >= FEW_FACES
    few = [one for one in small if one.distribution.body_size <= 5 and one.distribution.max_size == 12]
    assert len(few) / len(small) == pytest.approx(1 / 3, abs=0.1), "one in three has few photos of each"
    assert max(one.faces for one in few) <= 3 * MIN_FACES
    assert max(one.faces for one in small if one not in few) <= MIN_FACES
    share = np.array([one.distribution.max_size / one.faces for one in small])
    assert np.mean(share > 0.5) > 0.1, "often one identity may have most of the faces"
    common = np.array([one.distribution.common_mean for one in drawn])
    assert np.mean(common > 0) == pytest.approx(1 / 3, abs=0.08)
    assert 0.8 < common.max() < 0.9


def test_the_recipe_makes_a_model_for_any_dimension(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.universal.USUAL_FACES", 520)
    monkeypatch.setattr("recipes.universal.MAX_FACES", 540)
    config = nsrfc.TrainingConfig.load("universal")
    brief = {"of_a_set": 48, "loop": config.cgcn.loop.model_copy(update={"epochs": 1})}
    for name in ("cgcn", "pairs", "lcenet", "pcenet"):
        config = config.model_copy(update={name: getattr(config, name).model_copy(update=brief)})
    train_universal(tmp_path, training_sets=2, small_sets=3, faces=40, config=config)
    made = load_model(tmp_path)
    assert made.settings.dimension is None
    assert made.settings.precision[0][1] == made.settings.connect, "asking for precision lowers nothing"
    for dimension in (16, 40):
        assert len(cluster(generate(60, dimension=dimension).embeddings, made).labels) == 60
