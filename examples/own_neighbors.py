"""Neighbours computed once: search, keep the graph, cluster with it, and see what re-ranking does.

Run it with ``python examples/own_neighbors.py``. A graph from elsewhere (another search engine, a
GPU) enters in the same way: `NeighborGraph(ids, similarities)` checks that it is one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

import nsrfc
from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.records import NeighborGraph
from nsrfc.storage.neighbors import read_neighbors, write_neighbors
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize


def main() -> None:
    """Cluster with a graph that was kept in a file, and compare the neighbours of two graphs."""
    faces = generate(3000, "wild", seed=2)
    unit = normalize(faces.embeddings)

    graph = build_neighbor_graph(unit, k=80)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "neighbors.npz"
        write_neighbors(path, graph)
        graph = read_neighbors(path)

    found = nsrfc.cluster(unit, None, graph=graph)
    scores = nsrfc.evaluate(faces.identities, found.labels)
    print(f"{scores.n_clusters} groups for {scores.n_identities} people")
    print(f"pairwise F {scores.pairwise.f:.3f}, BCubed F {scores.bcubed.f:.3f}")

    for name, lists in {"cosine": graph, "re-ranked": rerank(graph, X=unit)}.items():
        print(f"{name:>9}: {neighbor_precision(lists, faces.identities):.3f} of 20 neighbours right")


def neighbor_precision(graph: NeighborGraph, identities: npt.NDArray[np.int64]) -> float:
    """Share of the first 20 neighbours that show the person of the face itself."""
    near = graph.ids[:, 1:21]
    return float(np.mean(identities[near] == identities[:, None]))


if __name__ == "__main__":
    main()
