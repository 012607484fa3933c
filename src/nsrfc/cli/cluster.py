"""``nsrfc cluster``: embeddings in, people out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import (
    ConsoleProgress,
    announce,
    bytes_text,
    print_json,
    print_table,
    seconds_text,
)
from nsrfc.cli.options import (
    NO_MODEL,
    Cache,
    Device,
    Dimension,
    Dtype,
    DtypeOption,
    EmbeddingsFile,
    Json,
    Key,
    MaxMemory,
    ModelOrNone,
    NeighborsOfRules,
    Search,
    SearchOption,
    Seed,
)

if TYPE_CHECKING:
    import faiss

    from nsrfc.model.bundle import NSRFC

Thresholds = tuple[float | None, float | None, float | None]
"""Threshold, tau and precision as they were given."""


def _share(text: str) -> Any:  # noqa: ANN401
    """Option of a number in 0..1 that a model has a value of its own for."""
    return typer.Option(min=0, max=1, help=f"With a model: {text}", show_default=False)


def run(
    embeddings: EmbeddingsFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
    ],
    model: ModelOrNone = "universal",
    threshold: Annotated[
        float | None, _share("probability from which on a density edge is kept.")
    ] = None,
    tau: Annotated[float | None, _share("strength from which on two faces are joined at once.")] = None,
    precision: Annotated[
        float | None, _share("least share of joined pairs that show one person; no --threshold.")
    ] = None,
    device: Device = "auto",
    dtype: DtypeOption = Dtype.FLOAT32,
    cache: Cache = None,
    key: Key = None,
    dimension: Dimension = None,
    k: NeighborsOfRules = None,
    search: SearchOption = Search.AUTO,
    min_cluster_size: Annotated[int, typer.Option(min=1, help="Smaller groups get the label -1.")] = 1,
    seed: Seed = 0,
    knn: Annotated[
        Path | None,
        typer.Option(help="Neighbour graph of these faces, if there is one.", show_default=False),
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="faiss index of these faces, if there is one.", show_default=False),
    ] = None,
    max_memory: MaxMemory = None,
    as_json: Json = False,
) -> None:
    """Find the people in a file of face embeddings.

    Writes labels.npy, clusters.parquet and run.json, all or none. A run that was cut off goes on when
    the same command is given again. With a model of your own, results of its stages are kept in the
    folder "stages" there; with any model, in the one that --cache names: a run with other thresholds
    takes seconds.
    """
    from nsrfc.config import ClusterConfig
    from nsrfc.errors import InputError
    from nsrfc.resources.clustering import check_plan, plan
    from nsrfc.resources.machine import parse_bytes, peak_memory
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.neighbors import read_neighbors
    from nsrfc.storage.runs import FILES, UNFINISHED, check_folder, fingerprint, versions, write_run

    started = time.perf_counter()
    thresholds = threshold, tau, precision
    limit = None if max_memory is None else parse_bytes(max_memory)
    if knn is not None and index is not None:
        raise InputError("--knn and --index both bring the neighbours: give one of them.")
    if model == NO_MODEL and thresholds != (None, None, None):
        raise InputError("--threshold, --tau and --precision are for a model: give one with --model.")
    if model != NO_MODEL and k is not None:
        raise InputError(f"-k is for --model {NO_MODEL}, as a model brings its own: leave it out.")
    check_folder(output, FILES, [embeddings, knn, index])
    trained = None if model == NO_MODEL else _read_model(model)
    settings = None if trained is None else trained.settings
    k = (k or ClusterConfig().k) if settings is None else settings.k
    config = ClusterConfig(k=k, search=search.value, min_cluster_size=min_cluster_size, seed=seed)
    progress = ConsoleProgress()
    with progress.stage("reading", 1) as advance:
        faces = read_embeddings(embeddings, key=key, dimension=dimension)
        advance(1)
    n, d = faces.vectors.shape
    planned = plan(n, d, config, given_graph=knn is not None, model=settings)
    announce(planned)
    check_plan(planned, config, limit, given_graph=knn is not None, model=settings)
    with progress.stage("fingerprint", 1) as advance:
        source = {
            "path": str(embeddings),
            "shape": list(faces.vectors.shape),
            "dtype": str(faces.vectors.dtype),
            "sha256": fingerprint(faces.vectors),
        }
        advance(1)
    graph = None if knn is None else read_neighbors(knn)
    found_index = None if index is None else _read_index(index)
    if trained is None:
        from nsrfc.pipeline import cluster

        found = cluster(
            faces.vectors,
            config,
            graph=graph,
            index=found_index,
            device=device,
            progress=progress,
            cache=cache or output / UNFINISHED,
        )
    else:
        from nsrfc import learned
        from nsrfc.model.bundle import UNIVERSAL

        kept = cache or output / (UNFINISHED if model == UNIVERSAL else "stages")
        found = learned.cluster(
            faces.vectors,
            trained,
            config,
            graph=graph,
            index=found_index,
            threshold=threshold,
            tau=tau,
            precision=precision,
            execution=learned.Execution(device, dtype.value, kept, progress),
        )
    record = {
        "command": "cluster",
        "config": config.model_dump(),
        "model": None if trained is None else _model_record(trained, model, thresholds),
        "input": source,
        "knn": None if knn is None else str(knn),
        "index": None if index is None else str(index),
        "versions": versions(),
        "plan": planned.as_dict(),
        "seconds": progress.seconds | {"total": time.perf_counter() - started},
        "peak_bytes": peak_memory(),
    }
    record = write_run(output, found, record, ids=faces.ids)
    if as_json:
        print_json(record)
    else:
        _print_summary(output, record)


def _read_model(name: str) -> NSRFC:
    from nsrfc.model.bundle import load_model

    return load_model(name)


def _model_record(model: NSRFC, name: str, thresholds: Thresholds) -> dict[str, Any]:
    """Say which model it was, by content, and with which thresholds it ran."""
    import torch

    settings = model.settings.decided(*thresholds)
    return {
        "name": name,
        "settings": settings.model_dump(mode="json"),
        "networks": model.fingerprints(),
        "torch": str(torch.__version__),
    }


def _read_index(path: Path) -> faiss.Index:
    import faiss

    from nsrfc.storage.files import existing_file, reading

    with reading(existing_file(path)):
        return faiss.read_index(str(path))


def _print_summary(output: Path, record: dict[str, Any]) -> None:
    result = record["result"]
    rows = [(name, f"{result[name]:,}") for name in ("faces", "people", "singletons")]
    rows.append(("largest", f"{result['largest']:,} faces"))
    if result["unclustered"]:
        rows.append(("in smaller groups (-1)", f"{result['unclustered']:,} faces"))
    rows.append(("time", seconds_text(record["seconds"]["total"])))
    if record["peak_bytes"] is not None:
        rows.append(("peak memory", bytes_text(record["peak_bytes"])))
    print_table(f"People found, in {output}", ("", ""), rows)
