"""k-means on neighbour lists, for thousands of clusters and more.

Seeds are those of greedy k-means++ (Arthur and Vassilvitskii, 2007; the best of 2 + ln k draws, as in
scikit-learn), where only faces that list a seed, or that it lists, come nearer by it. Then a face
chooses among the clusters of the faces in its list. The work is bounded by lists, not by clusters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from nsrfc.records import NeighborGraph

__all__ = ["kmeans"]

ITERATIONS, SETTLED = 50, 5e-4  # at most so many, or until so few faces change their cluster
SPREADINGS, PART = 6, 10_000

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]


class _Arrays(NamedTuple):
    """Those of a neighbour graph: numba knows no classes."""

    ids: Ids
    similarities: Floats


class _Listed(NamedTuple):
    """Who lists a face: faces ``by[start[i] : start[i + 1]]`` list face i with ``similarities``."""

    start: Ints
    by: Ids
    similarities: Floats


def kmeans(X: Floats, graph: NeighborGraph, n_clusters: int, seed: int = 0) -> Ints:
    """Cluster by k-means.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    graph : NeighborGraph
        Their neighbours.
    n_clusters : int
        Number of clusters, from 1 to n.
    seed : int
        Seed of the draws.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    arrays = _Arrays(graph.ids, graph.similarities)
    trials, rng = 2 + int(math.log(n_clusters)), np.random.default_rng(seed)
    seeds = _seeds(arrays, _listed(graph), n_clusters, trials, rng)
    label = np.full(len(X), -1, np.int32)
    label[seeds] = np.arange(n_clusters)
    centres = X[seeds]
    for _ in range(SPREADINGS):
        label = _nearest(X, graph.ids, label, centres)
        far = np.flatnonzero(label < 0)
        if not len(far):
            break
    for part in np.array_split(far, 1 + len(far) // PART):
        label[part] = (X[part] @ centres.T - (centres**2).sum(axis=1) / 2).argmax(axis=1)
    for _ in range(ITERATIONS):
        centres = _means(X, label, centres)
        before, label = label, _nearest(X, graph.ids, label, centres)
        if (label != before).mean() < SETTLED:
            break
    return label.astype(np.int64)


def _listed(graph: NeighborGraph) -> _Listed:
    flat = graph.ids.ravel()
    order = np.argsort(flat, kind="stable")
    start = np.searchsorted(flat, np.arange(graph.n + 1), sorter=order)
    return _Listed(start, (order // graph.k).astype(np.int32), graph.similarities.ravel()[order])


def _means(X: Floats, label: Ids, centres: Floats) -> Floats:
    """Mean of each cluster; an empty one stays where it was."""
    from scipy.sparse import csr_array

    n, k = len(label), len(centres)
    sizes = np.bincount(label, minlength=k)
    members = csr_array((np.ones(n, np.float32), (label, np.arange(n))), shape=(k, n))
    means = (members @ X) / np.maximum(sizes, 1)[:, None].astype(np.float32)
    return np.where(sizes[:, None] > 0, means, centres)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _seeds(graph: _Arrays, listed: _Listed, count: int, trials: int, rng: np.random.Generator) -> Ints:
    """Draw seeds (count,); a face without a seed in its list is as near to one as its last neighbour."""
    ids, similarities = graph
    last = similarities[:, -1]
    nearest = last.copy()
    chosen = np.empty(count, np.int64)
    for number in range(count):
        most, at = -1.0, np.int64(0)
        for _ in range(trials):
            face = rng.integers(0, len(ids))
            while rng.random() > 1 - nearest[face]:
                face = rng.integers(0, len(ids))
            gain = 1 - nearest[face]
            for other, similarity in zip(ids[face], similarities[face]):  # noqa: B905
                gain += max(0, similarity - nearest[other])
            for j in range(listed.start[face], listed.start[face + 1]):
                if listed.similarities[j] < last[face]:  # or it is in the face's own list, counted above
                    gain += max(0, listed.similarities[j] - nearest[listed.by[j]])
            if gain > most:
                most, at = gain, face
        chosen[number] = at
        for other, similarity in zip(ids[at], similarities[at]):  # noqa: B905
            nearest[other] = max(nearest[other], similarity)
        for j in range(listed.start[at], listed.start[at + 1]):
            nearest[listed.by[j]] = max(nearest[listed.by[j]], listed.similarities[j])
        nearest[at] = 1
    return chosen


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _nearest(X: Floats, ids: Ids, label: Ids, centres: Floats) -> Ids:
    """Nearest centre among those of the faces in the list (n,); -1 where none of them has one."""
    n, k = ids.shape
    half = np.empty(len(centres), np.float32)
    for c in numba.prange(len(centres)):
        half[c] = np.dot(centres[c], centres[c]) / 2
    found = np.empty(n, np.int32)
    for i in numba.prange(n):
        tried = np.empty(k, np.int32)
        count, most, at = 0, -np.inf, label[i]
        for j in range(k):
            c = label[ids[i, j]]
            new = c >= 0
            for earlier in range(count):
                new = new and tried[earlier] != c
            if new:
                tried[count] = c
                count += 1
                score = np.dot(X[i], centres[c]) - half[c]
                if score > most:
                    most, at = score, c
        found[i] = at
    return found
