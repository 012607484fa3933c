"""Print what the words of a human bring to a library of generated faces.

    python -m benchmarks.people SECTION [--faces 5000] [--seed SEED] [--json FILE]

``questions``: pairwise F after so many answers, in the order of :meth:`Library.questions` and in a
random one. Answers come from the ground truth, which the library does not see. Five are asked at a time,
and the clusters follow them. About ten minutes on two cores.

``splits``: two clusters of different persons are merged, and :meth:`Library.suggest_split` is asked to
part them: the share of their faces that it puts on the right side, by the ground truth. Five minutes.
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

from nsrfc import Library
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

SIZES = (
    ((25, 999), (25, 999)),
    ((25, 999), (4, 8)),
    ((25, 999), (2, 3)),
    ((8, 20), (8, 20)),
    ((3, 6), (3, 6)),
)
"""Least and most faces of the two clusters that are merged."""

MERGED = 20
"""Pairs that are merged, at most."""

DIMENSION = 256

KINDS = ("between", False), ("inside", True)
"""Of questions, and whether they are inside a group."""


def main() -> None:
    """Run a section and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    sections = parser.add_subparsers(dest="section", required=True)
    for name, (run, told) in SECTIONS.items():
        section = sections.add_parser(name, help=told)
        section.add_argument("--faces", type=int, default=5_000)
        section.add_argument("--seed", type=int, default=11)
        section.add_argument("--json", type=Path, help="write everything here as well")
        section.set_defaults(run=run)
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


def libraries(n: int, seed: int) -> Iterator[tuple[str, str, Library, Labels]]:
    """Yield preset, model, library and identities of every set of faces, clustered by every model."""
    for preset in PRESETS:
        faces = generate(n, preset, dimension=DIMENSION, seed=seed)
        for name, model in MODELS.items():
            with tempfile.TemporaryDirectory() as folder:
                library = Library.create(Path(folder) / "start")
                library.add(faces.embeddings)
                library.cluster(model)
                yield preset, name, library, faces.identities


def curves(n: int, seed: int) -> Iterator[Record]:
    """Answer questions about every library, in either order."""
    for preset, model, library, identities in libraries(n, seed):
        for order in ORDERS:
            copy = library.folder.with_name(order)
            shutil.copytree(library.folder, copy)
            found = curve(Library.open(copy), identities, order)
            yield {"preset": preset, "model": model, "order": order, **found}


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


def batch(library: Library, order: str, rng: np.random.Generator) -> Sequence[Question]:
    """Return the next questions."""
    if order == "questions":
        return library.questions(BATCH)
    every = library.questions(library.store.n)
    return [every[place] for place in rng.permutation(len(every))[:BATCH]]


def split(arguments: argparse.Namespace) -> Record:
    """Share of faces on the right side: every library, and clusters of several sizes."""
    head = [
        "faces",
        "clusters by",
        "sizes",
        "pairs",
        "right, %",
        "pairs of 95 % and more, %",
        "worst, %",
    ]
    rows = []
    print(f"Two merged clusters told apart, {arguments.faces:,} faces:\n", flush=True)
    for preset, model, library, identities in libraries(arguments.faces, arguments.seed):
        for sizes in SIZES:
            right = np.array(list(told_apart(library, identities, *sizes)))
            if len(right):
                shares = [
                    f"{100 * share:.1f}" for share in (right.mean(), (right >= 0.95).mean(), right.min())
                ]
                named = " and ".join(f"{low}-{high}" for low, high in sizes)
                rows.append([preset, model, named, str(len(right)), *shares])
    print(table(head, rows, words=3))
    return {"rows": rows, "head": head, "faces": arguments.faces, "seed": arguments.seed}


def told_apart(
    library: Library, identities: Labels, one: tuple[int, int], other: tuple[int, int]
) -> Iterator[float]:
    """Merge clusters of some sizes, and yield the share of faces that the proposal puts right."""
    rng, groups = np.random.default_rng(0), library.groups()
    sizes = np.array([len(group.faces) for group in groups])
    who = [int(np.bincount(identities[group.faces]).argmax()) for group in groups]
    some = [np.flatnonzero((sizes >= low) & (sizes <= high)) for low, high in (one, other)]
    if not all(map(len, some)):
        return
    for _ in range(MERGED):
        a, b = (int(rng.choice(each)) for each in some)
        if who[a] == who[b]:
            continue
        act = library.merge(groups[a].id, groups[b].id)
        whole = next(each for each in library.groups() if groups[a].faces[0] in each.faces)
        proposed = np.isin(whole.faces, library.suggest_split(whole.id))
        shown = np.isin(identities[whole.faces], (who[a], who[b]))
        match = float((proposed == (identities[whole.faces] == who[b]))[shown].mean())
        library.undo(act)
        yield max(match, 1 - match)


SECTIONS = {
    "questions": (asked, "F after answers, by their order"),
    "splits": (split, "merged clusters told apart"),
}

if __name__ == "__main__":
    main()
