"""``nsrfc distances``: neighbours scored by the pair network of a model."""

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
    Json,
    Key,
    Layout,
    LayoutOption,
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
        Path, typer.Option("--output", "-o", help="File for the graph: .npz.", show_default=False)
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
    layout: LayoutOption = Layout.NSRFC,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Score the neighbours of every face with a trained model.

    Writes a neighbour graph whose similarities are probabilities that pairs are genuine (one identity);
    in the reference's layout the distance is 1 - probability. With --skip-bad, bad rows have no
    neighbour.
    """
    from nsrfc.chunks import check_unchanged
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run
    from nsrfc.model.bundle import load_model
    from nsrfc.pipeline import pair_probabilities
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.files import known_suffix
    from nsrfc.storage.locks import locked_files
    from nsrfc.storage.neighbors import read_neighbors, write_neighbors
    from nsrfc.storage.outputs import check_outputs

    known_suffix(output, (".npz",), "neighbour graphs")
    check_outputs([output], [embeddings, knn])
    config = ClusterConfig.of(
        search=search.value,
        seed=seed,
        embedder=embedder,
        on_bad_rows=on_bad_rows(skip_bad),
    )
    with locked_files([output]):
        loaded = load_model(model)
        vectors = read_embeddings(embeddings, key=key, dimension=dimension, bad_rows=skip_bad).vectors
        progress = ConsoleProgress()
        graph = pair_probabilities(
            vectors,
            loaded,
            config,
            graph=None if knn is None else read_neighbors(knn),
            run=Run(device, dtype.value, cache, progress),
        )
        check_unchanged(vectors)
        write_neighbors(output, graph, layout=layout.value)
    record = {"output": str(output), "faces": graph.n, "k": graph.k, "seconds": progress.seconds}
    if as_json:
        print_json(record)
        return
    print_table(
        f"Scored neighbours, in {output}",
        ("", ""),
        [
            ("faces", f"{graph.n:,}"),
            ("k", str(graph.k)),
            ("time", seconds_text(sum(progress.seconds.values()))),
        ],
    )
