"""Files that take their names together: old or new after a kill, wherever it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nsrfc.errors import InputError
from nsrfc.storage.files import latest
from nsrfc.storage.placing import placed_together

NAMES = "a.txt", "b.txt", "c.txt"

PLACE = """
import os, signal, sys
from pathlib import Path
from nsrfc.storage.placing import placed_together

folder, last = Path(sys.argv[1]), int(sys.argv[2])
changes = 0

def watch(event, args):
    global changes
    if event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
        changes += 1
        if changes == last:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
with placed_together(folder) as staging:
    for name in ("a.txt", "b.txt", "c.txt"):
        (staging / name).write_text("new")
"""


def put(
    folder: Path, text: str, names: tuple[str, ...] = NAMES, error: BaseException | None = None
) -> None:
    """Place files of one text, unless there is an error in the end."""
    with placed_together(folder) as staging:
        for name in names:
            (staging / name).write_text(text)
        if error is not None:
            raise error


def held(folder: Path) -> set[str]:
    return {latest(folder, name).read_text() for name in NAMES}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed_before_any_change_the_folder_holds_all_old_files_or_all_new_ones(tmp_path: Path) -> None:
    outcomes = []
    for last in range(1, 40):
        folder = tmp_path / str(last)
        put(folder, "old")
        done = subprocess.run([sys.executable, "-c", PLACE, str(folder), str(last)], check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        (outcome,) = held(folder)
        outcomes.append(outcome)
        put(folder, "newer")
        assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
            NAMES, "newer"
        )
    assert outcomes == sorted(outcomes, reverse=True), "once the new files count, they always do"
    assert outcomes.count("old") >= 2
    assert outcomes.count("new") >= 4


def test_an_error_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for error in (ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            put(folder, "new", error=error)
        assert not folder.parent.exists()
    put(folder, "old")
    (folder / "mine").write_text("mine")
    with pytest.raises(InputError, match=r"folder cannot be written \(No space"):
        put(folder, "new", error=OSError(28, "No space left on device"))
    assert held(folder) == {"old"}
    put(folder, "new")
    assert held(folder) == {"new"}
    assert sorted(path.name for path in folder.iterdir()) == [*NAMES, "mine"]


def test_a_folder_with_the_name_of_a_file_is_refused_before_any_file_is_replaced(tmp_path: Path) -> None:
    put(tmp_path, "old")
    (tmp_path / "d").mkdir()
    with pytest.raises(InputError, match=r"d is a folder"):
        put(tmp_path, "new", (*NAMES, "d"))
    assert held(tmp_path) == {"old"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [*NAMES, "d"]


def test_two_writers_do_not_mix_their_files(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with placed_together(tmp_path) as staging:
        (staging / "a.txt").write_text("first")
        with pytest.raises(InputError, match="in use by another writer"):
            put(tmp_path, "second")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "first"
