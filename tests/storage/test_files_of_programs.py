"""Files as other programs write them; those in ``data`` are made by ``data/make.py``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import safetensors.numpy
import safetensors.torch
import torch

import nsrfc.storage.tables
from nsrfc.errors import InputError
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.identities import read_names
from nsrfc.vectors import good_rows

from ..commands import refused, run

DATA = Path(__file__).parent / "data"
X = np.load(DATA / "faces.npy")
N, D = X.shape
IDS = [f"{number}.jpg" for number in range(N)]
HALF = X.astype(np.float16)
BRAIN = torch.from_numpy(X).bfloat16().float().numpy()

MADE = {
    "duckdb_float.parquet": X,
    "duckdb_float.csv": X,
    "duckdb_float.json": X,
    "polars_float32.parquet": X,
    "polars_float16.parquet": HALF,
    "polars_float32.arrow": X,
    "polars_float16.arrow": HALF,
    "polars.jsonl": X,
    "polars_wide.csv": X,
    "datasets_float16": HALF,
    "datasets_float16.parquet": HALF,
    "datasets_float16.jsonl": HALF.astype(np.float32),
    "lancedb_vector.parquet": X,
    "lancedb_face.parquet": X.astype(np.float64),
    "pgvector.csv": X,
}


@pytest.mark.parametrize("name", MADE)
def test_files_made_by_other_libraries(name: str) -> None:
    if name in ("polars_float32.arrow", "polars_float16.arrow") and not hasattr(pa, "string_view"):
        pytest.skip("this pyarrow has no views of text, as which polars writes it")
    found = read_embeddings(DATA / name)
    assert found.vectors.dtype == MADE[name].dtype
    np.testing.assert_array_equal(np.asarray(found.vectors), MADE[name])
    assert np.asarray(found.ids).tolist() == IDS


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_two_bytes_without_a_type_are_bfloat16(suffix: str) -> None:
    """numpy does not have bfloat16: ml_dtypes 0.6.0 says '<V2' in the header, for no other type."""
    found = read_embeddings(DATA / f"ml_dtypes_bfloat16{suffix}").vectors
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(found), BRAIN)


def test_numbers_of_eight_bits_are_refused() -> None:
    """ml_dtypes 0.6.0 says '<V1' for one such type and '<f1', which numpy refuses, for another."""
    for kind in ("e4m3fn", "e5m2"):
        with pytest.raises(InputError, match=r"float8.*\.npy (holds \|V1|cannot be read)"):
            read_embeddings(DATA / f"ml_dtypes_float8_{kind}.npy")


@pytest.mark.parametrize("suffix", [".npz", ".feather", ".parquet"])
def test_stores_of_deepface(suffix: str) -> None:
    """deepface 0.0.103 keeps a row for a picture without a face: zeros in .npz, null in the others."""
    path = DATA / f"deepface{suffix}"
    assert "1 of 6 rows" in refused("plan", path)
    found = read_embeddings(path, id_key="identity", bad_rows=True)
    assert np.flatnonzero(good_rows(found.vectors, "X")).tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(np.delete(found.vectors, 2, 0), np.delete(X.astype(np.float64), 2, 0))
    assert np.asarray(found.ids).tolist() == IDS


def to_safetensors(path: Path) -> None:
    safetensors.numpy.save_file({"embedding": X, "other": X[:, :3].copy(), "id": np.arange(N)}, path)


def to_brain_safetensors(path: Path) -> None:
    safetensors.torch.save_file({"faces": torch.from_numpy(X).bfloat16()}, path, {"made": "by a test"})


def saved(content: object, **options: Any) -> Callable[[Path], None]:  # noqa: ANN401
    return lambda path: torch.save(content, path, **options)


T = torch.from_numpy(X)
BOX = torch.ones(N, 4, dtype=torch.int32)
DICTS = [{"id": name, "embedding": row} for name, row in zip(IDS, T, strict=True)]
FRAME = pd.DataFrame(X, columns=[f"f{number}" for number in range(D)])
TABLE = pd.DataFrame({"id": IDS, "embedding": list(X)})

WRITTEN: dict[str, tuple[str, Callable[[Path], object], Any, Any]] = {
    "tensors": (".safetensors", to_safetensors, X, list(range(N))),
    "bfloat16 tensors": (".safetensors", to_brain_safetensors, BRAIN, None),
    "a tensor": (".pt", saved(T), X, None),
    "a bfloat16 tensor": (".pth", saved(T.bfloat16()), BRAIN, None),
    "a parameter": (".pt", saved(torch.nn.Parameter(T.clone())), X, None),
    "a tensor of old": (".pt", saved(T, _use_new_zipfile_serialization=False), X, None),
    "a dict of tensors": (
        ".pt",
        saved({"id": IDS, "features": T, "box": torch.ones(N, 4).int()}),
        X,
        IDS,
    ),
    "a list of tensors": (".pt", saved(list(T)), X, None),
    "a list of dicts": (".pt", saved(DICTS), X, IDS),
    "a float a column": (".csv", lambda path: FRAME.to_csv(path, index=False), X, None),
    "numbered rows and columns": (".csv", pd.DataFrame(X).to_csv, X, None),
    "numbered columns": (".csv", lambda path: pd.DataFrame(X).to_csv(path, index=False), X, None),
    "columns between tabs": (".tsv", lambda path: FRAME.to_csv(path, sep="\t"), X, None),
    "a float a column of Parquet": (".parquet", FRAME.to_parquet, X, None),
    "Feather": (".feather", TABLE.to_feather, X, IDS),
    "arrays in Parquet": (".parquet", TABLE.to_parquet, X, IDS),
    "no names": (".csv", lambda path: np.savetxt(path, X, delimiter=","), X, None),
    "text of lists": (".csv", TABLE.assign(embedding=X.tolist()).to_csv, X, IDS),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_files_written_by_other_libraries(case: str, tmp_path: Path) -> None:
    suffix, write, expected, ids = WRITTEN[case]
    path = tmp_path / f"faces{suffix}"
    write(path)
    found = read_embeddings(path, dimension=D)
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(found.vectors), expected)
    assert (None if found.ids is None else found.ids.tolist()) == ids


def test_arrays_in_csv_are_text_of_numpy(tmp_path: Path) -> None:
    """pandas 3.1.1 writes an array as numpy prints it: blanks, line breaks, eight digits."""
    TABLE.to_csv(tmp_path / "faces.csv")
    found = read_embeddings(tmp_path / "faces.csv")
    np.testing.assert_allclose(np.asarray(found.vectors), X, atol=1e-7)


def test_arrays_of_more_than_a_thousand_numbers_in_csv_are_cut_and_refused(tmp_path: Path) -> None:
    """pandas 3.1.1 writes such an array with dots in its middle, as numpy prints it."""
    pd.DataFrame({"embedding": [np.arange(1100) / 7]}).to_csv(tmp_path / "faces.csv")
    with pytest.raises(InputError, match=r"row 0, counted from 0, is '.*not a vector such as"):
        read_embeddings(tmp_path / "faces.csv")


def test_arrays_of_postgres_are_read(tmp_path: Path) -> None:
    """COPY ... (FORMAT csv) writes float8[] in braces, by default without names."""
    text = "".join(f'{name},"{{{",".join(map(str, row))}}}"\n' for name, row in zip(IDS, X, strict=True))
    (tmp_path / "faces.csv").write_text(text)
    found = read_embeddings(tmp_path / "faces.csv", key="f1", id_key="f0")
    np.testing.assert_array_equal(np.asarray(found.vectors), X)
    assert np.asarray(found.ids).tolist() == IDS


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".arrow"])
def test_tables_are_read_in_blocks(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsrfc.storage.tables, "_BLOCK", 4096)
    many = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32)
    many[::7] = np.nan  # missing
    path = tmp_path / f"faces{suffix}"
    rows = [None if np.isnan(row[0]) else row.tolist() for row in many]
    if suffix == ".csv":
        pd.DataFrame(many, columns=[f"e{number}" for number in range(5)]).to_csv(path)
    elif suffix == ".jsonl":
        path.write_text("".join(json.dumps({"embedding": row}) + "\n" for row in rows))
    else:
        table = pa.table({"embedding": pa.array(rows, pa.list_(pa.float32()))})
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=100)
    assert "rows 0, 7, 14" in refused("plan", path)
    found = read_embeddings(path, bad_rows=True)
    np.testing.assert_array_equal(np.asarray(found.vectors), many)


def test_first_rows_without_a_vector_are_missing(tmp_path: Path) -> None:
    lines = [{"score": 1}, {"embedding": None}, *({"embedding": row} for row in X.tolist())]
    (tmp_path / "faces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read_embeddings(tmp_path / "faces.jsonl", bad_rows=True)
    assert np.isnan(np.asarray(found.vectors)).any(axis=1).tolist() == [True, True, *[False] * N]


class Touch:
    """An object whose loading would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_objects_in_pt_are_never_loaded(tmp_path: Path) -> None:
    torch.save({"embedding": T, "x": Touch(tmp_path / "made")}, tmp_path / "faces.pt")
    line = refused("plan", tmp_path / "faces.pt")
    assert "could run code and are never loaded: save the tensor itself" in line
    assert not (tmp_path / "made").exists()


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "lists": (".jsonl", "[1, 2]\n", "line 1 holds a list, not an object"),
    "no JSON": (".jsonl", "{'a': 1}\n", "cannot be read as .jsonl"),
    "one list": (".json", '[\n{"embedding": [1.0]}]', "cannot be read as .json"),
    "nothing": (".jsonl", "\n\n", "holds no line with an object"),
    "ragged": (".jsonl", '{"e": [1.0, 2]}\n{"e": [1.0]}', "row 1, counted from 0, has length 1"),
    "text": (".jsonl", '{"e": [1.0, 2]}\n{"e": ["x"]}', "cannot be read as .jsonl"),
    "two lists": (".jsonl", '{"e": [1.0, 2], "box": [0.5]}', "name the one meant as key"),
    "words": (".csv", "a,b\nx,y\n", "holds no list column of floats"),
    "ragged table": (".csv", "e0,e1\n1.0,2.0\n3.0\n", "cannot be read as .csv"),
    "a word": (".csv", "e0,e1\n1.0,2.0\n3.0,x\n", "holds no list column of floats"),
    "two of a name": (".csv", "e0,e0\n1.0,2.0\n", "has two columns 'e0'"),
    "no table": (".arrow", b"ARROW1\0\0 and so on", "cannot be read as .arrow"),
    "no tensors": (".safetensors", b"\x08\0\0\0\0\0\0\0{}      ", "holds no 2-D array of floats"),
    "no file of torch": (".pt", b"and so on", "cannot be read as .pt"),
    "empty": (".pt", b"", "cannot be read as .pt"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_content_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    suffix, content, words = REFUSED[case]
    path = tmp_path / f"faces{suffix}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert words in refused("plan", path)


def test_identities_are_read_from_tables(tmp_path: Path) -> None:
    names = ["a", "", "b", "a", "b", "b"]
    TABLE.assign(label=names).drop(columns="embedding").to_csv(tmp_path / "people.csv")
    assert read_names(tmp_path / "people.csv", n=N).tolist() == names
    lines = [{"id": row, "identity": name or None} for row, name in enumerate(names)]
    (tmp_path / "people.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_names(tmp_path / "people.jsonl", n=N).tolist() == names


def test_columns_beside_the_vectors_reach_a_library(tmp_path: Path) -> None:
    TABLE.assign(embedding=X.tolist(), photo=["a.jpg", "a.jpg", *IDS[2:]]).to_csv(tmp_path / "faces.csv")
    run("library", "create", tmp_path / "family")
    run("add", tmp_path / "family", tmp_path / "faces.csv", "--photo", "photo")
