"""The first search: neighbours of the embeddings as given, the same for every method."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.graph.near_copies import fold_near_copies
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import DistinctFaces
from nsrfc.methods.base import Method, Run
from nsrfc.records import NeighborGraph

__all__ = ["scenes_and_neighbors", "search"]


def search(vectors: npt.NDArray[np.float32], method: Method, run: Run) -> NeighborGraph:
    """Find the neighbours of unit vectors (n, d), in lists of the method's k; the lists are kept."""
    of = run.results.key("embeddings", {"sha256": run.results.fingerprint(vectors)})
    parts = {"of": of, "k": method.k, "search": method.search, "seed": method.seed}
    return build_neighbor_graph(
        vectors,
        method.k,
        method=method.search,
        device=run.device,
        seed=method.seed,
        progress=run.progress,
        pieces=run.results.pieces("neighbours", run.results.key("neighbours", parts)),
    )


def scenes_and_neighbors(
    faces: DistinctFaces, known: NeighborGraph | None, method: Method, run: Run
) -> tuple[DistinctFaces, NeighborGraph]:
    """Fold near-copies, and find the neighbours of what is left.

    Parameters
    ----------
    faces : DistinctFaces
    known : NeighborGraph, optional
        Their nearest neighbours, if already known.
    method : Method
    run : Run

    Returns
    -------
    DistinctFaces, NeighborGraph
        Only if there are near-copies are neighbours searched a second time.
    """
    graph = known or search(faces.vectors, method, run)
    scenes = fold_near_copies(faces, graph)
    return scenes, graph if scenes is faces else search(scenes.vectors, method, run)
