"""Parquet files of other programs: a column per number, text of databases, UUIDs, ids of any name."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.forms import vector_of_text
from nsrfc.storage.embeddings import read_embeddings

from ..commands import refused, run
from .drawn import Array

N, D = 20, 12
X: Array = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
IDS = [str(uuid.UUID(int=7 * row + 1)) for row in range(N)]
LISTS = pa.array(X.tolist(), pa.list_(pa.float32()))
TEXT = ["[" + ",".join(map(str, row)) + "]" for row in X]


def wide(start: str, first: int = 0, width: int = 0) -> dict[str, pa.Array]:
    """Make a column per number, in an order that is not theirs."""
    order = sorted(range(D), key=lambda number: str(number)[::-1])
    return {f"{start}{first + number:0{width}d}": pa.array(X[:, number]) for number in order}


BOX = {f"box_{corner}": pa.array(np.arange(N) / 2) for corner in range(4)}
SCORE = {"score": pa.array(np.ones(N)), "age": pa.array(np.arange(N))}

FILES: dict[str, tuple[dict[str, pa.Array], str | None]] = {
    "numbers": (wide(""), None),
    "letters": (wide("e"), None),
    "from one": (wide("embedding_", 1), None),
    "padded": (wide("dim", 0, 3), None),
    "beside other numbers": ({**SCORE, **wide("e")}, None),
    "beside other groups": ({**BOX, **wide("e")}, "e"),
    "known name beside other groups": ({**BOX, **wide("embedding")}, None),
    "lists beside numbers": ({**BOX, "vector": LISTS}, None),
    "fixed size": ({"vector": pa.array(X.tolist(), pa.list_(pa.float32(), D))}, None),
    "large lists": ({"vector": pa.array(X.tolist(), pa.large_list(pa.float32()))}, None),
    "text": ({"embedding": pa.array(TEXT)}, None),
    "large text of another name": ({"v": pa.array(TEXT, pa.large_string()), "w": LISTS}, "v"),
}


@pytest.mark.parametrize("name", FILES)
def test_forms_of_columns_are_read_as_the_array(name: str, tmp_path: Path) -> None:
    columns, key = FILES[name]
    pq.write_table(pa.table(columns), tmp_path / "faces.parquet", row_group_size=7)
    found = read_embeddings(tmp_path / "faces.parquet", key=key)
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, X)
    assert found.ids is None


def with_null(column: pa.Array, *rows: int) -> pa.Array:
    return pa.array([None if n in rows else v for n, v in enumerate(column.to_pylist())], column.type)


@pytest.mark.parametrize(
    "columns",
    [
        {"v": with_null(LISTS, 0, 1, 9)},
        {"v": pa.array([[] if n in (0, 1, 9) else row for n, row in enumerate(X.tolist())])},
        {"v": pa.array([[None] * D if n in (0, 1, 9) else row for n, row in enumerate(X.tolist())])},
        {"embedding": with_null(pa.array(TEXT), 0, 1, 9)},
        {**wide("e"), "e3": with_null(pa.array(X[:, 3]), 0, 1, 9)},
    ],
)
def test_missing_rows_are_named_or_read_as_bad(columns: dict[str, pa.Array], tmp_path: Path) -> None:
    path = tmp_path / "faces.parquet"
    pq.write_table(pa.table(columns), path)
    assert "3 of 20 rows are missing (rows 0, 1, 9)" in refused("plan", path)
    found = read_embeddings(path, bad_rows=True).vectors
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [0, 1, 9]
    np.testing.assert_allclose(np.delete(found, [0, 1, 9], 0), np.delete(X, [0, 1, 9], 0))


def test_a_text_of_many_rows_is_read_once(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([1, 0, None] * 500), pa.array(TEXT[:2]))
    pq.write_table(pa.table({"embedding": texts}), tmp_path / "faces.parquet")
    found = read_embeddings(tmp_path / "faces.parquet", bad_rows=True).vectors
    expected = np.tile([X[1], X[0], np.full(D, np.nan)], (500, 1))
    np.testing.assert_array_equal(found, expected.astype(np.float32))


@given(
    rows=st.lists(
        st.lists(st.floats(-1e300, 1e300) | st.integers(-(10**20), 10**20), min_size=3, max_size=3),
        min_size=1,
        max_size=6,
    ),
    missing=st.sets(st.integers(0, 5)),
)
def test_texts_read_at_once_are_those_read_one_by_one(
    rows: list[list[float]], missing: set[int]
) -> None:
    texts = [None if number in missing else json.dumps(row) for number, row in enumerate(rows)]
    texts.append(json.dumps([0.25, 0.5, 1]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.parquet"
        pq.write_table(pa.table({"embedding": pa.array(texts, pa.string())}), path)
        found = read_embeddings(path, bad_rows=True).vectors
    for vector, text in zip(np.asarray(found), texts, strict=True):
        expected = np.full(3, np.nan, np.float32) if text is None else vector_of_text(text)
        np.testing.assert_array_equal(vector, expected)


@pytest.mark.parametrize(
    "text", ["[1e400, true]", "[1, 1" + "0" * 400 + "]", "[" * 10_000, "[[1], [2]]"]
)
def test_text_that_is_no_vector_is_named(text: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"embedding": ["[1, 2]"] * 9 + [text]}), tmp_path / "faces.parquet")
    with pytest.raises(InputError, match=r"row 9, counted from 0, is '.*not a vector such as") as caught:
        read_embeddings(tmp_path / "faces.parquet")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array([uuid.UUID(each).bytes for each in IDS], pa.binary(16)), IDS),
        (pa.array(IDS, pa.large_string()), IDS),
        (pa.array(IDS).dictionary_encode(), IDS),
        (pa.array(np.arange(N) * 10**12), list(range(0, N * 10**12, 10**12))),
    ],
)
def test_ids_are_read_by_name(ids: pa.Array, expected: list[object], tmp_path: Path) -> None:
    pq.write_table(pa.table({"face": ids, "embedding": LISTS}), tmp_path / "faces.parquet")
    assert read_embeddings(tmp_path / "faces.parquet").ids is None
    found = read_embeddings(tmp_path / "faces.parquet", id_key="face")
    assert np.asarray(found.ids).tolist() == expected


def test_ids_of_any_name_reach_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"face": IDS, "embedding": LISTS}), "faces.parquet")
    run("cluster", "faces.parquet", "-m", "none", "--id", "face", "-o", "out")
    table = pq.read_table("out/clusters.parquet")
    assert table.column_names == ["face", "label", "confidence"]
    assert table["face"].to_pylist() == IDS
    run("refine", "faces.parquet", "-m", "universal", "--id", "face", "-o", "refined.parquet")
    assert pq.read_table("refined.parquet")["face"].to_pylist() == IDS
    pq.write_table(pa.table({"label": IDS, "embedding": LISTS}), "faces.parquet")
    assert "another name" in refused("cluster", "faces.parquet", "--id", "label", "-o", "other")


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="this pyarrow has no type for UUIDs")
def test_uuids_are_text(tmp_path: Path) -> None:
    ids = pa.array([uuid.UUID(each).bytes for each in IDS], pa.uuid())
    pq.write_table(pa.table({"id": ids, "embedding": LISTS}), tmp_path / "faces.parquet")
    assert np.asarray(read_embeddings(tmp_path / "faces.parquet").ids).tolist() == IDS


def test_names_of_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "faces.npz", embedding=X, id=np.arange(N), path=np.array(IDS))
    found = read_embeddings(tmp_path / "faces.npz", id_key="path")
    assert np.asarray(found.ids).tolist() == IDS
    assert found.id_key == "path"
