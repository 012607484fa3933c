"""Embeddings survive writing and reading, in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.storage.embeddings import Embeddings, read_embeddings, write_embeddings
from nsrfc.storage.identities import read_identities
from nsrfc.vectors import normalize

from .drawn import Array, in_folder, thorough, vectors, vectors_with_ids


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@thorough
@given(case=vectors_with_ids())
def test_named_formats_keep_numbers_type_and_ids(suffix: str, case: tuple[Array, Array | None]) -> None:
    def round_trip(folder: Path) -> None:
        path = folder / f"faces{suffix}"
        write_embeddings(path, case[0], ids=case[1], key="face vector")
        for key in (None, "face vector"):
            found = read_embeddings(path, key=key, dimension=case[0].shape[1])
            assert found.vectors.dtype == case[0].dtype
            np.testing.assert_array_equal(found.vectors, case[0])
            if case[1] is None:
                assert found.ids is None
            else:
                np.testing.assert_array_equal(np.asarray(found.ids), case[1])

    in_folder(round_trip)


@thorough
@given(case=vectors(), fortran=st.booleans())
def test_npy_keeps_numbers_and_type_and_is_mapped(case: Array, fortran: bool) -> None:
    def round_trip(folder: Path) -> None:
        write_embeddings(folder / "faces.npy", np.asfortranarray(case) if fortran else case)
        found = read_embeddings(folder / "faces.npy")
        assert isinstance(found.vectors, np.memmap)
        assert not found.vectors.flags.writeable
        assert found.vectors.dtype == case.dtype
        np.testing.assert_array_equal(found.vectors, case)

    in_folder(round_trip)


@thorough
@given(case=vectors())
def test_bin_is_plain_float32_and_is_mapped(case: Array) -> None:
    def round_trip(folder: Path) -> None:
        path = folder / "faces.bin"
        write_embeddings(path, case)
        assert path.read_bytes() == case.astype("<f4").tobytes()
        found = read_embeddings(path, dimension=case.shape[1])
        assert isinstance(found.vectors, np.memmap)
        np.testing.assert_array_equal(found.vectors, case.astype(np.float32))

    in_folder(round_trip)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".npz", ".parquet"])
def test_many_rows_in_many_blocks(tmp_path: Path, suffix: str) -> None:
    faces = np.random.default_rng(0).standard_normal((150_000, 5)).astype(np.float32)
    write_embeddings(tmp_path / f"faces{suffix}", faces)
    found = read_embeddings(tmp_path / f"faces{suffix}", dimension=5)
    np.testing.assert_array_equal(found.vectors, faces)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["X", "XX", "XXX", "XXXX"])  # numbers lie aligned behind one of them
def test_npz_of_other_writers(tmp_path: Path, save: Callable[..., None], key: str) -> None:
    faces = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    save(tmp_path / "faces.npz", sizes=np.arange(7), **{key: faces})
    found = read_embeddings(tmp_path / "faces.npz").vectors
    np.testing.assert_array_equal(found, faces)
    assert isinstance(found, np.ndarray)
    assert found.flags.aligned


def test_an_npz_that_is_not_compressed_is_mapped(tmp_path: Path) -> None:
    faces = np.random.default_rng(0).standard_normal((500, 6)).astype(np.float32)
    write_embeddings(tmp_path / "faces.npz", faces)
    found = read_embeddings(tmp_path / "faces.npz").vectors
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, faces)


def test_a_wrong_number_in_an_npz_that_is_mapped_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    write_embeddings(path, np.ones((500, 6), np.float32))
    content = bytearray(path.read_bytes())
    content[6000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"faces\.npz cannot be read .*damaged"):
        read_embeddings(path)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (pa.list_(pa.float32()), np.float32),
        (pa.large_list(pa.float64()), np.float64),
        (pa.list_(pa.float16(), 3), np.float16),
    ],
)
def test_parquet_lists_of_other_writers(
    tmp_path: Path, kind: pa.DataType, number: type[np.floating]
) -> None:
    rows = [[1.0, 0.0, 0.5], [0.0, 1.0, 0.25], [1.0, 1.0, 1.0]]
    table = pa.table(
        {
            "path": ["a.jpg", "b.jpg", "c.jpg"],
            "embedding": pa.array([np.array(row, number) for row in rows], kind),
            "other": pa.array(rows, pa.list_(pa.float32())),
            "id": pa.array(["x", "y", "x"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "faces.parquet", row_group_size=2)
    found = read_embeddings(tmp_path / "faces.parquet")
    np.testing.assert_array_equal(found.vectors, rows)
    assert np.asarray(found.ids).tolist() == ["x", "y", "x"]


def test_npz_takes_the_only_matrix_of_floats(tmp_path: Path) -> None:
    faces = np.eye(3, dtype=np.float16)
    np.savez(tmp_path / "a.npz", boxes=np.ones((3, 4), int), faces=faces, quality=np.ones(3))
    np.testing.assert_array_equal(read_embeddings(tmp_path / "a.npz").vectors, faces)


def test_numbers_of_another_byte_order_become_native(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", np.eye(3, dtype=">f4"))
    found = read_embeddings(tmp_path / "faces.npy").vectors
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.eye(3))


def test_suffix_in_capitals_and_path_as_text(tmp_path: Path) -> None:
    write_embeddings(str(tmp_path / "FACES.NPY"), np.eye(2))
    assert isinstance(read_embeddings(str(tmp_path / "FACES.NPY")), Embeddings)


@pytest.mark.parametrize("name", ["lfw", "celeba_wild_dev"])
def test_real_embeddings(shared: Path, name: str) -> None:
    path = shared / "data" / f"{name}.npz"
    faces = read_embeddings(path, key="ov256", dimension=256).vectors
    assert len(read_identities(path, n=len(faces))) == len(faces)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".npz", ".parquet"])
def test_bad_vectors_write_nothing(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="row 1"):
        write_embeddings(tmp_path / f"faces{suffix}", np.array([[1.0], [np.nan]]))
    assert list(tmp_path.iterdir()) == []


def test_a_mapped_file_can_be_written_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "faces.npy"
    write_embeddings(path, np.eye(3, dtype=np.float32) * 2)
    write_embeddings(path, normalize(read_embeddings(path).vectors))
    np.testing.assert_array_equal(read_embeddings(path).vectors, np.eye(3))


def test_equal_content_makes_equal_bytes(tmp_path: Path) -> None:
    for suffix in (".npz", ".parquet"):
        files = [tmp_path / f"{name}{suffix}" for name in "ab"]
        for path in files:
            write_embeddings(path, np.eye(3), ids=["x", "y", "z"])
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("ids", [np.array(["a", "bc", "d"], ">U2"), np.array([7, 8, 9], ">i8")])
def test_ids_of_another_byte_order_are_turned_to_that_of_this_machine(
    tmp_path: Path, ids: np.ndarray[Any, Any]
) -> None:
    np.savez(tmp_path / "faces.npz", a=np.ones((3, 2), np.float32), id=ids)
    found = read_embeddings(tmp_path / "faces.npz")
    assert found.ids is not None
    assert found.ids.dtype.isnative
    write_embeddings(tmp_path / "faces.parquet", found.vectors, ids=found.ids)
    again = read_embeddings(tmp_path / "faces.parquet").ids
    assert again is not None
    assert again.tolist() == ids.tolist()
