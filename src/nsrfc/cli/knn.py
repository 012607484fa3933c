"""``nsrfc knn``: the nearest neighbours of every face."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsrfc.cli.console import ConsoleProgress, announce, print_json, print_table, seconds_text
from nsrfc.cli.options import (
    Device,
    Dimension,
    EmbeddingsFile,
    Json,
    Key,
    Layout,
    LayoutOption,
    Neighbors,
    Search,
    SearchOption,
    Seed,
    SkipBad,
)

if TYPE_CHECKING:
    from nsrfc.chunks import Vectors
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run
    from nsrfc.records import NeighborGraph


def run(
    embeddings: EmbeddingsFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the graph: .npz.", show_default=False)
    ],
    key: Key = None,
    dimension: Dimension = None,
    k: Neighbors = 80,
    search: SearchOption = Search.AUTO,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    seed: Seed = 0,
    layout: LayoutOption = Layout.NSRFC,
    as_json: Json = False,
) -> None:
    """Find the nearest neighbours of every face by cosine.

    With --skip-bad, bad rows have no neighbour. An interrupted search resumes when the same command is
    given again: until the graph is complete, lists are kept in a folder beside it.
    """
    from nsrfc.config import ClusterConfig
    from nsrfc.methods.base import Run
    from nsrfc.resources.clustering import plan_search
    from nsrfc.resources.machine import available_memory, check_disk
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.files import known_suffix
    from nsrfc.storage.locks import locked_files
    from nsrfc.storage.neighbors import write_neighbors
    from nsrfc.storage.outputs import check_outputs
    from nsrfc.storage.runs import UNFINISHED, remove_stages
    from nsrfc.vectors import usable_shape

    known_suffix(output, (".npz",), "neighbour graphs")
    check_outputs([output], [embeddings])
    config = ClusterConfig.of(k=k, search=search.value, seed=seed)
    with locked_files([output]):
        vectors = read_embeddings(embeddings, key=key, dimension=dimension, bad_rows=skip_bad).vectors
        n, d = usable_shape(vectors, embeddings, skip=skip_bad)
        planned = plan_search(n, d, config).within(available_memory())
        announce(planned)
        stages = output.with_name(output.name + UNFINISHED)
        check_disk(stages, planned.disk_bytes, "--output")
        progress = ConsoleProgress()
        how = Run(device, cache=stages, progress=progress, mapped=planned.mapped)
        graph = _found(vectors, config, how, stages, skip_bad)
        write_neighbors(output, graph, layout=layout.value)
        remove_stages(stages)
    record = {
        "output": str(output),
        "faces": graph.n,
        "k": graph.k,
        "method": planned.method,
        "seconds": progress.seconds,
    }
    if as_json:
        print_json(record)
        return
    print_table(
        f"Neighbour graph, in {output}",
        ("", ""),
        [
            ("faces", f"{graph.n:,}"),
            ("k", str(graph.k)),
            ("search", planned.method),
            ("time", seconds_text(sum(progress.seconds.values()))),
        ],
    )


def _found(
    vectors: Vectors, config: ClusterConfig, how: Run, stages: Path, skip_bad: bool
) -> NeighborGraph:
    """Search; lists that are found are kept in the folder ``stages``."""
    from functools import partial

    import numpy as np

    from nsrfc.chunks import check_unchanged
    from nsrfc.knn.build import build_neighbor_graph
    from nsrfc.knn.copies import among_all
    from nsrfc.storage.scratch import ScratchRows
    from nsrfc.vectors import normalize_good

    assert config.k is not None
    results = how.results
    with results.locked():
        empty = partial(ScratchRows(stages).array, "unit") if how.mapped else None
        unit, good = normalize_good(vectors, skip=skip_bad, empty=empty)
        made_of = {"of": results.fingerprint(unit), **config.model_dump(mode="json")}
        graph = build_neighbor_graph(
            unit,
            config.k,
            method=config.search,
            device=how.device,
            seed=config.seed,
            progress=how.progress,
            pieces=results.pieces("neighbours", results.key("knn", made_of)),
        )
        check_unchanged(vectors)
        return among_all(graph, np.flatnonzero(good), len(good))
