"""The oldest versions that are allowed are those that ``make test-oldest`` installs."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_oldest_versions_allowed_are_those_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tested = (extras[name] for name in ("photos", "plot", "ray", "review", "test"))
    wanted = [*project["dependencies"], *(one for extra in tested for one in extra)]
    ranges = dict(one.split(">=") for one in wanted if "nsrfc[" not in one)
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins.keys() == ranges.keys()
    assert {name for name in pins if pins[name] != ranges[name]} == {"torch"}
