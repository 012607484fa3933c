"""``nsrfc rerank``: neighbours re-ranked by shared reciprocal neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import ConsoleProgress, announce, print_json, print_table, seconds_text
from nsrfc.cli.options import MOST_NEIGHBORS, GraphFile, Json, Layout, LayoutOption


def run(
    graph: GraphFile,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="File for the new graph: .npz.", show_default=False),
    ],
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            "-k",
            min=1,
            max=MOST_NEIGHBORS,
            help="Number of columns; all by default.",
            show_default=False,
        ),
    ] = None,
    layout: LayoutOption = Layout.NSRFC,
    as_json: Json = False,
) -> None:
    """Re-rank a neighbour graph by the overlap of reciprocal neighbours."""
    from nsrfc.graph.reranking import rerank
    from nsrfc.resources.clustering import plan_reranking
    from nsrfc.storage.files import known_suffix
    from nsrfc.storage.locks import locked_files
    from nsrfc.storage.neighbors import read_neighbors, write_neighbors
    from nsrfc.storage.outputs import check_outputs

    known_suffix(output, (".npz",), "neighbour graphs")
    check_outputs([output], [graph])
    with locked_files([output]):
        given = read_neighbors(graph)
        announce(plan_reranking(given.n, min(k or given.k, given.k)))
        progress = ConsoleProgress()
        ranked = rerank(given, k, progress=progress)
        write_neighbors(output, ranked, layout=layout.value)
    record = {
        "output": str(output),
        "faces": ranked.n,
        "k": ranked.k,
        "seconds": progress.seconds,
    }
    if as_json:
        print_json(record)
        return
    print_table(
        f"Re-ranked graph, in {output}",
        ("", ""),
        [
            ("faces", f"{ranked.n:,}"),
            ("k", str(ranked.k)),
            ("time", seconds_text(sum(progress.seconds.values()))),
        ],
    )
