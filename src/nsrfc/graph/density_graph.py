"""The local density graph: density, density edges, similarity edges, threshold.

With a_ij the affinity of face i and its neighbour j, and S_ij the probability that they are one
identity::

    p_ij = (S_ij + S_ji) / 2          S_ji being 0 where j does not list i (mutual = "published")
    p_ij = mean of S_ij and S_ji      of those that exist (mutual = "present")
    rho_i = sum of w_ij a_ij p_ij     over the neighbours of i, without i; w = 1, or the cosine
    E_d   i -> argmax of a_ij p_ij over neighbours with rho_j > rho_i
    E_s   pairs with rho_j > rho_i and a_ij p_ij >= tau that are not in E_d
    tau = mean over i of 0.7 a_(1) + 0.2 a_(2) + 0.1 a_(3)      the three largest of i

The published rule halves p_ij if the face is not in the list of its neighbour, which at a fixed
threshold cuts edges of poor images. The weight w_ij helps with identities of many photos: all
probabilities between them are near 1, and only cosines tell which faces are central.

The rules, which have no S, make the same graph from normalised scores s_ij and their probabilities
p_ij::

    rho_i = sum of max(s_ij, 0) p_ij
    E_d   i -> argmax of s_ij over neighbours with rho_j > rho_i
    E_s   pairs whose local score reaches tau (:func:`local_score`)

Source: LCE-PCENet (Shin et al., CVPR 2023) and the code of NSR-FC, which supports only k = 80.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import CHUNK, chunks
from nsrfc.graph.reverse import column_in_list, columns_in_lists
from nsrfc.records import DensityGraph, EdgeList, Mutual
from nsrfc.rowstore import Arrays, Columns, MemoryRows, RowStore
from nsrfc.runtime import at_once, compiled, parts

__all__ = [
    "MutualTask",
    "build_density_graph",
    "density_edges",
    "local_score",
    "mutual_probability",
    "neighbor_density",
    "similarity_edges",
    "similarity_threshold",
]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]

_TOP_WEIGHTS = (0.7, 0.2, 0.1)


def build_density_graph(
    ids: _Ids,
    affinity: _Floats,
    genuine: _Floats,
    threshold: float | None = None,
    mutual: Mutual = "published",
    weight: _Floats | None = None,
    store: RowStore | None = None,
) -> DensityGraph:
    """Build the density graph.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    affinity : ndarray of float32, shape (n, k)
        a_ij in [0, 1] of the neighbours in ``ids``, not necessarily descending.
    genuine : ndarray of float32, shape (n, k)
        S_ij in [0, 1].
    threshold : float, optional
        tau; that of :func:`similarity_threshold` by default.
    mutual : {"published", "present"}
    weight : ndarray of float32, shape (n, k), optional
        w_ij; values below 0 count as 0.
    store : RowStore, optional
        Where a_ij p_ij and densities are made; in memory by default.

    Returns
    -------
    DensityGraph
        E_d in order of the source, E_s lower face first in order of both, with a_ij p_ij as scores.
    """
    n = len(ids)
    tau = similarity_threshold(affinity, ids) if threshold is None else threshold
    store = store or MemoryRows()
    if not ids.flags.c_contiguous:
        first: Columns = {"ids": (ids.shape[1:], np.int32)}
        ids = store.before().fill(n, first, partial(_FirstTask, ids))["ids"]
    columns: Columns = {"score": (ids.shape[1:], np.float32), "density": ((), np.float64)}
    task = partial(MutualTask, ids, affinity, genuine, mutual, weight)
    made = store.fill(n, columns, task)
    score, density = made["score"], made["density"]
    strongest, similar = [], []
    for part in chunks(n):
        near, faces = ids[part], np.arange(part.start, part.stop, dtype=np.int32)
        upward = np.where(density[near] > density[part, None], score[part], np.float32(0))
        rows, best = np.arange(len(near)), upward.argmax(axis=1)
        edges = EdgeList(faces, near[rows, best], upward[rows, best])
        strongest.append(edges.where(edges.score > 0))
        upward[rows, best] = 0
        row, column = np.nonzero((upward >= tau) & (upward > 0))
        source, target = faces[row], near[row, column]
        ends = np.minimum(source, target), np.maximum(source, target)
        similar.append(EdgeList(*ends, upward[row, column]))
    joined = EdgeList.joined(similar)
    order = np.lexsort((joined.target, joined.source))
    return DensityGraph(density, EdgeList.joined(strongest), joined.where(order), tau, affinity, genuine)


@dataclass(frozen=True)
class _FirstTask:
    """Copies the first columns of lists (n, k), which are then beside each other for compiled code."""

    ids: _Ids
    step = CHUNK

    def __call__(self, rows: slice) -> Arrays:
        return {"ids": self.ids[rows]}


@dataclass(frozen=True)
class MutualTask:
    """Makes a_ij p_ij and densities; the attributes are arguments of :func:`build_density_graph`."""

    ids: _Ids
    affinity: _Floats
    genuine: _Floats
    mutual: Mutual
    weight: _Floats | None
    step = CHUNK

    def __call__(self, rows: slice) -> Arrays:
        """Return scores and densities."""
        score = self.affinity[rows] * _mutual_of(rows, self.ids, self.genuine, self.mutual)
        score[self.ids[rows] < 0] = 0
        score[:, 0] = 0
        weighted = score if self.weight is None else score * np.maximum(self.weight[rows], 0)
        return {"score": score, "density": weighted.sum(axis=1, dtype=np.float64)}


def similarity_threshold(similarity: _Floats, ids: _Ids) -> float:
    """Mean over faces of 0.7, 0.2 and 0.1 times their three largest similarities.

    Parameters
    ----------
    similarity : ndarray of float32, shape (n, k)
        In any order, except that column 0 is the face itself, which does not count.
    ids : ndarray of int32, shape (n, k)
        -1 = none. With fewer than three neighbours the remaining weights are rescaled to sum to 1; a
        face without neighbours is left out.

    Returns
    -------
    float
        1 if no face has a neighbour.
    """
    top = np.where(ids[:, 1:] >= 0, similarity[:, 1:], np.float32(-np.inf))
    if top.shape[1] > len(_TOP_WEIGHTS):
        top = np.partition(top, -len(_TOP_WEIGHTS), axis=1)[:, -len(_TOP_WEIGHTS) :]
    top = np.sort(top, axis=1)[:, ::-1]
    weights = np.where(np.isfinite(top), np.array(_TOP_WEIGHTS[: top.shape[1]]), 0)
    weights, top = weights[weights.any(axis=1)], top[weights.any(axis=1)]
    if len(top) == 0:
        return 1.0
    return float(np.average(np.where(weights > 0, top, 0), axis=1, weights=weights).mean())


def mutual_probability(ids: _Ids, genuine: _Floats, mutual: Mutual = "published") -> _Floats:
    """Average the probability of each listed pair over its two directions.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours; -1 = none.
    genuine : ndarray of float32, shape (n, k)
        S_ij.
    mutual : {"published", "present"}

    Returns
    -------
    ndarray of float32, shape (n, k)
        p_ij; 0 where there is no neighbour.
    """
    return _mutual_of(slice(0, len(ids)), np.ascontiguousarray(ids), genuine, mutual)


def _mutual_of(rows: slice, ids: _Ids, genuine: _Floats, mutual: Mutual) -> _Floats:
    """Return p_ij of some rows; ``ids`` are C-contiguous."""
    faces = np.arange(rows.start, rows.stop)
    out = np.zeros((len(faces), genuine.shape[1]), np.float32)
    at_once(
        partial(_average_directions, faces[part], ids, genuine, mutual == "present", out[part])
        for part in parts(len(faces))
    )
    return out


@compiled()
def _average_directions(
    faces: npt.NDArray[np.int64], ids: _Ids, genuine: _Floats, present: bool, out: _Floats
) -> None:
    for row, i in enumerate(faces):
        for c in range(ids.shape[1]):
            j = ids[i, c]
            if j < 0:
                continue
            reverse = genuine[i, c] if present else np.float32(0)
            column = column_in_list(ids, j, i)
            if column >= 0:
                reverse = genuine[j, column]
            out[row, c] = (genuine[i, c] + reverse) / 2


def neighbor_density(score: _Floats, probability: _Floats) -> _Floats:
    """Density rho (n,) of faces: score (n, k) times probability (n, k), summed over neighbours."""
    density: _Floats = (np.maximum(score[:, 1:], 0) * probability[:, 1:]).sum(axis=1)
    return density


def density_edges(ids: _Ids, score: _Floats, density: _Floats) -> EdgeList:
    """Link every face to its best neighbour of higher density.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    score : ndarray of float32, shape (n, k)
    density : ndarray of float32, shape (n,)
        Of two equal densities the one of the earlier row counts as higher.

    Returns
    -------
    EdgeList
        In order of the source; faces without a denser neighbour have no edge.
    """
    n = len(ids)
    target, best_score = np.empty(n, np.int32), np.empty(n, np.float32)
    rows = np.arange(n, dtype=np.int32)
    for part in chunks(n):
        near, own, row = ids[part], density[part, None], rows[part, None]
        around = density[near]
        higher = (around > own) | ((around == own) & (near < row))
        candidates = np.where(higher & (near >= 0), score[part], np.float32(-np.inf))
        candidates[:, 0] = -np.inf
        best = candidates.argmax(axis=1)[:, None]
        target[part] = np.take_along_axis(near, best, axis=1)[:, 0]
        best_score[part] = np.take_along_axis(candidates, best, axis=1)[:, 0]
    return EdgeList(rows, target, best_score).where(np.isfinite(best_score))


def local_score(source: _Ids, target: _Ids, score: _Floats, top: _Floats) -> _Floats:
    """Score of edges minus the gap to the best neighbour of either end.

    An edge between two identities usually starts at the densest face of one of them, which has far
    better neighbours; a genuine edge to a poor image is the best edge of that image. Subtracting the gap
    separates the two cases, similar to local scaling in spectral clustering.

    Parameters
    ----------
    source, target : ndarray of int32, shape (m,)
    score : ndarray of float32, shape (m,)
    top : ndarray of float32, shape (n,)
        Score of each face's best neighbour.

    Returns
    -------
    ndarray of float32, shape (m,)
    """
    return 2 * score - np.maximum(top[source], top[target])


def similarity_edges(ids: _Ids, score: _Floats, top: _Floats, threshold: float) -> EdgeList:
    """Link all listed pairs whose local score reaches a threshold.

    Scores are symmetric, so two faces that list each other get one edge: that from the earlier face.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    score : ndarray of float32, shape (n, k)
    top : ndarray of float32, shape (n,)
    threshold : float

    Returns
    -------
    EdgeList
        With local scores.
    """
    found = []
    for part in chunks(len(ids)):
        near, strong = ids[part], score[part]
        # A local score is at most the score, so few pairs remain to be gathered.
        row, column = np.nonzero((strong[:, 1:] >= threshold) & (near[:, 1:] >= 0))
        source, target = (row + part.start).astype(np.int32), near[row, column + 1]
        local = local_score(source, target, strong[row, column + 1], top)
        edges = EdgeList(source, target, local).where(local >= threshold)
        # Of two faces that list each other, the earlier one has already made the edge.
        back = np.flatnonzero(edges.target < edges.source)
        new = np.ones(len(edges), np.bool_)
        new[back] = columns_in_lists(ids, edges.target[back], edges.source[back]) < 0
        found.append(edges.where(new))
    return EdgeList.joined(found)
