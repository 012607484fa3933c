"""Arguments and options of several commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = [
    "MOST_DIMENSION",
    "MOST_FACES",
    "MOST_NEIGHBORS",
    "MOST_SEED",
    "NO_MODEL",
    "Cache",
    "Device",
    "Dimension",
    "Dtype",
    "DtypeOption",
    "Embedder",
    "EmbeddingsFile",
    "GraphFile",
    "IdKey",
    "Json",
    "Key",
    "Layout",
    "LayoutOption",
    "MaxMemory",
    "ModelName",
    "ModelOrNone",
    "Neighbors",
    "NeighborsOfRules",
    "Search",
    "SearchOption",
    "Seed",
    "SkipBad",
    "on_bad_rows",
]

MOST_FACES, MOST_DIMENSION, MOST_NEIGHBORS, MOST_SEED = 2**31 - 1, 65_536, 65_536, 2**63 - 1
"""As in :mod:`nsrfc.config`, which is not imported here: ``--help`` shall be fast."""


class Search(StrEnum):
    """How neighbours are found."""

    AUTO = "auto"
    EXACT = "exact"
    APPROXIMATE = "approximate"


class Layout(StrEnum):
    """How a neighbour graph is written."""

    NSRFC = "nsrfc"
    REFERENCE = "reference"


class Dtype(StrEnum):
    """Floating-point precision of the networks."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


EmbeddingsFile = Annotated[
    Path,
    typer.Argument(
        help="Embeddings: .npy, .npz, .parquet, .csv, .jsonl, .arrow, .safetensors, .pt, .bin, or a "
        "folder of such files.",
        show_default=False,
    ),
]
GraphFile = Annotated[Path, typer.Argument(help="Neighbour graph: .npz.", show_default=False)]
Key = Annotated[
    str | None,
    typer.Option(help="Array or column to read, where there are several.", show_default=False),
]
Dimension = Annotated[
    int | None,
    typer.Option(
        min=1, max=MOST_DIMENSION, help="Embedding dimension; needed for .bin.", show_default=False
    ),
]
IdKey = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="Array or column that names the faces in the output: 'id' by default.",
        show_default=False,
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out rows that are missing, zero, NaN or infinite: label -2."),
]
Neighbors = Annotated[
    int,
    typer.Option(
        "--k", "-k", min=1, max=MOST_NEIGHBORS, help="Neighbours per face, the face itself included."
    ),
]
SearchOption = Annotated[Search, typer.Option("--search", help="auto is exact up to 100,000 faces.")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of everything random.")]
LayoutOption = Annotated[
    Layout, typer.Option("--layout", help="reference: 'data' (n, 2, k), ids and 1 - cosine.")
]
ModelName = Annotated[
    str,
    typer.Option("--model", "-m", help="Folder of a model, or its id on the hub.", show_default=False),
]
NO_MODEL = "none"
"""Value of --model for the rules without learned weights."""

ModelOrNone = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="universal: for every embedder; or folder of a trained model, or its id on the hub; "
        f"{NO_MODEL}: rules without learned weights, faster.",
    ),
]
NeighborsOfRules = Annotated[
    int | None,
    typer.Option(
        "--k",
        "-k",
        min=1,
        max=MOST_NEIGHBORS,
        help=f"Neighbours per face, the face itself included, with --model {NO_MODEL}: 80 by default.",
        show_default=False,
    ),
]
Embedder = Annotated[
    str,
    typer.Option(
        help="Embedder card: name (dlib, ...) or file; auto: the one that the faces clearly fit; none."
    ),
]
Device = Annotated[str, typer.Option(help="Where networks and an exact search run: auto, cpu or cuda.")]
DtypeOption = Annotated[Dtype, typer.Option("--dtype", help="bfloat16: faster on GPUs, less precise.")]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the results of stages, for later runs on these faces.",
        show_default=False,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        help="Memory that may be taken, such as 8GiB; a run that needs more is refused.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def on_bad_rows(skip: bool) -> Literal["error", "skip"]:
    """Return the setting that ``--skip-bad`` stands for."""
    return "skip" if skip else "error"
