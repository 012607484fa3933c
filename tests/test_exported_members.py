"""The public names: what is promised, is there, is documented and has a page."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import nsrfc

DOCS = Path(__file__).parents[1] / "docs"
MODULES = ["nsrfc"] + [
    f"nsrfc.{name}" for name in ("baselines", "data", "data.synthetic", "graph", "learned", "metrics")
]


def test_top_level_names() -> None:
    assert nsrfc.__all__ == [
        "NSRFC",
        "ClusterConfig",
        "FaceClusterer",
        "InputError",
        "MemoryPlanError",
        "NsrfcError",
        "OptionalDependencyError",
        "TrainingConfig",
        "cluster",
        "evaluate",
        "train",
    ]


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_exist_and_are_documented(name: str) -> None:
    module = import_module(name)
    for member in module.__all__:
        value = getattr(module, member)
        if inspect.isroutine(value) or inspect.isclass(value):
            assert inspect.getdoc(value), f"{name}.{member} has no docstring"


@pytest.mark.parametrize("name", MODULES)
def test_exported_names_are_in_the_api_page(name: str) -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    missing = [
        member
        for member in import_module(name).__all__
        if f"::: {name}\n" not in page and f"::: {name}.{member}\n" not in page
    ]
    assert not missing


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nsrfc.nothing
