"""The lock of a folder: it outlives what is cleared, and no dead process holds it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from nsrfc.errors import InputError
from nsrfc.storage.locks import LOCK, clear, locked

from ..commands import holder

HOLD = """
import sys
from pathlib import Path
from nsrfc.storage.locks import locked
with locked(Path(sys.argv[1]), "run"):
    (Path(sys.argv[1]) / "result").write_text("half")
    print("locked", flush=True)
    sys.stdin.read()
"""


def refused(folder: Path) -> bool:
    """Whether a run is refused in one sentence that names the folder, and does nothing there."""
    before = sorted(folder.iterdir())
    with pytest.raises(InputError) as error, locked(folder, "run"):
        raise AssertionError("it was let in")
    message = str(error.value)
    return str(folder) in message and "\n" not in message and sorted(folder.iterdir()) == before


def results_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != LOCK]


def test_clearing_a_folder_keeps_the_lock_and_what_links_lead_to(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    with locked(folder, "run"):
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "array.npy").write_text("x")
        (folder / "result.npz").write_text("x")
        (folder / "link").symlink_to(elsewhere, target_is_directory=True)
        clear(folder)
        assert [path.name for path in folder.iterdir()] == [LOCK]
        assert refused(folder)
    assert (elsewhere / "mine").read_text() == "mine"
    assert not folder.exists(), "nothing was put into it"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_its_results_and_no_lock(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    other = holder(HOLD, folder)
    assert refused(folder)
    assert other.poll() is None
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert (folder / LOCK).exists(), "nobody could remove it"
    with locked(folder, "run"):
        assert (folder / "result").read_text() == "half"
    assert results_in(folder) == ["result"]


def test_a_process_that_ends_lets_the_next_one_in(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    other = holder(HOLD, folder)
    other.communicate("")
    assert other.returncode == 0
    assert results_in(folder) == ["result"]
    with locked(folder, "run"):
        clear(folder)
    assert list(tmp_path.rglob("result")) == []


def test_a_refused_run_takes_nothing_away_from_the_one_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with locked(folder, "run"):
        assert all(refused(folder) for _ in range(3))
        assert (folder / LOCK).exists()
    assert not (tmp_path / "a").exists()


def test_an_error_inside_is_passed_on_and_the_folder_is_free_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "x", "run"):
        raise ZeroDivisionError
    with locked(tmp_path / "x", "run"):
        pass
    assert not (tmp_path / "x").exists()


def test_other_folders_are_free(tmp_path: Path) -> None:
    with locked(tmp_path / "one", "run"), locked(tmp_path / "other", "run"):
        assert {path.name for path in tmp_path.iterdir()} == {"one", "other"}


def test_a_place_where_no_folder_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"), locked(tmp_path / "file" / "x", "run"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
