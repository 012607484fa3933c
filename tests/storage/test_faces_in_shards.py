"""Embeddings in shards give what the same rows in one file give, and are never gathered in one array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsrfc.chunks import RowParts, read_rows
from nsrfc.embedders.geometry import Geometry
from nsrfc.errors import InputError
from nsrfc.knn.copies import distinct_faces
from nsrfc.storage.embeddings import read_embeddings, write_embeddings
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.runs import read_run
from nsrfc.synthetic import generate

from ..commands import refused, run_json

D = 16
SIZES = (50, 1, 30, 40, 60, 70, 80, 90, 20, 10, 149)
"""Rows of more than ten shards, so that their names are not in alphabetical order."""

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> Vectors:
    return generate(sum(SIZES), "wild", dimension=D, seed=1).embeddings


def parts(rows: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
    return np.split(rows, np.cumsum(SIZES)[:-1])


def clip_retrieval(folder: Path, faces: Vectors) -> None:
    """Write the layout of clip-retrieval 2.x: float16, and metadata of the same rows."""
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    paths = np.array([f"{row}.jpg" for row in range(len(faces))])
    for number, (own, names) in enumerate(zip(parts(faces), parts(paths), strict=True)):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", own)
        np.save(folder / "text_emb" / f"text_emb_{number}.npy", own[::-1])
        table = pa.table({"image_path": pa.array(names)})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")


def flat(folder: Path, faces: Vectors) -> None:
    folder.mkdir()
    for number, own in enumerate(parts(faces)):
        np.save(folder / f"img_emb_{number}.npy", own)


def parquet(folder: Path, faces: Vectors) -> None:
    folder.mkdir()
    for number, own in enumerate(parts(faces)):
        write_embeddings(folder / f"part-{number}.parquet", own)


LAYOUTS = {each.__name__: each for each in (clip_retrieval, flat, parquet)}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_shards_hold_the_rows_of_one_file(
    layout: Callable[[Path, Vectors], None], faces: Vectors, tmp_path: Path
) -> None:
    layout(tmp_path / "shards", faces)
    vectors = read_embeddings(tmp_path / "shards").vectors
    assert isinstance(vectors, RowParts)
    assert vectors.shape == faces.shape
    assert fingerprint(vectors) == fingerprint(faces)
    rows = np.random.default_rng(0).permutation(len(faces))[:100]
    np.testing.assert_array_equal(read_rows(vectors, rows), faces[rows])
    np.testing.assert_array_equal(read_rows(vectors, slice(45, 140)), faces[45:140])
    found, expected = distinct_faces(vectors), distinct_faces(faces)
    np.testing.assert_array_equal(found.vectors, expected.vectors)
    assert Geometry.of(vectors, found) == Geometry.of(faces, expected)


def test_shards_on_another_file_system_are_fetched(faces: Vectors, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec reads URLs")
    flat(tmp_path / "shards", faces)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "shards"), "/faces", recursive=True)
    for url in ("memory://faces", Path("memory://faces")):
        assert fingerprint(read_embeddings(url).vectors) == fingerprint(faces)
    local = read_embeddings((tmp_path / "shards").as_uri()).vectors
    assert fingerprint(local) == fingerprint(faces)


def test_the_command_clusters_shards_and_writes_shards(faces: Vectors, tmp_path: Path) -> None:
    clip_retrieval(tmp_path / "shards", faces)
    np.save(tmp_path / "faces.npy", faces)
    output = tmp_path / "people"
    run_json("cluster", tmp_path / "shards", "-o", output, "--model", "none", "--id", "image_path")
    run_json("cluster", tmp_path / "faces.npy", "-o", tmp_path / "whole", "--model", "none")
    labels = np.load(output / "labels.npy")
    np.testing.assert_array_equal(labels, np.load(tmp_path / "whole" / "labels.npy"))
    own = [
        pq.read_table(output / "shards" / f"img_emb_{number}.parquet") for number in range(len(SIZES))
    ]
    assert [table.num_rows for table in own] == list(SIZES)
    np.testing.assert_array_equal(pa.concat_tables(own)["label"].to_numpy(), labels)
    assert own[1]["image_path"].to_pylist() == ["50.jpg"]
    people = pq.read_table(output / "people.parquet")
    np.testing.assert_array_equal(people["faces"].to_numpy(), np.bincount(labels))
    assert read_run(output) is not None
    # A run on one file leaves no tables of shards behind.
    run_json("cluster", tmp_path / "faces.npy", "-o", output, "--model", "none")
    assert not (output / "shards").exists()
    assert not (output / "people.parquet").exists()


def spoil_dimension(folder: Path) -> None:
    np.save(folder / "img_emb_3.npy", np.ones((4, D + 1), np.float32))


def spoil_rows(folder: Path) -> None:
    np.save(folder / "img_emb_3.npy", np.zeros((4, D), np.float32))


def spoil_file(folder: Path) -> None:
    (folder / "img_emb_3.npy").write_bytes(b"nothing")


def spoil_order(folder: Path) -> None:
    np.save(folder / "img_emb_03.npy", np.ones((4, D), np.float32))


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_dimension, "img_emb_3.npy holds embeddings of dimension 17"),
        (spoil_rows, "4 of 720 rows|rows hold only zeros"),
        (spoil_file, "img_emb_3.npy"),
        (spoil_order, "img_emb_0?3.npy and img_emb_0?3.npy have the same numbers"),
        (empty, "folder without shards"),
    ],
)
def test_shards_that_do_not_fit_are_refused(
    spoil: Callable[[Path], None], words: str, faces: Vectors, tmp_path: Path
) -> None:
    flat(tmp_path / "shards", faces)
    spoil(tmp_path / "shards")
    with pytest.raises(InputError, match=words):
        read_embeddings(tmp_path / "shards")


def test_ids_must_be_of_the_same_rows(faces: Vectors, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    clip_retrieval(folder, faces)
    assert "image_path" in refused("cluster", folder, "-o", tmp_path / "out", "--id", "url")
    (folder / "metadata" / "metadata_4.parquet").unlink()
    with pytest.raises(InputError, match="img_emb_4"):
        read_embeddings(folder, id_key="image_path")
    pq.write_table(pa.table({"image_path": ["a"]}), folder / "metadata" / "metadata_4.parquet")
    with pytest.raises(InputError, match="1 rows"):
        read_embeddings(folder, id_key="image_path")


def test_a_shard_that_changes_during_the_run_is_noticed(faces: Vectors, tmp_path: Path) -> None:
    flat(tmp_path / "shards", faces)
    vectors = read_embeddings(tmp_path / "shards").vectors
    np.save(tmp_path / "shards" / "img_emb_5.npy", 2 * faces[:70])
    with pytest.raises(InputError, match="changed"):
        distinct_faces(vectors)
