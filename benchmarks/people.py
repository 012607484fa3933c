"""Print what the words of a human bring to a library of generated faces.

    python -m benchmarks.people questions [--faces 5000] [--seed SEED] [--json FILE]

``questions``: pairwise F after so many answers, in the order of :meth:`Library.questions` and in a
random one. Answers come from the ground truth, which the library does not see. Five are asked at a time,
and the clusters follow them. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.library.library import Library
from nsrfc.library.questions import Question
from nsrfc.metrics import pairwise
from nsrfc.storage.runs import write_json
from nsrfc.synthetic import generate

from .tables import table

Record = dict[str, Any]
Labels = npt.NDArray[np.int64]

PRESETS = "wild", "ms1m"
MODELS = {"rules": None, "universal": "universal"}
ORDERS = "questions", "random"

ASKED = 0, 5, 10, 20, 50, 100, 200
"""Numbers of answers after which F is shown."""

BATCH = 5
"""Questions that are asked at a time."""

DIMENSION = 256


def main() -> None:
    """Run a section and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    sections = parser.add_subparsers(dest="section", required=True)
    questions = sections.add_parser("questions", help="F after answers, by their order")
    questions.add_argument("--faces", type=int, default=5_000)
    questions.add_argument("--seed", type=int, default=11)
    questions.add_argument("--json", type=Path, help="write everything here as well")
    questions.set_defaults(run=asked)
    arguments = parser.parse_args()
    record = arguments.run(arguments)
    if arguments.json is not None:
        write_json(arguments.json, record)


def asked(arguments: argparse.Namespace) -> Record:
    """F after answers: every preset, model and order."""
    head = ["faces", "clusters by", "order", *map(str, ASKED), "yes / no between", "yes / no inside"]
    rows = []
    print(f"Pairwise F in % after so many answers, {arguments.faces:,} faces:\n", flush=True)
    for entry in curves(arguments.faces, arguments.seed):
        figures = [f"{100 * score:.2f}" for score in entry["pairwise_f"]]
        told = [f"{entry[kind]['yes']} / {entry[kind]['no']}" for kind in ("between", "inside")]
        rows.append([entry["preset"], entry["model"], entry["order"], *figures, *told])
    print(table(head, rows, words=3))
    return {"rows": rows, "head": head, "faces": arguments.faces, "seed": arguments.seed}


def curves(n: int, seed: int) -> Iterator[Record]:
    """Answer questions about every set of faces, clustered by every model, in either order."""
    for preset in PRESETS:
        faces = generate(n, preset, dimension=DIMENSION, seed=seed)
        for name, model in MODELS.items():
            with tempfile.TemporaryDirectory() as folder:
                library = Library.create(Path(folder) / "start")
                library.add(faces.embeddings)
                library.cluster(model)
                for order in ORDERS:
                    copy = Path(folder) / order
                    shutil.copytree(library.folder, copy)
                    found = curve(Library.open(copy), faces.identities, order)
                    yield {"preset": preset, "model": name, "order": order, **found}


def curve(library: Library, identities: Labels, order: str) -> Record:
    """Answer questions by the ground truth; F at each of `ASKED`, and what was answered."""
    rng, scores, count = np.random.default_rng(0), [], 0
    told: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    while True:
        if count in ASKED:
            scores.append(pairwise(identities, library.clusters).f)
        chosen = batch(library, order, rng) if count < ASKED[-1] else []
        if not chosen:
            break
        for question in chosen:
            word = "yes" if identities[question.a] == identities[question.b] else "no"
            library.answer(question.a, question.b, "yes" if word == "yes" else "no")
            told[question.groups[0] == question.groups[1]][word] += 1
        count += len(chosen)
    if len(scores) < len(ASKED):
        # There is nothing left to ask.
        scores += [pairwise(identities, library.clusters).f] * (len(ASKED) - len(scores))
    counts = {kind: {word: told[inside][word] for word in ("yes", "no")} for kind, inside in KINDS}
    return {"pairwise_f": scores, **counts}


KINDS = ("between", False), ("inside", True)


def batch(library: Library, order: str, rng: np.random.Generator) -> Sequence[Question]:
    """Return the next questions."""
    if order == "questions":
        return library.questions(BATCH)
    every = library.questions(library.store.n)
    return [every[place] for place in rng.permutation(len(every))[:BATCH]]


if __name__ == "__main__":
    main()
