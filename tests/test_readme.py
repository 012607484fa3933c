"""What README and docs show works: Python blocks run, commands are commands, files exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from nsrfc.cli import app

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, *languages: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for language, body in FENCE.findall(text) if language in languages]


def commands(page: str) -> list[list[str]]:
    lines = []
    for body in blocks(page, "console"):
        lines += [line[2:] for line in body.splitlines() if line.startswith("$ ")]
    for body in blocks(page, "sh"):
        lines += body.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_python_blocks_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = blocks("README.md", "python")
    assert shown
    names: dict[str, object] = {}
    for body in shown:
        exec(compile(body, "README.md", "exec"), names)
    capsys.readouterr()


@pytest.mark.parametrize("page", sorted(PAGES))
def test_commands_exist(page: str) -> None:
    program = typer.main.get_command(app)
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in commands(page):
        if words[0] == "nsrfc":
            # Parses names, options and values, and runs nothing.
            context = program.make_context("nsrfc", words[1:])
            name, command, rest = program.resolve_command(context, words[1:])  # type: ignore[attr-defined]
            command.make_context(name, rest)
        elif words[0] == "make":
            assert words[1] in targets
        elif words[:2] == ["python", "-m"] and words[2].startswith("benchmarks"):
            place = ROOT.joinpath(*words[2].split("."))
            assert (place / "__main__.py").is_file() or place.with_suffix(".py").is_file(), words[2]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_linked_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in link:
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page} links to {link}"
