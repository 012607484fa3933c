"""Clustering with a model: nothing but the faces decides, and results are kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
import torch

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.graph.components import connected_components, relabel_by_first_appearance
from nsrfc.graph.density_graph import build_density_graph
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.metrics import evaluate
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import STEPS, Step
from nsrfc.pipeline import cluster, pair_probabilities, refine_embeddings
from nsrfc.storage.locks import LOCK
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from .models import FAMILIES, PUBLISHED, STRUCTURE, D, K, make_model

N = 250

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def X() -> Floats:  # noqa: N802
    faces = generate(N, "wild", dimension=D, seed=1)
    return np.concatenate([faces.embeddings, faces.embeddings[:20]])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest) -> NSRFC:
    return make_model(FAMILIES[request.param])


@pytest.fixture(scope="module")
def labels(X: Floats, model: NSRFC) -> Labels:
    found = cluster(X, model).labels
    assert 20 < len(set(found)) < N - 20, "neither one person nor as many as faces"
    return found


def test_row_order_and_length_of_vectors_do_not_matter(X: Floats, model: NSRFC, labels: Labels) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    moved = cluster(X[order] * rng.choice([0.5, 2, 4], (len(X), 1)), model).labels
    np.testing.assert_array_equal(moved, relabel_by_first_appearance(labels[order]))


def test_batch_size_and_threads_do_not_matter(X: Floats, model: NSRFC, labels: Labels) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        found = cluster(X, model, run=Run(batch=37)).labels
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [1, 2, K + 1])
def test_few_faces(n: int, family: str) -> None:
    X = np.random.default_rng(0).normal(size=(n, D))
    model = make_model(FAMILIES[family], tau=None)
    assert cluster(X, model).labels.shape == (n,)
    assert pair_probabilities(X, model).ids.shape == (n, min(n, K))


def test_steps_that_are_not_used_are_left_out(X: Floats) -> None:
    """Without any step it is the density graph of cosines, with strengths as probabilities."""
    model = make_model(PUBLISHED, used={}, tau=0.5, connect=0.4)
    found = cluster(X, model).labels
    unit = normalize(X[:N])
    graph = build_neighbor_graph(unit, K)
    cosine = np.maximum(graph.similarities, 0)
    density = build_density_graph(graph.ids, cosine, cosine, 0.5, "published")
    kept = density.density_edges.where(density.density_edges.score >= 0.4)
    expected = connected_components(N, kept + density.similarity_edges)
    np.testing.assert_array_equal(found[:N], expected)


def test_each_step_can_stand_alone(X: Floats) -> None:
    for settings in FAMILIES.values():
        for step in STEPS:
            used: dict[Step, bool] = {step: True, "refine": step in ("refine", "rebuild")}
            model = make_model(settings, used=used)
            assert cluster(X[:100], model).labels.shape == (100,)


def test_bfloat16_clusters_alike(X: Floats, model: NSRFC, labels: Labels) -> None:
    found = cluster(X, model, run=Run(dtype="bfloat16")).labels
    assert evaluate(labels, found).bcubed.f > 0.9


def index_of(X: Floats) -> faiss.IndexFlatIP:
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(X)
    return index


def test_a_given_graph_is_used(X: Floats, model: NSRFC, labels: Labels) -> None:
    unit = normalize(X)
    for given in ({"graph": build_neighbor_graph(unit, K + 15)}, {"index": index_of(unit)}):
        found = cluster(X, model, **given)
        # Lists of copies are shorter where the copies are among the neighbours asked for.
        assert evaluate(labels, found.labels).bcubed.f > 0.9


@pytest.mark.parametrize("model_name", [None, "universal"])
def test_a_graph_of_the_rows_in_another_order_is_refused(model_name: str | None) -> None:
    X = generate(3000, dimension=48).embeddings[:600]
    graph = build_neighbor_graph(X[::-1].copy())
    with pytest.raises(InputError, match="from these rows in this order"):
        cluster(X, model_name, graph=graph)


@pytest.mark.parametrize("model_name", [None, "universal"])
def test_a_graph_and_an_index_together_are_refused(X: Floats, model_name: str | None) -> None:
    unit = normalize(X)
    with pytest.raises(InputError, match="graph and index both bring the neighbours: give one"):
        cluster(X, model_name, graph=build_neighbor_graph(unit), index=index_of(unit))


def test_a_second_run_with_other_thresholds_runs_no_network(
    X: Floats, model: NSRFC, labels: Labels, tmp_path: Path
) -> None:
    first, second = Run(cache=tmp_path), Run(cache=tmp_path)
    np.testing.assert_array_equal(cluster(X, model, run=first).labels, labels)
    stages = {path.name.partition("-")[0] for path in tmp_path.iterdir() if path.name != LOCK}
    assert stages == {"neighbours", "refined", "pairs", "lcenet", "edges"}
    other = ClusterConfig(threshold=0.6, tau=0.9)
    found = cluster(X[::-1], model, other, run=second)
    assert set(second.progress.seconds) == {"edges"}
    np.testing.assert_array_equal(found.labels, cluster(X[::-1], model, other).labels)


def test_results_of_other_faces_models_and_settings_are_not_taken(X: Floats, tmp_path: Path) -> None:
    model = make_model(STRUCTURE, used={"pairs": True})

    def stages_run(X: Floats, model: NSRFC, **options: Any) -> set[str]:  # noqa: ANN401
        run = Run(cache=tmp_path, **options)
        cluster(X, model, run=run)
        return set(run.progress.seconds)

    everything = {"neighbours", "pairs", "edges"}
    assert stages_run(X, model) == everything
    assert stages_run(X, model) == {"edges"}, "edges are followed in every run"
    assert stages_run(X[:200], model) == everything
    assert stages_run(X, model, dtype="bfloat16") == {"pairs", "edges"}
    with torch.no_grad():
        model.network("pairs").evidence.even += 0.1  # type: ignore[union-attr,operator]
    assert stages_run(X, model) == {"pairs", "edges"}
    assert stages_run(X, make_model(STRUCTURE, used={"pairs": True}, k=10)) == everything


@pytest.mark.parametrize("spoil", ["cut short", "foreign", "empty"])
def test_spoilt_results_are_refused_and_made_anew(
    X: Floats, tmp_path: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model(STRUCTURE, used={"pairs": True, "density": True})
    expected = cluster(X, model, run=Run(cache=tmp_path)).labels
    lists, pairs = (next(tmp_path.glob(f"{stage}-*/*.npy")) for stage in ("lcenet", "pairs"))
    content = {
        "cut short": pairs.read_bytes()[:-200],
        "foreign": lists.read_bytes(),
        "empty": b"",
    }
    pairs.write_bytes(content[spoil])
    run = Run(cache=tmp_path)
    np.testing.assert_array_equal(cluster(X, model, run=run).labels, expected)
    assert set(run.progress.seconds) == {"pairs", "edges"}
    assert str(pairs) in caplog.text
    assert "run again" in caplog.text


def test_refined_embeddings_and_scored_neighbours_follow_the_rows(X: Floats, model: NSRFC) -> None:
    order = np.random.default_rng(0).permutation(len(X))
    Z = refine_embeddings(X, model)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(refine_embeddings(X[order], model), Z[order])
    graph = pair_probabilities(X, model)
    again = pair_probabilities(X[order], model)
    np.testing.assert_array_equal(again.similarities, graph.similarities[order])
    assert graph.similarities[:, 0].min() == 1
    copies = np.arange(20)
    assert (graph.ids[copies, 1] == copies + N).all(), "an exact copy is the nearest neighbour"


def test_single_steps_may_be_given_the_neighbours(X: Floats, model: NSRFC) -> None:
    faces = X[:N]
    graph = build_neighbor_graph(normalize(faces), K)
    refined = refine_embeddings(faces, model, graph=graph)
    np.testing.assert_array_equal(refined, refine_embeddings(faces, model))
    found, expected = (pair_probabilities(faces, model, graph=known) for known in (graph, None))
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.similarities, expected.similarities)


def test_the_record_says_what_decided(X: Floats, model: NSRFC) -> None:
    method = cluster(X, model, ClusterConfig(threshold=0.6, tau=0.9)).method
    family = model.settings.family
    assert method["name"] == {"structure": "structure", "coordinates": "published"}[family]
    assert (method["settings"]["connect"], method["settings"]["tau"]) == (0.6, 0.9)
    assert method["settings"]["k"] == K
    assert method["networks"] == model.fingerprints()
    rules = cluster(X, None, ClusterConfig(k=9)).method
    assert (rules["name"], rules["settings"]["k"]) == ("rules", 9)


@pytest.mark.parametrize(
    ("model_name", "config", "words"),
    [
        ("universal", {"k": 20}, "k would have no effect, as a model brings its own: leave it out"),
        (None, {"threshold": 0.5}, "threshold would have no effect, as model=None, the rules"),
        (None, {"tau": 0.5}, "tau would have no effect"),
        (None, {"precision": 0.9}, "precision would have no effect"),
        (None, {"threshold": 0.5, "tau": 0.5}, "threshold and tau would have no effect"),
    ],
)
def test_settings_without_effect_are_refused_before_any_work(
    X: Floats, tmp_path: Path, model_name: str | None, config: dict[str, Any], words: str
) -> None:
    run = Run(cache=tmp_path / "cache")
    with pytest.raises(InputError, match=words) as refused:
        cluster(X, model_name, ClusterConfig(**config), run=run)
    assert "\n" not in str(refused.value)
    assert not run.progress.seconds
    assert not (tmp_path / "cache").exists()


ROADS: dict[str, Callable[[], NSRFC | str | None]] = {
    "universal": lambda: "universal",
    "rules": lambda: None,
    "model": partial(make_model, STRUCTURE),
}


@pytest.mark.parametrize("road", ROADS)
def test_the_function_and_the_estimator_find_the_same(road: str, tmp_path: Path) -> None:
    X = generate(600, "wild", dimension=D, seed=2).embeddings
    model: NSRFC | str | Path | None = ROADS[road]()
    if isinstance(model, NSRFC):
        model.save_pretrained(tmp_path)
        model = tmp_path
    found = nsrfc.cluster(X, model)
    clusterer = nsrfc.FaceClusterer(model=model).fit(X)
    assert 20 < len(set(found.labels)) < 580
    np.testing.assert_array_equal(found.labels, clusterer.labels_)
    np.testing.assert_array_equal(found.confidence, clusterer.confidence_)


def test_the_default_is_the_universal_model() -> None:
    X = generate(600, "wild", dimension=D, seed=2).embeddings
    found = nsrfc.cluster(X)
    assert found.method["name"] == "structure"
    np.testing.assert_array_equal(found.labels, nsrfc.FaceClusterer().fit_predict(X))
    np.testing.assert_array_equal(found.labels, nsrfc.cluster(X, "universal").labels)
