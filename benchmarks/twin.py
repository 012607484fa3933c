"""Published scores of well-known methods on MS-Celeb-1M beside those on its generated twin.

    python -m benchmarks.twin -o FOLDER [--sizes 584013 1740301] [--seed 0]

The preset ``msceleb`` stands in for the clustering benchmark of MS-Celeb-1M. Methods have the settings
of their published rows: 80 neighbours, links at a cosine of 0.75 for DBSCAN with one face as minimum,
which makes it connected components, and of 0.74 for single linkage; 50 neighbours, links at a cosine of
0.58 for Infomap; the number of people for k-means. A score is written to FOLDER/scores.json once it is
known, and neighbours are kept in FOLDER, so an interrupted command resumes when it is given again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import bcubed, pairwise
from nsrfc.records import NeighborGraph
from nsrfc.research.baselines import infomap, threshold_components
from nsrfc.storage.arrays import write_npz
from nsrfc.storage.runs import check_folder, write_json
from nsrfc.synthetic import GeneratedFaces, generate

from .list_kmeans import kmeans

__all__ = ["METHODS", "PUBLISHED", "Score", "cluster", "score"]

PRESET = "msceleb"
DBSCAN, LINKAGE, INFOMAP, KMEANS = "DBSCAN", "single linkage", "Infomap", "k-means"
METHODS = (KMEANS, DBSCAN, LINKAGE, INFOMAP)
NEIGHBORS, FEW_NEIGHBORS = 80, 50
CLOSE = {DBSCAN: 0.75, LINKAGE: 0.74, INFOMAP: 0.58}
"""Minimum cosine of a link."""

_PUBLISHED: dict[int, tuple[tuple[float, float], ...]] = {
    584_013: ((79.21, 81.23), (67.93, 67.17), (70.63, 70.46), (93.98, 92.42)),
    1_740_301: ((73.04, 75.20), (63.41, 66.53), (54.40, 69.53), (90.10, 89.08)),
    2_890_517: ((69.83, 72.34), (52.50, 66.26), (11.08, 68.62), (88.49, 87.30)),
    4_046_365: ((67.90, 70.57), (45.24, 44.87), (1.40, 67.69), (85.31, 86.01)),
    5_206_761: ((66.47, 69.42), (44.94, 44.74), (0.37, 66.96), (83.08, 85.01)),
}
PUBLISHED = {n: dict(zip(METHODS, rows, strict=True)) for n, rows in _PUBLISHED.items()}
"""F_P and F_B in % by number of faces and method."""

Ints = npt.NDArray[np.int64]


class Score(NamedTuple):
    """Scores of a clustering in %, and its seconds without neighbours.

    Attributes
    ----------
    precision, recall, f, bcubed_f, seconds : float
        The first three are pairwise.
    """

    precision: float
    recall: float
    f: float
    bcubed_f: float
    seconds: float


def cluster(
    method: str, X: npt.NDArray[np.float32], graph: NeighborGraph, people: int, seed: int = 0
) -> Ints:
    """Cluster by one of `METHODS` with the settings of its published row.

    Parameters
    ----------
    method : str
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    graph : NeighborGraph
        Lists of `NEIGHBORS`.
    people : int
        Number of people, which k-means is told.
    seed : int
        Of k-means.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    if method == KMEANS:
        return kmeans(X, graph, people, seed)
    close = CLOSE[method]
    if method == INFOMAP:
        return infomap(_linked(graph.first(FEW_NEIGHBORS), close), close)
    return threshold_components(_linked(graph, close), close)


def _linked(graph: NeighborGraph, close: float) -> NeighborGraph:
    """Leave out what no link is made of: most of it, which would take memory."""
    listed = int((graph.similarities >= close).sum(axis=1).max())
    graph = graph.first(max(listed, 1))
    return NeighborGraph(np.where(graph.similarities >= close, graph.ids, -1), graph.similarities)


def score(identities: Ints, labels: Ints, seconds: float = 0) -> Score:
    """Score labels (n,) against identities (n,)."""
    pairs, faces = pairwise(identities, labels), bcubed(identities, labels)
    shares = (round(100 * share, 2) for share in (pairs.precision, pairs.recall, pairs.f, faces.f))
    precision, recall, f, bcubed_f = shares
    return Score(precision, recall, f, bcubed_f, round(seconds, 1))


def measure(folder: Path, n: int, seed: int) -> dict[str, Score]:
    """Score every method on ``n`` faces, except for those whose score ``folder`` holds."""
    kept = folder / "scores.json"
    record = json.loads(kept.read_text()) if kept.is_file() else {}
    scores = record.setdefault(f"{n} faces, seed {seed}", {})
    missing = [method for method in METHODS if method not in scores]
    if missing:
        faces = generate(n, PRESET, seed=seed)
        graph, people = _neighbors(folder, faces, seed), int(faces.identities.max()) + 1
        for method in missing:
            start = time.perf_counter()
            labels = cluster(method, faces.embeddings, graph, people)
            scores[method] = score(faces.identities, labels, time.perf_counter() - start)
            write_json(kept, record)
            print(f"{n:,} faces, {people:,} people, {method}: {scores[method]}", flush=True)
    return {method: Score(*scores[method]) for method in METHODS}


def _neighbors(folder: Path, faces: GeneratedFaces, seed: int) -> NeighborGraph:
    path = folder / f"neighbors-{len(faces.identities)}-{seed}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            return NeighborGraph(arrays["ids"], arrays["similarities"])
    graph = build_neighbor_graph(faces.embeddings, NEIGHBORS)
    write_npz(path, {"ids": graph.ids, "similarities": graph.similarities})
    return graph


def table(scores: dict[int, dict[str, Score]]) -> str:
    """Lay scores out as markdown, published ones first."""
    lines = ["| faces | " + " | ".join(METHODS) + " |", "|---|" + "---|" * len(METHODS)]
    for n, found in scores.items():
        if n in PUBLISHED:
            cells = [f"{f:.1f} / {b:.1f}" for f, b in (PUBLISHED[n][method] for method in METHODS)]
            lines.append(f"| {n:,}, published | " + " | ".join(cells) + " |")
        cells = [f"{found[method].f:.1f} / {found[method].bcubed_f:.1f}" for method in METHODS]
        lines.append(f"| {n:,}, generated | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print a table of F_P / F_B."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for what is known")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(PUBLISHED)[:2], help="faces")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    check_folder(arguments.output)
    arguments.output.mkdir(parents=True, exist_ok=True)
    scores = {n: measure(arguments.output, n, arguments.seed) for n in arguments.sizes}
    print(table(scores))


if __name__ == "__main__":
    main()
