"""The command: what it prints, how it ends, and what it needs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.commands import refused


def test_it_prints_the_address_and_ends_in_peace_when_interrupted(drawn_library: Path) -> None:
    command = [sys.executable, "-m", "nsrfc", "review", str(drawn_library), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address, _, token = line.split()[-1].partition("#token=")
        people = httpx.get(f"{address}api/people", headers={"X-Token": token}, timeout=30)
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=30)

    assert line.startswith(f"Review {drawn_library} at http://127.0.0.1:")
    assert people.json()["library"] == drawn_library.name
    assert (process.returncode, rest, complaints) == (0, "", "")


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(
    drawn_library: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(("nsrfc.review", package))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)

    assert "pip install 'nsrfc[review]'" in refused("review", drawn_library, "--no-browser")
