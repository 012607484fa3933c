"""Identities survive writing and reading, in every format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nsrfc.storage.identities import read_identities, read_names, write_identities

from .drawn import NAMES, in_folder, thorough


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".meta"])
@thorough
@given(case=hnp.arrays(np.int64, st.integers(1, 30)))
def test_integer_identities_are_kept(suffix: str, case: npt.NDArray[np.int64]) -> None:
    def round_trip(folder: Path) -> None:
        write_identities(folder / f"people{suffix}", case)
        found = read_identities(folder / f"people{suffix}", n=len(case))
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, case)

    in_folder(round_trip)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
@thorough
@given(names=st.lists(NAMES, min_size=1, max_size=20))
def test_names_become_numbers_in_sorted_order(suffix: str, names: list[str]) -> None:
    def round_trip(folder: Path) -> None:
        write_identities(folder / f"people{suffix}", names)
        found = read_identities(folder / f"people{suffix}")
        order = sorted({*names} - {""})
        assert found.tolist() == [order.index(name) if name else -1 for name in names]
        assert read_names(folder / f"people{suffix}").tolist() == names

    in_folder(round_trip)


def test_identities_are_found_beside_other_columns(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "label": pa.array([4, 4], pa.uint8()), "confidence": [0.5, 1]})
    pq.write_table(table, tmp_path / "clusters.parquet")
    assert read_identities(tmp_path / "clusters.parquet").tolist() == [4, 4]
    np.savez(tmp_path / "both.npz", faces=np.eye(2), id=np.arange(2), who=np.array([b"v", b"u"]))
    assert read_identities(tmp_path / "both.npz").tolist() == [1, 0]
    assert read_identities(tmp_path / "both.npz", key="id").tolist() == [0, 1]


def test_meta_of_another_system(tmp_path: Path) -> None:
    (tmp_path / "part1.meta").write_bytes(b"3\r\n 5\r\n-1\r\n\r\n")
    assert read_identities(tmp_path / "part1.meta").tolist() == [3, 5, -1]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([5, None, -1, 2**62 + 1], pa.int64()), [5, -1, -1, 2**62 + 1]),
        (pa.array([5, None], pa.uint8()), [5, -1]),
        (pa.array([5.0, None]), [5, -1]),  # what pandas makes of integers some of which are missing
        (pa.array(["b", None, "", "a"]), [1, -1, -1, 0]),
        (pa.array(["b", None, "b"]).dictionary_encode(), [0, -1, 0]),
        (pa.array([b"x" * 16, None], pa.binary(16)), [0, -1]),
    ],
)
def test_null_and_empty_are_unknown(tmp_path: Path, column: pa.Array, expected: list[int]) -> None:
    pq.write_table(pa.table({"identity": column}), tmp_path / "people.parquet")
    assert read_identities(tmp_path / "people.parquet").tolist() == expected
