"""Rows of any length become unit vectors, whatever stands beside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given

from nsrfc.vectors import check_vectors, normalize, typical_faces

from .storage.drawn import Array, thorough, vectors


@thorough
@given(case=vectors())
def test_normalized_rows_are_the_unit_vectors(case: Array) -> None:
    before = case.copy()
    case.flags.writeable = False
    unit = normalize(case)
    exact = case.astype(np.longdouble)
    exact /= np.sqrt((exact**2).sum(axis=1, keepdims=True))
    assert unit.dtype == np.float32
    assert unit.flags.c_contiguous
    assert not np.shares_memory(unit, case)
    np.testing.assert_allclose(unit, exact.astype(np.float64), rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(case, before)


@pytest.mark.parametrize("dimension", [1, 7, 128, 513, 5000])
def test_a_row_does_not_depend_on_the_others(dimension: int) -> None:
    faces = np.random.default_rng(1).standard_normal((240, dimension)).astype(np.float32)
    unit = normalize(faces)
    order = np.random.default_rng(2).permutation(len(faces))
    np.testing.assert_array_equal(normalize(faces[order]), unit[order])
    np.testing.assert_array_equal(normalize(np.asfortranarray(faces)), unit)
    np.testing.assert_array_equal(normalize(faces[:, ::-1][:, ::-1]), unit)
    for row in (0, 101, 239):
        np.testing.assert_array_equal(normalize(faces[row : row + 1])[0], unit[row])


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (1e30, np.float32),
        (1e-30, np.float32),
        (1e-44, np.float32),
        (1e300, np.float64),
        (5e-324, np.float64),
        (6e4, np.float16),
        (6e-8, np.float16),
    ],
)
def test_huge_and_tiny_rows_are_normalized(scale: float, dtype: npt.DTypeLike) -> None:
    faces = np.array([[scale, scale, 0, -scale], [1, 0, 0, 0]], dtype=dtype)
    half = np.sqrt(1 / 3)
    np.testing.assert_allclose(normalize(faces), [[half, half, 0, -half], [1, 0, 0, 0]], rtol=1e-7)
    check_vectors(faces, "faces")


def test_a_sample_hardly_changes_with_rounding_or_rotation() -> None:
    """Otherwise statistics of faces would depend on the last digit of their numbers."""
    rng = np.random.default_rng(0)
    X = normalize(rng.normal(size=(6000, 24)) * np.linspace(1, 0.2, 24) + 0.5)
    sample = typical_faces(X, size=1000)
    assert len(np.unique(sample)) == 1000
    assert (np.diff(sample) > 0).all()
    rotation = np.linalg.qr(rng.normal(size=(24, 24)))[0]
    for changed in (normalize(X * np.float32(1.7)), normalize(X @ rotation)):
        assert np.isin(typical_faces(changed, size=1000), sample).mean() > 0.99
    assert np.isin(typical_faces(X, seed=2, size=1000), sample).mean() < 0.9
    np.testing.assert_array_equal(typical_faces(X[:300], size=1000), np.arange(300))
