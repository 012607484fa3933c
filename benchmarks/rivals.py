"""What a user would pick instead, as work for `benchmarks.processes`: each function prepares a run.

All but fast_hdbscan and average linkage are given the same 80 nearest neighbours as this package, which
is the fastest form for them; the search is part of their time. Each has one setting, that of highest
pairwise F by the labels of 20,000 faces, ``python -m benchmarks.clustering --sets ms1m``. Nobody has
these labels, so a user gets less from them than is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from nsrfc.errors import OptionalDependencyError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines

from .faces import FaceSet
from .measure import Floats, Labels, Measurement, StageClock, run
from .speed import WARM_UP_FACES, K

__all__ = ["SETTINGS", "dbscan", "fast_hdbscan", "hdbscan", "infomap", "linkage"]

COSINE = {"DBSCAN": 0.73, "Infomap": 0.36, "HAC": 0.40}
"""Smallest similarity of a link, of an edge, and between groups in the mean."""

CLUSTER_SIZE = 5
"""Smallest cluster of HDBSCAN."""

CLOSE_FACES = 4
"""Close faces, itself included, that make a face a core of DBSCAN."""

SETTINGS = {
    "DBSCAN": f"cosine {COSINE['DBSCAN']}, min {CLOSE_FACES}",
    "HDBSCAN": f"min {CLUSTER_SIZE}",
    "fast_hdbscan": f"min {CLUSTER_SIZE}",
    "fast_hdbscan, leaf": f"min {CLUSTER_SIZE}, selection leaf",
    "fast_hdbscan, given": f"min {CLUSTER_SIZE}, selection leaf",
    "Infomap": f"cosine {COSINE['Infomap']}",
    "HAC": f"cosine {COSINE['HAC']}",
}


def dbscan(folder: Path) -> Callable[[], Measurement]:
    """Prepare DBSCAN of scikit-learn."""
    return _on_graph(folder, lambda graph: baselines.dbscan(graph, COSINE["DBSCAN"], CLOSE_FACES))


def hdbscan(folder: Path) -> Callable[[], Measurement]:
    """Prepare HDBSCAN of scikit-learn."""
    return _on_graph(folder, lambda graph: baselines.hdbscan(graph, CLUSTER_SIZE))


def infomap(folder: Path) -> Callable[[], Measurement]:
    """Prepare Infomap."""
    return _on_graph(folder, lambda graph: baselines.infomap(graph, COSINE["Infomap"]))


def linkage(folder: Path) -> Callable[[], Measurement]:
    """Prepare average linkage of scipy, on all pairs."""
    return _on_vectors(folder, lambda X: baselines.average_linkage(X, COSINE["HAC"]))


def fast_hdbscan(
    folder: Path, selection: str = "eom", *, given: bool = False
) -> Callable[[], Measurement]:
    """Prepare fast_hdbscan, which searches by itself (pynndescent), or is given the neighbours.

    By default ("eom") it returns a few clusters of most of the faces if there are many: a density of
    faces that are near each other across identities outlasts the single ones. "leaf" returns the finest.
    """
    try:
        import pynndescent  # noqa: F401
        from fast_hdbscan import HDBSCAN
    except ImportError as error:
        raise OptionalDependencyError(error.name or "fast_hdbscan", "bench") from None
    settings: dict[str, Any] = {
        "min_cluster_size": CLUSTER_SIZE,
        "cluster_selection_method": selection,
    }

    def of_vectors(X: Floats) -> Labels:
        return np.asarray(HDBSCAN(**settings).fit_predict(X), np.int64)

    def of_graph(graph: NeighborGraph) -> Labels:
        n, k = graph.ids.shape
        distance = np.sqrt(np.maximum(0, 2 - 2 * graph.similarities)).astype(np.float64)
        starts = np.arange(0, n * k + 1, k)
        near = csr_matrix((distance.ravel(), graph.ids.ravel(), starts), shape=(n, n))
        return np.asarray(HDBSCAN(metric="precomputed", **settings).fit_predict(near), np.int64)

    return _on_graph(folder, of_graph) if given else _on_vectors(folder, of_vectors)


def _on_graph(folder: Path, cluster: Callable[[NeighborGraph], Labels]) -> Callable[[], Measurement]:
    """Prepare a method that reads neighbours."""

    def action(X: Floats, clock: StageClock) -> Labels:
        return cluster(build_neighbor_graph(X, K, progress=clock))

    return _prepared(folder, action)


def _on_vectors(folder: Path, cluster: Callable[[Floats], Labels]) -> Callable[[], Measurement]:
    """Prepare a method that reads vectors."""
    return _prepared(folder, lambda X, clock: cluster(X))


def _prepared(folder: Path, action: Callable[[Floats, StageClock], Labels]) -> Callable[[], Measurement]:
    faces = FaceSet.load(folder)
    action(faces.X[:WARM_UP_FACES].copy(), StageClock())
    return lambda: run(lambda clock: action(faces.X, clock), faces.identities)
