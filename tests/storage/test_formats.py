"""Embeddings, identities and neighbour graphs survive writing and reading, in every format."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nsrfc.errors import InputError
from nsrfc.records import NeighborGraph
from nsrfc.storage.embeddings import Embeddings, read_embeddings, write_embeddings
from nsrfc.storage.files import atomic_path
from nsrfc.storage.identities import read_identities, write_identities
from nsrfc.storage.neighbors import read_neighbors, write_neighbors
from nsrfc.vectors import check_vectors, normalize

thorough = settings(max_examples=60, deadline=None)  # disks may be slow
Array = npt.NDArray[Any]
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 9))
FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@st.composite
def vectors(draw: st.DrawFn) -> Array:
    """Draw finite rows that are not zero."""
    drawn: Array = draw(
        hnp.arrays(draw(FLOATS), draw(SIZES), elements=st.floats(-100, 100, width=16), fill=st.nothing())
    )
    drawn[~drawn.any(axis=1), 0] = 1
    return drawn


@st.composite
def vectors_with_ids(draw: st.DrawFn) -> tuple[Array, Array | None]:
    """Draw embeddings, with or without names of the faces."""
    drawn = draw(vectors())
    n = len(drawn)
    ids = draw(
        st.one_of(
            st.none(),
            st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n),
            st.lists(NAMES, min_size=n, max_size=n),
        )
    )
    return drawn, None if ids is None else np.array(ids)


def in_folder(use: Callable[[Path], None]) -> None:
    """Call ``use`` with a fresh folder, which hypothesis cannot get from ``tmp_path``."""
    with tempfile.TemporaryDirectory() as folder:
        use(Path(folder))


# Embeddings --------------------------------------------------------------------------------------


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


# Normalising -------------------------------------------------------------------------------------


@thorough
@given(case=vectors())
def test_normalized_rows_are_the_unit_vectors(case: Array) -> None:
    before = case.copy()
    case.flags.writeable = False
    unit = normalize(case)
    exact = case.astype(np.longdouble)
    exact /= np.sqrt((exact**2).sum(axis=1, keepdims=True))
    assert unit.dtype == np.float32
    assert unit.flags.c_contiguous
    assert not np.shares_memory(unit, case)
    np.testing.assert_allclose(unit, exact.astype(np.float64), rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(case, before)


@pytest.mark.parametrize("dimension", [1, 7, 128, 513, 5000])
def test_a_row_does_not_depend_on_the_others(dimension: int) -> None:
    faces = np.random.default_rng(1).standard_normal((240, dimension)).astype(np.float32)
    unit = normalize(faces)
    order = np.random.default_rng(2).permutation(len(faces))
    np.testing.assert_array_equal(normalize(faces[order]), unit[order])
    np.testing.assert_array_equal(normalize(np.asfortranarray(faces)), unit)
    np.testing.assert_array_equal(normalize(faces[:, ::-1][:, ::-1]), unit)
    for row in (0, 101, 239):
        np.testing.assert_array_equal(normalize(faces[row : row + 1])[0], unit[row])


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [
        (1e30, np.float32),
        (1e-30, np.float32),
        (1e-44, np.float32),
        (1e300, np.float64),
        (5e-324, np.float64),
        (6e4, np.float16),
        (6e-8, np.float16),
    ],
)
def test_huge_and_tiny_rows_are_normalized(scale: float, dtype: npt.DTypeLike) -> None:
    faces = np.array([[scale, scale, 0, -scale], [1, 0, 0, 0]], dtype=dtype)
    half = np.sqrt(1 / 3)
    np.testing.assert_allclose(normalize(faces), [[half, half, 0, -half], [1, 0, 0, 0]], rtol=1e-7)
    check_vectors(faces, "faces")


# Identities --------------------------------------------------------------------------------------


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
        order = sorted(set(names))
        assert found.tolist() == [order.index(name) for name in names]

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


# Neighbour graphs --------------------------------------------------------------------------------


@st.composite
def neighbor_graphs(draw: st.DrawFn) -> NeighborGraph:
    """Draw graphs whose similarities survive 1 - (1 - s), some lists shorter than others."""
    n = draw(st.integers(1, 9))
    k = draw(st.integers(1, n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = np.full((n, k), -1, dtype=np.int32)
    similarities = np.zeros((n, k), dtype=np.float32)
    for face in range(n):
        others = rng.permutation(np.delete(np.arange(n), face))[: rng.integers(0, k)]
        scores = rng.integers(-8, 9, len(others)) / 8
        order = np.lexsort((others, -scores))
        ids[face, : len(others) + 1] = [face, *others[order]]
        similarities[face, : len(others) + 1] = [1, *scores[order]]
    return NeighborGraph(ids, similarities)


@pytest.mark.parametrize("layout", ["nsrfc", "reference"])
@thorough
@given(graph=neighbor_graphs())
def test_neighbor_graphs_are_kept(layout: Literal["nsrfc", "reference"], graph: NeighborGraph) -> None:
    def round_trip(folder: Path) -> None:
        write_neighbors(folder / "knn.npz", graph, layout=layout)
        found = read_neighbors(folder / "knn.npz")
        np.testing.assert_array_equal(found.ids, graph.ids)
        np.testing.assert_array_equal(found.similarities, graph.similarities)

    in_folder(round_trip)


def test_reference_lists_are_mended(tmp_path: Path) -> None:
    ids = [
        [1, 0, 2, 3],  # a duplicate stands before the face
        [2, 3, 0, 4],  # the face is absent
        [2, 4, 3, 0],  # a tie in the wrong order
        [3, -1, 0, -1],  # short, with a hole
        [4, 0, 1, 2],  # not sorted; rounding made a distance negative
    ]
    distances = [
        [0, 0, 0.25, 0.5],
        [0, 0.25, 0.5, 0.75],
        [0, 0.5, 0.5, 1.0],
        [0, 9.0, 0.5, 9.0],
        [0, 1.5, 0.25, -1e-7],
    ]
    data = np.stack([np.array(ids, float), np.array(distances)], axis=1).astype(np.float32)
    np.savez_compressed(tmp_path / "faiss_k_80.npz", data=data)
    graph = read_neighbors(tmp_path / "faiss_k_80.npz")
    assert graph.ids.tolist() == [
        [0, 1, 2, 3],
        [1, 2, 3, 0],
        [2, 3, 4, 0],
        [3, 0, -1, -1],
        [4, 2, 1, 0],
    ]
    np.testing.assert_array_equal(
        graph.similarities,
        [
            [1, 1, 0.75, 0.5],
            [1, 1, 0.75, 0.5],
            [1, 0.5, 0.5, 0],
            [1, 0.5, 0, 0],
            [1, 1, 0.75, -0.5],
        ],
    )


def test_reference_graph_of_the_published_code(shared: Path, tmp_path: Path) -> None:
    with np.load(shared / "golden" / "rerank_k80.npz") as golden:
        data = golden["knn"]
    np.savez(tmp_path / "faiss_k_80.npz", data=data)
    graph = read_neighbors(tmp_path / "faiss_k_80.npz")
    np.testing.assert_allclose(graph.similarities, 1 - data[:, 1], atol=1e-6)
    np.testing.assert_array_equal(np.sort(graph.ids, axis=1), np.sort(data[:, 0], axis=1))


# Whole or not at all -----------------------------------------------------------------------------


def test_a_finished_file_takes_its_place(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deeper" / "labels.npy"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".npy"
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_file_leaves_the_old_one(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "labels.npy"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


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
