"""The densities of OMHC, from neighbour lists only.

Equations of Chen et al., "On Mitigating Hard Clusters" (ECCV 2022), with the distance
d_ij = 1 - similarity. Time and memory are linear in the number of list entries.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.records import NeighborGraph

__all__ = [
    "approximate_ndde_density",
    "naive_density",
    "ndde_density",
    "neighbor_distances",
    "transition_weights",
]

# Weights are added as multiples of 2^-30: such sums are exact in float64 (up to 2^23 faces), so a
# density does not depend on the order of the rows.
_FIXED_POINT = 2.0**30


def neighbor_distances(graph: NeighborGraph) -> npt.NDArray[np.float32]:
    """Return d_ij = 1 - similarity, shape (n, k); infinite where there is no neighbour."""
    distances = 1 - graph.similarities
    distances[graph.ids < 0] = np.inf
    return distances


def transition_weights(
    graph: NeighborGraph, scale: float, epsilon: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return the transition probabilities of a random walk from each face to its neighbours.

    P_ij = exp(-d_ij / scale) / (epsilon + sum over the list of exp(-d_il / scale)).

    Parameters
    ----------
    graph : NeighborGraph
        Lists with the face itself in column 0.
    scale : float
        Distance over which a weight falls by e.
    epsilon : float
        Added to the row sum, as in some functions of the published code.

    Returns
    -------
    ndarray of float32, shape (n, k)
        0 where there is no neighbour.
    """
    weights: npt.NDArray[np.float32] = np.exp(-neighbor_distances(graph) / np.float32(scale))
    weights /= weights.sum(axis=1, keepdims=True) + np.float32(epsilon)
    return weights


def naive_density(graph: NeighborGraph, radius: float = 0.64) -> npt.NDArray[np.float64]:
    """Count the neighbours nearer than ``radius``, the face itself included.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    density: npt.NDArray[np.float64] = (neighbor_distances(graph) < radius).sum(axis=1, dtype=np.float64)
    return density


def approximate_ndde_density(
    graph: NeighborGraph, scale: float = 0.5, neighbors: int = 20
) -> npt.NDArray[np.float64]:
    """Sum the transition probabilities into each face: one step of the density diffusion.

    rho_j = sum over i with j in N(i) of exp(-d_ij / scale) / (1e-5 + sum over l in N(i) of
    exp(-d_il / scale)), N being the ``neighbors`` nearest with the face itself.

    Parameters
    ----------
    graph : NeighborGraph
        Lists with the face itself in column 0.
    scale : float
        Distance over which a weight falls by e.
    neighbors : int
        Number of columns of the lists used.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    near = graph.first(neighbors)
    return _received(near.ids, transition_weights(near, scale, epsilon=1e-5))


def ndde_density(
    graph: NeighborGraph,
    scale: float = 0.5,
    neighbors: int = 20,
    damping: float = 0.1,
    tolerance: float = 0.05,
) -> npt.NDArray[np.float64]:
    """Diffuse density over the neighbour lists until convergence.

    rho <- damping * rho + (1 - damping) * P^T rho from rho = 1/n, with P as in
    :func:`approximate_ndde_density` (without the 1e-5) and its loops set to 0; the last rho whose
    next step changes less than ``tolerance`` (sum of absolute changes) is the result.

    Parameters
    ----------
    graph : NeighborGraph
        Lists with the face itself in column 0.
    scale : float
        Distance over which a weight falls by e.
    neighbors : int
        Number of columns of the lists used.
    damping : float
        Share of its density that a face keeps in a step, in (0, 1).
    tolerance : float
        Change at which to stop.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    near = graph.first(neighbors)
    weights = transition_weights(near, scale)
    weights[:, 0] = 0
    density = np.ones(graph.n)
    while True:
        after = damping * density + (1 - damping) * _received(near.ids, weights * density[:, None])
        if np.abs(after - density).mean() < tolerance:
            return density / graph.n
        density = after


def _received(ids: npt.NDArray[np.int32], given: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Sum the values ``given`` (n, k) over the faces ``ids`` (n, k) that receive them."""
    present = ids >= 0
    amounts = np.rint(given[present] * _FIXED_POINT)
    return np.bincount(ids[present], weights=amounts, minlength=len(ids)) / _FIXED_POINT
