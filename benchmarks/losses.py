"""Where F is lost: clusters of generated faces with all steps but one replaced by the truth, in turn.

    python -m benchmarks.losses [--faces 20000] [--preset msceleb] [--seed 1] [--models none universal]
                                [--search approximate exact] [--cache DIR] [--json FILE]
    python -m benchmarks.losses --twin FOLDER --seed 9 --cache DIR [--models ...] [--json FILE]

Each row takes one more step as it is, and what follows is perfect. The difference to the row above is
what the step costs:

labels        the person really shown, whom the labels of a few faces contradict
search        pairs of one identity in the lists as searched; connected components
refinement    the same in the lists that the method scores, after refinement and rebuilding
density graph density edges and similarity edges of one identity; connected components
comparison    the same edges, each followed only where the method finds its two clusters similar enough
unlinked      with the clusters that the method joins without an edge, right or wrong
scorer        only the edges of them that the method keeps
impostors     the answer as it is: with the edges between identities that the method keeps

A pair is of one identity by its labels, a group of near-copies by that of its first face.

Part P of ``benchmarks.msceleb`` is ``--faces`` of its size and ``--seed P``. With its FOLDER as
``--twin`` its faces and lists are not made anew, and vectors and lists are mapped from files in the
cache; edges stay in memory, with a trained model some 3 KB a face.

``--search exact`` gives the same with exact lists. That compares all pairs: 20,000 faces take seconds,
584,013 half an hour on two cores, which goes on after an interruption if there is a cache.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.cli.options import NO_MODEL
from nsrfc.config import ClusterConfig
from nsrfc.graph.components import connected_components
from nsrfc.knn.build import known_neighbors
from nsrfc.methods.base import Method, Run
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.registry import load_method
from nsrfc.methods.rules import Rules
from nsrfc.methods.search import scenes_and_neighbors
from nsrfc.metrics import evaluate
from nsrfc.ms1m.files import DIMENSION, Files
from nsrfc.pipeline import _distinct
from nsrfc.records import DensityGraph, EdgeList, NeighborGraph, Neighborhood
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.identities import read_identities
from nsrfc.storage.neighbors import read_neighbors
from nsrfc.storage.runs import write_json
from nsrfc.synthetic import PRESETS, generate

from .msceleb import PRESET, of_one_identity
from .quality import people_shown
from .tables import table

__all__ = ["Edges", "main", "stages"]

Labels = npt.NDArray[np.int64]
Ids = npt.NDArray[np.int32]
Record = dict[str, Any]

SEARCHES = "approximate", "exact"

NEVER = 2**31
"""A size that no cluster has."""


class Edges(NamedTuple):
    """Edges of the density graph: of one identity, kept, both."""

    all: int
    genuine: int
    kept: int
    genuine_kept: int


class Faces(NamedTuple):
    """Faces (n, d) of a preset, who they are by their labels (n,), and who is really shown (n,)."""

    preset: str
    embeddings: npt.ArrayLike
    identities: Labels
    shown: Labels


def main() -> None:
    """Make or read faces, cluster and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.losses",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--preset", choices=sorted(PRESETS), default=PRESET)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--twin", type=Path, help="folder of benchmarks.msceleb: part SEED is read")
    parser.add_argument("--models", nargs="+", default=[NO_MODEL, "universal"], help="none: the rules")
    parser.add_argument("--search", nargs="+", choices=SEARCHES, default=SEARCHES[:1])
    parser.add_argument("--cache", type=Path, help="folder for results of stages")
    parser.add_argument("--json", type=Path, help="write all figures there")
    given = parser.parse_args()
    if given.twin and (given.cache is None or given.search != SEARCHES[:1]):
        parser.error("--twin brings the lists, and needs a cache for other arrays: give --cache only.")
    files = given.twin and Files.of(given.twin, f"part{given.seed}_test")
    faces = of_twin(files, given.seed) if files else made(given.faces, given.preset, given.seed)
    shown = scores(faces.identities, faces.shown)
    record: Record = {"faces": len(faces.shown), "preset": faces.preset}
    record |= {"seed": given.seed, "runs": []}
    for search in given.search:
        for model in given.models:
            cache = given.cache and given.cache / f"{search}-{Path(model).name}"
            run = Run(cache=cache, mapped=files is not None)
            rows = {"labels": shown}
            lists = read_neighbors(files.knn) if files else None
            found_in = stages(faces.embeddings, faces.identities, model, search, run, lists)
            del lists  # so that it can be freed once it is read
            for name, found in found_in:
                if isinstance(found, Edges):
                    edges = found
                else:
                    rows[name] = scores(faces.identities, found)
            record["runs"].append(
                {"search": search, "model": model, "rows": rows, "edges": edges._asdict()}
            )
            print(markdown(search, model, rows, edges), flush=True)
            if given.json:
                write_json(given.json, record)
            gc.collect()


def made(n: int, preset: str, seed: int) -> Faces:
    """Generate faces."""
    faces = generate(n, preset, seed=seed)
    return Faces(preset, faces.embeddings, faces.identities, people_shown(n, preset, seed))


def of_twin(files: Files, seed: int) -> Faces:
    """Read the faces of a part that `benchmarks.msceleb` has made."""
    made_of = json.loads((files.features.parents[1] / "faces.json").read_text(encoding="utf-8"))
    preset = made_of["preset"]
    identities = read_identities(files.labels)
    embeddings = read_embeddings(files.features, dimension=DIMENSION).vectors
    return Faces(preset, embeddings, identities, people_shown(len(identities), preset, seed))


def stages(
    X: npt.ArrayLike,
    identities: Labels,
    model: str,
    search: str,
    run: Run,
    lists: NeighborGraph | None = None,
) -> Iterator[tuple[str, Labels | Edges]]:
    """Yield the cluster (n,) of each face after every stage, then counts of the edges.

    ``lists`` are those of ``X``, if they are known.
    """
    config = ClusterConfig.of(search=search)
    with run.results.locked():
        faces, prior = _distinct(X, config, run.results)
        chosen = None if model == NO_MODEL else model
        method = load_method(chosen, config, faces.vectors.shape[1], run, prior)
        known = known_neighbors(faces, lists, None, method.k, run.progress, run.results)
        del lists
        faces, graph = scenes_and_neighbors(faces, known, method, run)
        del known
        faces = replace(faces, vectors=run.results.shared(faces.vectors))
        person = identities[faces.rows]

        def of_rows(labels: Labels) -> Labels:
            return faces.each_row(labels, -1)

        yield "search", of_rows(of_one_identity(graph.ids, person))
        near = method.neighborhood(faces.vectors, graph, run)
        del graph
        yield "refinement", of_rows(of_one_identity(near.ids, person))
        affinity = method.affinity(near, run)
        density = method.density_graph(near, affinity, run)
        followed = density.density_edges + density.similarity_edges
        sure, count = followed.where(same(followed, person)), len(followed)
        del followed
        yield "density graph", of_rows(connected_components(len(person), sure))
        yield "comparison", of_rows(joined(by_edges_only(method), near, density, sure, run))
        yield "unlinked", of_rows(joined(method, near, density, sure, run))
        scorer = method.edge_scorer(near, density, run)
        chance = scorer(np.arange(len(density.density_edges)))
        answer = method.components(near, density, scorer, run)
        kept = density.density_edges.where(chance >= method.least_probability) + answer.similarity_edges
        right = kept.where(same(kept, person))
        yield "scorer", of_rows(joined(method, near, density, right, run))
        yield "impostors", of_rows(answer.labels)
        yield "edges", Edges(count, len(sure), len(kept), len(right))


def same(edges: EdgeList, person: Labels) -> npt.NDArray[np.bool_]:
    """Whether the ends of edges (m,) are of one identity."""
    one: npt.NDArray[np.bool_] = person[edges.source] == person[edges.target]
    return one


def joined(
    method: Method, near: Neighborhood, density: DensityGraph, edges: EdgeList, run: Run
) -> Labels:
    """Clusters (n,) that a method makes of edges it is sure of."""
    none = edges.where(np.arange(0))
    certain = replace(density, density_edges=edges, similarity_edges=none)
    sure = np.ones(len(edges), np.float32)
    return method.components(near, certain, lambda chosen: sure[chosen], run).labels


def by_edges_only(method: Method) -> Method:
    """Return the method without joins of clusters that no edge connects."""
    comparison = method.cluster_comparison
    comparison = comparison and comparison.model_copy(update={"unlinked_size": NEVER})
    if isinstance(method, NetworkMethod):
        return method.with_settings(cluster_comparison=comparison)
    assert isinstance(method, Rules)
    return replace(method, cluster_comparison=comparison or method.cluster_comparison)


def scores(identities: Labels, labels: Labels) -> Record:
    """Return the scores of a row."""
    found = evaluate(identities, labels)
    precision, recall, f = found.pairwise
    return {
        "pairwise_f": f,
        "bcubed_f": found.bcubed.f,
        "precision": precision,
        "recall": recall,
        "clusters": found.n_clusters,
    }


def markdown(search: str, model: str, rows: dict[str, Record], edges: Edges) -> str:
    """Lay out the table of one method, with what each stage costs, and say which costs most."""
    f = {name: 100 * row["pairwise_f"] for name, row in rows.items()}
    cost = {after: f[before] - f[after] for before, after in pairwise(f)}
    most = max(cost, key=lambda name: cost[name])
    cost["labels"] = 100 - f["labels"]
    lines = (
        [
            name,
            *(f"{100 * row[key]:.2f}" for key in ("pairwise_f", "bcubed_f", "precision", "recall")),
            f"{row['clusters']:,}",
            f"{cost[name]:.2f}",
        ]
        for name, row in rows.items()
    )
    head = ["stage", "F_P", "F_B", "precision", "recall", "clusters", "costs F_P"]
    return (
        f"\n{'rules' if model == NO_MODEL else model}, {search} search\n\n{table(head, lines)}\n\n"
        f"Most is lost by {most}: {cost[most]:.2f}. Of {edges.all:,} edges {edges.genuine:,} are of one "
        f"identity; {edges.kept:,} are kept, of which {edges.kept - edges.genuine_kept:,} are not."
    )


if __name__ == "__main__":
    main()
