"""Folders of shards: read as one array in the order of their numbers, refused where one is missing."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc import FaceClusterer
from nsrfc.chunks import ClosedRows, RowParts, read_rows
from nsrfc.errors import InputError
from nsrfc.storage.arrays import open_npy
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.identities import read_names
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..commands import refused, run, run_json

SIZES = [5, 1, 7, 2, 3, 4, 6, 1, 2, 3, 8]
BOUNDS = np.cumsum([0, *SIZES])
N, D = int(BOUNDS[-1]), 16
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float16)
ROWS = X.astype(np.float32).tolist()
NAMES = [f"{row}.jpg" for row in range(N)]
PARTS = [slice(start, stop) for start, stop in pairwise(BOUNDS.tolist())]


def write_shards(folder: Path, start: str = "img_emb_") -> None:
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(PARTS):
        np.save(folder / f"{start}{number}.npy", X[rows])


def write_tables(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(PARTS):
        pd.DataFrame({"image_path": NAMES[rows]}).to_parquet(folder / f"metadata_{number}.parquet")


def test_shards_follow_by_number_and_stay_in_their_files(tmp_path: Path) -> None:
    """clip-retrieval writes img_emb_0.npy ... img_emb_10.npy and metadata_0.parquet ..., in float16."""
    write_shards(tmp_path)
    write_tables(tmp_path)
    found = read_embeddings(tmp_path)
    assert found.ids is None
    assert isinstance(found.vectors, RowParts)
    assert found.vectors.dtype == np.float16
    np.testing.assert_array_equal(np.asarray(found.vectors), X)
    np.testing.assert_array_equal(normalize(found.vectors), normalize(X))
    assert fingerprint(found.vectors) == fingerprint(X)


@pytest.mark.parametrize("place", [".", "../metadata"])
def test_tables_beside_shards_name_their_rows(place: str, tmp_path: Path) -> None:
    write_shards(tmp_path / "img_emb")
    write_tables(tmp_path / "img_emb" / place)
    found = read_embeddings(tmp_path / "img_emb", id_key="image_path")
    assert np.asarray(found.ids).tolist() == NAMES
    assert read_names(tmp_path / "img_emb", key="image_path").tolist() == NAMES


def test_tables_that_do_not_belong_to_the_shards_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path)
    with pytest.raises(InputError, match=r"img_emb_0\.npy is described by no tables"):
        read_embeddings(tmp_path, id_key="image_path")
    write_tables(tmp_path)
    pd.DataFrame({"image_path": ["x"]}).to_parquet(tmp_path / "metadata_3.parquet")
    with pytest.raises(InputError, match=r"metadata_3\.parquet has 1 rows, but img_emb_3\.npy has 2"):
        read_embeddings(tmp_path, id_key="image_path")


def test_one_of_several_series_is_chosen_by_its_name(tmp_path: Path) -> None:
    write_shards(tmp_path)
    np.save(tmp_path / "text_emb_0.npy", X[:3])
    line = refused("plan", tmp_path)
    assert "img_emb_0.npy, text_emb_0.npy and those numbered like them, and more than one" in line
    assert "none of these series is meant by the key audio" in refused(
        "plan", tmp_path, "--key", "audio"
    )
    np.testing.assert_array_equal(np.asarray(read_embeddings(tmp_path, key="img").vectors), X)


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    write_shards(tmp_path)
    (tmp_path / "img_emb_7.npy").unlink()
    assert "lacks the shard of number 7 between img_emb_0.npy and img_emb_10.npy" in refused(
        "plan", tmp_path
    )


def test_a_missing_shard_of_a_stated_number_is_noticed(tmp_path: Path) -> None:
    for number in (0, 1):
        table = pa.table({"embedding": pa.array(ROWS, pa.list_(pa.float32()))})
        pq.write_table(table, tmp_path / f"train-{number:05}-of-00003.parquet")
    assert "lacks the shard of number 2 between" in refused("plan", tmp_path)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".npz", ".safetensors"])
def test_shards_with_names_of_their_own(suffix: str, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "_metadata.parquet").write_bytes(b"of Spark")
    for number, rows in enumerate(PARTS):
        path = tmp_path / f"part-{number}{suffix}"
        block = X[rows].astype(np.float32)
        frame = pd.DataFrame({"id": NAMES[rows], "embedding": list(block)})
        if suffix == ".parquet":
            frame.to_parquet(path)
        elif suffix == ".jsonl":
            faces = [
                {"id": name, "embedding": row}
                for name, row in zip(NAMES[rows], block.tolist(), strict=True)
            ]
            path.write_text("\n".join(map(json.dumps, faces)))
        elif suffix == ".npz":
            np.savez(path, embedding=block, id=NAMES[rows])
        else:
            save_file({"embedding": block, "id": np.arange(N)[rows]}, path)
    found = read_embeddings(tmp_path)
    np.testing.assert_array_equal(np.asarray(found.vectors), X.astype(np.float32))
    assert np.asarray(found.ids).tolist() == (list(range(N)) if suffix == ".safetensors" else NAMES)


def test_tables_without_rows_are_passed_over(tmp_path: Path) -> None:
    """Spark writes a file for each partition, also for those without rows."""
    kind = pa.list_(pa.float32())
    for number, rows in enumerate(
        [X[:4].astype(np.float32).tolist(), [], X[4:].astype(np.float32).tolist()]
    ):
        pq.write_table(
            pa.table({"embedding": pa.array(rows, kind)}), tmp_path / f"part-{number}.parquet"
        )
    np.testing.assert_array_equal(np.asarray(read_embeddings(tmp_path).vectors), X.astype(np.float32))


def test_shards_of_several_lengths_or_kinds_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path)
    np.save(tmp_path / "img_emb_3.npy", X[:4, :9])
    line = refused("plan", tmp_path)
    assert "img_emb_3.npy holds embeddings of dimension 9, but img_emb_0.npy of 16" in line
    np.save(tmp_path / "img_emb_3.npy", X[0])
    assert "img_emb_3.npy has shape (16,)" in refused("plan", tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.csv").touch()
    (tmp_path / "other" / "a.npz").touch()
    assert "holds files of several kinds (.csv, .npz)" in refused("plan", tmp_path / "other")


def test_bad_rows_are_counted_over_all_shards(tmp_path: Path) -> None:
    write_shards(tmp_path)
    for number, row in ((2, 0), (10, 7)):
        block = X[PARTS[number]].copy()
        block[row] = 0
        np.save(tmp_path / f"img_emb_{number}.npy", block)
    assert f"2 of {N} rows hold only zeros (rows 6, {N - 1})" in refused("plan", tmp_path)


def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        for number in range(150):
            np.save(tmp_path / f"{number}.npy", X[:2] + np.float16(number))
        found = normalize(read_embeddings(tmp_path).vectors)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    np.testing.assert_array_equal(found[-2:], normalize(X[:2] + np.float16(149)))


def test_a_folder_is_clustered_as_the_file_of_all_its_faces(tmp_path: Path) -> None:
    faces = generate(300, "wild", dimension=32, seed=0).embeddings
    np.save(tmp_path / "faces.npy", faces)
    (tmp_path / "shards").mkdir()
    for number in range(12):
        np.save(tmp_path / "shards" / f"{number}.npy", faces[25 * number : 25 * (number + 1)])
    records = [
        run_json("cluster", tmp_path / name, "-m", "none", "-o", tmp_path / f"of {name}")
        for name in ("faces.npy", "shards")
    ]
    labels = [np.load(tmp_path / f"of {name}" / "labels.npy") for name in ("faces.npy", "shards")]
    np.testing.assert_array_equal(*labels)
    assert records[0]["input"]["sha256"] == records[1]["input"]["sha256"]
    run("predict", tmp_path / "of shards", tmp_path / "faces.npy", "-o", tmp_path / "placed")
    line = refused("cluster", tmp_path / "shards", "-m", "none", "-o", tmp_path / "shards")
    assert "would lie among the files of" in line


def test_a_shard_that_is_changed_or_removed_is_noticed(tmp_path: Path) -> None:
    write_shards(tmp_path)
    found = read_embeddings(tmp_path).vectors
    np.save(tmp_path / "img_emb_3.npy", X[:3])
    with pytest.raises(InputError, match=r"img_emb_3\.npy was changed while it was in use"):
        normalize(found)
    (tmp_path / "img_emb_3.npy").unlink()
    with pytest.raises(InputError, match=r"img_emb_3\.npy was removed while it was in use"):
        normalize(found)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
    rows=st.one_of(
        st.slices(12).filter(lambda part: part.step in (None, 1)),
        st.lists(st.integers(0, 4), max_size=9),
        st.none(),
    ),
)
def test_rows_in_parts_are_those_of_the_joined_array(
    sizes: list[int], rows: slice | list[int] | None
) -> None:
    bounds = np.cumsum([0, *sizes])
    whole = np.random.default_rng(0).normal(size=(bounds[-1], 3)).astype(np.float32)
    kinds = ["<f4", ">f4", "<f4", "<f4", ">f4"]
    parts = [
        whole[start:stop].astype(kind)
        for start, stop, kind in zip(bounds, bounds[1:], kinds, strict=False)
    ]
    found = RowParts(parts, "faces")
    chosen: slice | npt.NDArray[np.int64]
    if isinstance(rows, list):
        chosen = np.array(rows, np.int64) % len(whole)
    else:
        chosen = slice(None) if rows is None else rows
    np.testing.assert_array_equal(read_rows(found, chosen), whole[chosen])
    assert found.shape == whole.shape


def test_an_array_opened_only_to_be_read(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", np.asfortranarray(X))
    rows = ClosedRows(open_npy(tmp_path / "faces.npy"))
    np.testing.assert_array_equal(rows.read(slice(3, 9)), X[3:9])
    np.testing.assert_array_equal(rows.read(np.array([7, 0])), X[[7, 0]])


def test_every_command_takes_a_folder(tmp_path: Path) -> None:
    faces = generate(400, "wild", dimension=32, seed=0)
    np.save(tmp_path / "faces.npy", faces.embeddings)
    np.save(tmp_path / "people.npy", faces.identities)
    shards = tmp_path / "shards"
    shards.mkdir()
    for number, rows in enumerate(np.split(np.arange(400), 4)):
        np.save(shards / f"{number}.npy", faces.embeddings[rows])
    for command, suffix in (("knn", ".npz"), ("refine", ".npy"), ("distances", ".npz")):
        model = [] if command == "knn" else ["-m", "universal"]
        contents = []
        for source in (shards, tmp_path / "faces.npy"):
            output = tmp_path / f"{command} of {source.stem}{suffix}"
            run(command, source, *model, "-o", output)
            contents.append(output.read_bytes())
        assert contents[0] == contents[1], command
    run("embedder-card", shards, "-o", tmp_path / "card.yaml")
    run("library", "create", tmp_path / "family")
    run("add", tmp_path / "family", shards)
    found = FaceClusterer(model=None).fit_predict(read_embeddings(shards).vectors)
    np.testing.assert_array_equal(found, FaceClusterer(model=None).fit_predict(faces.embeddings))
