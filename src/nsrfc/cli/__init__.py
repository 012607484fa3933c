"""The command ``nsrfc``: one module per sub-command; those of libraries are small and share two.

Only typer and rich are imported until a command runs, so that ``--help`` is fast.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nsrfc import __version__
from nsrfc.cli import (
    cluster,
    convert,
    demo,
    distances,
    embedder_card,
    evaluate,
    generate,
    knn,
    library,
    ms1m,
    people,
    photos,
    plan,
    predict,
    refine,
    rerank,
    review,
    train,
)
from nsrfc.cli.console import guarded, printing

__all__ = ["app", "main"]

app = typer.Typer(
    name="nsrfc",
    help="Cluster face embeddings by identity: no labels, no training, nothing to tune.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_COMMANDS = (
    demo,
    cluster,
    predict,
    review,
    train,
    evaluate,
    ms1m,
    knn,
    rerank,
    refine,
    distances,
    convert,
    embedder_card,
    generate,
    plan,
)
for _module in _COMMANDS:
    app.command(_module.__name__.rpartition(".")[2].replace("_", "-"))(guarded(_module.run))
_OF_LIBRARIES = (
    photos.photos,
    library.add,
    people.people,
    people.name,
    people.confirm,
    people.reject,
    people.merge,
    people.split,
    people.hide,
    people.undo,
    people.questions,
    people.answer,
    people.explain,
    people.report,
    people.export,
    people.forget,
)
app.add_typer(library.app, name="library", rich_help_panel="Libraries")
for _command in _OF_LIBRARIES:
    app.command(rich_help_panel="Libraries")(guarded(_command))


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"nsrfc {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line and exit: 0 done, 2 refused, 130 interrupted."""
    with printing():
        app()
