"""What a human says about the faces of a library, and what is known: one small command each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsrfc.cli.console import print_json, print_table
from nsrfc.cli.library import LibraryFolder, opened
from nsrfc.cli.options import Json

if TYPE_CHECKING:
    from nsrfc.library.library import Group

__all__ = [
    "answer",
    "confirm",
    "explain",
    "forget",
    "hide",
    "merge",
    "name",
    "people",
    "questions",
    "reject",
    "report",
    "split",
    "undo",
]


class Word(StrEnum):
    """An answer about two faces."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


Who = Annotated[
    str,
    typer.Argument(help="A person, by name or id (p7), or a cluster, by id (c12).", show_default=False),
]
Faces = Annotated[list[int], typer.Argument(help="Numbers of faces.", show_default=False)]
FacesOrNone = Annotated[list[int] | None, typer.Argument(help="Numbers of faces.", show_default=False)]
WhoOrNobody = Annotated[
    str | None,
    typer.Option("--who", help="The person; without it, the faces are of one.", show_default=False),
]


def people(
    folder: LibraryFolder,
    every: Annotated[bool, typer.Option("--all", help="Also clusters of nobody known.")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also hidden people.")] = False,
    as_json: Json = False,
) -> None:
    """List the people in a library."""
    groups = opened(folder).groups()
    chosen = [
        group for group in groups if (every or group.id.startswith("p")) and (hidden or not group.hidden)
    ]
    if as_json:
        print_json({"people": [_as_json(group) for group in chosen]})
        return
    rows = [
        (
            group.id,
            group.name or "",
            f"{len(group.faces):,}",
            f"{len(group.confirmed):,}",
            str(group.cover),
        )
        for group in chosen
    ]
    columns = "id", "name", "faces", "confirmed", "shown by face"
    print_table(f"{'People and clusters' if every else 'People'} in {folder}", columns, rows)


def name(
    folder: LibraryFolder, who: Who, name: Annotated[str, typer.Argument(show_default=False)]
) -> None:
    """Name a person; or say who a cluster is, which confirms all its faces."""
    person = opened(folder).name(who, name)
    typer.echo(f"{person} is called {name}.")


def confirm(folder: LibraryFolder, faces: Faces, who: WhoOrNobody = None) -> None:
    """Say that faces are a person, or that they are one person."""
    typer.echo(f"Act {opened(folder).confirm(faces, who)}.")


def reject(folder: LibraryFolder, faces: Faces, who: WhoOrNobody = None) -> None:
    """Say that faces are not a person, or that two faces are different people."""
    typer.echo(f"Act {opened(folder).reject(faces, who)}.")


def merge(folder: LibraryFolder, who: Who, other: Who) -> None:
    """Say that OTHER is WHO, which keeps its id, name and cover."""
    typer.echo(f"Act {opened(folder).merge(who, other)}.")


def split(
    folder: LibraryFolder,
    who: Who,
    faces: FacesOrNone = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Propose faces, and split nothing.")
    ] = False,
) -> None:
    """Say that some faces of a person or cluster are another person."""
    library = opened(folder)
    if suggest:
        typer.echo(" ".join(map(str, library.suggest_split(who).tolist())))
        return
    typer.echo(f"They are {library.split(who, faces or ())} now.")


def questions(
    folder: LibraryFolder,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of questions.")] = 12,
    as_json: Json = False,
) -> None:
    """List the pairs of faces whose answer would change most; nsrfc review asks them on a page."""
    found = opened(folder).questions(limit)
    if as_json:
        print_json({"questions": [vars(question) for question in found]})
        return
    rows = [
        (f"{each.a} {each.b}", " ".join(each.groups), f"{each.probability:.2f}", f"{each.gain:,.0f}")
        for each in found
    ]
    print_table(f"Are these one person? {folder}", ("faces", "of", "probability", "gain"), rows)


def answer(
    folder: LibraryFolder,
    a: Annotated[int, typer.Argument(help="A face.", show_default=False)],
    b: Annotated[int, typer.Argument(help="Another face.", show_default=False)],
    word: Annotated[Word, typer.Argument(help="Whether they are one person.", show_default=False)],
) -> None:
    """Say whether two faces are one person: yes, no, or unsure, which is not asked again."""
    typer.echo(f"Act {opened(folder).answer(a, b, word.value)}.")


def explain(
    folder: LibraryFolder,
    a: Annotated[int, typer.Argument(help="A face.", show_default=False)],
    b: Annotated[int, typer.Argument(help="Another face.", show_default=False)],
) -> None:
    """Say why two faces are together, or apart."""
    typer.echo(opened(folder).explain(a, b).in_words())


def report(
    folder: LibraryFolder,
    output: Annotated[Path, typer.Argument(help="File, .html", show_default=False)],
    places: Annotated[int, typer.Option(min=1, max=10_000, help="Least sure groups shown.")] = 200,
) -> None:
    """Write what is there and what is in doubt into one HTML file, to be sent around."""
    opened(folder).report(output, places=places)
    typer.echo(f"{output} is written; it needs nothing else to be read.")


def hide(
    folder: LibraryFolder,
    who: Who,
    show: Annotated[bool, typer.Option("--show", help="Show the person again.")] = False,
) -> None:
    """Hide a person, or show it again."""
    typer.echo(f"Act {opened(folder).hide(who, hidden=not show)}.")


def undo(
    folder: LibraryFolder,
    act: Annotated[
        int | None,
        typer.Argument(help="Number of the act; the last one by default.", show_default=False),
    ] = None,
) -> None:
    """Take back an act; an undo is an act as well, and can be undone by its number."""
    library = opened(folder)
    number = library.undo(act)
    typer.echo(f"Act {number}: {library.history()[-1].words}.")


def forget(
    folder: LibraryFolder,
    faces: Annotated[
        list[int] | None, typer.Argument(help="Numbers of faces.", show_default=False)
    ] = None,
    who: Annotated[
        str | None, typer.Option("--who", help="A person, with its name.", show_default=False)
    ] = None,
) -> None:
    """Remove faces from the disk for good: this cannot be undone."""
    count = opened(folder).forget(faces or (), who)
    typer.echo(f"{count:,} faces are removed from {folder}.")


def _as_json(group: Group) -> dict[str, object]:
    arrays = {"faces": group.faces.tolist(), "confirmed": group.confirmed.tolist()}
    return {**vars(group), **arrays}
