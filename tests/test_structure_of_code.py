"""Sizes that keep the code readable."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "nsrfc"
LONGEST, MOST_PARAMETERS = 80, 10
ESTIMATOR, MOST_OF_ESTIMATOR = "clusterer.py:__init__", 12


def test_functions_are_short_and_take_few_parameters() -> None:
    too_long, too_many = [], []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            assert node.end_lineno is not None
            name = f"{path.relative_to(SOURCE)}:{node.name}"
            if node.end_lineno - node.lineno + 1 > LONGEST:
                too_long.append(name)
            names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
            names += [each.arg for each in node.args.kwonlyargs]
            # Options of a command are a list that typer reads, parameters of the estimator one that
            # scikit-learn reads.
            most = MOST_OF_ESTIMATOR if name == ESTIMATOR else MOST_PARAMETERS
            if len({*names} - {"self", "cls"}) > most and "cli" not in path.parts:
                too_many.append(name)
    assert not too_long
    assert not too_many
