"""Parts of the steps by networks: who is asked about what, what is kept, and how odds are calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from nsrfc.config import ClusterConfig
from nsrfc.knn import rebuilt
from nsrfc.knn.build import build_neighbor_graph, known_neighbors
from nsrfc.knn.copies import distinct_faces
from nsrfc.knn.rebuilt import listed_cosines
from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod, calibrated
from nsrfc.methods.registry import load_networks
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import UNCHANGED, NetworkName
from nsrfc.pipeline import cluster
from nsrfc.progress import Progress
from nsrfc.records import DensityGraph, Neighborhood
from nsrfc.synthetic import generate
from nsrfc.training.calibration import Evidence, fit_calibration
from nsrfc.vectors import normalize

from ..models import FAMILIES, PUBLISHED, STRUCTURE, D, K, make_model

Floats = npt.NDArray[np.float32]

N = 120


@pytest.fixture(scope="module")
def X() -> Floats:  # noqa: N802
    # Of this seed there are no near-copies, which would be folded.
    return normalize(generate(N, "wild", dimension=D, seed=7).embeddings)


@contextmanager
def inputs_of(model: NSRFC, name: NetworkName) -> Iterator[list[tuple[torch.Tensor, ...]]]:
    """Collect what a network of a model is given, batch by batch."""
    seen: list[tuple[torch.Tensor, ...]] = []

    def note(module: object, given: tuple[torch.Tensor, ...], output: object) -> None:
        seen.append(given)

    handle = model.network(name).register_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def count(seen: list[tuple[torch.Tensor, ...]]) -> int:
    """Lists or edges that a network was given."""
    return sum(len(given[0]) for given in seen)


@dataclass
class Until:
    """A method up to the density graph of some faces, without any cache."""

    model: NSRFC
    method: NetworkMethod
    near: Neighborhood
    density: DensityGraph


def until_edges(X: Floats, model: NSRFC, run: Run) -> Until:
    method = load_networks(model, ClusterConfig(), D, run)
    near = method.neighborhood(X, None, run)
    return Until(model, method, near, method.density_graph(near, method.affinity(near, run), run))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("veto", [True, False])
def test_the_network_is_asked_about_the_edges_asked_for_and_no_other(
    X: Floats, family: str, veto: bool
) -> None:
    run = Run(device="cpu")
    slope, offset = 0.7, 0.4
    model = make_model(FAMILIES[family], veto=veto, calibration=(slope, 0.0, offset))
    known = until_edges(X, model, run)
    edges = known.density.density_edges
    assert known.density.affinity is not None
    assert known.density.genuine_probability is not None
    whole = known.method.edge_scores(
        "pcenet", known.near, known.density.affinity, known.density.genuine_probability, run
    )
    alone = known.method.with_settings(veto=False).edge_scores(
        "pcenet", known.near, known.density.affinity, known.density.genuine_probability, run
    )(edges)
    expected = alone * edges.score if veto else alone
    np.testing.assert_allclose(whole(edges), expected, rtol=1e-6)
    scorer = known.method.edge_scorer(known.near, known.density, run)
    with inputs_of(model, "pcenet") as seen:
        for chosen, new in (([7, 2, 11], 3), ([2, 11], 0), ([2, 30, 7, 31], 2), ([], 0)):
            before = count(seen)
            found = scorer(np.array(chosen, np.int64))
            assert count(seen) - before == new
            odds = slope * logit(expected[chosen].astype(float)) + offset
            np.testing.assert_allclose(found, expit(odds), atol=1e-5)


def test_without_the_step_no_network_is_asked(X: Floats) -> None:
    used = {**STRUCTURE, "used": {"pairs": True}, "calibration": (2.0, 0.0, 0.0)}
    model, run = make_model(used), Run(device="cpu")
    known = until_edges(X, model, run)
    edges = known.density.density_edges
    with inputs_of(model, "pcenet") as seen:
        found = known.method.edge_scorer(known.near, known.density, run)(np.arange(len(edges)))
    assert not seen
    np.testing.assert_allclose(found, expit(2 * logit(edges.score.astype(float))), atol=1e-5)


def test_what_was_asked_once_is_kept_and_the_rest_is_asked_later(X: Floats, tmp_path: Path) -> None:
    model = make_model(STRUCTURE)

    def asked(chosen: list[int], **changes: Any) -> tuple[int, Floats]:  # noqa: ANN401
        run = Run(device="cpu", cache=tmp_path)
        known = until_edges(X, model, run)
        scorer = known.method.with_settings(**changes).edge_scorer(known.near, known.density, run)
        with inputs_of(model, "pcenet") as seen:
            found = scorer(np.array(chosen, np.int64))
        return count(seen), found

    first = asked([0, 1, 2, 3])
    assert first[0] == 4
    again = asked([3, 1])
    assert again[0] == 0
    np.testing.assert_array_equal(again[1], first[1][[3, 1]])
    assert asked([3, 4, 5])[0] == 2
    assert asked([0, 5])[0] == 0
    assert asked([0, 5], connect=0.9, tau=0.1)[0] == 0, "thresholds are no part of a score"
    assert asked([0, 5], veto=False)[0] == 2
    kept = max(tmp_path.glob("edges-*.npz"), key=lambda path: path.stat().st_mtime_ns)
    kept.write_bytes(kept.read_bytes()[:-20])
    assert asked([0, 5], veto=False)[0] == 2, "a file cut short is not taken"
    assert asked([0, 5], veto=False)[0] == 0


class Cut(Progress):
    """Interrupts a stage after so many of its items."""

    def __init__(self, stage: str, after: int) -> None:
        super().__init__()
        self._stage, self._left = stage, after

    @contextmanager
    def show(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        def advance(items: int) -> None:
            if name == self._stage:
                self._left -= items
                if self._left <= 0:
                    raise KeyboardInterrupt

        yield advance


@pytest.mark.parametrize("name", ["pairs", "lcenet"])
def test_lists_that_were_scored_before_a_cut_are_not_scored_again(
    X: Floats, name: NetworkName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsrfc.storage.artifacts.RECORD_SECONDS", 0.0)
    model = make_model(STRUCTURE, used={"pairs": True, "density": True})
    expected = cluster(X, model, run=Run(device="cpu")).labels
    with inputs_of(model, name) as before, pytest.raises(KeyboardInterrupt):
        cluster(X, model, run=Run(device="cpu", cache=tmp_path, batch=25, progress=Cut(name, 60)))
    assert count(before) == 75
    with inputs_of(model, name) as after:
        found = cluster(X, model, run=Run(device="cpu", cache=tmp_path, batch=25)).labels
    assert count(after) in (N - 50, N - 75), "what was recorded, but for the last batch"
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("length", [K, K + 9, K - 4])
def test_lists_that_are_given_are_cut_or_filled_up_to_the_length_of_the_model(
    X: Floats, length: int
) -> None:
    method = load_networks(make_model(STRUCTURE), ClusterConfig(), D, Run(device="cpu"))
    faces = distinct_faces(X)
    searched = method.nearest(faces.vectors, None, Run(device="cpu"))
    known = known_neighbors(faces, build_neighbor_graph(X, length), None, K, Run().progress)
    near = method.nearest(faces.vectors, known, Run(device="cpu"))
    assert near.ids.shape == (N, K)
    np.testing.assert_array_equal(near.ids[:, :length], searched.ids[:, :length])
    cosine = searched.similarities[:, :length]
    np.testing.assert_allclose(near.similarities[:, :length], cosine, atol=1e-6)
    assert (near.ids[:, length:] == -1).all()


def test_networks_of_embeddings_as_given_read_no_refined_ones(X: Floats) -> None:
    model = make_model(PUBLISHED, unrefined=("lcenet", "pcenet"))
    with inputs_of(model, "pairs") as pairs, inputs_of(model, "lcenet") as lists:
        cluster(X, model, run=Run(device="cpu"))
    assert pairs[0][0].shape[-1] == 2 * D, "a C-GCN doubles the vectors"
    rows = torch.cat([given[0][:, 0] for given in lists]).numpy()
    assert rows.shape == (N, D)
    unit = normalize(X)
    np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(unit, axis=0), atol=1e-6)


SHARES = st.floats(2**-10, 1 - 2**-10, width=32)
SLOPES, OFFSETS = st.floats(0.2, 4), st.floats(-3, 3)


@given(st.lists(SHARES, min_size=2, max_size=30), SLOPES, OFFSETS)
def test_calibrated_probabilities_keep_their_order(
    shares: list[float], slope: float, offset: float
) -> None:
    probability = np.sort(np.array(shares, np.float32))
    found = calibrated(probability, (slope, 0.0, offset))
    assert found.shape == probability.shape
    assert (np.diff(found) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@given(st.lists(SHARES, min_size=1, max_size=30), SLOPES, OFFSETS)
def test_a_calibration_is_undone_by_its_inverse(
    shares: list[float], slope: float, offset: float
) -> None:
    probability = np.array(shares, np.float32)
    there = calibrated(probability, (slope, 0.0, offset))
    inner = (there > 1e-5) & (there < 1 - 1e-5)
    back = calibrated(there, (1 / slope, 0.0, -offset / slope))
    np.testing.assert_allclose(back[inner], probability[inner], atol=2e-2)
    np.testing.assert_allclose(calibrated(probability, (1.0, 0.0, 1e-12)), probability, atol=1e-6)


def test_certain_edges_stay_within_bounds_and_a_mild_slope_keeps_them_sure() -> None:
    found = calibrated(np.array([0, 1], np.float32), (0.5, 0.0, 0.0))
    assert 0 < found[0] < 0.01 < 0.99 < found[1] < 1


@pytest.mark.parametrize(("slope", "offset"), [(0.5, -1.0), (1.0, 0.0), (2.0, 1.5)])
def test_a_fit_finds_the_calibration_that_edges_were_drawn_by(slope: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 40_000)
    holds = rng.random(len(odds)) < expit(slope * odds + offset)
    found = fit_calibration([Evidence(expit(odds).astype(np.float32), None, holds)])
    assert found == pytest.approx((slope, 0, offset), abs=0.06)
    assert found != UNCHANGED


@given(st.integers(1, 20), st.integers(1, 9), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_cosines_of_lists_are_those_of_the_pairs(n: int, k: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = normalize(rng.normal(size=(n, 4)))
    ids = rng.integers(-1, n, (n, k)).astype(np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rebuilt, "ROWS", rows)
        found = listed_cosines(vectors, ids)
    for (i, c), j in np.ndenumerate(ids):
        expected = 0 if j < 0 else vectors[i].astype(float) @ vectors[j]
        assert found[i, c] == pytest.approx(expected, abs=1e-6)


def test_other_settings_leave_the_networks_as_they_are() -> None:
    method = load_networks(make_model(STRUCTURE), ClusterConfig(), D, Run(device="cpu"))
    other = method.with_settings(connect=0.9)
    assert (other.settings.connect, other.k) == (0.9, K)
    assert other.networks is method.networks
    assert method.settings.connect == STRUCTURE["connect"]
