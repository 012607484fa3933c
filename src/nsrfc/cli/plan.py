"""``nsrfc plan``: expected memory, disk and time of clustering."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import bytes_text, print_json, print_table, seconds_text
from nsrfc.cli.options import (
    MOST_FACES,
    NO_MODEL,
    Dimension,
    Json,
    Key,
    ModelOrNone,
    NeighborsOfRules,
    Search,
    SearchOption,
    SkipBad,
)


def run(
    embeddings: Annotated[
        Path | None,
        typer.Argument(help="Embeddings, to read their shape.", show_default=False),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--faces",
            min=1,
            max=MOST_FACES,
            help="Number of faces, if no file.",
            show_default=False,
        ),
    ] = None,
    dimension: Dimension = None,
    key: Key = None,
    model: ModelOrNone = "universal",
    k: NeighborsOfRules = None,
    search: SearchOption = Search.AUTO,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Print the expected memory, disk and time of clustering."""
    from nsrfc.config import ClusterConfig
    from nsrfc.errors import InputError
    from nsrfc.resources.clustering import plan
    from nsrfc.resources.plan import RUNTIME_BYTES
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.vectors import usable_shape

    if embeddings is not None and n is None:
        faces = read_embeddings(embeddings, key=key, dimension=dimension, bad_rows=skip_bad)
        n, dimension = usable_shape(faces.vectors, embeddings, skip=skip_bad)
    elif embeddings is not None or n is None or dimension is None:
        raise InputError("Give either a file of embeddings, or both -n and --dimension.")
    settings = None
    if model != NO_MODEL:
        from nsrfc.model.bundle import load_model

        trained = load_model(model)
        trained.check_dimension(dimension)
        settings = trained.settings
    if settings is not None and k is not None:
        raise InputError(f"-k is for --model {NO_MODEL}, as a model has its own: leave it out.")
    config = ClusterConfig.of(k=k, search=search.value)
    planned = plan(n, dimension, config, model=settings)
    if as_json:
        print_json(planned.as_dict())
        return
    rows = [("libraries", bytes_text(RUNTIME_BYTES), "", "", "")]
    rows += [
        (
            stage.name,
            bytes_text(stage.held_bytes),
            bytes_text(stage.work_bytes),
            bytes_text(stage.disk_bytes),
            seconds_text(stage.seconds),
        )
        for stage in planned.stages
    ]
    disk, seconds = bytes_text(planned.disk_bytes), seconds_text(planned.seconds)
    rows.append(("in all", f"{bytes_text(planned.peak_bytes)} at most", "", disk, seconds))
    print_table(
        f"{n:,} faces of dimension {dimension}, k = {planned.k}, {planned.method} search",
        ("", "memory kept", "while it runs", "disk", "time"),
        rows,
    )
