"""``nsrfc ms1m``: the published table of the MS-Celeb-1M benchmark, with a row for this run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsrfc.cli.console import (
    ConsoleProgress,
    announce,
    print_json,
    print_table,
    seconds_text,
)
from nsrfc.cli.options import NO_MODEL, Device, Dtype, DtypeOption, Json, MaxMemory
from nsrfc.cli.train import Preset, TrainingFile

if TYPE_CHECKING:
    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import ModelSettings
    from nsrfc.ms1m.files import Part
    from nsrfc.ms1m.protocol import Benchmark
    from nsrfc.training.config import TrainingConfig

RECORD, MODEL = "ms1m.json", "model"


DataFolder = Annotated[
    Path,
    typer.Argument(
        help="Folder with features, labels and, if already computed, knns.", show_default=False
    ),
]
Parts = Annotated[
    str | None,
    typer.Option(help="Test parts, such as 1,3; by default all in the folder.", show_default=False),
]
ModelOrTrained = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help=f"universal, folder of a trained model, or its id on the hub; {NO_MODEL}: rules "
        "without learned weights. By default a model is trained on part0.",
        show_default=False,
    ),
]


def run(
    data: DataFolder,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "ms1m"
    ),
    parts: Parts = None,
    model: ModelOrTrained = None,
    preset: Annotated[
        Preset, typer.Option(help="Preset of training; paper: the published networks and recipes.")
    ] = Preset.DEFAULT,
    config: TrainingFile = None,
    device: Device = "auto",
    dtype: DtypeOption = Dtype.FLOAT32,
    max_memory: MaxMemory = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse files that are not the published ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the MS-Celeb-1M benchmark and print its table.

    Checks the files, trains on part0, clusters the test parts, scores them, and prints F_P and F_B below
    the published ones. An interrupted run resumes when the same command is given again.
    """
    from nsrfc.errors import InputError
    from nsrfc.ms1m.files import TRAIN, read_part
    from nsrfc.ms1m.protocol import Benchmark, check_training_memory, learn, plan_part
    from nsrfc.resources.machine import parse_bytes
    from nsrfc.storage.locks import locked_output
    from nsrfc.storage.runs import check_folder, versions

    limit = None if max_memory is None else parse_bytes(max_memory)
    check_folder(output, [RECORD], [config])
    if model is not None and (preset, config) != (Preset.DEFAULT, None):
        raise InputError("--preset and --config are for training: leave them out with --model.")
    names = _chosen(data, parts, training=model is None)
    training = _training_config(preset, config) if model is None else None
    trained = None if model in (None, NO_MODEL) else _read_model(model)
    needed = names if training is None else [TRAIN, *names]
    with locked_output(output):
        progress = ConsoleProgress()
        checked = {name: read_part(data, name, progress) for name in needed}
        differences = _differences(checked, strict)
        if training is not None:
            check_training_memory(checked[TRAIN], training, limit)
        for name in names:
            plan_part(checked[name], _settings(training, trained), limit, output)
        if training is not None:
            part, folder = checked[TRAIN], output / MODEL
            trained = learn(part, training, folder, device=device, progress=ConsoleProgress())
        record: dict[str, Any] = {
            "data": str(data),
            "model": str(output / MODEL) if model is None else model,
            "published": _published(names),
            "parts": {},
            "versions": versions(),
        }
        benchmark = Benchmark(output, trained, device, dtype.value)
        for name in names:
            _add_part(record, benchmark, checked[name], limit, differences[name])
    if as_json:
        print_json(record)
    else:
        _print_table(record, output)


def _add_part(
    record: dict[str, Any],
    benchmark: Benchmark,
    part: Part,
    limit: int | None,
    difference: str | None,
) -> None:
    """Cluster a part, or take the result of an earlier run, score it, and write the record so far."""
    from nsrfc.metrics import evaluate
    from nsrfc.ms1m.protocol import plan_part
    from nsrfc.resources.machine import peak_memory
    from nsrfc.storage.runs import read_labels, write_json

    found = kept = benchmark.kept(part)
    if found is None:
        planned = plan_part(part, benchmark.settings, limit, benchmark.folder)
        announce(planned)
        found = benchmark.cluster(part, planned, ConsoleProgress())
    scores = evaluate(part.identities, read_labels(benchmark.folder / part.name))
    record["parts"][part.name] = {
        "faces": len(part.vectors),
        "people": part.n_identities,
        "difference": difference,
        "scores": scores.as_dict(),
        "seconds": found["seconds"],
        "resumed": found["resumed"],
    }
    record["peak_bytes"] = peak_memory()
    write_json(benchmark.folder / RECORD, record)
    since = " since it was interrupted" if found["resumed"] else ""
    typer.echo(
        f"{part.name}: F_P {100 * scores.pairwise.f:.2f}, F_B {100 * scores.bcubed.f:.2f}, "
        f"clustered {'before, ' if kept else ''}in {seconds_text(found['seconds']['total'])}{since}.",
        err=True,
    )


def _chosen(data: Path, parts: str | None, training: bool) -> list[str]:
    """Name the test parts to cluster."""
    from nsrfc.errors import InputError
    from nsrfc.ms1m.files import TESTS, TRAIN, parts_in

    there = parts_in(data)
    if training and TRAIN not in there:
        raise InputError(
            f"{data} has no {TRAIN} to train on: copy it there, give a trained model with --model, or "
            f"use none with --model none."
        )
    if parts is None:
        names = [name for name in TESTS if name in there]
        if not names:
            raise InputError(f"{data} has no test part, such as {TESTS[0]}: copy one there.")
        return names
    wanted = [f"part{number.strip()}_test" for number in parts.split(",")]
    if unknown := set(wanted) - set(TESTS):
        raise InputError(
            f"--parts {parts}: there is no {min(unknown)}; choose among 1, 3, 5, 7 and 9, such as 1,3."
        )
    return [name for name in TESTS if name in wanted]


def _training_config(preset: Preset, config: Path | None) -> TrainingConfig:
    from nsrfc.training.config import TrainingConfig

    return TrainingConfig.load(preset.value, config)


def _read_model(name: str) -> NSRFC:
    from nsrfc.model.bundle import load_model
    from nsrfc.ms1m.files import DIMENSION

    model = load_model(name)
    model.check_dimension(DIMENSION)
    return model


def _settings(training: TrainingConfig | None, trained: NSRFC | None) -> ModelSettings | None:
    """Return the settings of the model, or of the most expensive one that training may result in."""
    from nsrfc.ms1m.protocol import most_settings

    if training is not None:
        return most_settings(training)
    return None if trained is None else trained.settings


def _differences(parts: dict[str, Part], strict: bool) -> dict[str, str | None]:
    """Report on stderr, or refuse, files that differ from the published ones."""
    from nsrfc.errors import InputError
    from nsrfc.ms1m.files import PUBLISHED

    found = {name: part.difference(PUBLISHED[name]) for name, part in parts.items()}
    for difference in found.values():
        if difference is not None:
            if strict:
                raise InputError(f"{difference} Download it anew, or leave out --strict.")
            typer.echo(difference, err=True)
    return found


def _published(names: list[str]) -> list[dict[str, Any]]:
    """Return the published rows, for the parts clustered here."""
    from nsrfc.ms1m.published import ROWS

    return [
        {
            "method": row.method,
            "source": row.source,
            "scores": {name: row.scores[name] for name in names},
        }
        for row in ROWS
    ]


def _print_table(record: dict[str, Any], output: Path) -> None:
    parts = record["parts"]
    rows = [
        ("faces", *(f"{part['faces']:,}" for part in parts.values())),
        ("identities", *(f"{part['people']:,}" for part in parts.values())),
        ("files", *("other" if part["difference"] else "published" for part in parts.values())),
    ]
    rows += [
        (row["method"], *(_cell(*row["scores"][name]) for name in parts)) for row in record["published"]
    ]
    ours = [part["scores"] for part in parts.values()]
    rows.append(("nsrfc", *(_cell(100 * of["pairwise"]["f"], 100 * of["bcubed"]["f"]) for of in ours)))
    print_table("F_P/F_B in %; the last row is this run", ("", *parts), rows)
    model = record["model"]
    if any(part["difference"] for part in parts.values()):
        typer.echo("Scores on files that are not the published ones cannot be compared with the table.")
    typer.echo(
        f"nsrfc {'without a model' if model == NO_MODEL else f'with the model {model}'}. "
        f"Labels: {output}, one folder per part. Table with sources: {output / RECORD}."
    )


def _cell(pairwise: float | None, bcubed: float | None) -> str:
    """Format two scores as in the published tables."""
    if pairwise is None:
        return "-"
    return f"{pairwise:.2f}/{'-' if bcubed is None else f'{bcubed:.2f}'}"
