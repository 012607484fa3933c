"""``nsrfc demo``: clustering of generated faces, compared with well-known methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsrfc.cli.console import ConsoleProgress, announce, print_json, print_table, seconds_text
from nsrfc.cli.options import MOST_FACES, Json, Seed

if TYPE_CHECKING:
    from nsrfc.report.comparison import Result

MIN_FACES = 50
TABLE, PICTURE = "demo.json", "demo.png"


def run(
    faces: Annotated[
        int, typer.Option("--faces", "-n", min=MIN_FACES, max=MOST_FACES, help="How many faces.")
    ] = 20_000,
    preset: Annotated[
        str, typer.Option(help="Kind of faces: wild, lfw, lowres, ms1m or msceleb.")
    ] = "wild",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the picture and the table.")
    ] = Path("demo"),
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Generate faces, cluster them, and compare with well-known methods."""
    from nsrfc.model.bundle import load_model
    from nsrfc.model.settings import UNIVERSAL
    from nsrfc.report.comparison import compare
    from nsrfc.report.picture import draw, require_matplotlib
    from nsrfc.resources.clustering import plan
    from nsrfc.storage.locks import locked_output
    from nsrfc.storage.outputs import atomic_path
    from nsrfc.storage.runs import check_folder, versions, write_json
    from nsrfc.synthetic import generate

    require_matplotlib()
    check_folder(output, (TABLE, PICTURE))
    with locked_output(output):
        made = generate(faces, preset, seed=seed)
        X, identities = made.embeddings, made.identities
        announce(plan(*X.shape, model=load_model(UNIVERSAL).settings))
        progress = ConsoleProgress()
        results = compare(X, identities, seed=seed, progress=progress)
        with (
            progress.stage("picture", 1) as advance,
            atomic_path(output / PICTURE) as temporary,
        ):
            draw(temporary, X, identities, results)
            advance(1)
        people = int(identities.max()) + 1
        record = {
            "faces": faces,
            "people": people,
            "preset": preset,
            "seed": seed,
            "versions": versions(),
            "seconds": progress.seconds,
            "results": [result.as_dict() for result in results],
            "picture": str(output / PICTURE),
        }
        write_json(output / TABLE, record)
    if as_json:
        print_json(record)
    else:
        _print_results(output, people, results)


def _print_results(output: Path, people: int, results: list[Result]) -> None:
    faces = results[0].scores.n_faces
    print_table(
        f"{faces:,} generated faces of {people:,} identities (scores in %)",
        ("", "precision", "recall", "F_P", "F_B", "clusters", "time", "setting"),
        [
            (
                result.method,
                *(f"{100 * value:.1f}" for value in result.scores.pairwise),
                f"{100 * result.scores.bcubed.f:.1f}",
                f"{result.scores.n_clusters:,}",
                seconds_text(result.seconds),
                result.setting,
            )
            for result in results
        ],
    )
    typer.echo(
        "nsrfc used its defaults and saw no label. For the other methods the best setting was chosen\n"
        "with the labels: for k-means the true number of identities, for the rest the setting of\n"
        "highest F_P (pairwise F; F_B is BCubed F).\n"
        f"Picture: {output / PICTURE}. Table: {output / TABLE}."
    )
