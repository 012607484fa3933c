"""The table of the paper on generated faces about as hard as MS-Celeb-1M: ours, and what else is used.

    python -m benchmarks.msceleb FOLDER [--parts 1 3] [--methods rules Infomap ...] [--scale 0.01]
    python -m benchmarks.msceleb FOLDER --print >table.md

Files of the published sizes are generated in the published layout, each part with a seed of its own, and
the 80 nearest neighbours of a part are searched once, for all methods: their seconds are without the
search, which is in a table of its own. Its last column is what a method would score that follows just
the listed pairs of one identity. Every step is a process of its own and leaves a file in FOLDER/results;
the same command goes on after an interruption, and ``--print`` prints what is there. To do a step anew,
remove its file and, of rules or a model, the folder of the part in FOLDER/METHOD. What it says while it
runs is in FOLDER/logs.

``trained`` learns from part0, of other identities; so does ``paper``, with the published networks, which
takes weeks without a GPU and is only run if it is named. DBSCAN is the connected components at a cosine
of 0.75, Infomap has its published setting; k-means, on lists, is told the number of identities. HDBSCAN
is left out where it would take too much memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, sample_faces
from nsrfc.errors import InputError
from nsrfc.graph.components import connected_components
from nsrfc.knn.exact import exact_lists
from nsrfc.metrics import evaluate
from nsrfc.ms1m.files import DIMENSION, NEIGHBORS, PUBLISHED, TESTS, TRAIN, Files
from nsrfc.ms1m.published import ROWS
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.research import baselines
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.identities import read_identities
from nsrfc.storage.neighbors import read_neighbors
from nsrfc.storage.runs import LABELS, read_labels, read_run, versions, write_json
from nsrfc.synthetic import PRESETS
from nsrfc.vectors import normalize

from .list_kmeans import kmeans
from .measure import process
from .tables import table

__all__ = ["main", "markdown"]

Labels = npt.NDArray[np.int64]
Record = dict[str, Any]

PRESET = "msceleb"

MODELS = {"rules": "none", "shipped": "universal", "trained": "default", "paper": "paper"}
"""Ours: what ``--model`` of nsrfc takes, or the preset of training."""

LEARNED = "trained", "paper"


def _means(files: Files) -> Labels:
    X = normalize(read_embeddings(files.features, dimension=DIMENSION).vectors)
    return kmeans(X, read_neighbors(files.knn), len(np.unique(read_identities(files.labels))))


def _on_lists(cluster: Callable[[NeighborGraph], Labels]) -> Callable[[Files], Labels]:
    return lambda files: cluster(read_neighbors(files.knn))


PEERS: dict[str, Callable[[Files], Labels]] = {
    "K-Means": _means,
    "DBSCAN": _on_lists(lambda graph: listed(graph.ids, lambda part: graph.similarities[part] >= 0.75)),
    "HDBSCAN": _on_lists(lambda graph: baselines.hdbscan(graph, 5)),
    "Infomap": _on_lists(lambda graph: baselines.infomap(graph.first(50), 0.58)),
}

MOST_FACES = {"HDBSCAN": 2_000_000}
"""Above them a method is left out: HDBSCAN takes 6 KB a face."""

METHODS = *PEERS, *MODELS

SHOWN = *PEERS, "NSR-FC", "FC-ESER"
"""Published rows that are printed."""

TARGETS = {
    "shipped": {"part1_test": 94.2, "part3_test": 91.0, "part9_test": 86.4},
    "trained": {"part1_test": 95.3, "part3_test": 93.8, "part9_test": 89.4},
}
"""F_P to be reached, in percent."""

LISTS, SAMPLE = "lists", 1_000

FEWER_PAIRS = 2**19
"""Lists whose pairs are followed at a time."""


def main() -> None:
    """Do what is missing, then print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.msceleb",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    tenths = [int(name[4]) for name in TESTS]
    parser.add_argument("folder", type=Path, help="for faces and results")
    parser.add_argument("--preset", default=PRESET, choices=sorted(PRESETS), help="of the faces")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the parts, 1 as published")
    parser.add_argument("--parts", type=int, nargs="+", choices=tenths, default=tenths)
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=[one for one in METHODS if one != "paper"]
    )
    parser.add_argument("--print", action="store_true", help="run nothing")
    parser.add_argument("--peer", nargs=2, metavar=("PART", "METHOD"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peer:
        _run_peer(given.folder, *given.peer)
        return
    if not given.print:
        try:
            twin = Twin(given.folder, given.preset, given.scale)
            for part in given.parts:
                twin.run(f"part{part}_test", given.methods)
        except InputError as error:
            parser.error(str(error))
    print(markdown(given.folder))


class Twin:
    """Generated faces in a folder, and what is done with them.

    Parameters
    ----------
    folder : Path
    preset : str
    scale : float

    Raises
    ------
    InputError
        If the folder holds other faces.
    """

    def __init__(self, folder: Path, preset: str, scale: float) -> None:
        made_of = {"preset": preset, "scale": scale, "distribution": asdict(PRESETS[preset])}
        file = folder / "faces.json"
        if file.exists() and json.loads(file.read_text(encoding="utf-8")) != made_of:
            raise InputError(f"{folder} holds faces of another preset or scale: name another folder.")
        for name in ("results", "logs", "features", "labels"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_json(file, made_of)
        self.folder, self.preset, self.scale = folder, preset, scale

    def run(self, part: str, methods: list[str]) -> None:
        """Run some methods on a part, after what they need."""
        files = self._faces(part)
        self._step(part, LISTS, self._knn(files), lambda: recall(files))
        identities = read_identities(files.labels)
        for method in methods:
            if len(identities) > MOST_FACES.get(method, np.inf):
                continue
            output = self.folder / method / part
            if method in PEERS:
                words = ["-m", "benchmarks.msceleb", str(self.folder), "--peer", part, method]
            else:
                model = self._model(method)
                words = [*_NSRFC, "ms1m", str(self.folder), "--parts", part[4], "--model", model]
                words += ["-o", str(output.parent)]
            self._step(part, method, words, lambda: scored(identities, output))  # noqa: B023

    def _faces(self, part: str) -> Files:
        files = Files.of(self.folder, part)
        n = round(PUBLISHED[part].faces * self.scale)
        words = [*_NSRFC, "generate", "--preset", self.preset, "-n", str(n), "--seed", part[4]]
        words += ["-o", str(files.features), "--identities", str(files.labels)]
        self._step(
            part, "faces", words, lambda: {"people": len(np.unique(read_identities(files.labels)))}
        )
        return files

    def _knn(self, files: Files) -> list[str]:
        files.knn.parent.mkdir(parents=True, exist_ok=True)
        words = [*_NSRFC, "knn", str(files.features), "--dimension", str(DIMENSION)]
        return [*words, "--layout", "reference", "-o", str(files.knn)]

    def _model(self, method: str) -> str:
        """Return the model of a method, training it first."""
        if method not in LEARNED:
            return MODELS[method]
        files, model = self._faces(TRAIN), str(self.folder / f"model-{method}")
        words = [*_NSRFC, "train", str(files.features), str(files.labels)]
        words += ["--dimension", str(DIMENSION), "--preset", MODELS[method], "-o", model]
        self._step(TRAIN, method, words, dict)
        return model

    def _step(self, part: str, name: str, words: list[str], about: Callable[[], Record]) -> None:
        """Run a command, unless its result is there, and write what it took and ``about`` it.

        A command that was begun before is marked: it goes on, and its seconds are those of the rest.
        """
        file = self.folder / "results" / f"{part}.{name}.json"
        if file.exists():
            return
        log = self.folder / "logs" / f"{part}.{name}.txt"
        begun = log.exists()
        print(f"{part}: {name}", file=sys.stderr, flush=True)
        with log.open("a", encoding="utf-8") as said:
            try:
                taken = asdict(process([sys.executable, *words], said=said))
            except subprocess.CalledProcessError as error:
                # Killed for lack of memory, as a rule; others go on.
                print(f"{part}: {name} failed with {error.returncode}, see {log}", file=sys.stderr)
                write_json(file, {"failed": error.returncode, "versions": versions()})
                return
        faces = round(PUBLISHED[part].faces * self.scale)
        write_json(file, {"faces": faces, "begun": begun, **taken, **about(), "versions": versions()})


_NSRFC = ["-m", "nsrfc"]


def recall(files: Files) -> Record:
    """Return the share of the true neighbours that lists hold, for a sample; also of one identity.

    And the scores of a method that would follow just the listed pairs of one identity.
    """
    X = normalize(read_embeddings(files.features, dimension=DIMENSION).vectors)
    rows = sample_faces(len(X), 1, SAMPLE)
    true = exact_lists(X, rows, min(NEIGHBORS, len(X)))[0][:, 1:]
    del X
    ids, person = read_neighbors(files.knn).ids, read_identities(files.labels)
    held = (true[:, :, None] == ids[rows, None, 1:]).any(axis=2)
    same = person[true] == person[rows, None]
    return {
        "recall": float(held.mean()),
        "recall_of_the_same_identity": float(held[same].mean()),
        "perfect": evaluate(person, of_one_identity(ids, person)).as_dict(),
    }


def of_one_identity(ids: npt.NDArray[np.int32], person: Labels) -> Labels:
    """Components (n,) of the listed pairs of one identity."""
    return listed(ids, lambda part: person[ids[part]] == person[part, None])


def listed(ids: npt.NDArray[np.int32], chosen: Callable[[slice], npt.NDArray[np.bool_]]) -> Labels:
    """Components (n,) of listed pairs; ``chosen`` says which, for some of the lists at a time."""
    labels = np.arange(len(ids))
    for part in chunks(len(ids), FEWER_PAIRS):
        row, column = np.nonzero((ids[part] >= 0) & chosen(part))
        source, target = labels[row + part.start], labels[ids[part][row, column]]
        ends = source.astype(np.int32), target.astype(np.int32)
        labels = connected_components(len(ids), EdgeList(*ends, np.zeros(len(row), np.float32)))[labels]
    return labels


def scored(identities: Labels, output: Path) -> Record:
    """Return the scores of labels in a folder; of a run of ours the seconds of clustering as well."""
    run = read_run(output)
    scores = evaluate(identities, read_labels(output if run else output / LABELS)).as_dict()
    return scores | ({"clustering": run["seconds"]} if run else {})


def _run_peer(folder: Path, part: str, method: str) -> None:
    """Cluster a part by another method, and write its labels."""
    labels = PEERS[method](Files.of(folder, part))
    output = folder / method / part
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / LABELS, labels, allow_pickle=False)


def markdown(folder: Path) -> str:
    """Lay out the tables of all results in a folder."""
    found: dict[tuple[str, str], Record] = {}
    for file in sorted((folder / "results").glob("*.json")):
        part, name = file.stem.split(".")
        found[part, name] = json.loads(file.read_text(encoding="utf-8"))
    parts = [part for part in TESTS if "recall" in found.get((part, LISTS), {})]
    tables = [
        table(["F_P/F_B", *(f"{found[part, LISTS]['faces']:,}" for part in parts)], _rows(found, parts)),
        table(
            [
                "faces",
                "people",
                "s of search",
                "GiB",
                "recall, %",
                "of one identity, %",
                "perfect F_P/F_B",
            ],
            (_lists(found, part) for part in parts),
        ),
        table(
            ["", "faces", "seconds", "processor s", "peak, GiB", "clusters", "precision", "recall"],
            _costs(found, [TRAIN, *parts]),
        ),
    ]
    return "\n\n".join(tables)


def _rows(found: dict[tuple[str, str], Record], parts: list[str]) -> Iterator[list[str]]:
    """Rows of scores: published ones, ours, targets and by how much they are missed."""
    published = {row.method: row.scores for row in ROWS}
    for method in [*SHOWN, *MODELS]:
        if method in published:
            cells = ["/".join(f"{f:.1f}" for f in published[method][part] if f) or "-" for part in parts]
            yield [f"{method}, published", *cells]
        here = {
            part: found[part, method] for part in parts if "pairwise" in found.get((part, method), {})
        }
        if not here:
            continue
        pairwise = {part: 100 * one["pairwise"]["f"] for part, one in here.items()}
        cells = [_scores(here[part]) if part in here else "-" for part in parts]
        yield [f"**{method}**" if method in MODELS else f"{method}, here", *cells]
        if method in TARGETS:
            targets = TARGETS[method]
            yield [f"{method}, target", *(str(targets.get(part, "-")) for part in parts)]
            missed = [
                f"{pairwise[part] - targets[part]:+.1f}" if part in here and part in targets else "-"
                for part in parts
            ]
            yield [f"{method}, above it", *missed]


def _lists(found: dict[tuple[str, str], Record], part: str) -> list[str]:
    one = found[part, LISTS]
    shares = [f"{100 * one[name]:.1f}" for name in ("recall", "recall_of_the_same_identity")]
    shares.append(_scores(one["perfect"]))
    return [f"{one['faces']:,}", f"{found[part, 'faces']['people']:,}", *_taken(one), *shares]


def _scores(one: Record) -> str:
    return f"{100 * one['pairwise']['f']:.1f}/{100 * one['bcubed']['f']:.1f}"


def _costs(found: dict[tuple[str, str], Record], parts: list[str]) -> Iterator[list[str]]:
    """Rows of what every step took, and of what its clusters are like."""
    for part in parts:
        for method in METHODS:
            one = found.get((part, method))
            if one is None:
                continue
            name = method if part != TRAIN else f"training, {MODELS[method]}"
            if "failed" in one:
                yield [
                    name,
                    f"{found[part, 'faces']['faces']:,}",
                    f"failed with {one['failed']}",
                    *["-"] * 5,
                ]
                continue
            shares = ["-"] * 3
            if "pairwise" in one:
                precision, share, _ = one["pairwise"].values()
                shares = [f"{one['n_clusters']:,}", f"{100 * precision:.1f}", f"{100 * share:.1f}"]
            processor = f"{one['processor_seconds']:,.0f}"
            seconds, peak = _taken(one)
            yield [name, f"{one['faces']:,}", seconds, processor, peak, *shares]


def _taken(one: Record) -> tuple[str, str]:
    """Seconds, of clustering alone where they are known, and GiB."""
    seconds = one.get("clustering", {}).get("total", one["seconds"])
    return f"{'> ' * one['begun']}{seconds:,.0f}", f"{one['peak_bytes'] / 2**30:.1f}"


if __name__ == "__main__":
    main()
