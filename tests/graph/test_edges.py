"""Similarity edges of the label-free rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc import chunks as chunks_module
from nsrfc.graph.density_graph import similarity_edges


def lists_of(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours in random lists, some ends missing, with a strength that is the same both ways."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=(n, n)).astype(np.float32)
    strength += strength.T
    np.fill_diagonal(strength, np.inf)
    ids = np.argsort(-strength + rng.normal(size=(n, n)), axis=1)[:, :k].astype(np.int32)
    listed = np.take_along_axis(strength, ids, axis=1)
    missing = np.sort(rng.random((n, k)) < 0.1, axis=1)
    missing[:, 0] = False
    return np.where(missing, -1, ids).astype(np.int32), listed


@given(st.integers(2, 30), st.integers(2, 8), st.floats(-2, 3, width=32), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_every_pair_that_is_strong_enough_is_linked_once(
    n: int, k: int, threshold: float, seed: int
) -> None:
    ids, strength = lists_of(n, min(k, n), seed)
    known = np.where(ids >= 0, strength, -np.inf)
    known[:, 0] = -np.inf
    top = known.max(axis=1).astype(np.float32)
    expected = {
        (min(i, j), max(i, j))
        for i in range(n)
        for j, s in zip(ids[i, 1:].tolist(), strength[i, 1:], strict=True)
        if j >= 0 and 2 * s - max(top[i], top[j]) >= threshold
    }
    found = similarity_edges(ids, strength, top, threshold)
    ends = np.sort(np.stack((found.source, found.target), axis=1), axis=1).tolist()
    assert sorted(map(tuple, ends)) == sorted(expected)
    assert (found.score >= threshold).all()


def test_chunk_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    ids, strength = lists_of(200, 12, 0)
    top = strength[:, 1:].max(axis=1)
    whole = similarity_edges(ids, strength, top, 0.5)
    monkeypatch.setattr(chunks_module.chunks, "__defaults__", (7,))
    parts = similarity_edges(ids, strength, top, 0.5)
    np.testing.assert_array_equal(parts.source, whole.source)
    np.testing.assert_array_equal(parts.target, whole.target)
    np.testing.assert_array_equal(parts.score, whole.score)
