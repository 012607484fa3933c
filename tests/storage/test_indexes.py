"""Index files: read whole, or refused in one sentence that names the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import faiss
import numpy as np
import pytest

from nsrfc.errors import InputError
from nsrfc.storage.indexes import read_index
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..commands import refused

N, D = 300, 16
FACES = normalize(generate(N, "wild", dimension=D, seed=3).embeddings)
KINDS = ("Flat", "IVF4,Flat", "IVF64,PQ4x8", "HNSW8,Flat", "IDMap,Flat", "PCA8,Flat", "SQ8")


@cache
def made(kind: str) -> faiss.Index:
    index = faiss.index_factory(D, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(FACES)
    if kind.startswith("IDMap"):
        index.add_with_ids(FACES, np.arange(N))
    else:
        index.add(FACES)
    return index


def written(path: Path, kind: str = "Flat") -> faiss.Index:
    faiss.write_index(made(kind), str(path))
    return made(kind)


def limits() -> list[int]:
    names = ("vector_byte_limit", "loop_limit")
    found = [getattr(faiss, f"get_deserialization_{name}", None) for name in names]
    return [get() for get in found if get is not None]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_is_read_as_it_was_written(tmp_path: Path, kind: str) -> None:
    path, before = tmp_path / "faces.index", limits()
    index = written(path, kind)
    found = read_index(path, D)
    np.testing.assert_array_equal(found.search(FACES, 5)[1], index.search(FACES, 5)[1])
    assert limits() == before


def binary() -> bytes:
    index = faiss.IndexBinaryFlat(8 * D)
    index.add(np.random.default_rng(0).integers(0, 256, (N, D)).astype(np.uint8))
    return bytes(faiss.serialize_index_binary(index).tobytes())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as a faiss index"),
        (b"Ix", "cannot be read as a faiss index"),
        (b"This is a text.\n" * 9, "cannot be read as a faiss index"),
        (np.random.default_rng(0).bytes(5000), "cannot be read as a faiss index"),
        (binary(), "is a binary index, which holds bits"),
    ],
    ids=["nothing", "two letters", "text", "random", "bits"],
)
def test_another_file_is_no_index(tmp_path: Path, content: bytes, words: str) -> None:
    path, before = tmp_path / "faces.index", limits()
    path.write_bytes(content)
    np.save(tmp_path / "faces.npy", FACES)
    assert f"{path} {words}" in refused(
        "cluster", tmp_path / "faces.npy", "--index", path, "-o", tmp_path / "out"
    )
    assert limits() == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_an_index_that_is_cut_short_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "faces.index"
    written(path, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"faces\.index cannot be read as a faiss index"):
        read_index(path, D)


def test_an_index_of_another_dimension_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.index"
    written(path)
    np.save(tmp_path / "faces.npy", generate(N, "wild", dimension=D + 1, seed=3).embeddings)
    message = refused("cluster", tmp_path / "faces.npy", "--index", path, "-o", tmp_path / "out")
    assert f"{path} holds vectors of dimension {D}, the embeddings have {D + 1}" in message
