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
    Dimension,
    EmbeddingsFile,
    Json,
    Key,
    Neighbors,
    Search,
    SearchOption,
    Seed,
)

if TYPE_CHECKING:
    import faiss


def run(
    embeddings: EmbeddingsFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
    ],
    key: Key = None,
    dimension: Dimension = None,
    k: Neighbors = 80,
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
    max_memory: Annotated[
        str | None,
        typer.Option(help="Refuse to start beyond this, such as 8GiB.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the people in a file of face embeddings.

    Writes labels.npy, clusters.parquet and run.json, all or none.
    """
    from nsrfc.config import ClusterConfig
    from nsrfc.data import read_embeddings, read_neighbors
    from nsrfc.errors import InputError
    from nsrfc.pipeline import cluster
    from nsrfc.plan import check_plan, parse_bytes, peak_memory, plan
    from nsrfc.report.run import check_folder, fingerprint, versions, write_run

    started = time.perf_counter()
    limit = None if max_memory is None else parse_bytes(max_memory)
    if knn is not None and index is not None:
        raise InputError("--knn and --index both bring the neighbours: give one of them.")
    check_folder(output)
    config = ClusterConfig(k=k, search=search.value, min_cluster_size=min_cluster_size, seed=seed)
    progress = ConsoleProgress()
    with progress.stage("reading", 1) as advance:
        faces = read_embeddings(embeddings, key=key, dimension=dimension)
        advance(1)
    n, d = faces.vectors.shape
    planned = plan(n, d, config, given_graph=knn is not None)
    announce(planned)
    check_plan(planned, config, limit, given_graph=knn is not None)
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
        config,
        graph=None if knn is None else read_neighbors(knn),
        index=None if index is None else _read_index(index),
        progress=progress,
    )
    record = {
        "command": "cluster",
        "config": config.model_dump(),
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


def _read_index(path: Path) -> faiss.Index:
    import faiss

    from nsrfc.data.files import reading
    from nsrfc.errors import InputError

    if not path.is_file():
        raise InputError(f"There is no file {path}: check its name and folder.")
    with reading(path):
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
