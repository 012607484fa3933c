"""``nsrfc photos``: from a folder of pictures to a library of people; and the faces left out."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import ConsoleProgress, guarded, print_json, print_table
from nsrfc.cli.library import LibraryFolder, app, opened
from nsrfc.cli.options import Device, Json

if TYPE_CHECKING:
    from nsrfc.library.library import Library
    from nsrfc.photos.adding import Added
    from nsrfc.photos.models import Models

__all__ = ["left_out", "photos", "take_back"]

MOST_SHOWN = 20
"""Pictures that cannot be read, as lines; --json has all."""

ModelsFolder = Annotated[
    Path | None,
    typer.Option(
        "--models",
        help="Folder of weights; the caches of InsightFace, uniface and deepface by default.",
        show_default=False,
    ),
]
AcceptLicence = Annotated[
    bool, typer.Option("--accept-licence", help="Use weights that are not free for any use.")
]


def _list_models(asked: bool) -> None:
    if not asked:
        return
    from nsrfc.photos.registry import Registry

    for each in Registry.of(None).weights:
        terms = each.licence if each.free else f"{each.licence}: --accept-licence"
        typer.echo(f"{each.part:<9} {each.name:<14} {each.title} ({terms})")
    raise typer.Exit


def photos(
    folder: Annotated[Path, typer.Argument(help="Folder of the pictures.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the library; new, or one of before.")
    ],
    detector: Annotated[
        str | None,
        typer.Option(help="What finds faces: dlib-hog, or that of the library.", show_default=False),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option(help="What embeds faces: dlib, or that of the library.", show_default=False),
    ] = None,
    models: ModelsFolder = None,
    accept_licence: AcceptLicence = False,
    min_size: Annotated[float, typer.Option(min=0, help="Smaller faces are left out, in pixels.")] = 32,
    min_sharpness: Annotated[
        float, typer.Option(min=0, help="Blurred faces are left out: variance of the Laplacian.")
    ] = 10,
    max_turn: Annotated[
        float, typer.Option(min=0, max=90, help="Heads turned away further are left out, in degrees.")
    ] = 75,
    min_score: Annotated[
        float | None,
        typer.Option(help="Faces of which the detector is less sure are left out.", show_default=False),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
    list_models: Annotated[
        bool,
        typer.Option(
            "--list-models",
            callback=_list_models,
            is_eager=True,
            help="Print the names of all detectors and embedders.",
        ),
    ] = False,
) -> None:
    """Find the people in a folder of pictures: detect, embed and cluster faces, into a library.

    The same command goes on where it was cut off, and embeds only pictures that are new or changed.
    The pictures are never written.
    """
    del list_models
    _check_extra()
    from nsrfc.photos.adding import add_photos
    from nsrfc.photos.decoding import check_folder
    from nsrfc.photos.quality import Limits

    check_folder(folder)
    library, loaded = _library(output, detector, embedder, models, accept_licence, device)
    progress = ConsoleProgress()
    limits = Limits(min_size, min_sharpness, max_turn, min_score)
    added = add_photos(folder, library, loaded, limits, progress)
    _cluster(library, loaded, device, progress)
    _print(folder, library, added, as_json=as_json)


@app.command("left-out")
@guarded
def left_out(
    folder: LibraryFolder,
    every: Annotated[
        bool, typer.Option("--all", help="Also the faces that are in the library.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the faces that nsrfc photos found and left out: their quality, and why."""
    from nsrfc.library.pictures import Pictures

    opened(folder)
    pictures = Pictures.of(folder)
    faces = [] if pictures is None else pictures.every() if every else pictures.left_out()
    if as_json:
        key = "found" if every else "left_out"
        print_json({key: [{**vars(face), "points": face.points.tolist()} for face in faces]})
        return
    rows = []
    for face in faces:
        values = [f"{face.quality[name]:.0f}" for name in ("size", "sharpness", "yaw")]
        place = f"{face.photo} at {face.box[0]:.0f}, {face.box[1]:.0f}"
        state = face.reason or ("waiting" if face.face is None else f"face {face.face}")
        rows.append((str(face.id), *values, f"{face.quality['score']:.2f}", state, place))
    columns = "number", "pixels", "sharpness", "turn", "score", "", "picture"
    print_table(f"{'Found' if every else 'Left out'}, of {folder}", columns, rows)


@app.command("take-back")
@guarded
def take_back(
    folder: LibraryFolder,
    numbers: Annotated[
        list[int], typer.Argument(help="Numbers of nsrfc library left-out.", show_default=False)
    ],
    models: ModelsFolder = None,
    accept_licence: AcceptLicence = False,
    device: Device = "auto",
) -> None:
    """Add faces that were left out to the library after all."""
    _check_extra()
    from nsrfc.photos.adding import take_back

    opened(folder)
    library, loaded = _library(folder, None, None, models, accept_licence, device)
    count = take_back(library, numbers, loaded)
    _cluster(library, loaded, device, ConsoleProgress())
    typer.echo(f"{count:,} faces are added to {folder}.")


def _check_extra() -> None:
    """Say what to install where pictures cannot be read; what reads them is imported at once."""
    from nsrfc.errors import OptionalDependencyError

    if importlib.util.find_spec("PIL") is None:
        raise OptionalDependencyError("PIL", "photos")


def _library(
    folder: Path,
    detector: str | None,
    embedder: str | None,
    models: Path | None,
    accepted: bool,
    device: str,
) -> tuple[Library, Models]:
    """Open or make the library, with the models that it is of; it is made last, if all else is well."""
    from nsrfc.library.library import Library
    from nsrfc.library.pictures import Pictures
    from nsrfc.library.store import DATABASE
    from nsrfc.photos.models import DETECTOR, EMBEDDER, load_models
    from nsrfc.photos.registry import Registry
    from nsrfc.storage.files import kind_of

    library, kept = None, dict[str, str]()
    if kind_of(folder / DATABASE) == "file":
        library = Library.open(folder)
        pictures = Pictures.of(folder)
        kept = {**({} if pictures is None else pictures.settings()), **library.store.space}
    finds = detector or kept.get("detector", DETECTOR)
    known = kept.get("embedder", "unknown")
    embeds = embedder or (EMBEDDER if known == "unknown" else known)
    loaded = load_models(Registry.of(models), finds, embeds, accepted=accepted, device=device)
    if library is None:
        library = Library.create(folder, embedder=embeds, weights=loaded.embedder.sha256)
    return library, loaded


def _cluster(library: Library, models: Models, device: str, progress: ConsoleProgress) -> None:
    """Cluster faces for the first time, or let new ones join."""
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run

    run = Run(device, progress=progress)
    if library.store.last_run() is not None:
        library.refresh(run)
    elif len(library.faces):
        library.cluster(config=ClusterConfig.of(embedder=models.card), run=run)


def _print(folder: Path, library: Library, added: Added, *, as_json: bool) -> None:
    groups = library.groups() if len(library.faces) else []
    counts = {
        "pictures": added.files,
        "new": added.new,
        "unreadable": len(added.problems),
        "gone": added.gone,
        "faces added": added.faces,
        "faces left out": added.left_out,
        "faces": len(library.faces),
        "clusters": len({group.cluster for group in groups} - {-1}),
        "people": sum(group.id.startswith("p") for group in groups),
    }
    if as_json:
        record: dict[str, Any] = {name.replace(" ", "_"): count for name, count in counts.items()}
        record["problems"] = [vars(problem) for problem in added.problems]
        print_json({**record, "others": dict(added.others)})
        return
    rows = [(name, f"{count:,}") for name, count in counts.items() if count or name != "gone"]
    print_table(f"{folder}, in {library.folder}", ("", ""), rows)
    for problem in added.problems[:MOST_SHOWN]:
        typer.echo(f"Not read: {problem.path}: {problem.why}.")
    if len(added.problems) > MOST_SHOWN:
        typer.echo(f"... and {len(added.problems) - MOST_SHOWN:,} more: --json lists all.")
    if added.others:
        others = ", ".join(f"{count:,} {suffix}" for suffix, count in added.others.most_common(8))
        typer.echo(f"No pictures that are read: {others}.")
    if added.left_out:
        typer.echo(f"Why faces are left out: nsrfc library left-out {library.folder}")
    typer.echo(
        f"Next: nsrfc review {library.folder}"
        if groups
        else "No face was found: another detector may find some (nsrfc photos --list-models)."
    )
