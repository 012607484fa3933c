"""Every bad file is refused in a sentence that names it, what is wrong, and the mend."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nsrfc.cli import app
from nsrfc.errors import InputError
from nsrfc.model.bundle import load_model
from nsrfc.model.published import read_published
from nsrfc.records import Clustering, NeighborGraph
from nsrfc.storage.artifacts import Pieces
from nsrfc.storage.embeddings import read_embeddings, write_embeddings
from nsrfc.storage.identities import read_identities, write_identities
from nsrfc.storage.neighbors import read_neighbors, write_neighbors
from nsrfc.storage.runs import check_folder, read_labels, read_run, write_run
from nsrfc.training.config import TrainingConfig
from nsrfc.vectors import normalize

from ..commands import refused

FACES = np.arange(1, 13, dtype=np.float32).reshape(4, 3)


class Case(NamedTuple):
    """A file to make, how to read it, and words that the message must have."""

    file: str
    make: Callable[[Path], object]
    words: tuple[str, ...]
    options: Mapping[str, Any] = MappingProxyType({})


def with_value(row: int, value: float) -> np.ndarray[Any, Any]:
    changed = FACES.copy()
    changed[row, 1] = value
    return changed


def zero_rows(*rows: int) -> np.ndarray[Any, Any]:
    changed = np.ones((50, 3), dtype=np.float32)
    changed[list(rows)] = 0
    return changed


def save(array: object) -> Callable[[Path], object]:
    return lambda path: np.save(path, np.asarray(array), allow_pickle=True)


def save_z(**arrays: object) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        entries: dict[str, Any] = {key: np.asarray(array) for key, array in arrays.items()}
        np.savez(path, **entries)

    return make


def table(**columns: pa.Array) -> Callable[[Path], object]:
    return lambda path: pq.write_table(pa.table(columns), path)


def content(data: bytes | str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data if isinstance(data, bytes) else data.encode())


def cut(make: Callable[[Path], object], share: float) -> Callable[[Path], object]:
    def make_and_cut(path: Path) -> None:
        make(path)
        os.truncate(path, int(path.stat().st_size * share))

    return make_and_cut


def stating(kind: str, shape: tuple[int, ...]) -> bytes:
    """A header of an array, and 64 bytes that follow it."""
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(64)


def packed(name: str, member: bytes, way: int = zipfile.ZIP_STORED) -> Callable[[Path], object]:
    """An ``.npz`` file of four faces, and beside them a member as it is."""

    def make(path: Path) -> None:
        np.savez(path, a=FACES)
        with zipfile.ZipFile(path, "a", way) as archive:
            archive.writestr(name, member)

    return make


def repeated(text: str, rows: int) -> pa.Array:
    """A column of one text, which is held and written once."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [text])


def no_text(code: int) -> np.ndarray[Any, Any]:
    """Four names, of which the third has a code that is no letter."""
    return np.array([65, 66, code, 67], dtype=np.uint32).view("<U1")


def npz_under_another_name(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), FACES)
    path.with_suffix(".npz").rename(path)


def nothing(path: Path) -> None:
    """Make no file."""


def lists(*rows: list[float | None] | None, width: int | None = None) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float32(), *([] if width is None else [width])))


def objects() -> np.ndarray[Any, Any]:
    array = np.empty(2, dtype=object)
    array[:] = [np.ones(3), np.ones(3)]
    return array


MIXED = pa.table({"a": lists([1.0]), "b": lists([2.0]), "c": [3]})

EMBEDDINGS = {
    "missing file": Case("faces.npy", nothing, ("no file", "check")),
    "missing folder": Case("nowhere/faces.npy", nothing, ("no file", "check")),
    "file as folder": Case("faces.npy/faces.npy", nothing, ("no file", "check")),
    "folder": Case("faces.npy", Path.mkdir, ("is a folder", ".parquet")),
    "pipe": Case("faces.npy", os.mkfifo, ("not a regular file",)),
    "unknown suffix": Case("faces.xls", content("1,2"), (".xls", ".npy, .npz, .parquet")),
    "no suffix": Case("faces", content("1,2"), ("no suffix", ".npy, .npz, .parquet")),
    "NaN": Case("faces.npy", save(with_value(2, np.nan)), ("1 of 4 rows", "row 2", "remove")),
    "infinity": Case("faces.npy", save(with_value(0, -np.inf)), ("1 of 4 rows", "row 0", "remove")),
    "zeros": Case(
        "faces.npy", save(zero_rows(1, 7, 9, 20, 30, 40, 49)), ("7 of 50", "1, 7, 9, 20, 30, ...")
    ),
    "NaN in npz": Case("faces.npz", save_z(a=with_value(3, np.nan)), ("1 of 4", "row 3")),
    "NaN in bin": Case(
        "faces.bin", content(with_value(3, np.nan).tobytes()), ("1 of 4", "row 3"), {"dimension": 3}
    ),
    "NaN in parquet": Case("faces.parquet", table(a=lists([1.0], [float("nan")])), ("1 of 2", "row 1")),
    "no rows in npy": Case("faces.npy", save(FACES[:0]), ("empty", "(0, 3)")),
    "no rows in npz": Case("faces.npz", save_z(a=FACES[:0]), ("empty", "(0, 3)")),
    "no rows in bin": Case("faces.bin", content(b""), ("empty",), {"dimension": 3}),
    "no rows in parquet": Case("faces.parquet", table(a=lists()), ("empty",)),
    "no columns": Case("faces.npy", save(FACES[:, :0]), ("empty", "(4, 0)")),
    "empty lists": Case("faces.parquet", table(a=lists([], [])), ("2 of 2 rows", "missing")),
    "scalar": Case("faces.npy", save(np.float32(1)), ("shape ()", "(faces, dimension)")),
    "one dimension": Case("faces.npy", save(FACES[0]), ("shape (3,)", "(faces, dimension)")),
    "three dimensions": Case("faces.npy", save(FACES[None]), ("shape (1, 4, 3)", "reshape")),
    "integers": Case("faces.npy", save(FACES.astype(int)), ("int64", "float32")),
    "complex": Case("faces.npy", save(FACES.astype(complex)), ("complex128", "float32")),
    "text": Case("faces.npy", save([["a"]]), ("<U1", "float32")),
    "objects": Case("faces.npy", save(objects()), ("pickled", "never loaded", "anew")),
    "objects in npz": Case("faces.npz", save_z(a=objects()), ("pickled", "anew"), {"key": "a"}),
    "wrong dimension in npy": Case(
        "faces.npy", save(FACES), ("dimension 3", "5 was asked"), {"dimension": 5}
    ),
    "wrong dimension in npz": Case(
        "faces.npz", save_z(a=FACES), ("dimension 3", "5 was asked"), {"dimension": 5}
    ),
    "wrong dimension in parquet": Case(
        "faces.parquet", table(a=lists([1.0])), ("dimension 1", "5 was asked"), {"dimension": 5}
    ),
    "impossible dimension": Case(
        "faces.npy", save(FACES), ("dimension must be 1 or more",), {"dimension": 0}
    ),
    "bin without dimension": Case("faces.bin", content(bytes(24)), ("give the dimension",)),
    "bin cut short": Case(
        "faces.bin", content(FACES.tobytes()[:-5]), ("43 bytes", "cut short"), {"dimension": 3}
    ),
    "npy cut short": Case("faces.npy", cut(save(FACES), 0.9), ("cut short", "anew")),
    "npy cut in its header": Case("faces.npy", cut(save(FACES), 0.2), ("damaged", "anew")),
    "npy of nothing": Case("faces.npy", content(b""), ("damaged", "anew")),
    "npz cut short": Case("faces.npz", cut(save_z(a=FACES), 0.9), ("damaged", "anew")),
    "npz of nothing": Case("faces.npz", content(b""), ("damaged", "anew")),
    "parquet cut short": Case("faces.parquet", cut(table(a=lists([1.0])), 0.9), ("damaged",)),
    "parquet of nothing": Case("faces.parquet", content(b""), ("damaged", "anew")),
    "text as npy": Case("faces.npy", content("0.1 0.2\n"), ("another kind of file",)),
    "npz as npy": Case(
        "faces.npy",
        npz_under_another_name,
        ("another kind of file",),
    ),
    "key for npy": Case("faces.npy", save(FACES), ("without a name", "'a'"), {"key": "a"}),
    "key not in npz": Case("faces.npz", save_z(a=FACES), ("no 'b'", "(a)"), {"key": "b"}),
    "several in npz": Case("faces.npz", save_z(a=FACES, b=FACES), ("more than one", "a, b", "key")),
    "none in npz": Case("faces.npz", save_z(a=np.ones(3)), ("no 2-D array of floats", "holds a)")),
    "ids of another length": Case("faces.npz", save_z(a=FACES, id=np.arange(3)), ("3 ids for 4 faces",)),
    "ids of floats": Case("faces.npz", save_z(a=FACES, id=np.ones(4)), ("ids", "float64")),
    "ragged parquet": Case(
        "faces.parquet",
        table(a=lists([1.0, 2.0], [1.0, 2.0], [1.0])),
        ("ragged", "row 2", "length 1"),
    ),
    "null row": Case("faces.parquet", table(a=lists([1.0], None)), ("missing (row 1)", "remove")),
    # pyarrow 17 and older cannot decode it, and the message then carries their reason.
    "null row of fixed size": Case(
        "faces.parquet", table(a=lists([1.0], None, width=1)), ("faces.parquet",)
    ),
    "null number": Case(
        "faces.parquet", table(a=lists([1.0, 2.0], [1.0, None])), ("missing (row 1)", "remove")
    ),
    "null id": Case(
        "faces.parquet", table(a=lists([1.0], [1.0]), id=pa.array(["x", None])), ("'id'", "row 1")
    ),
    "several lists": Case(
        "faces.parquet", lambda path: pq.write_table(MIXED, path), ("more than one", "a, b", "key")
    ),
    "column that is no list": Case(
        "faces.parquet", lambda path: pq.write_table(MIXED, path), ("'c' is int64",), {"key": "c"}
    ),
    "no such column": Case(
        "faces.parquet", lambda path: pq.write_table(MIXED, path), ("(a, b, c)",), {"key": "d"}
    ),
    "line break in a name": Case(
        "faces.npz", packed("b\nc.npy", stating("<f4", (4, 4))), ("control characters", "'b\\nc.npy'")
    ),
    "very many arrays in npz": Case(
        "faces.npz",
        save_z(**{f"{'x' * 50}{number}": FACES for number in range(300)}),
        ("more than one", "... (300)"),
    ),
    "shape of a quintillion": Case(
        "faces.npz",
        packed("b.npy", stating("<f4", (10**9, 10**9)), zipfile.ZIP_DEFLATED),
        ("faces.npz[b] is cut short", "takes 4000000000000000128 bytes"),
        {"key": "b"},
    ),
    "shape of hundreds of axes": Case(
        "faces.npy", content(stating("<f4", (1,) * 30)), ("shape (1, 1, 1, 1,", "faces.npy")
    ),
    "ids of half a billion letters": Case(
        "faces.npz",
        packed("id.npy", stating("<U500000000", (4,)), zipfile.ZIP_DEFLATED),
        ("faces.npz[id]", "at most 1000 letters"),
    ),
    "ids of another length, stated": Case(
        "faces.npz", packed("id.npy", stating("<U1", (10**9,))), ("1000000000 ids for 4 faces",)
    ),
    "ids beyond all letters": Case(
        "faces.npz", save_z(a=FACES, id=no_text(0x110000)), ("faces.npz[id]", "no valid text in row 2")
    ),
    "half letters as ids": Case(
        "faces.npz", save_z(a=FACES, id=no_text(0xD800)), ("faces.npz[id]", "no valid text in row 2")
    ),
    "long ids in parquet": Case(
        "faces.parquet", table(a=lists([1.0]), id=pa.array(["x" * 5000])), ("5000 letters", "shorten")
    ),
    "long id of many faces": Case(
        "faces.parquet",
        table(a=pa.array([[1.0]] * 9000, pa.list_(pa.float32())), id=repeated("x" * 1_000_000, 9000)),
        ("1000000 letters", "shorten"),
    ),
    "control characters in a column": Case(
        "faces.parquet", table(**{"\x1b[31m": lists([1.0])}), ("control characters", "\\x1b[31m")
    ),
    "very many columns": Case(
        "faces.parquet",
        table(**{f"{'x' * 50}{number}": pa.array([1]) for number in range(300)}),
        ("no list column", "... (300)"),
    ),
    "text that is no vector": Case(
        "faces.parquet", table(embedding=pa.array(["[1,2]", "1,2"])), ("row 1", "'1,2'", "'[0.1,0.2]'")
    ),
    "vectors as text of two lengths": Case(
        "faces.parquet", table(embedding=pa.array(["[1,2]", "[1]"])), ("ragged", "row 1", "length 1")
    ),
    "a number that is null": Case(
        "faces.parquet", table(e0=pa.array([1.0, None]), e1=pa.array([1.0, 2.0])), ("missing (row 1)",)
    ),
    "numbered columns with a gap": Case(
        "faces.parquet",
        table(**{f"feature_{i}": pa.array([1.0]) for i in range(512) if i != 7}),
        ("no list column", "feature_0, feature_1", "... (511)"),
    ),
    "two groups of numbered columns": Case(
        "faces.parquet",
        table(**{f"{name}{i}": pa.array([1.0]) for name in "ab" for i in range(300)}),
        ("more than one", "a, b", "key"),
    ),
    "long names": Case(
        "faces.parquet", table(**{f"{i}" * 400: pa.array([1]) for i in range(30)}), ("... (30)",)
    ),
    "no such ids": Case(
        "faces.parquet", table(a=lists([1.0])), ("no 'path'", "(a)"), {"id_key": "path"}
    ),
    "null id of a name": Case(
        "faces.parquet",
        table(a=lists([1.0]), path=pa.array([None], pa.string())),
        ("'path'", "null in row 0"),
        {"id_key": "path"},
    ),
    "ids of npy": Case("faces.npy", save(FACES), ("leave out the id 'path'",), {"id_key": "path"}),
    "no list column": Case("faces.parquet", table(a=pa.array([1])), ("no list column",)),
    "lists of integers": Case("faces.parquet", table(a=pa.array([[1]])), ("no list column",)),
}

IDENTITIES = {
    "missing file": Case("people.meta", nothing, ("no file", "check")),
    "folder": Case("people.npy", Path.mkdir, ("is a folder",)),
    "unknown suffix": Case("people.txt", content("1"), (".txt", ".npy, .npz, .parquet")),
    "more labels": Case(
        "people.npy", save(np.arange(10)), ("10", "9 faces", "more labels than faces"), {"n": 9}
    ),
    "fewer labels": Case("people.meta", content("1\n2\n"), ("2", "9 faces", "fewer labels"), {"n": 9}),
    "text in meta": Case("people.meta", content("1\n2\nanna\n"), ("line 3", "'anna'")),
    "two columns in meta": Case("people.meta", content("1 2\n"), ("line 1", "one integer a line")),
    "fraction in meta": Case("people.meta", content("1\n2.0\n"), ("line 2", "'2.0'")),
    "blank line in meta": Case("people.meta", content("1\n\n2\n"), ("line 2", "''")),
    "huge number in meta": Case("people.meta", content("1\n" + "9" * 19), ("line 2", "64 bits")),
    "noise in meta": Case("people.meta", content(bytes(range(256))), ("line 1", "not an integer")),
    "no lines in meta": Case("people.meta", content("\n"), ("empty",)),
    "floats": Case("people.npy", save(np.ones(3)), ("float64", '.astype("int64")')),
    "truth values": Case("people.npy", save([True]), ("bool", '.astype("int64")')),
    "beyond int64": Case("people.npy", save(np.array([2**63], np.uint64)), ("int64", "anew")),
    "column vector": Case("people.npy", save(np.ones((3, 1), int)), ("shape (3, 1)", "(faces,)")),
    "no rows": Case("people.npy", save(np.ones(0, int)), ("empty",)),
    "objects": Case("people.npy", save(objects()), ("pickled", "anew")),
    "several arrays": Case("people.npz", save_z(a=[1], b=[1]), ("more than one", "a, b", "key")),
    "no fitting array": Case("people.npz", save_z(a=FACES), ("no 1-D array", "holds a)")),
    "key for meta": Case("people.meta", content("1"), ("without a name", "'a'"), {"key": "a"}),
    "lists": Case("people.parquet", table(label=lists([1.0])), ("label", "list", "integers")),
    "floats in parquet": Case("people.parquet", table(a=pa.array([1.0])), ("float64", "astype")),
    "no rows in parquet": Case("people.parquet", table(a=pa.array([], pa.int64())), ("empty",)),
    "several columns": Case(
        "people.parquet", table(a=pa.array([1]), b=pa.array([1])), ("more than one", "a, b")
    ),
    "names of no letters": Case("people.npy", content(stating("<U0", (10**9,))), ("impossible", "<U0")),
    "names of no bytes": Case(
        "people.npz",
        packed("identity.npy", stating("|S0", (10**9,))),
        ("people.npz[identity]", "impossible"),
    ),
    "names of a billion letters": Case(
        "people.npy", content(stating("|S1000000000", (1,))), ("at most 1000 letters",)
    ),
    "names beyond all letters": Case("people.npy", save(no_text(0x110000)), ("no valid text in row 2",)),
    "identities of other bytes": Case(
        "people.npz", packed("identity.npy", stating("|V1000000000", (4,))), ("holds |V1000000000",)
    ),
    "very many columns": Case(
        "people.parquet",
        table(**{f"{'x' * 50}{number}": pa.array([1]) for number in range(300)}),
        ("more than one", "... (300)"),
    ),
    "timestamps": Case("people.parquet", table(a=pa.array([1], pa.timestamp("s"))), ("timestamp",)),
    "damaged": Case("people.parquet", content("PAR1"), ("damaged", "anew")),
}


def reference(ids: object, distances: object, dtype: str = "f4") -> Callable[[Path], object]:
    return save_z(data=np.stack([np.array(ids, dtype), np.array(distances, dtype)], axis=1))


NEIGHBORS = {
    "missing file": Case("knn.npz", nothing, ("no file", "check")),
    "unknown suffix": Case("knn.npy", save(FACES), (".npy", ".npz")),
    "other arrays": Case("knn.npz", save_z(a=FACES), ("neither 'data'", "holds a)")),
    "wrong shape": Case("knn.npz", save_z(data=FACES), ("(4, 3)", "(faces, 2, k)")),
    "objects": Case("knn.npz", save_z(data=objects()), ("pickled", "anew")),
    "id too large": Case("knn.npz", reference([[0, 1], [1, 7]], [[0, 0], [0, 0]]), ("-1..1", "row 1")),
    "fractional id": Case("knn.npz", reference([[0, 0.5]] * 2, [[0, 1]] * 2), ("rows 0, 1",)),
    "NaN distance": Case(
        "knn.npz", reference([[0, 1], [1, 0]], [[0, 1], [0, np.nan]]), ("0..2", "row 1")
    ),
    "similarities for distances": Case(
        "knn.npz",
        reference([[0, 1], [1, 0]], [[1, 0.5], [1, 0.5]]),
        ("not the cosine", "rows 0, 1"),
    ),
    "too many for its type": Case(
        "knn.npz", reference([[0]] * 2050, [[0]] * 2050, "f2"), ("float16", "use float64")
    ),
    "own layout, wrong type": Case(
        "knn.npz", save_z(ids=[[0]], similarities=[[1.0]]), ("int32", "float32", "anew")
    ),
    "own layout, not sorted": Case(
        "knn.npz",
        save_z(ids=np.array([[0, 1], [1, 0]], "i4"), similarities=np.array([[0, 1]] * 2, "f4")),
        ("descend", "anew"),
    ),
    "damaged": Case("knn.npz", content("PK"), ("damaged", "anew")),
}

READERS: dict[str, tuple[Callable[..., object], dict[str, Case]]] = {
    "embeddings": (read_embeddings, EMBEDDINGS),
    "identities": (read_identities, IDENTITIES),
    "neighbors": (read_neighbors, NEIGHBORS),
}


@pytest.mark.parametrize(
    ("read", "case"),
    [
        pytest.param(read, case, id=f"{kind}: {name}")
        for kind, (read, cases) in READERS.items()
        for name, case in cases.items()
    ],
)
def test_bad_file(tmp_path: Path, read: Callable[..., object], case: Case) -> None:
    path = tmp_path / case.file
    case.make(path)
    with pytest.raises(InputError) as refused:
        read(path, **case.options)
    message = str(refused.value)
    for word in case.words:
        assert word in message
    assert case.file in message or case.options.get("dimension") == 0
    assert "\n" not in message
    assert len(re.findall(r"[.:;] ", message.replace(str(path), ""))) <= 3
    assert len(message.replace(str(path), "")) < 300


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".bin"])
def test_file_without_the_right_to_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"faces{suffix}"
    write_embeddings(path, FACES)
    path.chmod(0)
    with pytest.raises(InputError, match="may not be read"):
        read_embeddings(path, dimension=3)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        write_embeddings(tmp_path / "faces.npy", FACES)


@pytest.mark.parametrize(
    ("file", "vectors", "options", "words"),
    [
        ("faces.csv", FACES, {}, (".csv", ".parquet")),
        ("faces.npy", FACES.astype(int), {}, ("vectors", "int64")),
        ("faces.npy", FACES, {"ids": list("abcd")}, ("cannot hold ids",)),
        ("faces.npz", FACES, {"ids": list("abc")}, ("3 ids for 4 faces",)),
        ("faces.npz", FACES, {"ids": [0.5] * 4}, ("ids", "float64")),
        ("faces.npz", FACES, {"key": "id"}, ("another key",)),
        ("faces.bin", FACES.astype(float) * 1e300, {}, ("float32", "4 of 4", "infinity")),
        ("faces.bin", FACES.astype(float) * 1e-300, {}, ("float32", "4 of 4", "zeros")),
        ("folder.npy", FACES, {}, ("is a folder",)),
        ("file.npy/faces.npy", FACES, {}, ("cannot be written",)),
    ],
)
def test_embeddings_that_cannot_be_written(
    tmp_path: Path,
    file: str,
    vectors: np.ndarray[Any, Any],
    options: dict[str, Any],
    words: tuple[str, ...],
) -> None:
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "file.npy").touch()
    with pytest.raises(InputError) as refused:
        write_embeddings(tmp_path / file, vectors, **options)
    assert all(word in str(refused.value) for word in words)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file.npy", "folder.npy"]


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as if the disk were full."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


FULL = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
GRAPH = NeighborGraph(np.arange(4000, dtype=np.int32)[:, None], np.ones((4000, 1), np.float32))
FULL_DISK: dict[str, Callable[[Path], object]] = {
    **{
        f"faces{suffix}": lambda path: write_embeddings(path, FULL)
        for suffix in (".npy", ".npz", ".parquet", ".bin")
    },
    **{
        f"people{suffix}": lambda path: write_identities(path, np.arange(4000))
        for suffix in (".npy", ".npz", ".parquet", ".meta")
    },
    "graph.npz": lambda path: write_neighbors(path, GRAPH),
    "run": lambda path: write_run(path, Clustering(np.arange(4000), FULL[:, 0]), {}),
    "model": lambda path: load_model("universal").save_pretrained(path),
}


@pytest.mark.parametrize("name", FULL_DISK)
def test_full_disk(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix:
        path.write_text("older")
    with room(4096), pytest.raises(InputError, match=rf"{name}.* cannot be written \([^N].*make room"):
        FULL_DISK[name](path)
    assert [file.read_text() for file in tmp_path.rglob("*") if file.is_file()] == (
        ["older"] if path.suffix else []
    )


UNREACHABLE: dict[str, Callable[[Path], object]] = {
    "embeddings": lambda path: read_embeddings(path / "faces.npy"),
    "writer": lambda path: write_embeddings(path / "faces.npy", FACES),
    "labels": read_labels,
    "run": read_run,
    "new run": lambda path: write_run(path, Clustering(np.zeros(1, int), np.ones(1, np.float32)), {}),
    "folder": check_folder,
    "stage": lambda path: Pieces(path, "key").array("ids", (1, 1)),
    "model": load_model,
    "weights": lambda path: read_published([path / "PCENet.pth"]),
    "settings": lambda path: TrainingConfig.load("default", path / "settings.yaml"),
    "index": lambda path: CliRunner().invoke(
        app, ["cluster", "faces.npy", "--index", str(path), "-o", "out"]
    ),
}


def check_unreachable(use: Callable[[Path], object], path: Path) -> None:
    """Check for one sentence, in an error of the package or on the stderr of a command."""
    try:
        result: Any = use(path)
        assert result.exit_code == 2
        message = result.stderr.splitlines()[-1]
    except InputError as error:
        message = str(error)
    assert re.search(rf"{path}.* cannot be reached \(.+\): check its name", message)


@pytest.mark.parametrize("use", UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_name_that_the_system_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_embeddings("faces.npy", FACES)
    check_unreachable(use, tmp_path / ("x" * 300))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may enter every folder")
@pytest.mark.parametrize("use", UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_folder_without_the_right_to_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_embeddings("faces.npy", FACES)
    Path("closed").mkdir(mode=0)
    check_unreachable(use, tmp_path / "closed" / "below")


OUTPUTS = {
    "knn": ("knn", "absent.npy", "-o", "folder.npz"),
    "rerank": ("rerank", "absent.npz", "-o", "folder.npz"),
    "refine": ("refine", "absent.npy", "-m", "absent", "-o", "folder.npz"),
    "distances": ("distances", "absent.npy", "-m", "absent", "-o", "folder.npz"),
    "generate": ("generate", "--preset", "absent", "-o", "folder.npz"),
    "identities": ("generate", "--preset", "absent", "-o", "new.npy", "--identities", "folder.npz"),
    "demo": ("demo", "--preset", "absent", "-o", "demo"),
    "convert": ("convert", "absent.pth", "-o", "model"),
    "cluster": ("cluster", "absent.npy", "-o", "run"),
}


@pytest.mark.parametrize("args", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_unusable_output_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder.npz", "demo/demo.png", "model/config.json", "run/labels.npy"):
        Path(folder).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert "is a folder and cannot be written as a file" in refused(*args)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_the_right_to_write_is_told_before_the_work(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    message = refused("knn", tmp_path / "absent.npy", "-o", tmp_path / "new" / "graph.npz")
    assert f"{tmp_path / 'new'} cannot be written (Permission denied)" in message


OVERWRITING = {
    "knn": ("knn", "faces.npz", "-o", "faces.npz"),
    "another name": ("knn", "faces.npz", "-o", "run/../faces.npz"),
    "link": ("knn", "link.npz", "-o", "faces.npz"),
    "rerank": ("rerank", "faces.npz", "-o", "faces.npz"),
    "refine": ("refine", "faces.npz", "-m", "universal", "-o", "faces.npz"),
    "distances": ("distances", "faces.npz", "-m", "universal", "-o", "faces.npz"),
    "graph": ("distances", "run/labels.npy", "-m", "universal", "--knn", "faces.npz", "-o", "faces.npz"),
    "two outputs": ("generate", "-n", "30", "-o", "new.npz", "--identities", "run/../new.npz"),
    "cluster": ("cluster", "run/labels.npy", "-m", "none", "-o", "run"),
    "convert": ("convert", "run/README.md", "-o", "run"),
}


@pytest.mark.parametrize("args", OVERWRITING.values(), ids=OVERWRITING.keys())
def test_no_output_takes_the_place_of_an_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    for name in ("faces.npz", "run/labels.npy", "run/README.md"):
        write_embeddings(tmp_path / "faces.npy", FACES)
        (tmp_path / "faces.npy").rename(name)
    Path("link.npz").symlink_to("faces.npz")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "would overwrite" in refused(*args)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_faces_and_identities_are_written_both_or_neither(tmp_path: Path) -> None:
    faces, people = tmp_path / "faces.npy", tmp_path / "people.npy"
    people.write_text("older")
    with room(4096):
        assert str(faces) in refused("generate", "-n", "30", "-o", faces, "--identities", people)
    assert list(tmp_path.iterdir()) == [people]
    assert people.read_text() == "older"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take only UTF-8")
def test_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    write_run(folder, Clustering(np.arange(2), np.ones(2, np.float32)), {})
    assert read_labels(folder).tolist() == [0, 1]


def test_stdout_that_lacks_letters(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "nsrfc", "generate", "-n", "30", "-o", "caf\u00e9.npz"],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.startswith(b"Generated faces, in caf\\xe9.npz")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", ["--version", "plan -n 50 --dimension 3"])
def test_stdout_that_is_full(args: str, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "nsrfc", *args.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert shown.returncode == 2
    assert re.fullmatch(r"Error: The output cannot be printed \(.+\): .*\n", shown.stderr)


def test_names_cannot_be_written_as_meta(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only integers"):
        write_identities(tmp_path / "people.meta", ["anna"])
    assert list(tmp_path.iterdir()) == []


def test_unknown_layout_of_a_graph(tmp_path: Path) -> None:
    graph = NeighborGraph(np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32))
    layout: Any = "faiss"
    with pytest.raises(InputError, match="layout"):
        write_neighbors(tmp_path / "knn.npz", graph, layout=layout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_normalize_names_the_argument_and_rows(value: float) -> None:
    with pytest.raises(InputError, match=r"^X: 1 of 4 rows holds NaN or infinity \(row 2\)"):
        normalize(with_value(2, value))
    with pytest.raises(InputError, match=r"^queries: 2 of 50 rows hold only zeros \(rows 4, 9\)"):
        normalize(zero_rows(9, 4), name="queries")


def test_both_faults_are_told(tmp_path: Path) -> None:
    faces = zero_rows(3)
    faces[5] = np.nan
    with pytest.raises(InputError, match=r"row 5.* and .*row 3"):
        normalize(faces)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".npz", ".parquet"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(suffix: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"faces{suffix}"
        write_embeddings(path, FACES, ids=None if suffix in (".bin", ".npy") else list("abcd"))
        damaged = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
        with contextlib.suppress(InputError):
            found = read_embeddings(path, dimension=3)
            assert np.isfinite(found.vectors).all()
