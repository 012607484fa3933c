"""Models written by version 0.1.0: weights and settings under other names are what they were."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nsrfc.errors import InputError
from nsrfc.methods.base import Run
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.older import present_names
from nsrfc.model.settings import ClusterComparison
from nsrfc.pipeline import cluster
from nsrfc.synthetic import generate

from ..models import FAMILIES, D, make_model


def older_names(family: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name weights as that version did: layers of its own, or three projections."""
    older: dict[str, Tensor] = {}
    for name, value in weights.items():
        if family == "structure":
            before = name.replace(".encoder.layers.", ".layers.")
            before = before.replace(".feed_forward_norm.", ".feed_norm.")
            older[before.replace(".widen.", ".feed.0.").replace(".narrow.", ".feed.2.")] = value
        elif ".project." in name:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            older |= {name.replace("project", part): piece.contiguous() for part, piece in parts}
        else:
            older[name] = value
    return older


def stirred(model: NSRFC) -> NSRFC:
    """Make every weight count, so that none can be exchanged unnoticed."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return model


def write_older(model: NSRFC, folder: Path, **settings: Any) -> None:  # noqa: ANN401
    """Write a folder as that version did."""
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    save_file(older_names(model.settings.family, load_file(path)), path, {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    del config["settings"]["cluster_comparison"], config["sha256"]
    config["settings"] |= settings
    (folder / "config.json").write_text(json.dumps(config | {"nsrfc_version": "0.1.0"}))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("groups", [True, False])
def test_an_older_folder_is_read_as_the_model_that_it_was(
    family: str, groups: bool, tmp_path: Path
) -> None:
    comparison = ClusterComparison() if groups else None
    model = stirred(make_model(FAMILIES[family], cluster_comparison=comparison))
    write_older(model, tmp_path, groups=groups)
    assert load_file(tmp_path / "model.safetensors").keys() != model.state_dict().keys()
    again = load_model(tmp_path)
    assert again.settings == model.settings
    weights = again.state_dict()
    assert weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value), name
    assert again.fingerprints() == model.fingerprints()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_older_model_clusters_as_it_did_and_its_kept_results_are_those_of_the_new(
    family: str, tmp_path: Path
) -> None:
    X = generate(150, "wild", dimension=D, seed=4).embeddings
    model = stirred(make_model(FAMILIES[family], cluster_comparison=ClusterComparison()))
    write_older(model, tmp_path / "older", groups=True)
    expected = cluster(X, model, run=Run(device="cpu", cache=tmp_path / "kept"))
    run = Run(device="cpu", cache=tmp_path / "kept")
    found = cluster(X, tmp_path / "older", run=run)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    assert found.method == expected.method
    assert set(run.progress.seconds) <= {"edges", "clusters"}, "no network works twice"


def test_saved_again_it_has_the_present_names(tmp_path: Path) -> None:
    model = make_model(FAMILIES["coordinates"])
    write_older(model, tmp_path / "older", groups=False)
    load_model(tmp_path / "older").save_pretrained(tmp_path / "newer")
    assert load_file(tmp_path / "newer" / "model.safetensors").keys() == model.state_dict().keys()
    assert "groups" not in json.loads((tmp_path / "newer" / "config.json").read_text())["settings"]


@pytest.mark.parametrize("family", FAMILIES)
def test_present_names_stay_as_they_are(family: str) -> None:
    weights = make_model(FAMILIES[family]).state_dict()
    found = present_names(weights)
    assert found.keys() == weights.keys()
    assert all(found[name] is value for name, value in weights.items())


def test_a_projection_that_is_not_whole_is_not_made_up(tmp_path: Path) -> None:
    write_older(make_model(FAMILIES["coordinates"]), tmp_path, groups=False)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    del weights["pairs.encoder.layers.0.value.weight"]
    save_file(weights, path, {"format": "pt"})
    words = r"does not hold the networks that config\.json describes \(\d+ weights differ, pairs\."
    with pytest.raises(InputError, match=words) as refused:
        load_model(tmp_path)
    assert "\n" not in str(refused.value)


def test_groups_that_are_neither_yes_nor_no_are_refused(tmp_path: Path) -> None:
    write_older(make_model(FAMILIES["structure"]), tmp_path, groups="some")
    path = re.escape(str(tmp_path / "config.json"))
    with pytest.raises(InputError, match=rf"^{path}: groups: .* from nsrfc 0\.1\.0: .*train or convert"):
        load_model(tmp_path)
