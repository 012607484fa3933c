"""The walls between the parts of the package: kept, and seen to fall where an import breaks one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("importlinter", reason="the linter is in the extra lint")

ROOT = Path(__file__).parents[1]
LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"


def linted(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("graph/components.py", "import nsrfc.storage.files"),
        ("graph/scores.py", "import torch"),
        ("knn/exact.py", "import nsrfc.methods.base"),
        ("networks/attention.py", "import nsrfc.knn.build"),
        ("methods/rules.py", "import nsrfc.metrics"),
        ("pipeline.py", "import nsrfc.training.api"),
    ],
)
def test_an_import_that_breaks_a_wall_fails(module: str, line: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "src" / "nsrfc" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    found = linted(tmp_path)
    assert found.returncode == 1
    assert "BROKEN" in found.stdout


def test_the_walls_stand() -> None:
    found = linted(ROOT)
    assert found.returncode == 0, found.stdout
