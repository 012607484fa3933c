"""The search for the preset msceleb: it resumes, and its quick neighbours are the nearest ones."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import list_kmeans
from benchmarks.twin import METHODS, PUBLISHED, measure, table
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import pairwise
from nsrfc.research.baselines import kmeans
from nsrfc.synthetic import generate
from recipes import twin

# Not imported here: infomap crashes where faiss is imported after it.
pytestmark = pytest.mark.skipif(find_spec("infomap") is None, reason="infomap is not installed")


def test_neighbors_among_people_alike_are_the_nearest() -> None:
    faces = generate(900, "msceleb", seed=3)
    assert faces.identities.max() < twin.LOOK_ALIKES
    found = twin.alike(faces.embeddings, faces.identities, 40)
    exact = build_neighbor_graph(faces.embeddings, 40)
    assert (found.ids[:, 0] == np.arange(900)).all()
    assert (found.ids == exact.ids).mean() > 0.999
    np.testing.assert_allclose(found.similarities, exact.similarities, atol=1e-5)


def test_k_means_on_lists_is_about_as_good_as_on_all_pairs() -> None:
    faces = generate(6000, "msceleb", seed=4)
    people = int(faces.identities.max()) + 1
    graph = build_neighbor_graph(faces.embeddings, 80)
    on_lists = list_kmeans.kmeans(faces.embeddings, graph, people)
    assert on_lists.min() >= 0
    assert on_lists.max() < people
    whole = pairwise(faces.identities, kmeans(faces.embeddings, people)).f
    assert abs(pairwise(faces.identities, on_lists).f - whole) < 0.08


def test_a_search_resumes(tmp_path: Path) -> None:
    first = twin.search(tmp_path, 2, 0, few=700, many=800)
    trials = (tmp_path / "trials.jsonl").read_text()
    assert len(trials.splitlines()) > 2
    assert twin.search(tmp_path, 2, 0, few=700, many=800) == first
    assert (tmp_path / "trials.jsonl").read_text() == trials


def test_scores_are_kept_and_shown_beside_published_ones(tmp_path: Path) -> None:
    scores = measure(tmp_path, 700, 0)
    kept = (tmp_path / "scores.json").read_text()
    assert measure(tmp_path, 700, 0) == scores
    assert (tmp_path / "scores.json").read_text() == kept
    assert set(scores) == set(METHODS)
    assert "79.2 / 81.2" in table({min(PUBLISHED): scores})
