"""``nsrfc predict``: new faces to clusters that are there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import ConsoleProgress, print_json, print_table, seconds_text
from nsrfc.cli.faces import read_faces
from nsrfc.cli.options import Device, Dimension, EmbeddingsFile, IdKey, Json, Key, SkipBad

if TYPE_CHECKING:
    from nsrfc.known import KnownFaces
    from nsrfc.progress import Progress
    from nsrfc.records import Clustering
    from nsrfc.storage.embeddings import Embeddings

Clusters = Annotated[
    Path,
    typer.Argument(
        help="Folder written by nsrfc cluster, or by FaceClusterer.save.", show_default=False
    ),
]
KnownEmbeddings = Annotated[
    Path | None,
    typer.Option(
        help="The embeddings that were clustered, if they are no longer where run.json says.",
        show_default=False,
    ),
]
KnownModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="The model that found the clusters, if it is no longer where run.json says.",
        show_default=False,
    ),
]


def run(
    clusters: Clusters,
    embeddings: EmbeddingsFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)
    ],
    faces: KnownEmbeddings = None,
    model: KnownModel = None,
    device: Device = "auto",
    key: Key = None,
    dimension: Dimension = None,
    skip_bad: SkipBad = False,
    id_key: IdKey = None,
    as_json: Json = False,
) -> None:
    """Assign new faces to clusters found before; no cluster changes, and none is made.

    Writes labels.npy, clusters.parquet and run.json, all or none; and bad_rows.npy if rows are skipped.
    The label of a face that fits no cluster is -1.
    """
    from nsrfc.known import KnownFaces
    from nsrfc.storage.fingerprints import check_fingerprint
    from nsrfc.storage.locks import locked_output
    from nsrfc.storage.runs import BAD_ROWS, FILES, check_folder, check_id_key, write_run

    started = time.perf_counter()
    kept = (clusters / name for name in FILES)
    check_folder(output, (*FILES, BAD_ROWS), [embeddings, faces, *kept])
    check_id_key(id_key)
    progress = ConsoleProgress()
    with locked_output(output):
        new, described = read_faces(embeddings, key, dimension, id_key, skip_bad, progress)
        with progress.stage("clusters", 1) as advance:
            known = KnownFaces.load(clusters, faces=faces, model=model, device=device)
            advance(1)
        found = _placed(known, new, embeddings, skip_bad, progress)
        check_fingerprint(new.vectors, described["sha256"])
        record = {
            "command": "predict",
            "clusters": str(clusters),
            "method": dict(known.found.method),
            "input": described,
            **_ran(known, progress, started),
        }
        record = write_run(output, found, record, ids=new.ids, id_key=new.id_key)
    if as_json:
        print_json(record)
    else:
        _print_summary(output, record)


def _placed(
    known: KnownFaces, new: Embeddings, path: Path, skip_bad: bool, progress: Progress
) -> Clustering:
    """Assign new faces to the clusters, block by block; the confidence is that of the assignment."""
    import numpy as np

    from nsrfc.chunks import ROWS, chunks, read_rows
    from nsrfc.errors import InputError
    from nsrfc.records import BAD_ROW, Clustering
    from nsrfc.vectors import normalize_good

    n, dimension = new.vectors.shape
    if dimension != known.vectors.shape[1]:
        raise InputError(
            f"{path} holds embeddings of dimension {dimension}, but {known.vectors.shape[1]} is that of "
            f"the faces that were clustered: give embeddings of the same embedder."
        )
    with progress.stage("known faces", len(known.vectors)) as advance:
        placement = known.placement()
        advance(len(known.vectors))
    labels, probability = np.full(n, BAD_ROW, np.int64), np.zeros(n, np.float32)
    with progress.stage("new faces", n) as advance:
        for rows in chunks(n, ROWS):
            block, good = normalize_good(read_rows(new.vectors, rows), str(path), skip=skip_bad)
            if len(block):
                labels[rows][good], probability[rows][good] = placement.scored(block)
            advance(len(good))
    return Clustering(labels, probability)


def _ran(known: KnownFaces, progress: Progress, started: float) -> dict[str, Any]:
    """Describe what ran, and the resources it took."""
    from nsrfc.resources.machine import peak_memory
    from nsrfc.storage.runs import versions

    return {
        "versions": versions(torch="networks" in known.found.method),
        "seconds": progress.seconds | {"total": time.perf_counter() - started},
        "peak_bytes": peak_memory(),
    }


def _print_summary(output: Path, record: dict[str, Any]) -> None:
    result = record["result"]
    rows = [
        ("faces", f"{result['faces']:,}"),
        ("of known people", f"{result['faces'] - result['unclustered'] - result['bad_rows']:,}"),
        ("of nobody known (-1)", f"{result['unclustered']:,}"),
        ("people among them", f"{result['people']:,}"),
    ]
    if result["bad_rows"]:
        rows.append(("bad rows (-2)", f"{result['bad_rows']:,} rows"))
    rows.append(("time", seconds_text(record["seconds"]["total"])))
    print_table(f"New faces, in {output}", ("", ""), rows)
