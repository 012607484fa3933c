"""The machine at hand: amounts of memory in words, what was held, and room on a disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nsrfc.errors import InputError
from nsrfc.resources.machine import (
    available_cores,
    available_memory,
    check_disk,
    parse_bytes,
    peak_memory,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8GiB", 8 * 2**30),
        ("8 gib", 8 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("500MB", 500_000_000),
        ("2k", 2000),
        ("123", 123),
        ("8 Pib", 2**53),
        ("1e9", 10**9),
    ],
)
def test_amounts_of_memory(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "0", "8 Xib", "1..2", "1e999", "nan", "8ib"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InputError, match="amount of memory"):
        parse_bytes(text)


def test_peak_memory_is_that_of_this_process_not_of_its_parent() -> None:
    before = peak_memory()
    if before is None:
        pytest.skip("this system does not tell the peak memory of a process")
    held = bytearray(400 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    after = peak_memory()
    assert after is not None
    assert after >= len(held)
    if sys.platform == "linux":
        code = "from nsrfc.resources.machine import peak_memory; print(peak_memory())"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(child.stdout) < len(held)


def test_there_is_a_core_to_work_with() -> None:
    assert available_cores() >= 1


@pytest.mark.parametrize("name", ["", "new", "new/folder"])
def test_a_folder_without_room_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    check_disk(folder, 0)
    check_disk(folder, shutil.disk_usage(tmp_path).free // 2)
    with pytest.raises(
        InputError, match=r"GiB left, and .* about 1048576\.00 GiB: make room"
    ) as refused:
        check_disk(folder, 2**50)
    assert str(refused.value).startswith(f"{folder} has ")
    assert "name another folder with --cache" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir()), "nothing is made to find out"


def test_what_an_interrupted_run_left_needs_no_more_room(tmp_path: Path) -> None:
    big = 2**43
    with (tmp_path / "stage").open("wb") as file:
        file.truncate(big)  # takes no space
    check_disk(tmp_path, big + 1)
    with pytest.raises(InputError, match=r"about 8192\.00 GiB more: make room, .* with --output"):
        check_disk(tmp_path, 2 * big, "--output")


def test_a_folder_below_the_working_one_is_looked_up_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_disk(Path("new/folder"), 1)
    with pytest.raises(InputError, match=r"^new/folder has "):
        check_disk(Path("new/folder"), 2**50)


def test_memory_that_is_left_is_reported() -> None:
    left = available_memory()
    if left is None:
        pytest.skip("this system does not tell the memory that is left")
    assert 2**20 < left < 2**60
