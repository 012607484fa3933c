"""The least work of each stage on arrays: what it must multiply and what it must move.

A stage must multiply what its equations multiply and read and write its arrays; a gather reads every row
it names. Divided by the rates of the machine this is the floor of the stage. What compares, sorts or
branches is not counted, so that a stage of such work stays far above its floor; and what lies in a cache
moves faster than memory is copied, so that a small one may lie below it.

n faces, d dimensions, k neighbours; a multiply-add counts two FLOP, a number four bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nsrfc.config import ClusterConfig
from nsrfc.graph.list_features import LIST_FEATURES
from nsrfc.graph.scores import PAIRED
from nsrfc.graph.whitening import ASKED, MEASURED
from nsrfc.knn.rebuilt import REBUILD_WIDTH
from nsrfc.methods.rules import Rules
from nsrfc.resources.clustering import plan_search

from .machine import Rates

__all__ = [
    "Work",
    "averages",
    "compared_clusters",
    "graph_steps",
    "impostor_scores",
    "label_free",
    "list_features",
    "rebuilding",
    "search",
    "total",
    "whitening",
]

WIDTHS = [width for width, _ in Rules.refinements]
"""Neighbours that each refinement of the rules averages."""


@dataclass(frozen=True)
class Work:
    """What a stage must do.

    Attributes
    ----------
    flop : float
        Of products.
    bytes : float
        Read and written.
    """

    flop: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)

    def __rmul__(self, times: float) -> Work:
        return Work(times * self.flop, times * self.bytes)

    def seconds(self, rates: Rates) -> tuple[float, float]:
        """Seconds of multiplying and of moving at the best rates."""
        return self.flop / rates.multiplied, self.bytes / rates.copied


def label_free(n: int, d: int, k: int) -> dict[str, Work]:
    """Count the stages of :class:`nsrfc.methods.rules.Rules`."""
    k = min(k, n)
    return {
        # As of faces that are whitened: a graph more, and its scores.
        "neighbours": search(n, d, k) + (1 + len(WIDTHS)) * rebuilding(n, d, k),
        "whitening": len(Rules.whitening) * entropy(n, d) + whitening(n, d, k),
        "scores": (2 + len(WIDTHS)) * impostor_scores(n, d),
        "refinement": total(averages(n, d, min(width, k)) for width in WIDTHS),
        # ids and scores of every list.
        "density": Work(bytes=8.0 * n * k),
        # Sums of clusters start as a copy of the vectors and are formed once more; lists are read once.
        "clusters": Work(bytes=12.0 * n * d + 4.0 * n * k),
    }


def graph_steps(n: int, d: int, k: int, width: int, members: float, edges: int) -> dict[str, Work]:
    """Count single steps on a neighbour graph.

    Parameters
    ----------
    n, d, k : int
    width : int
        Neighbours averaged.
    members : float
        Mean size of the sets R*.
    edges : int
        Edges whose components are found.
    """
    return {
        "re-ranking": reranking(n, k, members),
        "list features": list_features(n, k),
        "averages": averages(n, d, width),
        "linkage": linkage(n, k, width),
        # ids, a_ij and S_ij of every list and of the lists of its neighbours' entries.
        "density graph": Work(bytes=12.0 * n * k + 8.0 * n * k * k),
        "components": Work(bytes=8.0 * edges + 8.0 * n),
        "scores": Work(bytes=16.0 * n),
    }


def search(n: int, d: int, k: int, method: str = "auto") -> Work:
    """Count a search: exact, 2 n^2 d FLOP; approximate, at least those of the faces listed, 2 n k d."""
    if plan_search(n, d, ClusterConfig.of(search=method)).method == "exact":
        return Work(flop=2.0 * n * n * d, bytes=4.0 * n * d + 8.0 * n * k)
    return Work(flop=2.0 * n * k * d, bytes=4.0 * n * k * d + 8.0 * n * k)


def compared_clusters(n: int, d: int) -> Work:
    """Count what compares clusters: their sums start as a copy of the vectors."""
    return Work(bytes=8.0 * n * d)


def rebuilding(n: int, d: int, k: int) -> Work:
    """Gather the lists of some neighbours, and the vectors of k faces at least: 2 n k d FLOP."""
    return Work(2.0 * n * k * d, 4.0 * n * k * (min(REBUILD_WIDTH, k) + d + 2.0))


def impostor_scores(n: int, d: int) -> Work:
    """Count products of the pairs in a sample of m faces: m^2 d FLOP."""
    sample = float(min(n, PAIRED))
    return Work(sample * sample * d, 4.0 * sample * d)


def entropy(n: int, d: int) -> Work:
    """Count the lists of a sample of m faces, 2 n m d FLOP, and impostor scores."""
    return Work(2.0 * n * min(n, ASKED) * d, 4.0 * n * d) + impostor_scores(n, d)


def averages(n: int, d: int, width: int) -> Work:
    """Gather ``width`` vectors per face, write one."""
    return Work(flop=2.0 * n * width * d, bytes=4.0 * n * (width + 1) * d)


def whitening(n: int, d: int, k: int) -> Work:
    """Count the scatter of a sample of m faces, 2 m d^2 FLOP, and the product with its root, 2 n d^2."""
    measured = min(n, MEASURED)
    scatter = Work(flop=2.0 * measured * d * d) + averages(measured, d, k)
    return scatter + Work(flop=2.0 * n * d * d, bytes=8.0 * n * d)


def linkage(n: int, k: int, width: int) -> Work:
    """Merge two lists of ``width`` ids and weights for each pair: gather one, write a number."""
    return Work(bytes=n * k * (8.0 * width + 4.0))


def list_features(n: int, k: int, scored: int | None = None) -> Work:
    """Gather ids, scores and ranks of the lists of a face's nearest neighbours, write the features."""
    scored = k if scored is None else min(scored, k)
    return Work(bytes=12.0 * n * scored * k + 4.0 * n * scored * len(LIST_FEATURES))


def reranking(n: int, k: int, members: float) -> Work:
    """Gather the k lists of a face's neighbours, for R, and at least k sets R*; write a list."""
    return Work(bytes=n * k * (4.0 * k + 4.0 * members + 8.0))


def total(works: Iterable[Work]) -> Work:
    """Sum of several."""
    return sum(works, Work())
