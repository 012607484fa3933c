"""Results filled piece by piece go on where they were cut off, and are never taken for others."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.errors import InputError
from nsrfc.rowstore import MemoryRows, OrderedRows
from nsrfc.storage import artifacts
from nsrfc.storage.artifacts import Artifacts, Pieces, key_of
from nsrfc.storage.runs import UNFINISHED, read_labels
from nsrfc.synthetic import generate

ROWS = 10


@pytest.fixture(autouse=True)
def every_piece_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "RECORD_SECONDS", 0.0)


def fill(pieces: OrderedRows, until: int = ROWS) -> tuple[list[int], list[int]]:
    """Fill rows with their numbers, three at a time, up to a cut; return the starts and the array."""
    rows = pieces.array("numbers", (ROWS,), np.int64)
    starts = []
    for part in pieces.remaining(ROWS, 3):
        if part.start >= until:
            break
        rows[part] = np.arange(part.start, part.stop)
        starts.append(part.start)
    return starts, rows.tolist()


def test_work_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    assert fill(Pieces(tmp_path / "x", "key"), until=6)[0] == [0, 3]
    assert fill(Pieces(tmp_path / "x", "key")) == ([6, 9], list(range(ROWS)))
    assert fill(Pieces(tmp_path / "x", "key")) == ([], list(range(ROWS)))


def test_without_a_folder_everything_is_in_memory() -> None:
    assert fill(MemoryRows()) == ([0, 3, 6, 9], list(range(ROWS)))


def test_another_key_starts_anew(tmp_path: Path) -> None:
    fill(Pieces(tmp_path / "x", key_of("x", {"seed": 0})))
    starts, _ = fill(Pieces(tmp_path / "x", key_of("x", {"seed": 1})))
    assert starts == [0, 3, 6, 9]


@pytest.mark.parametrize("file", ["numbers.npy", "done.json"])
@pytest.mark.parametrize("damage", ["cut", "foreign", "flipped", "gone"])
def test_a_damaged_result_is_made_anew(
    tmp_path: Path, file: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(Pieces(tmp_path / "x", "key"))
    path = tmp_path / "x" / file
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        spoilt = {"cut": content[:-5], "foreign": b"something else", "flipped": flipped}
        path.write_bytes(spoilt[damage])
    with caplog.at_level(logging.WARNING):
        assert fill(Pieces(tmp_path / "x", "key")) == ([0, 3, 6, 9], list(range(ROWS)))
    assert damage == "gone" or str(path.parent) in caplog.text


def test_arrays_that_one_damaged_file_made_anew_are_found_again(tmp_path: Path) -> None:
    def starts() -> list[int]:
        pieces = Pieces(tmp_path / "x", "key")
        arrays = [pieces.array(name, (ROWS,), np.int64) for name in ("whole", "damaged")]
        found = []
        for part in pieces.remaining(ROWS, 3):
            for array in arrays:
                array[part] = np.arange(part.start, part.stop)
            found.append(part.start)
        return found

    assert starts() == [0, 3, 6, 9]
    (tmp_path / "x" / "damaged.npy").unlink()
    assert starts() == [0, 3, 6, 9]
    assert starts() == []


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Pieces(tmp_path / "file" / "x", "key").array("numbers", (ROWS,))


def test_an_interrupted_stage_keeps_nothing(tmp_path: Path) -> None:
    kept, key = Artifacts(tmp_path), key_of("stage", {"a": 1})

    def interrupted() -> dict[str, npt.NDArray[Any]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.get("stage", key, interrupted)
    assert kept.find("stage", key) is None
    kept.keep("stage", key, {"x": np.arange(3)})
    found = kept.find("stage", key)
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(3))


def test_a_killed_clustering_goes_on_and_finds_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", generate(12_000, "wild", dimension=32, seed=0).embeddings)
    command = [sys.executable, "-m", "nsrfc", "cluster", "faces.npy", "--model", "none", "-o"]

    def finished(output: str) -> list[int]:
        subprocess.run([*command, output], cwd=tmp_path, check=True, capture_output=True)
        assert not (tmp_path / output / UNFINISHED).exists()
        labels: list[int] = read_labels(tmp_path / output).tolist()
        return labels

    killed = subprocess.Popen([*command, "people"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    while killed.poll() is None and not list((tmp_path / "people").glob(f"{UNFINISHED}/*/done.json")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "people" / "run.json").exists()
    assert finished("people") == finished("whole")
