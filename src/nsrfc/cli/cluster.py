"""``nsrfc cluster``: from embeddings to clusters."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import (
    ConsoleProgress,
    announce,
    bytes_text,
    loading,
    print_json,
    print_table,
    seconds_text,
)
from nsrfc.cli.execution import (
    Address,
    ExecutorName,
    ExecutorOption,
    Gpus,
    ShardOption,
    Workers,
    executing,
)
from nsrfc.cli.faces import read_faces
from nsrfc.cli.options import (
    MOST_FACES,
    NO_MODEL,
    Cache,
    Device,
    Dimension,
    Dtype,
    DtypeOption,
    Embedder,
    IdKey,
    Json,
    Key,
    MaxMemory,
    ModelOrNone,
    NeighborsOfRules,
    Search,
    SearchOption,
    Seed,
    SkipBad,
    on_bad_rows,
)

if TYPE_CHECKING:
    from nsrfc.chunks import Vectors
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run
    from nsrfc.model.bundle import NSRFC
    from nsrfc.records import Clustering
    from nsrfc.resources.plan import Plan
    from nsrfc.storage.embeddings import Embeddings


def _share(text: str) -> Any:  # noqa: ANN401
    """Option for a number in 0..1 whose default comes from the model."""
    return typer.Option(min=0, max=1, help=f"With a model: {text}", show_default=False)


Faces = Annotated[
    Path,
    typer.Argument(
        help="Embeddings: .npy, .npz, .parquet or .bin; or a folder or URL of .npy or .parquet shards.",
        show_default=False,
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
]
Threshold = Annotated[float | None, _share("minimum probability at which a density edge is kept.")]
Tau = Annotated[float | None, _share("minimum score at which two faces are joined directly.")]
Precision = Annotated[float | None, _share("minimum pairwise precision; not with --threshold.")]
MinClusterSize = Annotated[
    int, typer.Option(min=1, max=MOST_FACES, help="Smaller clusters get the label -1.")
]
KnownNeighbors = Annotated[
    Path | None,
    typer.Option(help="Neighbour graph of these faces, if already computed.", show_default=False),
]
KnownIndex = Annotated[
    Path | None,
    typer.Option(help="faiss index of these faces, if already built.", show_default=False),
]


FEW = 2_000
"""Faces that are clustered on one thread."""


def run(
    embeddings: Faces,
    output: Output,
    model: ModelOrNone = "universal",
    embedder: Embedder = "auto",
    threshold: Threshold = None,
    tau: Tau = None,
    precision: Precision = None,
    device: Device = "auto",
    dtype: DtypeOption = Dtype.FLOAT32,
    cache: Cache = None,
    key: Key = None,
    dimension: Dimension = None,
    k: NeighborsOfRules = None,
    search: SearchOption = Search.AUTO,
    min_cluster_size: MinClusterSize = 1,
    skip_bad: SkipBad = False,
    id_key: IdKey = None,
    seed: Seed = 0,
    knn: KnownNeighbors = None,
    index: KnownIndex = None,
    max_memory: MaxMemory = None,
    executor: ExecutorOption = ExecutorName.LOCAL,
    workers: Workers = 1,
    address: Address = None,
    gpus: Gpus = 0,
    shard: ShardOption = None,
    as_json: Json = False,
) -> None:
    """Cluster face embeddings by identity: those of a file, or of a folder of shards.

    Writes labels.npy, clusters.parquet and run.json, all or none; bad_rows.npy if rows are skipped; and
    for shards people.parquet, and a table of the faces of each shard in shards/.
    An interrupted run resumes when the same command is given again. With your own model, the results of
    stages are kept in the subfolder "stages"; with any model, in the folder given by --cache: another
    run with other thresholds takes seconds. Labels do not depend on --executor, --workers or --shard.
    """
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run
    from nsrfc.storage.fingerprints import check_fingerprint
    from nsrfc.storage.runs import BAD_ROWS, FILES, check_folder, check_id_key
    from nsrfc.vectors import usable_shape

    started = time.perf_counter()
    decided = {"threshold": threshold, "tau": tau, "precision": precision}
    found_by = {"k": k, "search": search.value, "seed": seed, "embedder": embedder}
    config = ClusterConfig.of(
        **decided, **found_by, min_cluster_size=min_cluster_size, on_bad_rows=on_bad_rows(skip_bad)
    )
    check_folder(output, (*FILES, BAD_ROWS), [embeddings, knn, index])
    check_id_key(id_key)
    with executing(executor, workers, address, gpus, shard) as where, _locked(output, shard):
        with loading():
            trained = None if model == NO_MODEL else _read_model(model)
            progress = ConsoleProgress()
            faces, described = read_faces(embeddings, key, dimension, id_key, skip_bad, progress)
            shape = usable_shape(faces.vectors, embeddings, skip=skip_bad)
            kept = cache or _kept(output, model, shard)
            planned = _plan(shape, config, knn, trained, (kept, where is not None), max_memory)
        how = Run(device, dtype.value, kept, progress, mapped=planned.mapped, executor=where)
        found = _clustered(faces.vectors, trained, config, knn, index, how)
        check_fingerprint(faces.vectors, described["sha256"])
        record = {
            "command": "cluster",
            "model": None if trained is None else model,
            "config": config.model_dump(),
            "dtype": dtype.value,
            "input": described,
            **_given(knn, index),
            "plan": planned.as_dict(),
            **_ran(found, progress, started),
        }
        record = _written(output, found, record, faces, shard)
    if as_json:
        print_json(record)
    else:
        _print_summary(output, record)


def _read_model(name: str) -> NSRFC:
    from nsrfc.model.bundle import load_model

    return load_model(name)


def _locked(output: Path, shard: str | None) -> AbstractContextManager[None]:
    """Lock the folder for the results, unless several processes work for it."""
    from nsrfc.storage.locks import locked_output

    return locked_output(output) if shard is None else nullcontext()


def _kept(output: Path, model: str, shard: str | None) -> Path:
    """Folder for the results of stages.

    It is deleted at the end, except with the user's own model, or if other processes may still read it.
    """
    from nsrfc.model.settings import UNIVERSAL
    from nsrfc.storage.runs import UNFINISHED

    passing = model in (NO_MODEL, UNIVERSAL) and shard is None
    return output / (UNFINISHED if passing else "stages")


def _written(
    output: Path, found: Clustering, record: dict[str, Any], faces: Embeddings, shard: str | None
) -> dict[str, Any]:
    """Write the run; of several processes, the first that has finished writes it."""
    from nsrfc.chunks import RowParts
    from nsrfc.storage.locks import locked_output
    from nsrfc.storage.runs import holds, write_run

    with nullcontext() if shard is None else locked_output(output, wait=True):
        if shard is not None and (written := holds(output, found)) is not None:
            return written
        parts = faces.vectors.shards() if isinstance(faces.vectors, RowParts) else []
        return write_run(output, found, record, ids=faces.ids, id_key=faces.id_key, shards=parts)


def _plan(
    shape: tuple[int, int],
    config: ClusterConfig,
    knn: Path | None,
    model: NSRFC | None,
    kept: tuple[Path, bool],
    max_memory: str | None,
) -> Plan:
    """Print the estimated resources of the run; refuse it if it does not fit memory or disk.

    ``kept`` is the folder for the results of stages, and whether tasks make them.
    """
    from nsrfc.resources.clustering import fitted, plan
    from nsrfc.resources.machine import check_disk, parse_bytes
    from nsrfc.resources.sharing import share
    from nsrfc.storage.neighbors import neighbors_shape

    limit = None if max_memory is None else parse_bytes(max_memory)
    given_k = None if knn is None else neighbors_shape(knn)[1]
    settings = None if model is None else model.settings
    folder, tasks = kept
    planned = plan(*shape, config, given_k=given_k, model=settings)
    if not tasks or limit is not None:
        planned = fitted(planned, config, limit, given_k=given_k, model=settings)
    announce(planned)
    check_disk(folder, share(planned, 1, settings).disk_bytes if tasks else planned.disk_bytes)
    return planned


def _clustered(
    vectors: Vectors,
    model: NSRFC | None,
    config: ClusterConfig,
    knn: Path | None,
    index: Path | None,
    how: Run,
) -> Clustering:
    from threadpoolctl import threadpool_limits

    from nsrfc.pipeline import cluster
    from nsrfc.storage.indexes import read_index
    from nsrfc.storage.neighbors import read_neighbors

    graph = None if knn is None else read_neighbors(knn)
    found = None if index is None else read_index(index, vectors.shape[1])
    # Threads of BLAS and OpenMP wait busily for each other, for longer than few faces take.
    with threadpool_limits(1 if len(vectors) <= FEW else None):
        return cluster(vectors, model, config, graph=graph, index=found, run=how)


def _given(knn: Path | None, index: Path | None) -> dict[str, str | None]:
    """Describe the files that bring the neighbours."""
    files = ("knn", knn), ("index", index)
    return {name: None if path is None else str(path) for name, path in files}


def _ran(found: Clustering, progress: ConsoleProgress, started: float) -> dict[str, Any]:
    """Describe the method that ran, and the resources it took."""
    from nsrfc.resources.machine import peak_memory
    from nsrfc.storage.runs import versions

    return {
        "method": dict(found.method),
        "warning": found.warning,
        "versions": versions(torch="networks" in found.method),
        "seconds": progress.seconds | {"total": time.perf_counter() - started},
        "peak_bytes": peak_memory(),
    }


def _print_summary(output: Path, record: dict[str, Any]) -> None:
    result = record["result"]
    counts = ("faces", "faces"), ("clusters", "people"), ("singletons", "singletons")
    rows = [(name, f"{result[key]:,}") for name, key in counts]
    rows.append(("largest", f"{result['largest']:,} faces"))
    if result["unclustered"]:
        rows.append(("in smaller clusters (-1)", f"{result['unclustered']:,} faces"))
    if result["bad_rows"]:
        rows.append(("bad rows (-2)", f"{result['bad_rows']:,} rows"))
    rows.append(("time", seconds_text(record["seconds"]["total"])))
    if record["peak_bytes"] is not None:
        rows.append(("peak memory", bytes_text(record["peak_bytes"])))
    print_table(f"Clusters, in {output}", ("", ""), rows)
