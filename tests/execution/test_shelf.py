"""Tasks travel with paths instead of large arrays, and come back as what they were."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from nsrfc.errors import InputError
from nsrfc.execution.shelf import LARGE, Shelf, unpacked
from nsrfc.knn.gpu import Products
from nsrfc.storage.arrays import open_npy


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shared")


def test_large_arrays_go_to_a_file_once(shelf: Shelf) -> None:
    large = np.random.default_rng(0).random((LARGE // 16, 16), np.float32)
    small = large[:2].copy()
    for _ in range(2):
        packed = shelf.packed({"whole": large, "part": large[3:, :5], "small": small})
        assert len(packed) < large.nbytes // 10
    found: Any = unpacked(packed)
    np.testing.assert_array_equal(found["whole"], large)
    np.testing.assert_array_equal(found["part"], large[3:, :5])
    np.testing.assert_array_equal(found["small"], small)
    assert len(list(shelf.folder.iterdir())) == 2, "an array in memory, and a part that is one by itself"


def test_parts_of_a_mapped_array_need_no_file(shelf: Shelf) -> None:
    mapped = shelf.put(np.random.default_rng(0).random((LARGE // 16, 16), np.float32))
    views = mapped[5:], mapped[:, 3:9], mapped[::2], mapped.T, mapped[10:, 0]
    found: Any = unpacked(shelf.packed(views))
    for view, again in zip(views, found, strict=True):
        np.testing.assert_array_equal(again, view)
    assert len(list(shelf.folder.iterdir())) == 1


def test_faces_in_a_file_are_read_where_they_are(shelf: Shelf, tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((LARGE // 16, 16))
    np.save(tmp_path / "faces.npy", X)
    packed = shelf.packed(open_npy(tmp_path / "faces.npy"))
    assert not shelf.folder.exists()
    found: Any = unpacked(packed)
    np.testing.assert_array_equal(found.read(slice(3, 7)), X[3:7])
    np.save(tmp_path / "others.npy", X[::-1])
    (tmp_path / "others.npy").replace(tmp_path / "faces.npy")
    with pytest.raises(InputError, match="changed while it was in use"):
        unpacked(packed)


def test_what_was_damaged_between_two_runs_is_written_again(shelf: Shelf) -> None:
    array = np.arange(LARGE, dtype=np.float32)
    shelf.put(array)
    (path,) = shelf.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-4] + b"spoi")
    np.testing.assert_array_equal(Shelf(shelf.folder).put(array), array)


def test_an_index_is_mapped_by_workers(shelf: Shelf) -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
    flat = faiss.IndexFlatIP(8)
    index = faiss.IndexIVFFlat(flat, 8, 10, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    index.nprobe = 3
    found: Any = unpacked(shelf.packed(index))
    assert found.nprobe == 3
    for one, other in zip(found.search(vectors, 5), index.search(vectors, 5), strict=True):
        np.testing.assert_array_equal(one, other)


def test_products_are_made_anew_on_the_device_of_a_worker(shelf: Shelf) -> None:
    vectors = np.random.default_rng(0).standard_normal((3_000, 8)).astype(np.float32)
    products = Products(vectors, torch.device("cpu"))
    packed = shelf.packed(products)
    assert len(packed) < 1_000 < len(pickle.dumps(products))
    asked, again = vectors[:5], unpacked(packed)
    assert isinstance(again, Products)
    for one, other in zip(
        again.largest(asked, 4, halved=False), products.largest(asked, 4, halved=False), strict=True
    ):
        np.testing.assert_array_equal(one, other)
