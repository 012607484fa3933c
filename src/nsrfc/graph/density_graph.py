"""The local density graph: density, density edges, similarity edges, threshold.

With a_ij the affinity of neighbour j of i, S_ij the probability that both are one identity::

    p_ij = (S_ij + S_ji) / 2          S_ji being 0 where j does not list i (mutual = "published")
    p_ij = mean of S_ij and S_ji      over those there are (mutual = "present")
    rho_i = sum of w_ij a_ij p_ij     over the neighbours of i, without i; w = 1, or the cosine
    E_d   i -> argmax of a_ij p_ij over neighbours with rho_j > rho_i
    E_s   pairs with rho_j > rho_i and a_ij p_ij >= tau that are not in E_d
    tau = mean over i of 0.7 a_(1) + 0.2 a_(2) + 0.1 a_(3)      the three largest of i

The published rule halves p wherever the list of the neighbour has no room for the face, which at a fixed
threshold cuts edges of poor images. Probabilities near 1 all round a person who fills many lists leave
nothing to tell the middle of such a person by; cosines do.

The rules, which have no S, make the same graph of normalised scores s_ij and their probability p_ij::

    rho_i = sum of max(s_ij, 0) p_ij
    E_d   i -> argmax of s_ij over neighbours with rho_j > rho_i
    E_s   pairs whose local score reaches tau (:func:`local_score`)

Source: LCE-PCENet (Shin et al., CVPR 2023) and the code of NSR-FC, there for k = 80 only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.chunks import chunks
from nsrfc.graph.reverse import column_in_list, columns_in_lists
from nsrfc.records import DensityGraph, EdgeList, Mutual

__all__ = [
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
) -> DensityGraph:
    """Build the density graph.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    affinity : ndarray of float32, shape (n, k)
        a_ij in [0, 1], in the order of ``ids``, which it need not follow.
    genuine : ndarray of float32, shape (n, k)
        S_ij in [0, 1].
    threshold : float, optional
        tau, if not that of :func:`similarity_threshold`.
    mutual : {"published", "present"}
    weight : ndarray of float32, shape (n, k), optional
        w_ij; those below 0 count as 0.

    Returns
    -------
    DensityGraph
        E_d in order of the source, E_s lower face first in order of both, with a_ij p_ij as scores.
    """
    n = len(ids)
    tau = similarity_threshold(affinity, ids) if threshold is None else threshold
    score = affinity * mutual_probability(ids, genuine, mutual)
    score[ids < 0] = 0
    score[:, 0] = 0
    density = np.empty(n)
    for part in chunks(n):
        weighted = score[part] if weight is None else score[part] * np.maximum(weight[part], 0)
        density[part] = weighted.sum(axis=1, dtype=np.float64)
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


def similarity_threshold(similarity: _Floats, ids: _Ids) -> float:
    """Mean over faces of 0.7, 0.2 and 0.1 times their three largest similarities.

    Parameters
    ----------
    similarity : ndarray of float32, shape (n, k)
        In any order but for the face itself, in column 0, which is not counted.
    ids : ndarray of int32, shape (n, k)
        -1 = none. With fewer than three neighbours the weights of those there are add up to 1; a face
        with none is left out.

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
    """Average the probability of each listed pair over both directions.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours; -1 = none.
    genuine : ndarray of float32, shape (n, k)
    mutual : {"published", "present"}

    Returns
    -------
    ndarray of float32, shape (n, k)
        p_ij; 0 where there is no neighbour.
    """
    out = np.zeros_like(genuine)
    _average_directions(np.ascontiguousarray(ids), genuine, mutual == "present", out)
    return out


@njit(cache=True, parallel=True, nogil=True)
def _average_directions(ids: _Ids, genuine: _Floats, present: bool, out: _Floats) -> None:
    for i in prange(len(ids)):
        for c in range(ids.shape[1]):
            j = ids[i, c]
            if j < 0:
                continue
            reverse = genuine[i, c] if present else np.float32(0)
            column = column_in_list(ids, j, i)
            if column >= 0:
                reverse = genuine[j, column]
            out[i, c] = (genuine[i, c] + reverse) / 2


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
        Of two equal ones the earlier row counts as the higher.

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
    """Score of edges less what they fall short of the stronger end's own best neighbour.

    The edge that leaves a person usually starts at that person's densest face, which has far better
    neighbours than the edge; an edge to a poor image is the best that the poor image has. Subtracting
    the gap tells the two apart, as local scaling does in spectral clustering.

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

    Scores are the same in both directions, so of two faces that list each other one edge is enough:
    the one from the earlier face.

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
        # A local score is at most the score: this leaves few pairs to gather for.
        row, column = np.nonzero((strong[:, 1:] >= threshold) & (near[:, 1:] >= 0))
        source, target = (row + part.start).astype(np.int32), near[row, column + 1]
        local = local_score(source, target, strong[row, column + 1], top)
        edges = EdgeList(source, target, local).where(local >= threshold)
        # Of two faces that list each other the earlier one has made the edge.
        again = (edges.target < edges.source) & (columns_in_lists(ids, edges.target, edges.source) >= 0)
        found.append(edges.where(~again))
    return EdgeList.joined(found)
