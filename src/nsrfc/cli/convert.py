"""``nsrfc convert``: from weights of the published code to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nsrfc.cli.console import print_json, print_table
from nsrfc.cli.options import MOST_DIMENSION, Json


def run(
    weights: Annotated[
        list[Path],
        typer.Argument(
            help="Published weights: LCENet_*.pth, PCENet_*.pth, triple_*.pth, checkpoint_*.tar.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the model.", show_default=False)
    ],
    heads: Annotated[
        int, typer.Option(min=1, max=MOST_DIMENSION, help="Attention heads of the networks.")
    ] = 8,
    as_json: Json = False,
) -> None:
    """Turn weights of the published code into a model.

    No code in the files is run. The network in a file is recognised by its content.
    """
    from nsrfc.model.bundle import FILES
    from nsrfc.model.published import read_published
    from nsrfc.storage.locks import locked_output
    from nsrfc.storage.runs import check_folder

    check_folder(output, FILES, weights)
    with locked_output(output):
        model = read_published(weights, heads)
        model.save_pretrained(output)
    settings = model.settings
    if as_json:
        print_json({"output": str(output), "settings": settings.model_dump(mode="json")})
        return
    print_table(
        f"Model, in {output}",
        ("", ""),
        [
            ("networks", ", ".join(settings.networks)),
            ("dimension", str(settings.dimension)),
            ("k", str(settings.k)),
        ],
    )
