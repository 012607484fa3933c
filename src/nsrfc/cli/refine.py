"""``nsrfc refine``: embeddings refined by the C-GCN of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import ConsoleProgress, print_json, print_table, seconds_text
from nsrfc.cli.options import (
    Cache,
    Device,
    Dimension,
    Dtype,
    DtypeOption,
    Embedder,
    EmbeddingsFile,
    IdKey,
    Json,
    Key,
    ModelName,
    Search,
    SearchOption,
    Seed,
    SkipBad,
    on_bad_rows,
)


def run(
    embeddings: EmbeddingsFile,
    model: ModelName,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File for the refined embeddings.", show_default=False),
    ],
    key: Key = None,
    dimension: Dimension = None,
    knn: Annotated[
        Path | None,
        typer.Option(help="Neighbour graph of these faces, if already computed.", show_default=False),
    ] = None,
    search: SearchOption = Search.AUTO,
    embedder: Embedder = "auto",
    device: Device = "auto",
    dtype: DtypeOption = Dtype.FLOAT32,
    cache: Cache = None,
    skip_bad: SkipBad = False,
    id_key: IdKey = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Refine embeddings by the neighbours of each face with a trained model.

    With --skip-bad, bad rows take no part and are NaN in the output.
    """
    from nsrfc.chunks import check_unchanged
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run
    from nsrfc.model.bundle import load_model
    from nsrfc.pipeline import refine_embeddings
    from nsrfc.storage.embeddings import SUFFIXES, read_embeddings, write_embeddings
    from nsrfc.storage.files import known_suffix
    from nsrfc.storage.locks import locked_files
    from nsrfc.storage.neighbors import read_neighbors
    from nsrfc.storage.outputs import check_outputs

    known_suffix(output, SUFFIXES, "embeddings")
    check_outputs([output], [embeddings, knn])
    config = ClusterConfig.of(
        search=search.value,
        seed=seed,
        embedder=embedder,
        on_bad_rows=on_bad_rows(skip_bad),
    )
    with locked_files([output]):
        loaded = load_model(model)
        faces = read_embeddings(
            embeddings, key=key, dimension=dimension, id_key=id_key, bad_rows=skip_bad
        )
        progress = ConsoleProgress()
        refined = refine_embeddings(
            faces.vectors,
            loaded,
            config,
            graph=None if knn is None else read_neighbors(knn),
            run=Run(device, dtype.value, cache, progress),
        )
        named = faces.ids if output.suffix.lower() in (".npz", ".parquet") else None
        check_unchanged(faces.vectors)
        write_embeddings(output, refined, ids=named, id_key=faces.id_key, bad_rows=skip_bad)
    record = {
        "output": str(output),
        "faces": len(refined),
        "dimension": refined.shape[1],
        "seconds": progress.seconds,
    }
    if as_json:
        print_json(record)
        return
    print_table(
        f"Refined embeddings, in {output}",
        ("", ""),
        [
            ("faces", f"{len(refined):,}"),
            ("dimension", str(refined.shape[1])),
            ("time", seconds_text(sum(progress.seconds.values()))),
        ],
    )
