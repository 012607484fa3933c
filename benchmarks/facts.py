"""Print facts about the code, as markdown: its sizes, its types and docstrings, and what a run loads.

    python -m benchmarks.facts

Lines are counted with docstrings and empty ones. Functions are all that ``def`` makes, those inside
others too. What starts with an underscore, or stands in something that does, is private.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import nsrfc
from nsrfc.synthetic import generate

from .tables import table

SOURCE = Path(nsrfc.__file__).parent
TESTS = Path(__file__).parents[1] / "tests"

FACES = 600  # enough for the networks of the universal model
LOADING = """
import io, sys
import numpy as np
from nsrfc import FaceClusterer
FaceClusterer().fit(np.load(io.BytesIO(sys.stdin.buffer.read())))
print(sum(name.split(".")[0] == "nsrfc" for name in sys.modules))
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@dataclass(frozen=True)
class Defined:
    """A function, method or class, by its name with module, and what it stands in."""

    name: str
    node: Definition
    inside: Definition | None

    @property
    def lines(self) -> int:
        """Lines from its first to its last."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1

    @property
    def public(self) -> bool:
        """Whether others may use it."""
        return not isinstance(self.inside, Function) and "._" not in f".{self.name}"

    @property
    def parameters(self) -> list[ast.arg]:
        """Parameters of a function, but for that which a method is bound to."""
        if isinstance(self.node, ast.ClassDef):
            return []
        given = self.node.args
        every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
        found = [one for one in every if one is not None]
        static = any(ast.unparse(one) == "staticmethod" for one in self.node.decorator_list)
        return found[isinstance(self.inside, ast.ClassDef) and not static :]

    @property
    def annotated(self) -> bool:
        """Whether a function says the types of all parameters and of what it returns."""
        typed = all(one.annotation is not None for one in self.parameters)
        return typed and isinstance(self.node, Function) and self.node.returns is not None


def main() -> None:
    """Print the table."""
    modules = {name(path): path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    every = [one for name, text in modules.items() for one in defined(ast.parse(text), name)]
    functions = [one for one in every if isinstance(one.node, Function)]
    # Typer reads the options of a command from these: their number is that of the options.
    commands = [one for one in functions if re.fullmatch(r"cli\.\w+\.run", one.name)]
    others = [one for one in functions if one not in commands]
    public = [one for one in every if one.public]
    lines = {name: len(text.splitlines()) for name, text in modules.items()}
    tests = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py"))
    rows = [
        ("modules", sizes(list(lines.values()), list(lines))),
        ("functions", sizes([one.lines for one in functions], [one.name for one in functions])),
        ("most parameters", most(others)),
        ("most options of a command", most(commands)),
        ("functions with all types", share([one.annotated for one in functions])),
        ("public names with a docstring", share([bool(ast.get_docstring(one.node)) for one in public])),
        ("lines of tests per line of source", f"{len(tests.splitlines()) / sum(lines.values()):.2f}"),
        (f"modules loaded to cluster {FACES} faces", f"{loaded()} of {len(modules)}"),
    ]
    print(table(["fact", "value"], rows, words=2))


def name(path: Path) -> str:
    """Name of a module inside the package, that of a package being its folder's."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or SOURCE.name


def defined(node: ast.AST, name: str, inside: Definition | None = None) -> Iterator[Defined]:
    """Yield what is defined in a node, whose name is given, and in that in turn."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            found = Defined(f"{name}.{child.name}", child, inside)
            yield found
            yield from defined(child, found.name, child)
        else:
            yield from defined(child, name, inside)


def sizes(lines: Sequence[int], names: Sequence[str]) -> str:
    """Word how many there are, and how long they are."""
    middle, high = np.quantile(lines, (0.5, 0.9))
    longest = names[int(np.argmax(lines))]
    return f"{len(lines)}; lines: median {middle:.0f}, 90 % {high:.0f}, most {max(lines)} (`{longest}`)"


def most(functions: Sequence[Defined]) -> str:
    """Word which function has most parameters."""
    found = max(functions, key=lambda one: len(one.parameters))
    return f"{len(found.parameters)} (`{found.name}`)"


def share(of: Sequence[bool]) -> str:
    """Word how many of some are true."""
    return f"{100 * np.mean(of):.1f} % of {len(of)}"


def loaded() -> int:
    """Modules of the package that a new interpreter has loaded once it has clustered some faces."""
    faces = io.BytesIO()
    np.save(faces, generate(FACES, seed=0).embeddings, allow_pickle=False)
    command = [sys.executable, "-c", LOADING]
    done = subprocess.run(command, input=faces.getvalue(), stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


if __name__ == "__main__":
    main()
