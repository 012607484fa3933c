"""``nsrfc import`` and ``nsrfc export``: faces and names in from other programs, and out to them."""

from __future__ import annotations

import os
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsrfc.cli.console import ConsoleProgress, print_json, print_table
from nsrfc.cli.library import LibraryFolder, OfEmbedder, opened
from nsrfc.cli.options import Device, Json

if TYPE_CHECKING:
    from nsrfc.bridges.arrival import Arrival
    from nsrfc.library.library import Library

__all__ = ["export", "import_"]

_FOLDERS = "folders"
"""The source that is not a program: folders named after people."""


class Receiver(StrEnum):
    """Who an export is for."""

    TABLE = "table"
    XMP = "xmp"
    FOLDERS = "folders"
    IMMICH = "immich"
    FIFTYONE = "fiftyone"


Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="Folder of the pictures.", show_default=False)
]


def import_(
    folder: LibraryFolder,
    program: Annotated[
        str,
        typer.Argument(
            help="immich, photoprism, facerecognition, recognize, digikam, librephotos, deepface, "
            "insightface, pgvector, fiftyone, clip-retrieval, arrow; or folders, named after people.",
            show_default=False,
        ),
    ],
    source: Annotated[
        str,
        typer.Argument(help="Its file, folder, or address of its database.", show_default=False),
    ],
    user: Annotated[
        str | None, typer.Option(help="Whose faces, where there are users.", show_default=False)
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(help="Model whose faces are taken, where there are several.", show_default=False),
    ] = None,
    pictures: Pictures = None,
    embedder: OfEmbedder = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Add the faces and names that another program has; it is only read.

    The library is made if there is none. A second import adds what is new.
    """
    from nsrfc.bridges.programs import check_options

    given = {"user": user, "space": space, "pictures": pictures, "embedder": embedder}
    check_options(program, [name for name, value in given.items() if value is not None])
    if program == _FOLDERS:
        from nsrfc.bridges.people_folders import names_of_folders

        _print_arrival(folder, names_of_folders(opened(folder), Path(source)), as_json=as_json)
        return
    from nsrfc.bridges.arrival import arrive
    from nsrfc.bridges.database import name_of
    from nsrfc.bridges.programs import reader
    from nsrfc.bridges.record import Asked
    from nsrfc.errors import InputError
    from nsrfc.methods.base import Run

    asked, progress = Asked(source, user, pictures), ConsoleProgress()
    read = reader(program)
    with progress.stage(f"faces of {program}", 0) as advance:
        records = []
        for record in read(asked):
            records.append(record)
            advance(1)
    if not records:
        left = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(asked.skipped.items()))
        raise InputError(
            f"{name_of(source)} has no face of {program} that could be added ({left or 'it is empty'}): "
            f"let the program find faces first."
        )
    library = _made(folder, embedder or program)
    done = arrive(
        library,
        program,
        records,
        skipped=asked.skipped,
        embedder=embedder or program,
        space=space,
        run=Run(device, progress=progress),
    )
    _print_arrival(folder, done, as_json=as_json)


def export(
    folder: LibraryFolder,
    output: Annotated[
        str,
        typer.Argument(
            help="Table: .csv, .parquet or .json. With --to xmp: folder of the pictures; folders: new "
            "folder; immich: address of the server; fiftyone: .json",
            show_default=False,
        ),
    ],
    to: Annotated[Receiver, typer.Option("--to", help="Who it is for.")] = Receiver.TABLE,
    confirmed: Annotated[
        bool,
        typer.Option("--confirmed", help="Only confirmed faces, in a table."),
    ] = False,
    pictures: Pictures = None,
    prefix: Annotated[
        str,
        typer.Option(
            help="What the paths of photos begin with in the library, in place of the folder of the "
            "pictures here.",
            show_default=False,
        ),
    ] = "",
    copy: Annotated[bool, typer.Option("--copy", help="Copy pictures into folders.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written.")] = False,
) -> None:
    """Write who is on which face: into a table, or for another program.

    Only what a person confirmed goes to other programs. No picture and no database of theirs is changed.
    """
    from nsrfc.errors import InputError

    used = {
        "--pictures": (pictures is not None, (Receiver.FOLDERS, Receiver.FIFTYONE)),
        "--prefix": (bool(prefix), (Receiver.FOLDERS, Receiver.XMP)),
        "--copy": (copy, (Receiver.FOLDERS,)),
        "--confirmed": (confirmed, (Receiver.TABLE,)),
        "--dry-run": (dry_run, (Receiver.XMP, Receiver.FOLDERS, Receiver.IMMICH)),
    }
    for option, (given, receivers) in used.items():
        if given and to not in receivers:
            raise InputError(f"{option} has no effect with --to {to.value}: leave it out.")
    library = opened(folder)
    if to is Receiver.TABLE:
        typer.echo(f"{output}: {library.export(output, confirmed=confirmed):,} faces.")
    elif to is Receiver.XMP:
        _export_xmp(library, Path(output), prefix, dry_run=dry_run)
    elif to is Receiver.FOLDERS:
        if pictures is None:
            raise InputError("Give the folder of the pictures with --pictures, to which links lead.")
        _export_folders(library, Path(output), pictures, prefix, copy=copy, dry_run=dry_run)
    elif to is Receiver.IMMICH:
        _export_immich(library, output, dry_run=dry_run)
    else:
        from nsrfc.bridges.confirmed import confirmed_faces
        from nsrfc.bridges.fiftyone_samples import samples, write_samples

        found = samples(confirmed_faces(library), pictures)
        write_samples(Path(output), found)
        typer.echo(f"{output}: {len(found):,} samples.")


def _made(folder: Path, embedder: str) -> Library:
    from nsrfc.library.library import Library
    from nsrfc.library.store import DATABASE
    from nsrfc.storage.files import kind_of

    there = kind_of(folder / DATABASE) is not None
    return opened(folder) if there else Library.create(folder, embedder=embedder)


def _print_arrival(folder: Path, done: Arrival, *, as_json: bool) -> None:
    skipped = +Counter(done.skipped)
    counts = {
        "added": done.added,
        "known": done.known,
        "new people": done.persons,
        "confirmed": done.confirmed,
    }
    if as_json:
        print_json({**counts, "skipped": dict(sorted(skipped.items()))})
        return
    rows = [(name, f"{count:,}") for name, count in counts.items()]
    rows += [(f"skipped: {reason}", f"{count:,}") for reason, count in sorted(skipped.items())]
    print_table(f"Faces into {folder}", ("", ""), rows)


def _export_xmp(library: Library, root: Path, prefix: str, *, dry_run: bool) -> None:
    from nsrfc.bridges.confirmed import confirmed_faces
    from nsrfc.bridges.sidecars import write_sidecars

    faces, progress = confirmed_faces(library), ConsoleProgress()
    found = write_sidecars(faces, root, prefix, dry_run=dry_run, progress=progress)
    for path in found.files if dry_run else ():
        typer.echo(str(path))
    _print_left_out(found.left_out)
    would = "would be " if dry_run else ""
    typer.echo(f"{len(found.files):,} sidecars {would}written, {found.regions:,} faces.")


def _export_folders(
    library: Library, output: Path, root: Path, prefix: str, *, copy: bool, dry_run: bool
) -> None:
    from nsrfc.bridges.confirmed import confirmed_faces
    from nsrfc.bridges.person_folders import folders_of_people, write_folders

    files, left_out = folders_of_people(confirmed_faces(library), root, prefix)
    if dry_run:
        for target, picture in files.items():
            typer.echo(f"{output / target} <- {picture}")
    else:
        write_folders(output, files, copy=copy)
    _print_left_out(left_out)
    would = "would be " if dry_run else ""
    typer.echo(f"{len(files):,} pictures {would}in {output}.")


def _export_immich(library: Library, address: str, *, dry_run: bool) -> None:
    from nsrfc.bridges.confirmed import confirmed_faces
    from nsrfc.bridges.immich_api import KEY_VARIABLE, Server, carry_out, plan

    server = Server(address, os.environ.get(KEY_VARIABLE, ""))
    made = plan(confirmed_faces(library), server)
    if dry_run:
        for call in made.calls:
            typer.echo(call.in_words())
    else:
        carry_out(made, server, ConsoleProgress())
    _print_left_out(made.left_out)
    if not dry_run:
        typer.echo(f"{len(made.calls):,} calls to {server.address}.")


def _print_left_out(left_out: list[str]) -> None:
    for each in left_out:
        typer.echo(f"Left out: {each}.", err=True)
