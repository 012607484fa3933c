"""A power cut after a result has its name: what is under the name was written out before."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from nsrfc.records import Clustering
from nsrfc.storage.arrays import write_npy
from nsrfc.storage.placing import placed_together
from nsrfc.storage.runs import FILES, write_run


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is synchronised and what is renamed, in order."""
    found: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        found.append(("sync", Path(f"/proc/self/fd/{handle}").resolve().name))
        fsync(handle)

    def replaced(path: Path, target: Path) -> Path:
        found.append(("rename", path.name))
        return replace(path, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not tell which file a handle is of")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    return found


def test_files_of_a_run_are_written_out_before_they_take_their_names(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    found = Clustering(np.zeros(3, np.int64), np.ones(3, np.float32))
    write_run(tmp_path / "out", found, {})
    for name in FILES:
        assert calls.index(("sync", name)) < calls.index(("rename", name))
    assert calls[-1] == ("sync", "out")


def test_files_placed_together_are_written_out_before_they_count(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    with placed_together(tmp_path) as staging:
        for name in ("a", "b"):
            (staging / name).write_text("x")
    counts = calls.index(("rename", "part"))
    assert {name for kind, name in calls[:counts]} == {"a", "b", "part"}
    assert calls[counts + 1] == ("sync", ".incoming"), "before any file is moved"
    assert calls[-1] == ("sync", tmp_path.name)


def test_a_single_file_is_written_out_before_it_takes_its_name(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write_npy(tmp_path / "x.npy", np.zeros(3))
    kinds = [kind for kind, _ in calls]
    assert kinds == ["sync", "rename", "sync"]
    assert calls[0][1] == calls[1][1]
    assert calls[2][1] == tmp_path.name
