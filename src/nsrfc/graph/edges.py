"""The local density graph: density edges and similarity edges (NSR-FC, step 2).

Notation of the method: a_ij strength of a listed neighbour, p_ij probability that it is the same person,
rho_i = sum_j a_ij p_ij.

    E_d   i -> argmax of a_ij over neighbours with rho_j > rho_i, at most one per face
    E_s   pairs so strong that they are linked at once
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.chunks import chunks
from nsrfc.records import EdgeList

__all__ = ["density_edges", "local_strength", "neighbor_density", "similarity_edges"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]


def neighbor_density(strength: _Floats, probability: _Floats) -> _Floats:
    """Density rho (n,) of faces: strength (n, k) times probability (n, k), summed over neighbours."""
    density: _Floats = (np.maximum(strength[:, 1:], 0) * probability[:, 1:]).sum(axis=1)
    return density


def density_edges(ids: _Ids, strength: _Floats, density: _Floats) -> EdgeList:
    """Link every face to its strongest neighbour of higher density.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    strength : ndarray of float32, shape (n, k)
    density : ndarray of float32, shape (n,)
        Of two equal ones the earlier row counts as the higher.

    Returns
    -------
    EdgeList
        In order of the source; faces without a denser neighbour have no edge.
    """
    n = len(ids)
    target, score = np.empty(n, np.int32), np.empty(n, np.float32)
    rows = np.arange(n, dtype=np.int32)
    for part in chunks(n):
        near, own, row = ids[part], density[part, None], rows[part, None]
        around = density[near]
        higher = (around > own) | ((around == own) & (near < row))
        candidates = np.where(higher & (near >= 0), strength[part], np.float32(-np.inf))
        candidates[:, 0] = -np.inf
        best = candidates.argmax(axis=1)[:, None]
        target[part] = np.take_along_axis(near, best, axis=1)[:, 0]
        score[part] = np.take_along_axis(candidates, best, axis=1)[:, 0]
    return EdgeList(rows, target, score).where(np.isfinite(score))


def local_strength(source: _Ids, target: _Ids, strength: _Floats, top: _Floats) -> _Floats:
    """Strength of edges less what they fall short of the stronger end's own best neighbour.

    The edge that leaves a person usually starts at that person's densest face, which has far stronger
    neighbours than the edge; an edge to a poor image is the best that the poor image has. Subtracting
    the gap tells the two apart, as local scaling does in spectral clustering.

    Parameters
    ----------
    source, target : ndarray of int32, shape (m,)
    strength : ndarray of float32, shape (m,)
    top : ndarray of float32, shape (n,)
        Strength of each face's best neighbour.

    Returns
    -------
    ndarray of float32, shape (m,)
    """
    return 2 * strength - np.maximum(top[source], top[target])


def similarity_edges(ids: _Ids, strength: _Floats, top: _Floats, threshold: float) -> EdgeList:
    """Link all listed pairs whose local strength reaches a threshold.

    Strengths are the same in both directions, so of two faces that list each other one edge is enough:
    the one from the earlier face.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    strength : ndarray of float32, shape (n, k)
    top : ndarray of float32, shape (n,)
    threshold : float

    Returns
    -------
    EdgeList
        With local strengths as scores.
    """
    found = []
    for part in chunks(len(ids)):
        near, strong = ids[part], strength[part]
        # Local strength is at most the strength: this leaves few pairs to gather for.
        row, column = np.nonzero((strong[:, 1:] >= threshold) & (near[:, 1:] >= 0))
        source, target = (row + part.start).astype(np.int32), near[row, column + 1]
        score = local_strength(source, target, strong[row, column + 1], top)
        edges = EdgeList(source, target, score).where(score >= threshold)
        again = np.empty(len(edges), np.bool_)
        _come_again(ids, edges.source, edges.target, again)
        found.append(edges.where(~again))
    return EdgeList(
        np.concatenate([edges.source for edges in found]),
        np.concatenate([edges.target for edges in found]),
        np.concatenate([edges.score for edges in found]),
    )


@njit(cache=True, parallel=True)
def _come_again(ids: _Ids, source: _Ids, target: _Ids, again: npt.NDArray[np.bool_]) -> None:
    """Whether an edge stands in the list of an earlier face, too."""
    for e in prange(len(source)):
        again[e] = False
        if target[e] < source[e]:
            for c in range(ids.shape[1]):
                again[e] |= ids[target[e], c] == source[e]
