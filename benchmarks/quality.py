"""Print how well faces of unknown people are clustered: every method, and what each step adds.

    python benchmarks/quality.py [--faces 20000] [--preset ms1m] [--config FILE.yaml] [--skip-rivals]
    python benchmarks/quality.py --real ../shared/data

Networks learn from generated faces of one seed and are tried on those of another, other people seen by
the same embedder; with ``--real`` from ``lfw`` and a part of ``celeba_lowres``, tried on
``celeba_wild_dev``. Thresholds of the networks come from validation people, a part of the training set;
rivals are given the setting that scores best on the test labels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import nsrfc
from nsrfc import baselines, learned
from nsrfc.data.embeddings import normalize
from nsrfc.data.synthetic import generate
from nsrfc.graph.components import connected_components
from nsrfc.graph.copies import canonical_rows
from nsrfc.graph.neighbors import build_neighbor_graph
from nsrfc.graph.published_edges import published_density_graph
from nsrfc.graph.reranking import rerank
from nsrfc.graph.structures import EdgeList, NeighborGraph
from nsrfc.models.bundle import NSRFC
from nsrfc.models.settings import Step
from nsrfc.progress import Progress
from nsrfc.steps import Faces, edge_probability, list_probability, listed_cosines, padded, refine
from nsrfc.training import TrainingConfig
from nsrfc.training.quality import Clusters, best_clusters
from nsrfc.training.split import split_people

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

REAL_PEOPLE = 3000
"""People of celeba_lowres that teach, beside all of lfw."""


class People(NamedTuple):
    """Unit vectors (n, d) and identities (n,)."""

    vectors: Floats
    identity: Labels


@dataclass(frozen=True)
class State:
    """Faces after a step, and probabilities of the density edges once they are judged."""

    faces: Faces
    connectivity: EdgeList | None = None


class Row(NamedTuple):
    """A row of the ablation: its name, the steps that a model takes for it, and what it gives."""

    name: str
    used: tuple[Step, ...] | None
    validation: State
    test: State


def main() -> None:
    """Train, cluster and print."""
    arguments = parse()
    known, unknown = real_people(arguments.real) if arguments.real else generated_people(arguments)
    print(f"{len(known.identity)} faces teach, {len(unknown.identity)} are clustered.\n", flush=True)
    config = TrainingConfig.load(file=arguments.config, changes={"keep_all": True})
    progress, started = Progress(), time.perf_counter()
    model = nsrfc.train(*known, config, progress=progress)
    print(f"Training took {time.perf_counter() - started:.0f} s:", seconds(progress), "\n", flush=True)

    header("method", "setting")
    if not arguments.skip_rivals:
        for name, setting, labels in rivals(unknown):
            row(name, setting, unknown.identity, labels)
    best = ablation(model, config, known, unknown)
    progress = Progress()
    found = learned.cluster(unknown.vectors, best, execution=learned.Execution(progress=progress))
    print("\nWith the steps and thresholds of the validation people, as `nsrfc cluster` runs it:\n")
    header("method", "steps")
    row(
        "NSR-FC",
        ", ".join(s for s, on in best.settings.used.items() if on),
        unknown.identity,
        found.labels,
    )
    print("\nSeconds:", seconds(progress))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faces", type=int, default=20_000, help="to learn from, and to cluster")
    parser.add_argument("--preset", default="ms1m", help="of generated faces")
    parser.add_argument("--config", type=Path, help="settings that differ from the default preset")
    parser.add_argument("--real", type=Path, help="folder with real embeddings to use instead")
    parser.add_argument("--skip-rivals", action="store_true", help="print the learned rows only")
    return parser.parse_args()


def generated_people(arguments: argparse.Namespace) -> tuple[People, People]:
    """Faces of one preset with two seeds."""
    sets = [generate(arguments.faces, arguments.preset, seed=seed) for seed in (0, 1)]
    known, unknown = (People(faces.embeddings, faces.identities) for faces in sets)
    return known, unknown


def real_people(folder: Path) -> tuple[People, People]:
    """LFW and some people of celeba_lowres to learn from, celeba_wild_dev to cluster."""
    lfw, lowres, wild = (
        real(folder / f"{name}.npz") for name in ("lfw", "celeba_lowres", "celeba_wild_dev")
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


def rivals(unknown: People) -> Iterator[tuple[str, str, Labels]]:
    """Other methods, each at its best setting by the test labels."""
    X, identity = unknown
    graph = build_neighbor_graph(X, 80)
    yield "label-free", "none", nsrfc.FaceClusterer().fit_predict(X)
    people = len(np.unique(identity))
    yield "k-means", f"k = {people}, the true number", baselines.kmeans(X, people)
    labels, threshold = baselines.best_threshold_components(graph, identity)
    yield "components", f"{threshold:.2f}", labels
    cosines = np.arange(0.25, 0.9, 0.05)
    grid = [(float(t), size) for t in np.arange(0.35, 0.9, 0.025) for size in (2, 5, 10, 20, 40)]
    tried = (((t, size), baselines.dbscan(graph, t, size)) for t, size in grid)
    dbscan = baselines.best_by_labels(tried, identity)
    yield "DBSCAN", "{:.2f}, {} samples".format(*dbscan.setting), dbscan.labels
    sizes = ((size, baselines.hdbscan(graph, size)) for size in (2, 3, 5, 10, 20))
    hdbscan = baselines.best_by_labels(sizes, identity)
    yield "HDBSCAN", f"{hdbscan.setting} faces", hdbscan.labels
    labels, threshold = baselines.best_average_linkage(X, identity)
    yield "average linkage", f"{threshold:.2f}", labels
    try:
        modules = ((float(t), baselines.infomap(graph, t)) for t in cosines)
        infomap = baselines.best_by_labels(modules, identity)
    except nsrfc.OptionalDependencyError as error:
        print(f"| Infomap | {error} | | | |")
    else:
        yield "Infomap", f"{infomap.setting:.2f}", infomap.labels


def ablation(model: NSRFC, config: TrainingConfig, known: People, unknown: People) -> NSRFC:
    """Print a row for every step; return the model with what is best on the validation people."""
    X = normalize(known.vectors)
    rows = canonical_rows(X)[0]
    X, identity = X[rows], known.identity[rows]
    held_out = split_people(identity, config.validation, config.seed).validation
    judging = People(X[held_out], identity[held_out])
    test = People(normalize(unknown.vectors), unknown.identity)
    best: tuple[float, NSRFC] | None = None
    for step in steps(model, judging, test):
        found = best_clusters(step.validation.faces, judging.identity, step.validation.connectivity)
        setting = (
            f"tau {found.tau:.3f}, connect {found.connect:.3f}; validation {100 * found.quality:.2f}"
        )
        row(step.name, setting, test.identity, clusters(step.test, found))
        if step.used is not None and (best is None or found.quality > best[0]):
            best = found.quality, with_steps(model, step.used, found)
    row("published thresholds", "tau by rule, connect 0.500", test.identity, clusters(step.test, None))
    assert best is not None
    return best[1]


def steps(model: NSRFC, *sets: People) -> Iterator[Row]:
    """Both sets after each step, in the order of the method."""
    k = model.settings.k

    def search(vectors: Floats) -> NeighborGraph:
        return build_neighbor_graph(vectors, k)

    graphs = [search(people.vectors) for people in sets]
    raw = [Faces(people.vectors, *padded(g, k)) for people, g in zip(sets, graphs, strict=True)]
    yield Row("raw kNN", (), *map(State, raw))
    again = [rerank(g, X=people.vectors) for people, g in zip(sets, graphs, strict=True)]
    lists = [padded(g, k) for g in again]
    reranked = [Faces(f.vectors, *li) for f, li in zip(raw, lists, strict=True)]
    yield Row("+ re-ranking", None, *map(State, reranked))
    convolved = lists if model.settings.rerank else [padded(g, k) for g in graphs]
    refined = [
        refine(model.network("cgcn"), f.vectors, g, li[0], search)
        for f, g, li in zip(raw, graphs, convolved, strict=True)
    ]
    same_lists = [Faces(Z, f.ids, listed_cosines(Z, f.ids)) for Z, f in zip(refined, raw, strict=True)]
    yield Row("+ C-GCN", ("refine",), *map(State, same_lists))
    faces = [Faces(Z, *padded(search(Z), k)) for Z in refined]
    used: tuple[Step, ...] = ("refine", "rebuild")
    yield Row("+ rebuilt graph", used, *map(State, faces))
    faces = [replace(f, pair=list_probability(model.network("pairs"), f)) for f in faces]
    used = (*used, "pairs")
    yield Row("+ pair distances", used, *map(State, faces))
    faces = [replace(f, same=list_probability(model.network("lcenet"), f)) for f in faces]
    used = (*used, "density")
    yield Row("+ LCENet density edges", used, *map(State, faces))
    judged = [State(f, judged_edges(model, f)) for f in faces]
    yield Row("+ PCENet", (*used, "connect"), *judged)


def judged_edges(model: NSRFC, faces: Faces) -> EdgeList:
    """Density edges with the probability of PCENet."""
    edges = faces.density_graph().density_edges
    probability = edge_probability(model.network("pcenet"), faces, edges, veto=model.settings.veto)
    return EdgeList(edges.source, edges.target, probability)


def clusters(state: State, found: Clusters | None) -> Labels:
    """Labels by the thresholds found, or by the published ones."""
    faces = state.faces
    graph = published_density_graph(faces.ids, faces.a, faces.S, None if found is None else found.tau)
    edges = graph.density_edges if state.connectivity is None else state.connectivity
    kept = edges.where(edges.score >= (0.5 if found is None else found.connect))
    return connected_components(len(faces.ids), graph.similarity_edges + kept)


def with_steps(model: NSRFC, used: tuple[Step, ...], found: Clusters) -> NSRFC:
    """Return the same networks with other settings."""
    settings = model.settings.changed(
        used=dict.fromkeys(used, True), tau=found.tau, connect=found.connect
    )
    changed = NSRFC(settings)
    changed.load_state_dict(model.state_dict())
    return changed.eval()


def header(*names: str) -> None:
    """Print the head of a table."""
    print("|", " | ".join((*names, "F_P", "F_B", "clusters")), "|")
    print("|---" * (len(names) + 3) + "|")


def row(name: str, setting: str, identity: Labels, labels: Labels) -> None:
    """Print one clustering."""
    scores = nsrfc.evaluate(identity, labels)
    figures = f"{100 * scores.pairwise.f:.2f} | {100 * scores.bcubed.f:.2f} | {scores.n_clusters}"
    print(f"| {name} | {setting} | {figures} |", flush=True)


def seconds(progress: Progress) -> str:
    """List the stages of a run."""
    return ", ".join(f"{stage} {taken:.0f}" for stage, taken in progress.seconds.items())


if __name__ == "__main__":
    main()
