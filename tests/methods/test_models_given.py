"""Every way to say which model clusters, and one sentence for what is no model, device or precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.methods.base import Run
from nsrfc.methods.registry import load_method
from nsrfc.methods.rules import Rules
from nsrfc.methods.structure import StructureMethod
from nsrfc.model.bundle import NSRFC
from nsrfc.synthetic import generate

from ..models import STRUCTURE, D, K, make_model


@pytest.fixture(scope="module")
def X() -> npt.NDArray[np.float32]:  # noqa: N802
    return generate(150, "wild", dimension=D, seed=3).embeddings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("models") / "mine"
    make_model(STRUCTURE).save_pretrained(folder)
    return folder


def test_a_model_a_folder_and_its_name_are_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)

    def decides(model: NSRFC | str | Path) -> Mapping[str, Any]:
        return load_method(model, ClusterConfig(), D, Run(device="cpu")).record()

    expected = decides(make_model(STRUCTURE))
    assert expected["name"] == "structure"
    assert set(expected["networks"]) == set(STRUCTURE["networks"])
    for given in (folder, str(folder), Path("mine"), "mine", "mine/", "./mine"):
        assert decides(given) == expected
    assert decides(make_model(STRUCTURE, connect=0.9)) != expected


def test_the_name_of_the_shipped_model_means_it_whatever_stands_in_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_model(STRUCTURE).save_pretrained("universal")
    shipped = load_method("universal", ClusterConfig(), D, Run(device="cpu"))
    mine = load_method(Path("universal"), ClusterConfig(), D, Run(device="cpu"))
    assert isinstance(shipped, StructureMethod)
    assert (shipped.k, mine.k) == (80, K)
    assert isinstance(load_method(None, ClusterConfig(), D, Run()), Rules)


RUBBISH: dict[str, Callable[[Path], Any]] = {
    "a number": lambda folder: 3,
    "a truth value": lambda folder: True,
    "bytes": lambda folder: b"universal",
    "a list": lambda folder: [folder],
    "settings": lambda folder: make_model(STRUCTURE).settings,
    "a class": lambda folder: nsrfc.NSRFC,
    "a network": lambda folder: make_model(STRUCTURE).network("pairs"),
    "an empty name": lambda folder: "",
    "another case": lambda folder: "Universal",
    "a file of the model": lambda folder: folder / "config.json",
    "the folder above": lambda folder: folder.parent,
    "no folder": lambda folder: folder / "below",
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_what_is_no_model_is_refused_in_one_sentence(
    X: npt.NDArray[np.float32],
    folder: Path,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(cache=tmp_path / "cache")
    with pytest.raises(InputError) as refused:
        nsrfc.cluster(X, RUBBISH[kind](folder), run=run)
    check_sentence(str(refused.value))
    assert not list(tmp_path.iterdir())
    assert not run.progress.seconds


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta", "", "CPU0", "cpu,cuda", 3.5])
def test_a_device_that_cannot_compute_is_refused_in_one_sentence(
    X: npt.NDArray[np.float32], folder: Path, device: object, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no device") as refused:
        nsrfc.cluster(X, folder, run=Run(device=cast(str, device), cache=tmp_path / "cache"))
    check_sentence(str(refused.value))
    assert repr(device) in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float16", "float64", "BFLOAT16", "", None, np.float32])
def test_another_precision_is_refused_in_one_sentence(
    X: npt.NDArray[np.float32], folder: Path, dtype: object, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="dtype must be float32 or bfloat16, got") as refused:
        nsrfc.cluster(X, folder, run=Run(dtype=cast(str, dtype), cache=tmp_path / "cache"))
    check_sentence(str(refused.value))
    assert not list(tmp_path.iterdir())


def check_sentence(message: str) -> None:
    assert message.endswith(".")
    assert "\n" not in message
    assert message.count(". ") == 0
    assert "Traceback" not in message
