"""Public names: what the package exports, and that the page of the API shows what there is."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import nsrfc

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^::: ([\w.]+)$", PAGE, re.MULTILINE)
WHOLE = ["nsrfc", *(f"nsrfc.{name}" for name in ("metrics", "research.baselines", "synthetic"))]


def test_top_level_names() -> None:
    assert nsrfc.__all__ == [
        "NSRFC",
        "ClusterConfig",
        "FaceClusterer",
        "InputError",
        "Library",
        "MemoryPlanError",
        "NsrfcError",
        "OptionalDependencyError",
        "Run",
        "TrainingConfig",
        "cluster",
        "evaluate",
        "train",
    ]


@pytest.mark.parametrize("name", SHOWN)
def test_names_of_the_api_page_exist_and_are_documented(name: str) -> None:
    module, _, member = name.rpartition(".")
    value = getattr(import_module(module), member)
    if inspect.isroutine(value) or inspect.isclass(value):
        assert inspect.getdoc(value), f"{name} has no docstring"


@pytest.mark.parametrize("name", WHOLE)
def test_exported_names_are_in_the_api_page(name: str) -> None:
    assert not {f"{name}.{member}" for member in import_module(name).__all__} - {*SHOWN}


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nsrfc.nothing
