"""The local density graph: density, density edges, similarity edges, threshold.

With a_ij the similarity (or probability) of neighbour j of i, S_ij the LCENet probability::

    p_ij = (S_ij + S_ji) / 2          S_ji being 0 where j does not list i (mutual = "published")
    p_ij = mean of S_ij and S_ji      over those there are (mutual = "present")
    rho_i = sum of w_ij a_ij p_ij     over the neighbours of i, without i; w = 1, or the cosine
    E_d   i -> argmax of a_ij p_ij over neighbours with rho_j > rho_i
    E_s   pairs with rho_j > rho_i and a_ij p_ij >= tau that are not in E_d
    tau = mean over i of 0.7 a_(1) + 0.2 a_(2) + 0.1 a_(3)      the three largest of i

The published rule halves p wherever the list of the neighbour has no room for the face, which at a fixed
threshold cuts edges of poor images. Probabilities near 1 all round a person who fills many lists leave
nothing to tell the middle of such a person by; cosines do.

Source: LCE-PCENet (Shin et al., CVPR 2023) and the code of NSR-FC, there for k = 80 only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.records import EdgeList, Mutual

__all__ = ["DensityGraph", "mutual_probability", "published_density_graph", "similarity_threshold"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

_TOP_WEIGHTS = (0.7, 0.2, 0.1)


@dataclass(frozen=True)
class DensityGraph:
    """Density and edges.

    Attributes
    ----------
    density : ndarray of float64, shape (n,)
    density_edges : EdgeList
        E_d in order of the source, with a_ij p_ij as scores.
    similarity_edges : EdgeList
        E_s, lower face first, in order of both, with a_ij p_ij as scores.
    threshold : float
        tau.
    """

    density: _Doubles
    density_edges: EdgeList
    similarity_edges: EdgeList
    threshold: float


def published_density_graph(
    ids: _Ids,
    similarity: _Floats,
    same: _Floats,
    threshold: float | None = None,
    mutual: Mutual = "published",
    weight: _Floats | None = None,
) -> DensityGraph:
    """Build the density graph.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    similarity : ndarray of float32, shape (n, k)
        a_ij in [0, 1], in the order of ``ids``, which it need not follow.
    same : ndarray of float32, shape (n, k)
        S_ij in [0, 1].
    threshold : float, optional
        tau, if not that of :func:`similarity_threshold`.
    mutual : {"published", "present"}
    weight : ndarray of float32, shape (n, k), optional
        w_ij; those below 0 count as 0.

    Returns
    -------
    DensityGraph
    """
    n = len(ids)
    tau = similarity_threshold(similarity, ids) if threshold is None else threshold
    strength = similarity * mutual_probability(ids, same, mutual)
    strength[ids < 0] = 0
    strength[:, 0] = 0
    weighted = strength if weight is None else strength * np.maximum(weight, 0)
    density = weighted.sum(axis=1, dtype=np.float64)

    strength[density[ids] <= density[:, None]] = 0
    best = strength.argmax(axis=1)
    faces = np.arange(n)
    source = np.flatnonzero(strength[faces, best] > 0)
    density_edges = _edges(ids, strength, source, best[source])

    strength[source, best[source]] = 0
    row, column = np.nonzero((strength >= tau) & (strength > 0))
    edges = _edges(ids, strength, row, column)
    low, high = np.minimum(edges.source, edges.target), np.maximum(edges.source, edges.target)
    order = np.lexsort((high, low))
    similarity_edges = EdgeList(low[order], high[order], edges.score[order])
    return DensityGraph(density, density_edges, similarity_edges, tau)


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


def mutual_probability(ids: _Ids, same: _Floats, mutual: Mutual = "published") -> _Floats:
    """Average the probability of each listed pair over both directions.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours; -1 = none.
    same : ndarray of float32, shape (n, k)
    mutual : {"published", "present"}

    Returns
    -------
    ndarray of float32, shape (n, k)
        p_ij; 0 where there is no neighbour.
    """
    out = np.zeros_like(same)
    _average_directions(np.ascontiguousarray(ids), same, mutual == "present", out)
    return out


def _edges(
    ids: _Ids, strength: _Floats, row: npt.NDArray[np.intp], column: npt.NDArray[np.intp]
) -> EdgeList:
    return EdgeList(row.astype(np.int32), ids[row, column], strength[row, column])


@njit(cache=True, parallel=True, nogil=True)
def _average_directions(ids: _Ids, same: _Floats, present: bool, out: _Floats) -> None:
    for i in prange(len(ids)):
        for c in range(ids.shape[1]):
            j = ids[i, c]
            if j < 0:
                continue
            reverse = same[i, c] if present else np.float32(0)
            for d in range(ids.shape[1]):
                if ids[j, d] == i:
                    reverse = same[j, d]
            out[i, c] = (same[i, c] + reverse) / 2
