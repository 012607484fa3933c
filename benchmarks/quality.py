"""Print how well faces of unknown people are clustered: every method, and what each step adds.

    python -m benchmarks.quality [--faces 20000] [--preset ms1m] [--config FILE.yaml] [--json FILE]
    python -m benchmarks.quality --real [--shared DIR]

Networks learn from generated faces of one seed and are tried on those of another, other people seen by
the same embedder; with ``--real`` from ``lfw`` and a part of ``celeba_lowres``, tried on
``celeba_wild_dev`` (``ov256``). Their thresholds come from validation people, a part of the training
set; rivals are given the setting of highest pairwise F on the test labels. ``--skip-rivals`` leaves them
out. 20,000 faces take about half an hour on two idle cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import nsrfc
from nsrfc import synthetic
from nsrfc.config import ClusterConfig
from nsrfc.graph.density_graph import similarity_threshold
from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import canonical_rows
from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.registry import load_networks
from nsrfc.model.bundle import NSRFC
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph, Neighborhood
from nsrfc.storage.runs import versions, write_json
from nsrfc.training.config import TrainingConfig
from nsrfc.training.sample import Sample, labelled_sample
from nsrfc.training.split import split_identities
from nsrfc.training.thresholds import ScoredSet, best_clusters
from nsrfc.vectors import normalize

from .clustering import METHODS, OURS, RULES, SHARED, Faces

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Record = dict[str, Any]

SEEDS = 7, 8
"""Of the generated faces that teach, and of those that are clustered."""

REAL_PEOPLE = 3000
"""People of celeba_lowres that teach, beside all of lfw."""

TITLES = {OURS: "model of the package", RULES: "label-free rules"}
"""Of methods whose names would not tell here what they are."""


class People(NamedTuple):
    """Unit vectors (n, d) and identities (n,)."""

    vectors: Floats
    identity: Labels


def main() -> None:
    """Train, cluster and print."""
    arguments = parse()
    known, unknown = real_people(arguments.shared) if arguments.real else generated_people(arguments)
    print(f"{len(known.identity)} faces teach, {len(unknown.identity)} are clustered.\n", flush=True)
    config = TrainingConfig.load(file=arguments.config)
    record: Record = {"arguments": vars(arguments) | {"seeds": SEEDS}, "versions": versions()}
    record["config"] = config.model_dump(mode="json")

    header("method", "setting")
    model, record["learned"] = trained_and_run(known, unknown, config)
    if not arguments.real:
        shown = people_shown(arguments.faces, arguments.preset, SEEDS[1])
        record["perfect"] = row("perfect answer", "the person really shown", unknown.identity, shown)
    if not arguments.skip_rivals:
        record["rivals"] = list(rivals(unknown))
    print("\nWhat each step adds:\n\n", end="")
    header("step", "thresholds of validation people")
    if not all(model.settings.used.values()):
        model = nsrfc.train(*known, config.model_copy(update={"keep_all": True}))
    record["steps"] = list(ablation(model, known, unknown, config))
    if arguments.json is not None:
        write_json(arguments.json, {name: plain(value) for name, value in record.items()})


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faces", type=int, default=20_000, help="to learn from, and to cluster")
    parser.add_argument("--preset", default="ms1m", help="of generated faces")
    parser.add_argument("--config", type=Path, help="settings that differ from the default preset")
    parser.add_argument("--real", action="store_true", help="use real embeddings instead")
    parser.add_argument("--shared", type=Path, default=SHARED, help="where data/ holds them")
    parser.add_argument("--skip-rivals", action="store_true", help="print the learned rows only")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    arguments = parser.parse_args()
    if arguments.real and not (arguments.shared / "data").is_dir():
        parser.error(f"--real needs {arguments.shared / 'data'}: say with --shared where data/ is.")
    return arguments


def generated_people(arguments: argparse.Namespace) -> tuple[People, People]:
    """Faces of one preset with two seeds."""
    sets = [synthetic.generate(arguments.faces, arguments.preset, seed=seed) for seed in SEEDS]
    known, unknown = (People(faces.embeddings, faces.identities) for faces in sets)
    return known, unknown


def people_shown(n: int, preset: str, seed: int) -> Labels:
    """Person that each generated face really shows; some are stated wrong on purpose.

    `generate` keeps it to itself, so its first draws are repeated here.
    """
    drawn_from, rng = synthetic.PRESETS[preset], np.random.default_rng(seed).spawn(4)[0]
    return synthetic._people_shown(synthetic._identities(n, drawn_from, rng), drawn_from, rng)[0]


def real_people(shared: Path) -> tuple[People, People]:
    """LFW and some people of celeba_lowres to learn from, celeba_wild_dev to cluster."""
    lfw, lowres, wild = (
        real(shared / "data" / f"{name}.npz") for name in ("lfw", "celeba_lowres", "celeba_wild_dev")
    )
    people = np.random.default_rng(0).permutation(np.unique(lowres.identity))[:REAL_PEOPLE]
    kept = np.isin(lowres.identity, people)
    return People(
        np.concatenate((lfw.vectors, lowres.vectors[kept])),
        np.concatenate((lfw.identity, lowres.identity[kept] + lfw.identity.max() + 1)),
    ), wild


def real(path: Path) -> People:
    """Embeddings of the larger embedder."""
    with np.load(path, allow_pickle=False) as file:
        return People(normalize(file["ov256"]), file["identity"].astype(np.int64))


def trained_and_run(known: People, unknown: People, config: TrainingConfig) -> tuple[NSRFC, Record]:
    """Train and cluster as `nsrfc train` and `nsrfc cluster` do; print the row, then the seconds."""
    training, running = Progress(), Progress()
    started = time.perf_counter()
    model = nsrfc.train(*known, config, progress=training)
    trained = time.perf_counter()
    found = nsrfc.cluster(unknown.vectors, model, run=Run(progress=running))
    ended = time.perf_counter()
    used = ", ".join(step for step, used in model.settings.used.items() if used)
    result = row("NSR-FC", used or "no step", unknown.identity, found.labels)
    times = {
        "training": training.seconds | {"all": trained - started},
        "clustering": running.seconds | {"all": ended - trained},
    }
    for name, seconds in times.items():
        stages = ", ".join(f"{stage} {taken:.1f}" for stage, taken in seconds.items())
        print(f"| | seconds of {name}: {stages} | | | |", flush=True)
    settings = model.settings.model_dump(mode="json")
    per_face = times["clustering"]["all"] / len(unknown.identity)
    return model, result | {"settings": settings, "seconds": times, "seconds_per_face": per_face}


def rivals(unknown: People) -> Iterator[Record]:
    """Print other methods, each at its best setting by the test labels."""
    faces = Faces("", *unknown)
    graph = build_neighbor_graph(unknown.vectors, 80)
    for name in METHODS:
        started = time.perf_counter()
        try:
            setting, labels = METHODS[name](faces, graph)
        except (nsrfc.InputError, nsrfc.OptionalDependencyError) as error:
            print(f"| {name} | {error} | | | |", flush=True)
            continue
        words = ", ".join(f"{key} {value:g}" for key, value in setting.items())
        result = row(TITLES.get(name, name), words or "none", unknown.identity, labels)
        yield result | {"seconds": time.perf_counter() - started}


def ablation(model: NSRFC, known: People, unknown: People, config: TrainingConfig) -> Iterator[Record]:
    """Print a row for every step, with networks that were trained with all steps before theirs."""
    X = normalize(known.vectors)
    rows = canonical_rows(X)[0]
    X, identity = X[rows], np.unique(known.identity, return_inverse=True)[1][rows]
    held_out = split_identities(identity, config.validation, config.seed).validation
    validating = People(X[held_out], identity[held_out])
    test = People(normalize(unknown.vectors), unknown.identity)
    for name, validation, tested in steps(model, validating, test):
        found = best_clusters(validation)
        setting = f"tau {found.tau:.2f}, connect {found.connect:.2f}: F {100 * found.quality:.2f}"
        yield row(name, setting, test.identity, tested.labels(found.tau, found.connect))
    assert tested.graph.affinity is not None
    tau = similarity_threshold(tested.graph.affinity, tested.sample.near.ids)
    setting = f"tau {tau:.2f} by rule, connect 0.50"
    yield row("published thresholds", setting, test.identity, tested.labels(tau, 0.5))


def steps(model: NSRFC, *sets: People) -> Iterator[tuple[str, ScoredSet, ScoredSet]]:
    """Both sets after each step, in the order of the method, then with what is published."""
    run, dimension = Run(), sets[0].vectors.shape[1]
    # Every pair that may be a similarity edge is one: tau is chosen afterwards.
    method = load_networks(model, ClusterConfig(), dimension, run).with_settings(tau=0.0)

    def pair(
        name: str, samples: list[Sample], method: NetworkMethod = method, *, pcenet: bool = False
    ) -> tuple[str, ScoredSet, ScoredSet]:
        validation, test = (scored(method, sample, pcenet=pcenet) for sample in samples)
        return name, validation, test

    samples = [listed(method, people) for people in sets]
    yield pair("raw kNN", samples)
    ranked = [reranked(sample) for sample in samples]
    yield pair("+ re-ranking", ranked)
    if method.settings.rerank:
        samples = [replace(one, lists=two.near.ids) for one, two in zip(samples, ranked, strict=True)]

    def refined(*, whiten: bool) -> list[Floats]:
        return [
            method.refined(sample.near, run, whiten=whiten, lists=sample.lists) for sample in samples
        ]

    def rebuilt(near: Neighborhood, vectors: Floats) -> Neighborhood:
        return method.rebuilt(near, vectors, run)

    def put(vectors: list[Floats], into: Callable[[Neighborhood, Floats], Neighborhood]) -> list[Sample]:
        return [replace(one, near=into(one.near, Z)) for one, Z in zip(samples, vectors, strict=True)]

    plain = refined(whiten=False)
    yield pair("+ C-GCN", put(plain, method.rescored))
    moved = put(plain, rebuilt)
    yield pair("+ rebuilt graph", moved)
    if method.settings.uses("whiten"):
        moved = put(refined(whiten=True), rebuilt)
        yield pair("+ whitening", moved)
    paired = [
        replace(sample, pair=method.list_probability("pairs", sample.near, run)) for sample in moved
    ]
    yield pair("+ pair distances", paired)
    same = [
        replace(
            sample, list_probability=method.list_probability("lcenet", sample.near, run, sample.affinity)
        )
        for sample in paired
    ]
    yield pair("+ LCENet density edges", same)
    product, alone = (method.with_settings(veto=veto) for veto in (True, False))
    yield pair("+ PCENet", same, product, pcenet=True)
    yield pair("PCENet alone, without the strength", same, alone, pcenet=True)
    product, alone = (each.with_settings(mutual="published") for each in (product, alone))
    yield pair("p halved where not mutual", same, product, pcenet=True)
    yield pair("both, as published", same, alone, pcenet=True)


def listed(method: NetworkMethod, people: People) -> Sample:
    """Faces with their neighbours by cosine."""
    return labelled_sample(method, people.vectors, people.identity, Run())


def reranked(sample: Sample) -> Sample:
    """Return the same faces with re-ranked lists, and the similarities that re-ranking gives."""
    near = sample.near
    graph = rerank(NeighborGraph(near.ids, near.similarities), X=near.vectors)
    return replace(sample, near=replace(near, ids=graph.ids, similarities=graph.similarities))


def scored(method: NetworkMethod, sample: Sample, *, pcenet: bool) -> ScoredSet:
    """Return faces with their density edges scored: by PCENet, or with a_ij p_ij."""
    near, affinity, same = sample.near, sample.affinity, sample.genuine_probability
    graph = method.graph_of(near, affinity, same)
    scores = graph.density_edges.score
    if pcenet:
        scores = method.edge_scores("pcenet", near, affinity, same, Run())(graph.density_edges)
    return ScoredSet(method, sample, graph, scores)


def header(*names: str) -> None:
    """Print the head of a table."""
    print("|", " | ".join((*names, "F_P", "F_B", "clusters")), "|")
    print("|---" * (len(names) + 3) + "|", flush=True)


def row(name: str, setting: str, identity: Labels, labels: Labels) -> Record:
    """Print one clustering."""
    scores = nsrfc.evaluate(identity, labels)
    figures = f"{100 * scores.pairwise.f:.2f} | {100 * scores.bcubed.f:.2f} | {scores.n_clusters}"
    print(f"| {name} | {setting} | {figures} |", flush=True)
    return {"name": name, "setting": setting, **scores.as_dict()}


def plain(value: Any) -> Any:  # noqa: ANN401
    """Turn paths into text, for JSON."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return str(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    main()
