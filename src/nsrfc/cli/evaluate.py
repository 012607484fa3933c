"""``nsrfc evaluate``: how well labels agree with known identities, and the worst errors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsrfc.cli.console import print_json, print_table
from nsrfc.cli.options import MOST_FACES, Json
from nsrfc.errors import shortened

if TYPE_CHECKING:
    from nsrfc.metrics import Scores
    from nsrfc.report.errors import Merge, Split

LETTERS = 20
"""Of a name, so that a row fits a terminal."""


def run(
    labels: Annotated[
        Path,
        typer.Argument(help="Folder written by nsrfc cluster, or a file of labels.", show_default=False),
    ],
    identities: Annotated[
        Path,
        typer.Argument(help="Identities: .npy, .npz, .parquet or .meta.", show_default=False),
    ],
    key: Annotated[
        str | None,
        typer.Option(help="Array (.npz) or column (.parquet) of identities.", show_default=False),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, max=MOST_FACES, help="Number of the worst errors to show.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """Score labels against known identities, and show the worst errors.

    Faces of unknown identity (-1, empty or null) count in no score. Faces with the label -1 or -2 count
    as alone in their cluster.
    """
    from nsrfc.metrics import evaluate
    from nsrfc.report.errors import worst_merges, worst_splits
    from nsrfc.storage.identities import read_names
    from nsrfc.storage.runs import read_labels

    found = read_labels(labels)
    true = read_names(identities, key=key, n=len(found))
    scores = evaluate(true, found)
    merges, splits = worst_merges(true, found, top), worst_splits(true, found, top)
    if as_json:
        print_json(
            {
                **scores.as_dict(),
                "worst_merges": [asdict(merge) for merge in merges],
                "worst_splits": [asdict(split) for split in splits],
            }
        )
        return
    _print_scores(scores)
    _print_merges(merges)
    _print_splits(splits)


def _print_scores(scores: Scores) -> None:
    print_table(
        "Agreement, %",
        ("", "precision", "recall", "F"),
        [
            (name, *(f"{100 * value:.2f}" for value in score))
            for name, score in (("pairwise", scores.pairwise), ("BCubed", scores.bcubed))
        ]
        + [("NMI", "", "", f"{100 * scores.nmi:.2f}"), ("ARI", "", "", f"{100 * scores.ari:.2f}")],
    )
    rows = [
        ("faces", "", f"{scores.n_faces:,}"),
        ("clusters, identities", f"{scores.n_clusters:,}", f"{scores.n_identities:,}"),
        (
            "singletons, % of faces",
            f"{100 * scores.singleton_share:.1f}",
            f"{100 * scores.identity_singleton_share:.1f}",
        ),
        ("unclustered faces", f"{scores.n_unclustered:,}", ""),
    ]
    if scores.n_bad_rows:
        rows.append(("bad rows (-2), scored as alone", f"{scores.n_bad_rows:,}", ""))
    if scores.n_unknown:
        rows.append(("faces of unknown identity, not scored", "", f"{scores.n_unknown:,}"))
    print_table("Counts", ("", "found", "true"), rows)


def _print_merges(merges: list[Merge]) -> None:
    if merges:
        print_table(
            "Worst merges: several identities in one cluster",
            ("cluster", "faces", "identities", "largest two (faces)", "wrong pairs"),
            [
                (
                    str(m.cluster),
                    f"{m.size:,}",
                    f"{m.n_identities:,}",
                    f"{shortened(m.first_identity, LETTERS)} ({m.first_count:,}), "
                    f"{shortened(m.second_identity, LETTERS)} ({m.second_count:,})",
                    f"{m.wrong_pairs:,}",
                )
                for m in merges
            ],
        )


def _print_splits(splits: list[Split]) -> None:
    if splits:
        print_table(
            "Worst splits: one identity in several clusters",
            ("identity", "faces", "clusters", "largest piece", "lost pairs"),
            [
                (
                    shortened(s.identity, LETTERS),
                    f"{s.size:,}",
                    f"{s.n_clusters:,}",
                    f"{s.largest_piece:,}",
                    f"{s.lost_pairs:,}",
                )
                for s in splits
            ],
        )
