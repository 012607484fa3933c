"""Comparison of this package with well-known methods, on faces with known identities."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.metrics import Scores, evaluate
from nsrfc.pipeline import cluster
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines

__all__ = ["OURS", "RULES", "Result", "compare"]

OURS, RULES = "nsrfc", "nsrfc, rules"

DBSCAN_THRESHOLDS = 12
DBSCAN_MIN_SAMPLES = (2, 4)
HDBSCAN_MIN_CLUSTER_SIZES = (2, 3, 5)

_Labels = npt.NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """Result of a method.

    Attributes
    ----------
    method : str
        Its name; :data:`OURS` for this package, :data:`RULES` for it without learned weights.
    setting : str
        The setting that gave the labels.
    labels : ndarray of int64, shape (n,)
        -1 = unclustered.
    scores : Scores
    seconds : float
        Time for all settings tried, without the first neighbour search.
    """

    method: str
    setting: str
    labels: _Labels
    scores: Scores
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain dicts, numbers and strings, ready for JSON."""
        return {
            "method": self.method,
            "setting": self.setting,
            "needs_labels": self.method not in (OURS, RULES),
            "seconds": self.seconds,
            **self.scores.as_dict(),
        }


def compare(
    X: npt.NDArray[np.float32],
    identities: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Result]:
    """Cluster with every method and score the labels.

    This package gets no labels. For the others, settings are chosen with the labels: for k-means the
    number of identities, for the rest the setting of highest pairwise F among those tried.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    identities : ndarray of int64, shape (n,)
        True identity of each face.
    seed : int
        Seed of k-means.
    progress : Progress, optional
        Reports the stages of this package, and one stage for each other method.

    Returns
    -------
    list of Result
        This package first, with the shipped model and with the rules.
    """
    progress = progress or Progress()
    graph = build_neighbor_graph(X, progress=progress)
    n_identities = len(np.unique(identities))
    run = Run(progress=progress)
    own = {
        OURS: lambda: cluster(X, graph=graph, run=run).labels,
        RULES: lambda: cluster(X, None, graph=graph, run=run).labels,
    }
    results = []
    for name, find in own.items():
        labels, seconds = _timed(find)
        results.append(Result(name, "defaults", labels, evaluate(identities, labels), seconds))
    methods: dict[str, Callable[[], tuple[str, _Labels]]] = {
        "threshold": lambda: _best_threshold(graph, identities),
        "DBSCAN": lambda: _best_dbscan(graph, identities),
        "HDBSCAN": lambda: _best_hdbscan(graph, identities),
        "k-means": lambda: (f"k = {n_identities:,}", baselines.kmeans(X, n_identities, seed)),
    }
    for name, method in methods.items():
        with progress.stage(name, len(X)) as advance:
            (setting, labels), seconds = _timed(method)
            advance(len(X))
        results.append(Result(name, setting, labels, evaluate(identities, labels), seconds))
    return results


def _best_threshold(graph: NeighborGraph, identities: npt.NDArray[np.int64]) -> tuple[str, _Labels]:
    labels, threshold = baselines.best_threshold_components(graph, identities)
    return f"cosine {threshold:.2f}", labels


def _best_dbscan(graph: NeighborGraph, identities: npt.NDArray[np.int64]) -> tuple[str, _Labels]:
    """Try thresholds in the range of similarities of best neighbours."""
    low, high = np.quantile(graph.similarities[:, 1], (0.02, 0.8))
    best = baselines.best_by_labels(
        (
            ((samples, threshold), baselines.dbscan(graph, threshold, samples))
            for samples in DBSCAN_MIN_SAMPLES
            for threshold in np.linspace(low, high, DBSCAN_THRESHOLDS)
        ),
        identities,
    )
    samples, threshold = best.setting
    return f"cosine {threshold:.2f}, min {samples}", best.labels


def _best_hdbscan(graph: NeighborGraph, identities: npt.NDArray[np.int64]) -> tuple[str, _Labels]:
    best = baselines.best_by_labels(
        ((size, baselines.hdbscan(graph, size)) for size in HDBSCAN_MIN_CLUSTER_SIZES), identities
    )
    return f"min {best.setting}", best.labels


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started
