"""Commands run in this process, as a user would give them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from nsrfc.cli import app


def run(*args: str | Path) -> str:
    """Run a command that must succeed, and return its stdout."""
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(*args: str | Path) -> dict[str, Any]:
    """Run a command with ``--json``; its stdout must be one object."""
    record: dict[str, Any] = json.loads(run(*args, "--json"))
    return record


def refused(*args: str | Path) -> str:
    """Run a command that must be refused with one line, the last on stderr, and return it."""
    result = CliRunner().invoke(app, list(map(str, args)))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *notices, line = result.stderr.splitlines()
    assert not [notice for notice in notices if notice.startswith("Error: ")]
    assert "Traceback" not in result.stderr
    assert line.startswith("Error: ")
    assert line.endswith(".")
    return line


def holder(code: str, path: Path) -> subprocess.Popen[str]:
    """Start a process whose code locks a path, says "locked", and holds it until its stdin ends."""
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    return other
