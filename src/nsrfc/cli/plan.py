"""``nsrfc plan``: expected memory, disk and time of clustering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsrfc.cli.console import bytes_text, print_json, print_table, seconds_text
from nsrfc.cli.execution import ExecutorName, ExecutorOption, Gpus, Workers
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

if TYPE_CHECKING:
    from nsrfc.resources.plan import Plan
    from nsrfc.resources.sharing import SharedPlan


def _count(text: str) -> int:
    """Read a whole number, also one such as 1e9."""
    try:
        number = float(text)
    except ValueError:
        number = 0.5
    if not number.is_integer() or not 1 <= number <= MOST_FACES:
        raise typer.BadParameter(f"give a whole number from 1 to {MOST_FACES:,}.")
    return int(number)


def _print_alone(planned: Plan, as_json: bool) -> None:
    from nsrfc.resources.plan import RUNTIME_BYTES

    if as_json:
        print_json(planned.as_dict())
        return
    in_files = planned.in_files()
    rows = [("libraries", bytes_text(RUNTIME_BYTES), "", "", "")]
    rows += [
        (
            stage.name,
            bytes_text(stage.held_bytes),
            bytes_text(stage.work_bytes),
            bytes_text(stage.disk_bytes + stage.disk_work_bytes),
            seconds_text(stage.seconds),
        )
        for stage in planned.stages
    ]
    memory, disk = (f"{bytes_text(most)} at most" for most in (planned.peak_bytes, planned.disk_bytes))
    rows.append(("in all", memory, "", disk, seconds_text(planned.seconds)))
    print_table(
        f"{planned.n:,} faces of dimension {planned.dimension}, k = {planned.k}, "
        f"{planned.method} search",
        ("", "memory kept", "while it runs", "disk", "time"),
        rows,
    )
    typer.echo(
        f"Where that exceeds the memory, arrays are in files: {bytes_text(in_files.peak_bytes)} of "
        f"memory, {bytes_text(in_files.disk_bytes)} of disk."
    )


def _print_shared(planned: SharedPlan, gpus: float, as_json: bool) -> None:
    if as_json:
        print_json(planned.as_dict())
        return
    rows = [
        (
            stage.name,
            f"{stage.tasks:,}" if stage.tasks else "",
            *(bytes_text(held) if held else "" for held in (stage.read_bytes, stage.written_bytes)),
            bytes_text(stage.worker_bytes) if stage.tasks else "",
            seconds_text(stage.seconds),
        )
        for stage in planned.stages
    ]
    rows.append(("in all", "", "", "", "", seconds_text(planned.seconds)))
    print_table(
        f"{planned.n:,} faces of dimension {planned.dimension}, k = {planned.k}, "
        f"{planned.workers:,} workers of one core",
        ("", "tasks", "read", "written", "per worker", "time"),
        rows,
    )
    typer.echo(
        f"Disk: {bytes_text(planned.disk_bytes)}. The process that gives tasks out takes "
        f"{bytes_text(planned.driver_bytes)} of memory."
    )
    if gpus:
        typer.echo("Times are those of processors: GPUs were not measured.")


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
            parser=_count,
            metavar="<int>",
            help="Number of faces, such as 5000000 or 5e6, if no file.",
            show_default=False,
        ),
    ] = None,
    dimension: Dimension = None,
    key: Key = None,
    model: ModelOrNone = "universal",
    k: NeighborsOfRules = None,
    search: SearchOption = Search.AUTO,
    skip_bad: SkipBad = False,
    executor: ExecutorOption = ExecutorName.LOCAL,
    workers: Workers = 1,
    gpus: Gpus = 0,
    as_json: Json = False,
) -> None:
    """Print the expected memory, disk and time of clustering, also by many workers."""
    from nsrfc.config import ClusterConfig
    from nsrfc.errors import InputError
    from nsrfc.resources.clustering import plan
    from nsrfc.resources.sharing import share
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
    if workers > 1 or executor is ExecutorName.RAY:
        _print_shared(share(planned, workers, settings), gpus, as_json)
        return
    _print_alone(planned, as_json)
