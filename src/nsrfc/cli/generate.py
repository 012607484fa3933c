"""``nsrfc generate``: synthetic faces with known identities."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import print_json, print_table
from nsrfc.cli.options import MOST_DIMENSION, MOST_FACES, Json, Seed


class FacesLayout(StrEnum):
    """Output: one set of faces, or the parts of a benchmark."""

    FILE = "file"
    MS1M = "ms1m"


def run(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File for the faces: .npz, .npy, .parquet or .bin; or folder for --layout ms1m.",
            show_default=False,
        ),
    ],
    n: Annotated[
        int, typer.Option("-n", "--faces", min=1, max=MOST_FACES, help="Number of faces.")
    ] = 20_000,
    preset: Annotated[
        str, typer.Option(help="Kind of faces: wild, lfw, lowres, ms1m or msceleb.")
    ] = "ms1m",
    dimension: Annotated[
        int, typer.Option(min=1, max=MOST_DIMENSION, help="Embedding dimension.")
    ] = 256,
    seed: Seed = 0,
    identities: Annotated[
        Path | None,
        typer.Option(
            help="File for the identities; not needed with an .npz output.", show_default=False
        ),
    ] = None,
    layout: Annotated[
        FacesLayout,
        typer.Option(
            help="ms1m: parts 0, 1, 3, 5, 7 and 9 of a benchmark, for nsrfc ms1m; parts 0 and 1 have a "
            "tenth of the faces each."
        ),
    ] = FacesLayout.FILE,
    as_json: Json = False,
) -> None:
    """Generate face embeddings with identities that behave like real ones."""
    from nsrfc.errors import InputError
    from nsrfc.ms1m.files import DIMENSION
    from nsrfc.storage.arrays import write_npz
    from nsrfc.storage.embeddings import write_embeddings
    from nsrfc.storage.identities import write_identities
    from nsrfc.storage.locks import locked_files
    from nsrfc.storage.outputs import atomic_path
    from nsrfc.synthetic import generate

    if layout is FacesLayout.MS1M:
        if identities is not None or dimension != DIMENSION:
            raise InputError(
                f"--layout ms1m has files of its own for identities, and dimension {DIMENSION}: "
                f"leave out --identities and --dimension."
            )
        _write_benchmark(output, n, preset, seed, as_json=as_json)
        return
    _check_files(output, identities)
    with locked_files([output] if identities is None else [output, identities]):
        faces = generate(n, preset, dimension=dimension, seed=seed)
        if identities is None:
            write_npz(output, {"embeddings": faces.embeddings, "identities": faces.identities})
        else:
            # Identities are moved into place after the embeddings: both are written or neither.
            with atomic_path(identities) as temporary:
                write_identities(temporary, faces.identities)
                write_embeddings(output, faces.embeddings)
    people = int(faces.identities.max()) + 1
    record = {
        "output": str(output),
        "identities": str(identities or output),
        "faces": n,
        "people": people,
        "dimension": dimension,
        "preset": preset,
        "seed": seed,
    }
    if as_json:
        print_json(record)
    else:
        rows = [("faces", f"{n:,}"), ("identities", f"{people:,}"), ("dimension", str(dimension))]
        print_table(f"Generated faces, in {output}", ("", ""), rows)


def _check_files(output: Path, identities: Path | None) -> None:
    """Refuse, before any work, files that cannot hold the faces and their identities."""
    from nsrfc.errors import InputError
    from nsrfc.storage import embeddings as embedding_files
    from nsrfc.storage import identities as identity_files
    from nsrfc.storage.files import known_suffix
    from nsrfc.storage.outputs import check_outputs

    suffix = known_suffix(output, embedding_files.SUFFIXES, "embeddings")
    files = [output]
    if identities is not None:
        known_suffix(identities, identity_files.SUFFIXES, "identities")
        files.append(identities)
    elif suffix != ".npz":
        raise InputError(
            f"{output} cannot hold the identities as well: "
            f"name a file for them with --identities, or write an .npz."
        )
    check_outputs(files)


def _write_benchmark(output: Path, n: int, preset: str, seed: int, *, as_json: bool) -> None:
    from nsrfc.ms1m.files import generate_parts, write_part
    from nsrfc.storage.locks import locked_output
    from nsrfc.storage.runs import check_folder

    check_folder(output)
    with locked_output(output):
        parts = {}
        for name, faces in generate_parts(n, preset, seed=seed):
            write_part(output, name, faces)
            parts[name] = {"faces": len(faces.identities), "people": int(faces.identities.max()) + 1}
    if as_json:
        print_json({"output": str(output), "parts": parts, "preset": preset, "seed": seed})
    else:
        rows = [(name, f"{part['faces']:,}", f"{part['people']:,}") for name, part in parts.items()]
        print_table(f"Generated benchmark, in {output}", ("", "faces", "identities"), rows)
