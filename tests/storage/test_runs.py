"""Folders of results: counted as they are, and known to be whole or changed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.records import Clustering
from nsrfc.storage.locks import locked
from nsrfc.storage.runs import (
    FILES,
    UNFINISHED,
    read_labels,
    read_run,
    summarize,
    versions,
    write_run,
)


def found_in(labels: list[int]) -> Clustering:
    return Clustering(np.array(labels), np.linspace(0, 1, len(labels), dtype=np.float32))


@given(st.lists(st.integers(-2, 6), min_size=1, max_size=40))
def test_counts_are_those_of_the_labels(labels: list[int]) -> None:
    sizes = {label: labels.count(label) for label in labels if label >= 0}
    assert summarize(np.array(labels)) == {
        "faces": len(labels),
        "people": len(sizes),
        "singletons": sum(size == 1 for size in sizes.values()),
        "unclustered": labels.count(-1),
        "bad_rows": labels.count(-2),
        "largest": max(sizes.values(), default=0),
    }


@pytest.mark.parametrize("ids", [None, np.array(["b", "a", "c"]), np.array([7, 3, -1])])
def test_a_run_is_read_as_it_was_written(tmp_path: Path, ids: npt.NDArray[np.str_] | None) -> None:
    written = write_run(tmp_path, found_in([0, 1, -1]), {"command": "cluster"}, ids=ids)
    assert read_run(tmp_path) == written == json.loads((tmp_path / "run.json").read_text())
    assert (written["command"], written["result"]["people"]) == ("cluster", 2)
    assert read_labels(tmp_path).tolist() == [0, 1, -1]
    assert set(written["sha256"]) == {"labels.npy", "clusters.parquet"}


@pytest.mark.parametrize("file", FILES[:2])
@pytest.mark.parametrize("change", ["gone", "longer", "another"])
def test_a_run_of_which_a_file_was_changed_is_no_run(tmp_path: Path, file: str, change: str) -> None:
    write_run(tmp_path, found_in([0, 1, 1]), {})
    path = tmp_path / file
    if change == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content + b" " if change == "longer" else content[:-1] + b"\x07")
    assert read_run(tmp_path) is None
    if file == "labels.npy":
        with pytest.raises(InputError, match=r"labels\.npy|no finished run"):
            read_labels(tmp_path)


def test_a_folder_without_a_record_holds_no_run(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    assert read_run(tmp_path / "absent") is None
    write_run(tmp_path, found_in([0]), {})
    (tmp_path / "run.json").unlink()
    assert read_run(tmp_path) is None
    with pytest.raises(InputError, match="no finished run"):
        read_labels(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": 3}'])
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, text: str) -> None:
    write_run(tmp_path, found_in([0]), {})
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json cannot be read"):
        read_run(tmp_path)


def test_what_a_run_kept_goes_when_it_is_written(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED / "neighbours").mkdir(parents=True)
    (tmp_path / UNFINISHED / "neighbours" / "ids.npy").write_text("half")
    write_run(tmp_path, found_in([0, 0]), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_what_another_run_keeps_there_stays(tmp_path: Path) -> None:
    kept = tmp_path / UNFINISHED
    with locked(kept, "run"):
        (kept / "result").write_text("half")
        write_run(tmp_path, found_in([0, 0]), {})
        assert (kept / "result").read_text() == "half"
    assert read_run(tmp_path) is not None


def test_versions_name_torch_only_where_networks_ran() -> None:
    without, beside = versions(), versions(torch=True)
    assert {*beside} - {*without} == {"torch"}
    assert {"nsrfc", "python", "numpy", "faiss", "numba"} <= without.keys()
    assert all(isinstance(text, str) and text for text in beside.values())
