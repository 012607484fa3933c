"""``nsrfc generate``: faces with known identities, to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import print_json, print_table
from nsrfc.cli.options import Json, Seed


def run(
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File for the faces: .npz, .npy, .parquet or .bin.",
            show_default=False,
        ),
    ],
    n: Annotated[int, typer.Option("-n", "--faces", min=1, help="How many faces.")] = 20_000,
    preset: Annotated[str, typer.Option(help="What they are like: wild, lfw, lowres or ms1m.")] = "ms1m",
    dimension: Annotated[int, typer.Option(min=1, help="Numbers per face.")] = 256,
    seed: Seed = 0,
    identities: Annotated[
        Path | None,
        typer.Option(
            help="File for the identities; an .npz output holds them itself.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate face embeddings with identities that behave like real ones."""
    from nsrfc.data import embeddings as embedding_files
    from nsrfc.data import identities as identity_files
    from nsrfc.data import write_embeddings, write_identities
    from nsrfc.data.files import known_suffix, write_npz
    from nsrfc.data.synthetic import generate
    from nsrfc.errors import InputError

    suffix = known_suffix(output, embedding_files.SUFFIXES, "embeddings")
    if identities is not None:
        known_suffix(identities, identity_files.SUFFIXES, "identities")
    elif suffix != ".npz":
        raise InputError(
            f"{output} cannot hold the identities as well: "
            f"name a file for them with --identities, or write an .npz."
        )
    faces = generate(n, preset, dimension=dimension, seed=seed)
    if identities is None:
        write_npz(output, {"embeddings": faces.embeddings, "identities": faces.identities})
    else:
        write_identities(identities, faces.identities)
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
        rows = [("faces", f"{n:,}"), ("people", f"{people:,}"), ("dimension", str(dimension))]
        print_table(f"Generated faces, in {output}", ("", ""), rows)
