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
    tau: Annotated[float | None, _share("score from which on two faces are joined at once.")] = None,
    precision: Annotated[
        float | None, _share("least share of joined pairs of one identity; not with --threshold.")
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
    from nsrfc.methods.base import Run
    from nsrfc.model.bundle import UNIVERSAL, load_model
    from nsrfc.pipeline import cluster
    from nsrfc.resources.clustering import check_plan, plan
    from nsrfc.resources.machine import check_disk, parse_bytes, peak_memory
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.fingerprints import fingerprint
    from nsrfc.storage.neighbors import neighbors_shape, read_neighbors
    from nsrfc.storage.runs import FILES, UNFINISHED, check_folder, versions, write_run

    started = time.perf_counter()
    limit = None if max_memory is None else parse_bytes(max_memory)
    if knn is not None and index is not None:
        raise InputError("--knn and --index both bring the neighbours: give one of them.")
    config = ClusterConfig.of(
        k=k,
        search=search.value,
        min_cluster_size=min_cluster_size,
        seed=seed,
        threshold=threshold,
        tau=tau,
        precision=precision,
    )
    check_folder(output, FILES, [embeddings, knn, index])
    trained = None if model == NO_MODEL else load_model(model)
    settings = None if trained is None else trained.settings
    progress = ConsoleProgress()
    with progress.stage("reading", 1) as advance:
        faces = read_embeddings(embeddings, key=key, dimension=dimension)
        advance(1)
    given_k = None if knn is None else neighbors_shape(knn)[1]
    n, d = faces.vectors.shape
    planned = plan(n, d, config, given_k=given_k, model=settings)
    announce(planned)
    check_plan(planned, config, limit, given_k=given_k, model=settings)
    kept = cache or output / (UNFINISHED if model in (NO_MODEL, UNIVERSAL) else "stages")
    check_disk(kept, planned.disk_bytes)
    with progress.stage("fingerprint", 1) as advance:
        source = {
            "path": str(embeddings),
            "shape": list(faces.vectors.shape),
            "dtype": str(faces.vectors.dtype),
            "sha256": fingerprint(faces.vectors),
        }
        advance(1)
    found = cluster(
        faces.vectors,
        trained,
        config,
        graph=None if knn is None else read_neighbors(knn),
        index=None if index is None else _read_index(index),
        run=Run(device, dtype.value, kept, progress),
    )
    record = {
        "command": "cluster",
        "model": None if trained is None else model,
        "method": dict(found.method),
        "config": config.model_dump(),
        "input": source,
        "knn": None if knn is None else str(knn),
        "index": None if index is None else str(index),
        "versions": versions(torch=trained is not None),
        "plan": planned.as_dict(),
        "seconds": progress.seconds | {"total": time.perf_counter() - started},
        "peak_bytes": peak_memory(),
    }
    record = write_run(output, found, record, ids=faces.ids)
    if as_json:
        print_json(record)
    else:
        _print_summary(output, record)


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
