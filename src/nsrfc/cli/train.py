"""``nsrfc train``: from labelled faces to a model."""

from __future__ import annotations

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import ConsoleProgress, announce, print_json, print_table, seconds_text
from nsrfc.cli.options import (
    MOST_SEED,
    Dimension,
    EmbeddingsFile,
    Json,
    Key,
    MaxMemory,
    SkipBad,
    on_bad_rows,
)

if TYPE_CHECKING:
    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import NetworkName


class Preset(StrEnum):
    """Settings to start from."""

    DEFAULT = "default"
    PAPER = "paper"


class Network(StrEnum):
    """The four networks, in the order of training."""

    CGCN = "cgcn"
    PAIRS = "pairs"
    LCENET = "lcenet"
    PCENET = "pcenet"


TrainingFile = Annotated[
    Path | None,
    typer.Option(help="YAML file with training settings that override the preset.", show_default=False),
]
Only = Annotated[
    Network | None,
    typer.Option(
        help="Train only this network; those before it are taken from the model in the output folder.",
        show_default=False,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(help="Model to start from: universal, a folder, or id on the hub.", show_default=False),
]


def run(
    embeddings: EmbeddingsFile,
    identities: Annotated[
        Path,
        typer.Argument(help="Identity of each face: .npy, .npz, .parquet or .meta.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the model.", show_default=False)
    ],
    key: Key = None,
    dimension: Dimension = None,
    preset: Annotated[
        Preset, typer.Option(help="paper: the published networks and recipes.")
    ] = Preset.DEFAULT,
    config: TrainingFile = None,
    only: Only = None,
    skip_bad: SkipBad = False,
    start: Start = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MOST_SEED,
            help="Seed; overrides that of the preset or file.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    max_memory: MaxMemory = None,
    as_json: Json = False,
) -> None:
    """Train a model on labelled faces; those of unknown identity (-1, empty or null) are left out.

    Writes the model with its record and learning curves. An interrupted training resumes when the same
    command is given again.
    """
    from nsrfc.identities import is_known
    from nsrfc.model.bundle import load_model
    from nsrfc.resources.machine import parse_bytes, peak_memory
    from nsrfc.resources.training import check_training_plan, plan_training
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.identities import read_identities
    from nsrfc.training.api import train
    from nsrfc.training.config import TrainingConfig
    from nsrfc.training.result import started_from

    started = time.perf_counter()
    limit = None if max_memory is None else parse_bytes(max_memory)
    settings = TrainingConfig.load(preset.value, config, {} if seed is None else {"seed": seed})
    name: NetworkName | None = None if only is None else only.value
    first = None if start is None else load_model(start)
    progress = ConsoleProgress()
    faces = read_embeddings(embeddings, key=key, dimension=dimension, bad_rows=skip_bad)
    n, d = faces.vectors.shape
    named = read_identities(identities, n=n)
    learned = settings if first is None else started_from(settings, first)
    planned = plan_training(max(1, int(is_known(named).sum())), d, learned, name)
    announce(planned)
    check_training_plan(planned, learned, limit, name)
    model = train(
        faces.vectors,
        named,
        settings,
        output,
        progress,
        only=name,
        start=first,
        device=device,
        on_bad_rows=on_bad_rows(skip_bad),
    )
    seconds = time.perf_counter() - started
    if as_json and _first():
        taken = {
            "plan": planned.as_dict(),
            "seconds": progress.seconds | {"total": seconds},
            "peak_bytes": peak_memory(),
        }
        print_json(_record(output, model) | taken)
    elif _first():
        _print_summary(output, model, seconds)


def _first() -> bool:
    """Whether this process writes: of those that torchrun started, the first."""
    return os.environ.get("RANK", "0") == "0"


def _record(output: Path, model: NSRFC) -> dict[str, Any]:
    return {
        "output": str(output),
        "settings": model.settings.model_dump(mode="json"),
        "data": model.data,
        "validation": model.metrics,
    }


def _print_summary(output: Path, model: NSRFC, seconds: float) -> None:
    left_out = {str(step) for step, used in model.settings.used.items() if not used}
    rows = [
        (step, f"{quality:.2%}", "left out" if step in left_out else "")
        for step, quality in model.metrics.items()
    ]
    rows.append(("time", seconds_text(seconds), ""))
    print_table(f"Model in {output}: F on validation identities after each step", ("", "", ""), rows)
