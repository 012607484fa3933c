"""Fingerprints tell content apart, wherever it stands and however it is read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nsrfc.storage import fingerprints
from nsrfc.storage.fingerprints import fingerprint

Array = npt.NDArray[Any]

ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.bool_]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
)


@settings(max_examples=50)
@given(ARRAYS, st.integers(1, 64))
def test_the_size_of_blocks_and_the_layout_do_not_matter(array: Array, block: int) -> None:
    expected = fingerprint(array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "CHUNK_BYTES", block)
        assert fingerprint(array) == expected
    assert fingerprint(np.asfortranarray(array)) == expected
    assert fingerprint(np.repeat(array, 2, axis=0)[::2]) == expected


@settings(max_examples=50)
@given(ARRAYS, st.data())
def test_any_other_value_is_another_fingerprint(array: Array, data: st.DataObject) -> None:
    if array.size == 0:
        assert fingerprint(array) != fingerprint(np.zeros((1, *array.shape), array.dtype))
        return
    place = data.draw(st.integers(0, array.size - 1))
    changed = array.copy().reshape(-1)
    bits = changed[place : place + 1].view(np.uint8)
    bits[0] ^= 1
    assert fingerprint(changed.reshape(array.shape)) != fingerprint(array)


def test_shape_and_type_are_part_of_it() -> None:
    zeros = np.zeros((4, 6), np.float32)
    same_bytes = [
        zeros,
        zeros.reshape(6, 4),
        zeros.reshape(24),
        zeros.view(np.int32),
        zeros.astype(">f4"),
    ]
    assert len({fingerprint(array) for array in same_bytes}) == len(same_bytes)


def test_rows_in_another_order_are_another_content() -> None:
    X = np.arange(12.0).reshape(4, 3)
    assert fingerprint(X) != fingerprint(X[::-1])


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("fortran", [True, False])
def test_a_mapped_array_has_that_of_the_array(tmp_path: Path, mode: Any, fortran: bool) -> None:  # noqa: ANN401
    X = np.random.default_rng(0).normal(size=(700, 40)).astype(np.float32)
    np.save(tmp_path / "X.npy", np.asfortranarray(X) if fortran else X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode=mode, allow_pickle=False)
    assert isinstance(mapped, np.memmap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprints, "CHUNK_BYTES", 4096)
        assert fingerprint(mapped) == fingerprint(X)
    assert fingerprint(mapped[100:]) == fingerprint(X[100:])


def test_it_is_the_same_in_every_process_and_version() -> None:
    """Results that are kept are found by it: this one was reckoned by hand, from what is hashed."""
    X = np.array([[1, 2], [3, 4]], "<i4")
    whole = b"(2, 2) <i4 " + bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0])
    assert fingerprint(X) == hashlib.sha256(whole).hexdigest()
