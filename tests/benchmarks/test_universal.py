"""The benchmark of the universal model: its measures, and a run on few faces."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import universal
from benchmarks.clustering import GENERATED
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import ModelSettings

FACES = 300


@pytest.fixture(scope="module")
def model() -> NSRFC:
    torch.manual_seed(0)
    settings = ModelSettings(
        family="structure",
        dimension=None,
        k=20,
        networks={"pairs": {"layers": 1, "heads": 2, "hidden": 16}},
        used={"pairs": True},
        tau=2.0,
        precision=((0.9725, 0.6),),
    )
    return NSRFC(settings).eval()


def test_a_curve_tells_right_from_wrong_probabilities() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(50_000).astype(np.float32)
    right = universal.reliability_curve(probability, rng.random(50_000) < probability)
    assert right["error"] < 0.01
    assert sum(one["count"] for one in right["bins"]) == 50_000
    for one, low, high in zip(right["bins"], universal.BINS[:-1], universal.BINS[1:], strict=True):
        assert low <= one["predicted"] <= high

    sure = np.array([0, 0, 1, 1], np.float32)
    half_wrong = universal.reliability_curve(sure, np.array([False, True, True, False]))
    assert half_wrong["error"] == 0.5


def test_labelled_people_have_two_to_twenty_photos_and_are_nested() -> None:
    rng = np.random.default_rng(0)
    identities = rng.permutation(np.repeat(np.arange(40), rng.integers(1, 60, 40)))
    photos = np.bincount(identities)
    few, more = (universal.labelled(identities, count) for count in (5, 30))
    assert few is not None
    assert more is not None
    assert np.isin(few, more).all()
    chosen, kept = np.unique(identities[more], return_counts=True)
    assert len(chosen) == 30
    assert (photos[chosen] > 1).all()
    assert np.array_equal(kept, np.minimum(photos[chosen], universal.PHOTOS))
    assert universal.labelled(identities, 41) is None


def test_every_listed_pair_and_density_edge_has_a_probability(model: NSRFC) -> None:
    faces = universal.generated("wild", FACES, 0)
    found = universal.pair_probabilities(model, faces)
    assert {name: len(same) for name, (_, same) in found.items()} == {
        "Pair network, listed pairs": FACES * (model.settings.k - 1),
        "Density edges": pytest.approx(FACES, abs=20),
    }
    for probability, same in found.values():
        assert probability.shape == same.shape
        assert ((probability >= 0) & (probability <= 1)).all()
        assert same.any()


def test_it_runs_as_shown(
    model: NSRFC, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model.save_pretrained(tmp_path / "model")
    monkeypatch.setitem(GENERATED, "wild", FACES)
    options = ["--part", "table", "precision", "--sets", "wild", "lfw", "--infomap", "--shared"]
    options += [str(tmp_path), "--model", str(tmp_path / "model"), "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["universal", *options])
    universal.main()

    shown = capsys.readouterr().out
    assert "## table" in shown
    assert "lfw.npz" in shown.splitlines()[-1]
    parts = json.loads((tmp_path / "out.json").read_text())["parts"]
    (row,) = parts["table"]
    assert row["faces"] == FACES
    assert 0 < row["results"]["universal"]["pairwise"]["f"] <= 1
    (row,) = parts["precision"]
    reached = {wanted: "pairwise" in found for wanted, found in row["results"].items()}
    assert reached == {"0.95": True, "0.97": True, "0.98": False, "0.99": False}
