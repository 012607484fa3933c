"""Other programs at work on the same files: a second run, and one that writes the input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

import nsrfc.pipeline
from nsrfc.chunks import read_rows
from nsrfc.errors import InputError
from nsrfc.knn.copies import distinct_faces
from nsrfc.storage.embeddings import read_embeddings, write_embeddings
from nsrfc.synthetic import generate
from nsrfc.vectors import check_vectors

from ..commands import holder, refused, run, run_json
from ..models import STRUCTURE, D, make_model

HOLD = """
import sys
from pathlib import Path
from nsrfc.storage.locks import locked_files, locked_output
path = Path(sys.argv[1])
with locked_files([path]) if path.suffix else locked_output(path):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Let another process write a file or folder."""
    other = holder(HOLD, path)
    try:
        yield
    finally:
        other.communicate("")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("here")
    faces = generate(400, "wild", dimension=D, seed=0)
    np.savez(folder / "faces.npz", embedding=faces.embeddings, identity=faces.identities)
    make_model(STRUCTURE).save_pretrained(folder / "model")
    run("knn", folder / "faces.npz", "-o", folder / "graph.npz", "-k", "20")
    run("generate", "--layout", "ms1m", "--faces", "3000", "-o", folder / "ms1m")
    return folder


COMMANDS = {
    "cluster": (["cluster", "faces.npz", "-m", "none", "--cache", "{}-cache", "-o"], "out"),
    "train": (["train", "faces.npz", "faces.npz", "-o"], "out"),
    "ms1m": (["ms1m", "ms1m", "-m", "none", "-o"], "out"),
    "generate a benchmark": (["generate", "--layout", "ms1m", "--faces", "3000", "-o"], "out"),
    "generate": (["generate", "--faces", "300", "-o"], "out.npz"),
    "generate two files": (["generate", "--faces", "300", "-o", "x.npy", "--identities"], "out.npy"),
    "knn": (["knn", "faces.npz", "-o"], "out.npz"),
    "rerank": (["rerank", "graph.npz", "-o"], "out.npz"),
    "refine": (["refine", "faces.npz", "-m", "model", "-o"], "out.npy"),
    "distances": (["distances", "faces.npz", "-m", "model", "-o"], "out.npz"),
    "embedder-card": (["embedder-card", "faces.npz", "-o"], "out.yaml"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_second_writer_is_refused(
    here: Path, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    args, name = COMMANDS[case]
    before = sorted(here.iterdir())
    out = tmp_path / "new" / name
    with in_use(out):
        line = refused(*args, out)
        assert f"{out} is in use by another" in line
        assert line.count(".") == str(out).count(".") + 1, "one sentence"
        assert [path.name for path in tmp_path.rglob("*") if path.name[0] != "."] in (
            ["new"],
            ["new", name],
        )
    assert list(tmp_path.iterdir()) == [], "nothing is left of either"
    assert sorted(here.iterdir()) == before


def test_the_folder_of_results_may_be_the_cache(here: Path, tmp_path: Path) -> None:
    run("cluster", here / "faces.npz", "-m", "none", "-o", tmp_path / "o", "--cache", tmp_path / "o")
    assert {"run.json", "labels.npy"} <= {path.name for path in (tmp_path / "o").iterdir()}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    path = tmp_path / "faces.npy"
    np.save(path, generate(300, "wild", dimension=D, seed=0).embeddings)
    return path


def results_in(folder: Path) -> list[str]:
    """Return the files in a folder; intermediate results are kept in hidden ones."""
    inside = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in inside if not any(part[0] == "." for part in path.parts))


def overwrite(path: Path) -> None:
    """Write another content into a file, in place."""
    array = np.lib.format.open_memmap(path, "r+")
    array[:] = array[::-1].copy()
    array.flush()


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def touched_after(name: str, path: Path, monkeypatch: pytest.MonkeyPatch, touch: object) -> None:
    """Let another program write ``path`` as soon as a function of the pipeline has returned."""
    whole = getattr(nsrfc.pipeline, name)

    def function(*args: object, **kwargs: object) -> object:
        found = whole(*args, **kwargs)
        touch(path)  # type: ignore[operator]
        return found

    monkeypatch.setattr(nsrfc.pipeline, name, function)


@pytest.mark.parametrize("moment", ["distinct_faces", "cluster"])
@pytest.mark.parametrize("touch", [overwrite, cut])
def test_an_input_that_is_changed_is_refused_and_nothing_written(
    faces: Path, moment: str, touch: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched_after(moment, faces, monkeypatch, touch)
    line = refused("cluster", faces, "-m", "none", "-o", tmp_path / "out")
    assert f"{faces} was c" in line
    assert "while it was in use, so nothing is written" in line
    assert results_in(tmp_path / "out") == []


def test_an_input_overwritten_before_its_use_is_refused(
    here: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its fingerprint and its use: the record would name faces that were never clustered."""

    def late(X: object, **how: object) -> object:
        overwrite(faces)
        return distinct_faces(X, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(nsrfc.pipeline, "distinct_faces", late)
    for command in (["cluster", "-m", "none"], ["refine", "-m", here / "model"]):
        out = tmp_path / "out.npy"
        assert "was changed while it was in use" in refused(*command, faces, "-o", out)
        assert results_in(tmp_path) == ["faces.npy"]


def test_the_same_content_written_again_is_no_change(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touched_after("cluster", faces, monkeypatch, lambda path: path.write_bytes(path.read_bytes()))
    assert run_json("cluster", faces, "-m", "none", "-o", tmp_path / "out")["result"]["faces"] == 300


def test_another_file_in_its_place_is_no_change(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that was opened is still read."""
    content = read_embeddings(faces).vectors
    expected = np.array(content)

    def replace(path: Path) -> None:
        np.save(path.with_name("new.npy"), expected[:7])
        path.with_name("new.npy").replace(path)

    replace(faces)
    np.testing.assert_array_equal(read_rows(content, slice(None)), expected)


CUT = """
import os, sys
from nsrfc.chunks import FileRows, file_state
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.vectors import normalize
faces = read_embeddings(sys.argv[1], dimension={dimension}).vectors
os.truncate(sys.argv[1], 1000)
try:
    normalize(faces)
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to cut a mapped file")
@pytest.mark.parametrize("suffix", [".npy", ".bin", ".npz"])
@pytest.mark.parametrize("fortran", [False, True])
def test_a_file_cut_short_while_it_is_used_does_not_kill_the_process(
    suffix: str, fortran: bool, tmp_path: Path
) -> None:
    path = tmp_path / f"faces{suffix}"
    X = np.random.default_rng(0).standard_normal((20_000, D)).astype(np.float32)
    write_embeddings(path, np.asfortranarray(X) if fortran else X)
    code = CUT.format(dimension=D)
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, "killed by a signal"
    assert done.stdout.startswith(f"{path} was cut short while it was in use")


def test_rows_are_read_from_the_file_as_they_are_mapped(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((700, D))
    few = np.array([3, 699, 0])
    orders: tuple[Literal["C", "F"], ...] = ("C", "F")
    for order in orders:
        for dtype in ("<f4", ">f8", "<f2"):
            np.save(tmp_path / "faces.npy", X.astype(dtype).copy(order=order))
            rows = read_embeddings(tmp_path / "faces.npy").vectors
            for part in (slice(None), slice(20, 650), slice(690, 9000), few):
                read = getattr(rows, "read", rows.__getitem__)(part)
                np.testing.assert_array_equal(read, X.astype(dtype)[part])


def test_a_file_written_while_it_is_checked_is_refused(
    faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(vectors: npt.NDArray[np.float32], name: str) -> None:
        check_vectors(vectors, name)
        overwrite(faces)

    monkeypatch.setattr("nsrfc.storage.embeddings.check_vectors", late)
    with pytest.raises(InputError, match="was changed while it was in use"):
        read_embeddings(faces)
