"""The page of the documentation that says how fast the package is, filled from files of figures.

    python -m benchmarks.page FILE.json [--runs FOLDER/run.json ...] [--page FILE]

``FILE.json`` is what ``python -m benchmarks --json`` wrote, and a ``run.json`` what ``nsrfc cluster``
did. What stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in the page is replaced, and the text
around it stays: ``machine``, ``methods``, ``stages``, ``growth``, and ``runs`` where records of runs are
given. A page that is not there yet is made of that of the documentation. The picture goes beside it,
into ``images``.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nsrfc.errors import InputError, NsrfcError
from nsrfc.storage.files import reading
from nsrfc.storage.outputs import atomic_path

from . import growth, tables

__all__ = ["PAGE", "blocks", "write"]

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"

PICTURE = Path("images") / "performance.png"
"""Where the picture is, seen from the page."""


def main() -> None:
    """Fill the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("figures", type=Path, metavar="FILE.json", help="of python -m benchmarks")
    parser.add_argument(
        "--runs", nargs="+", type=Path, default=[], metavar="run.json", help="of nsrfc cluster"
    )
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="what to fill")
    arguments = parser.parse_args()
    try:
        write(arguments.page, _read(arguments.figures), {path: _read(path) for path in arguments.runs})
    except NsrfcError as error:
        raise SystemExit(str(error)) from None


def write(page: Path, record: tables.Record, runs: Mapping[Path, tables.Record] | None = None) -> None:
    """Fill a page and draw its picture.

    Parameters
    ----------
    page : Path
        Made of `PAGE` if it is missing.
    record : dict
        What ``python -m benchmarks --json`` wrote.
    runs : mapping of Path to dict, optional
        Records of ``nsrfc cluster``, by their files.

    Raises
    ------
    InputError
        If the page has no place for something, or cannot be written.
    OptionalDependencyError
        If matplotlib is not installed.
    """
    content = blocks(record)
    content["growth"] = f"![Seconds over faces]({PICTURE.as_posix()})\n\n{content['growth']}"
    if runs:
        content["runs"] = "\n\n".join(tables.run_record(path, run) for path, run in runs.items())
    text = (page if page.exists() else PAGE).read_text(encoding="utf-8")
    for name, block in content.items():
        place = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", text, re.DOTALL)
        if place is None:
            raise InputError(
                f"{page} has no place for {name}: "
                f"write <!-- {name} --> and <!-- /{name} --> on lines of their own."
            )
        text = f"{text[: place.start()]}\n{block}\n\n{text[place.end() :]}"
    growth.draw(page.parent / PICTURE, record)
    with atomic_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def blocks(record: tables.Record) -> dict[str, str]:
    """Return what the page says, by the names of its places."""
    sizes = tables.sizes(record)
    methods = [_section(n, [tables.methods(record, n)]) for n in sizes]
    stages = [_section(n, [tables.stages(record, n), tables.shared_pass(record, n)]) for n in sizes]
    return {
        "machine": tables.machine(record),
        "methods": "\n\n".join([*methods, "### Planned and taken", tables.plans(record)]),
        "stages": "\n\n".join(stages),
        "growth": tables.growth(record),
    }


def _section(n: int, parts: Sequence[str | None]) -> str:
    return "\n\n".join([f"### {n:,} faces", *(part for part in parts if part)])


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"There is no file {path}: check its name and folder.")
    with reading(path):
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


if __name__ == "__main__":
    main()
