"""``nsrfc library``: make, cluster, look after a library; and ``nsrfc add``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import ConsoleProgress, guarded, print_json, print_table
from nsrfc.cli.options import (
    NO_MODEL,
    Device,
    Dimension,
    Embedder,
    EmbeddingsFile,
    IdKey,
    Json,
    Key,
    ModelOrNone,
    Seed,
    SkipBad,
)

if TYPE_CHECKING:
    from nsrfc.library.library import Library

__all__ = ["LibraryFolder", "add", "app", "opened"]

app = typer.Typer(help="A library: faces, clusters and people in a folder.", no_args_is_help=True)

LibraryFolder = Annotated[Path, typer.Argument(help="Folder of the library.", show_default=False)]
OfEmbedder = Annotated[
    str | None,
    typer.Option(help="What made the embeddings, by name; a library holds one.", show_default=False),
]
PhotoKey = Annotated[
    str | None,
    typer.Option("--photo", help="Array or column with the photo of each face.", show_default=False),
]
TakenKey = Annotated[
    str | None,
    typer.Option(
        "--taken", help="Array or column with the date of each face, ISO 8601.", show_default=False
    ),
]


def opened(folder: Path) -> Library:
    """Open the library that a command works on."""
    from nsrfc.library.library import Library

    return Library.open(folder)


@app.command("create")
@guarded
def create(
    folder: LibraryFolder,
    embedder: OfEmbedder = None,
    weights: Annotated[
        str, typer.Option(help="SHA-256 of the embedder's weights.", show_default=False)
    ] = "",
) -> None:
    """Make an empty library in a new folder; nsrfc add fills it."""
    from nsrfc.library.library import Library

    Library.create(folder, embedder=embedder or "unknown", weights=weights)
    typer.echo(f"{folder} is a library now: add faces with nsrfc add {folder} FACES.")


def add(
    folder: LibraryFolder,
    embeddings: EmbeddingsFile,
    key: Key = None,
    dimension: Dimension = None,
    id_key: IdKey = None,
    photo: PhotoKey = None,
    taken: TakenKey = None,
    embedder: OfEmbedder = None,
    skip_bad: SkipBad = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add faces to a library, at the cost of the new ones; names and ids stay.

    They join the clusters found before; nsrfc library cluster finds all clusters anew.
    """
    from nsrfc.methods.base import Run
    from nsrfc.storage.embeddings import read_embeddings

    library, progress = opened(folder), ConsoleProgress()
    faces = read_embeddings(embeddings, key=key, dimension=dimension, id_key=id_key, bad_rows=skip_bad)
    ids = library.add(
        faces.vectors,
        keys=None if faces.ids is None else faces.ids.tolist(),
        photos=_texts(embeddings, photo),
        taken=_texts(embeddings, taken),
        embedder=embedder,
        skip_bad=skip_bad,
        run=Run(device, progress=progress),
    )
    _print_faces(library, int((ids >= 0).sum()), as_json=as_json)


@app.command("cluster")
@guarded
def cluster(
    folder: LibraryFolder,
    model: ModelOrNone = "universal",
    card: Embedder = "auto",
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="As of nsrfc cluster.", show_default=False)
    ] = None,
    precision: Annotated[
        float | None, typer.Option(min=0, max=1, help="As of nsrfc cluster.", show_default=False)
    ] = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Cluster all faces of a library anew; people and what was said stay."""
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run

    library = opened(folder)
    config = ClusterConfig.of(embedder=card, threshold=threshold, precision=precision, seed=seed)
    chosen = None if model == NO_MODEL else model
    library.cluster(chosen, config, Run(device, progress=ConsoleProgress()))
    _print_faces(library, 0, as_json=as_json)


@app.command("show")
@guarded
def show(folder: LibraryFolder, as_json: Json = False) -> None:
    """Print what a library holds."""
    _print_faces(opened(folder), 0, as_json=as_json)


@app.command("history")
@guarded
def history(folder: LibraryFolder, as_json: Json = False) -> None:
    """Print everything that was said, act by act."""
    entries = opened(folder).history()
    if as_json:
        kept = ("number", "at", "words", "counts")
        print_json({"acts": [{name: getattr(entry, name) for name in kept} for entry in entries]})
        return
    rows = [
        (str(entry.number), entry.at, entry.words, "" if entry.counts else "undone") for entry in entries
    ]
    print_table(f"Acts in {folder}", ("act", "time", "what was said", ""), rows)


@app.command("check")
@guarded
def check(
    folder: LibraryFolder,
    mend: Annotated[bool, typer.Option("--mend", help="Put right what can be.")] = False,
    as_json: Json = False,
) -> None:
    """Look for damage in a library: exit code 1 if something is left to do."""
    from nsrfc.library.upkeep import mend_database

    found = []
    damage = mend_database(folder) if mend else None
    if damage is not None:
        found.append(damage)
    found += opened(folder).check(mend=mend)
    if as_json:
        print_json({"problems": [vars(problem) for problem in found]})
    for problem in () if as_json else found:
        typer.echo(f"{'Mended: ' if problem.mended else ''}{problem.what}")
    if not found and not as_json:
        typer.echo(f"{folder} is sound.")
    if any(not problem.mended for problem in found):
        raise typer.Exit(1)


def _texts(path: Path, key: str | None) -> list[str | None] | None:
    """Read an array or column of texts; empty and missing ones are unknown."""
    from nsrfc.storage.identities import read_names

    if key is None:
        return None
    return [None if text in ("", -1) else str(text) for text in read_names(path, key=key).tolist()]


def _print_faces(library: Library, added: int, *, as_json: bool) -> None:
    summary = _summary(library, added)
    if as_json:
        print_json(summary)
        return
    rows = [(name, f"{count:,}") for name, count in summary.items()]
    print_table(f"Library {library.folder}", ("", ""), rows)


def _summary(library: Library, added: int) -> dict[str, Any]:
    groups = library.groups()
    people = [group for group in groups if group.id.startswith("p")]
    counts = {
        "faces": len(library.faces),
        "added": added,
        "clusters": len({group.cluster for group in groups} - {-1}),
        "people": len(people),
        "named": sum(group.name is not None for group in people),
        "confirmed faces": sum(len(group.confirmed) for group in people),
    }
    if not added:
        del counts["added"]
    return counts
