"""Generated faces: what is promised for any arguments, and that they are as hard as intended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nsrfc import synthetic
from nsrfc.errors import InputError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import pairwise
from nsrfc.research.baselines import best_threshold_components, threshold_components
from nsrfc.synthetic import PRESETS, FaceDistribution, generate


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("n", [1, 2, 3, 100])
@pytest.mark.parametrize("dimension", [*range(1, 17), 256])
def test_any_size_gives_unit_vectors_and_numbered_identities(
    n: int, dimension: int, preset: str
) -> None:
    faces = generate(n, preset, dimension=dimension, seed=n)
    assert faces.embeddings.shape == (n, dimension)
    assert faces.embeddings.dtype == np.float32
    assert faces.identities.dtype == np.int64
    np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, atol=1e-5)
    assert np.array_equal(np.unique(faces.identities), np.arange(faces.identities.max() + 1))


def test_seed_decides_everything() -> None:
    first, again, other = (generate(500, "wild", dimension=32, seed=s) for s in (7, 7, 8))
    assert np.array_equal(first.embeddings, again.embeddings)
    assert np.array_equal(first.identities, again.identities)
    assert not np.array_equal(first.embeddings, other.embeddings)


@pytest.mark.parametrize("chunk", [1, 1000, 7777])
def test_chunk_size_does_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = generate(1000, "lfw", dimension=33, seed=1)
    monkeypatch.setattr(synthetic, "CHUNK_VALUES", chunk)
    assert np.array_equal(generate(1000, "lfw", dimension=33, seed=1).embeddings, whole.embeddings)


def test_rows_are_shuffled() -> None:
    identities = generate(5000, "ms1m", dimension=2).identities
    assert (np.diff(identities) == 0).mean() < 0.05
    assert abs(np.corrcoef(identities, np.arange(5000))[0, 1]) < 0.1


def test_sizes_follow_their_law() -> None:
    sizes = np.bincount(generate(200_000, "ms1m", dimension=1).identities)
    assert 65 < sizes.mean() < 71
    assert sizes.max() <= PRESETS["ms1m"].max_size
    singles = np.bincount(generate(50_000, "lfw", dimension=1).identities)
    assert 0.6 < (singles == 1).mean() < 0.8
    assert singles.max() > 50


def test_ms1m_sizes_resemble_the_real_ones(shared: Path) -> None:
    real = np.load(shared / "data" / "ms1m_sizes.npy", allow_pickle=False)
    sizes = np.bincount(generate(200_000, "ms1m", dimension=1).identities)
    percent = [0.1, 0.25, 0.5, 0.75, 0.9]
    # The file has many people of a few images, the benchmark (68 on average) has hardly any.
    np.testing.assert_allclose(
        np.quantile(sizes[sizes >= 40], percent), np.quantile(real[real >= 40], percent), atol=6
    )


def test_people_of_a_set_without_spread_coincide() -> None:
    """With every share and spread at its end, a face is its person's centre and nothing else."""
    pure = replace(
        FaceDistribution(), mode_share=0, quality=40, quality_image=0, quality_identity=0, wrong=0
    )
    faces = generate(300, pure, dimension=64)
    cosine = faces.embeddings @ faces.embeddings.T
    same = faces.identities[:, None] == faces.identities
    assert cosine[same].min() > 0.999
    assert cosine[~same].max() < 0.9


def test_wrong_faces_show_somebody_else() -> None:
    law = replace(FaceDistribution(), wrong=0.2, mode_share=0, quality=40, quality_image=0)
    faces = generate(2000, law, dimension=128)
    cosine = faces.embeddings @ faces.embeddings.T
    same = faces.identities[:, None] == faces.identities
    np.fill_diagonal(same, val=False)
    alone = (np.where(same, cosine, 0) > 0.95).sum(axis=1) < 0.5 * same.sum(axis=1)
    assert 0.1 < alone.mean() < 0.3


def best_components(n: int, preset: str, seed: int = 0) -> float:
    faces = generate(n, preset, seed=seed)
    graph = build_neighbor_graph(faces.embeddings, 80)
    labels, _ = best_threshold_components(graph, faces.identities)
    return pairwise(faces.identities, labels).f


def test_presets_are_as_hard_as_calibrated() -> None:
    assert 0.86 < best_components(6294, "wild") < 0.96
    assert best_components(5000, "lfw") > 0.97
    assert 0.40 < best_components(10_000, "lowres") < 0.70
    assert 0.60 < best_components(20_000, "ms1m") < 0.80


def test_msceleb_is_as_hard_for_single_linkage_as_the_benchmark() -> None:
    """Of 584,013 faces of the benchmark it recalls 53 %, which hardly depends on their number."""
    faces = generate(20_000, "msceleb")
    sizes = np.bincount(generate(200_000, "msceleb", dimension=1).identities)
    assert 66 < sizes.mean() < 71
    labels = threshold_components(build_neighbor_graph(faces.embeddings, 80), 0.75)
    scores = pairwise(faces.identities, labels)
    assert scores.precision > 0.9
    assert 0.45 < scores.recall < 0.62


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be an integer from 1 up, got 0"),
        ({"n": 2.5}, "n must be an integer"),
        ({"n": 5, "dimension": 0}, "dimension must be an integer from 1 up"),
        ({"n": 5, "seed": -1}, "seed must be an integer from 0 up"),
        ({"n": 5, "preset_or_distribution": "cats"}, "There is no preset 'cats'.*wild, lfw"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        generate(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("kin", 1.2),
        ("wrong", -0.1),
        ("poor_common", float("nan")),
        ("quality", float("inf")),
        ("quality_image", -1),
        ("family_size", 0),
        ("modes", 0),
        ("poor_kin", 0.99),
    ],
)
def test_bad_parameters_are_refused(parameter: str, value: float) -> None:
    with pytest.raises(InputError, match=parameter):
        replace(PRESETS["lowres"], **{parameter: value})  # type: ignore[arg-type]
