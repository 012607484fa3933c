"""Density-peak clustering and the transition-probability distance TPDi.

Both are from Chen et al., "On Mitigating Hard Clusters" (ECCV 2022).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.graph.components import connected_components
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.research.density import transition_weights
from nsrfc.runtime import at_once, compiled, parts

__all__ = ["density_peak_clustering", "shared_neighbor_counts", "tpdi"]


def tpdi(graph: NeighborGraph, scale: float = 0.05) -> npt.NDArray[np.float32]:
    """Distance between a face and each of its neighbours by their transition probabilities.

    TPDi_ij = 1 - sum over c in N(i) and N(j) of sqrt(P_ic P_jc), with
    P_ij = exp(-d_ij / scale) / (1e-5 + row sum).

    Parameters
    ----------
    graph : NeighborGraph
        Lists with the face itself in column 0.
    scale : float
        Distance over which a weight falls by e.

    Returns
    -------
    ndarray of float32, shape (n, k)
        Aligned with ``graph.ids``; 1 (nothing in common) where there is no neighbour.
    """
    return 1 - _overlap(graph, np.sqrt(transition_weights(graph, scale, epsilon=1e-5)))


def shared_neighbor_counts(graph: NeighborGraph) -> npt.NDArray[np.int32]:
    """Count the neighbours that a face shares with each of its neighbours.

    Returns
    -------
    ndarray of int32, shape (n, k)
        |N(i) ∩ N(j)| for the j of ``graph.ids``, faces themselves included; 0 where there is no
        neighbour.
    """
    return _overlap(graph, np.ones(graph.ids.shape, np.float32)).astype(np.int32)


def density_peak_clustering(
    density: npt.NDArray[np.floating],
    distances: npt.NDArray[np.floating],
    ids: npt.NDArray[np.int32],
    tau: float = 0.7,
    max_connections: int = 1,
) -> npt.NDArray[np.int64]:
    """Cluster by joining every face to its nearest neighbours that are at least as dense.

    Parameters
    ----------
    density : ndarray of float, shape (n,)
        Density of every face.
    distances : ndarray of float, shape (n, k)
        Distances to the neighbours, in any order along a row; among equal ones the first counts as
        nearer.
    ids : ndarray of int32, shape (n, k)
        The neighbours; -1 and the face itself are ignored.
    tau : float
        Maximum length of a connection.
    max_connections : int
        Maximum number of the nearest denser neighbours that a face is joined to.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.

    Raises
    ------
    InputError
        If the shapes do not match.
    """
    if distances.shape != ids.shape or density.shape != ids.shape[:1]:
        raise InputError(
            f"Density-peak clustering needs density (n,) and distances and ids (n, k), "
            f"got {density.shape}, {distances.shape} and {ids.shape}."
        )
    faces = np.arange(len(ids), dtype=np.int32)
    eligible = (ids >= 0) & (ids != faces[:, None]) & (density[ids] >= density[:, None])
    remaining = np.where(eligible, distances, np.inf)
    source, target = [], []
    for _ in range(min(max_connections, ids.shape[1])):
        nearest = remaining.argmin(axis=1)
        joined = remaining[faces, nearest] < tau
        source.append(faces[joined])
        target.append(ids[faces, nearest][joined])
        remaining[faces, nearest] = np.inf
    ends = np.concatenate(source), np.concatenate(target)
    return connected_components(len(ids), EdgeList(*ends, np.ones(len(ends[0]), np.float32)))


def _overlap(graph: NeighborGraph, weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return sum over common neighbours c of w_ic w_jc, shape (n, k)."""
    result = np.zeros(graph.ids.shape, np.float32)
    add = partial(_add_overlaps, np.ascontiguousarray(graph.ids), np.ascontiguousarray(weights))
    faces, room = np.arange(graph.n), np.zeros((len(parts(graph.n)), graph.n), np.float32)
    at_once(
        partial(add, faces[part], own, result[part])
        for part, own in zip(parts(graph.n), room, strict=True)
    )
    return result


@compiled()
def _add_overlaps(
    ids: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
    faces: npt.NDArray[np.int64],
    own: npt.NDArray[np.float32],
    result: npt.NDArray[np.float32],
) -> None:
    k = ids.shape[1]
    for row in range(len(faces)):
        i = faces[row]
        for c in range(k):
            if ids[i, c] >= 0:
                own[ids[i, c]] = weights[i, c]
        for c in range(k):
            j = ids[i, c]
            if j < 0:
                break
            total = 0.0
            for other in range(k):
                if ids[j, other] < 0:
                    break
                total += own[ids[j, other]] * weights[j, other]
            result[row, c] = total
        for c in range(k):
            if ids[i, c] >= 0:
                own[ids[i, c]] = 0.0
