"""Run the commands shown in README.md again, and put what they print below them.

Commands stand in ``console`` blocks, after a dollar sign. They run one after the other in a folder
that is thrown away; the picture of the demo is kept as ``docs/images/demo.png``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "images" / "demo.png"
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)


def main() -> None:
    """Rewrite the blocks of README.md."""
    with tempfile.TemporaryDirectory() as folder:

        def refreshed(block: re.Match[str]) -> str:
            commands = [line[2:] for line in block[0].splitlines() if line.startswith("$ ")]
            return "\n".join(f"$ {command}\n{output(command, folder)}" for command in commands)

        text = BLOCK.sub(refreshed, README.read_text(encoding="utf-8"))
        shutil.copy(Path(folder) / "demo" / "demo.png", PICTURE)
    README.write_text(text, encoding="utf-8")


def output(command: str, folder: str) -> str:
    """Return what a command prints, without spaces and empty lines at the end."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "100"}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    lines = [line.rstrip() for line in (done.stderr + done.stdout).splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


if __name__ == "__main__":
    main()
