"""``nsrfc embedder-card``: what is to be known of an embedder, measured on unlabelled faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import print_json, print_table
from nsrfc.cli.options import Dimension, EmbeddingsFile, Json, Key, SkipBad


def run(
    embeddings: EmbeddingsFile,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File for the card: .yaml.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the embedder; that of the file by default.")
    ] = None,
    key: Key = None,
    dimension: Dimension = None,
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Measure an embedder on unlabelled faces of many people.

    Give the embeddings as the embedder returns them, not normalised. The card is for --embedder: what it
    says helps where faces are few.
    """
    from nsrfc.chunks import check_unchanged
    from nsrfc.embedders.card import SUFFIXES
    from nsrfc.embedders.geometry import Geometry, measured_card
    from nsrfc.knn.copies import distinct_faces
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.files import known_suffix
    from nsrfc.storage.locks import locked_files
    from nsrfc.storage.outputs import check_outputs

    known_suffix(output, SUFFIXES, "embedder cards")
    check_outputs([output], [embeddings])
    with locked_files([output]):
        vectors = read_embeddings(embeddings, key=key, dimension=dimension, bad_rows=skip_bad).vectors
        geometry = Geometry.of(vectors, distinct_faces(vectors, skip=skip_bad))
        card = measured_card(geometry, name or output.stem, "Measured by nsrfc embedder-card.")
        check_unchanged(vectors)
        card.write(output)
    if as_json:
        print_json({"output": str(output), **card.model_dump(mode="json", exclude_defaults=True)})
        return
    assert card.impostor_mean is not None
    assert card.impostor_deviation is not None
    rows = [
        ("faces measured", f"{card.faces:,}"),
        ("dimension", str(card.dimension)),
        ("length", "1, normalised" if card.norm is None else f"{card.norm.mean:.4g}"),
        ("cosine of impostor pairs", f"{card.impostor_mean.value:.3f}"),
        ("their deviation", f"{card.impostor_deviation.value:.3f}"),
        ("length of the mean", f"{card.mean_length:.3f}"),
        ("effective dimension", f"{card.effective_dimension:.1f}"),
    ]
    print_table(f"Card of {card.name}, in {output}", ("", ""), rows)
