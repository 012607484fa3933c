"""Names of kept results: what decides a result decides its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import nsrfc
from nsrfc.storage import artifacts
from nsrfc.storage.artifacts import key_of
from nsrfc.synthetic import generate


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    artifacts._made_by.cache_clear()
    yield
    artifacts._made_by.cache_clear()


@pytest.mark.parametrize("library", ["numpy", "scipy", "faiss-cpu", "numba", "torch"])
def test_another_version_of_a_numeric_library_is_another_key(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_of("pairs", {"of": "x"})
    artifacts._made_by.cache_clear()
    found = artifacts._version
    monkeypatch.setattr(artifacts, "_version", lambda name: "99.0" if name == library else found(name))
    assert key_of("pairs", {"of": "x"}) != before


@pytest.mark.parametrize("name", ["graph/connectivity.py", "methods/rules.py", "chunks.py"])
def test_other_code_is_another_key(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of("pairs", {"of": "x"})
    artifacts._made_by.cache_clear()
    changed = Path(artifacts.__file__).parents[1] / name
    read = Path.read_bytes

    def with_a_change(path: Path) -> bytes:
        return read(path) + (b"\n" if path == changed else b"")

    monkeypatch.setattr(Path, "read_bytes", with_a_change)
    assert key_of("pairs", {"of": "x"}) != before


@pytest.mark.parametrize("model", [None, "universal"])
def test_a_result_of_other_code_is_not_taken(
    model: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = generate(600, "wild", dimension=32, seed=0).embeddings
    run = nsrfc.Run(cache=tmp_path / "cache")
    expected = nsrfc.cluster(X, model, run=run).labels
    first = {path.name for path in (tmp_path / "cache").iterdir()}
    nsrfc.cluster(X, model, run=run)
    assert {path.name for path in (tmp_path / "cache").iterdir()} == first
    artifacts._made_by.cache_clear()
    monkeypatch.setattr(artifacts, "_version", lambda name: "99.0")
    np.testing.assert_array_equal(nsrfc.cluster(X, model, run=run).labels, expected)
    second = {path.name for path in (tmp_path / "cache").iterdir()} - first
    assert len(second) >= len(first) - 1
