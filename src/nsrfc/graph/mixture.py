"""Same person or stranger: two laws fitted to the strengths of edges, and the odds between them.

Each face contributes one edge, its best. Best edges to strangers are maxima of many similarities and
follow a Gumbel law (extreme value theory); edges within a person are taken as normal. The two laws and
their shares are fitted by expectation maximisation. A prior stands for what is known before looking,
so that the fit holds with few faces, or where one kind of edge is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["EdgeLaw", "fit_edge_law", "probability"]

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

STRANGER_SCALE = 0.45
STRANGER_BASE = 2.55
"""One pair of strangers in a hundred is more than 2.55 deviations above the background, and every
further 0.45 deviations divide their number by e: measured on two embedders and two sets of people, whose
values are 2.45 to 2.61 and 0.39 to 0.49 (docs/clustering.md)."""

SAME_MEAN, SAME_DEVIATION = 10.0, 2.0
"""Edges within a person, in deviations, before looking."""

PRIOR_EDGES, PRIOR_SHARE = 20, 0.02
"""The prior weighs as much as 20 edges and another 2 % of all."""

MAX_EDGES = 100_000
"""Of more edges every second, third, ... in order of strength is taken: the laws stay the same."""

_EULER_GAMMA = 0.5772156649
_ROUNDS = 100
_BOUND = (-2.0, 30.0)


@dataclass(frozen=True)
class EdgeLaw:
    """Log-odds that an edge joins one person, as a straight line through their zero.

    Attributes
    ----------
    threshold : float
        Strength at which both are equally likely.
    slope : float
        Gain of log-odds per unit of strength at the threshold. The line is followed everywhere, since
        the ratio of two fitted tails would turn round far from where the data are.
    """

    threshold: float
    slope: float

    def log_odds(self, strength: _Floats) -> _Floats:
        """Log-odds of edges of given strengths, in the shape of ``strength``."""
        return (strength - np.float32(self.threshold)) * np.float32(self.slope)


def fit_edge_law(strength: npt.NDArray[np.floating], n: int) -> EdgeLaw:
    """Fit the two laws to the best edges of a set of faces.

    Parameters
    ----------
    strength : ndarray of float, shape (m,)
        Strength of one edge per face, in deviations above the background. Infinite ones are left out.
    n : int
        Number of faces, which tells how far the best of all strangers reaches.

    Returns
    -------
    EdgeLaw
    """
    x = np.sort(np.clip(strength[np.isfinite(strength)].astype(np.float64), *_BOUND))
    x = x[:: 1 + len(x) // MAX_EDGES]
    reach = STRANGER_BASE + STRANGER_SCALE * np.log(max(n, 100) / 100 / np.log(2))
    prior = PRIOR_EDGES + PRIOR_SHARE * len(x)
    prior_mean = np.array([reach + _EULER_GAMMA * STRANGER_SCALE, SAME_MEAN])
    prior_variance = np.array([(np.pi * STRANGER_SCALE) ** 2 / 6, SAME_DEVIATION**2])
    mean, variance, share = prior_mean, prior_variance, 0.5
    for _ in range(_ROUNDS):
        odds = _log_odds(x, mean, variance, share)
        # Beyond the two means the laws' tails say nothing: the nearer law takes all.
        odds[x < mean[0]] = -np.inf
        odds[x > mean[1]] = np.inf
        same = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        weights = np.stack([1 - same, same])
        total = weights.sum(axis=1)
        mean = (weights @ x + prior * prior_mean) / (total + prior)
        spread = (weights * (x - mean[:, None]) ** 2).sum(axis=1)
        variance = (spread + prior * prior_variance) / (total + prior)
        share = (total[1] + prior / 2) / (len(x) + prior)
    return _line(mean, variance, share)


def probability(log_odds: _Floats) -> _Floats:
    """Probability of log-odds, in the same shape."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))), np.float32)


def _log_odds(x: _Doubles, mean: _Doubles, variance: _Doubles, share: float) -> _Doubles:
    scale = np.sqrt(6 * variance[0]) / np.pi
    reduced = (x - mean[0]) / scale + _EULER_GAMMA
    stranger = np.log((1 - share) / scale) - reduced - np.exp(np.minimum(-reduced, 50))
    same = np.log(share) - np.log(2 * np.pi * variance[1]) / 2 - (x - mean[1]) ** 2 / 2 / variance[1]
    odds: _Doubles = same - stranger
    return odds


def _line(mean: _Doubles, variance: _Doubles, share: float) -> EdgeLaw:
    """Where the log-odds first pass zero between the means, and how steeply."""
    grid = np.linspace(mean[0], mean[1], 2001)
    odds = _log_odds(grid, mean, variance, share)
    at = int(np.clip(np.argmax(odds > 0), 1, len(grid) - 2))
    slope = (odds[at + 1] - odds[at - 1]) / (grid[at + 1] - grid[at - 1])
    return EdgeLaw(float(grid[at]), float(slope))
