"""Score normalisation, and the score model that turns normalised scores into probabilities.

Embedders differ in scale, and faces differ in their average similarity to others. Scores are therefore
normalised as in speaker verification: each similarity is expressed in standard deviations of the two
faces' impostor scores (symmetric normalisation, "s-norm"):

    z_ij = ((s_ij - m_i) / d_i + (s_ij - m_j) / d_j) / 2

m and d are computed from the lower half of a face's similarities to a sample of all faces. The lower
half is assumed to contain impostor pairs only, as genuine pairs are in the upper tail.

Score model. Each face contributes one edge, to its best neighbour. The best impostor scores are maxima
of many scores and follow a Gumbel distribution (extreme value theory); genuine scores are assumed to be
normal. The mixture of the two is fitted by expectation maximisation, with a prior that keeps the fit
stable with few faces, or if all edges are genuine or all impostors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from scipy.special import expit

from nsrfc.chunks import sample_faces
from nsrfc.rowstore import MemoryRows, RowStore

__all__ = [
    "ImpostorScores",
    "ScoreModel",
    "fit_score_model",
    "impostor_mean",
    "impostor_scores",
    "normalized_scores",
    "probability",
]

_Floats = npt.NDArray[np.float32]


PRIOR_PAIRS = 200
"""Weight of the prior of impostor score statistics: mean 0 and deviation 1 / sqrt(d), where d counts
only coordinates that are not zero throughout. The prior dominates with a handful of faces and is
negligible beyond a hundred."""

_CHUNK = 1024
_GRID = np.float32(2.0**12)
_SHRINK = np.float32(1 - 2.0**-7)
_BINS = 2048
_ONE_DEVIATION_BELOW = 0.1587


@dataclass(frozen=True)
class ImpostorScores:
    """Impostor score statistics of each face.

    Attributes
    ----------
    center : ndarray of float32, shape (n,)
        Median similarity.
    deviation : ndarray of float32, shape (n,)
        Distance from the median down to the 16 % quantile: one standard deviation of a normal
        distribution.
    """

    center: _Floats
    deviation: _Floats

    def __getitem__(self, rows: slice | npt.NDArray[np.integer]) -> ImpostorScores:
        """Return the statistics of some of the faces."""
        return ImpostorScores(self.center[rows], self.deviation[rows])

    @property
    def identical(self) -> float:
        """Normalised score of two identical faces, averaged over faces."""
        return float(((1 - self.center) / self.deviation).mean())


def impostor_scores(X: _Floats, reference: _Floats, pieces: RowStore | None = None) -> ImpostorScores:
    """Measure the impostor score statistics of every face against a sample of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    reference : ndarray of float32, shape (m, d)
        Unit vectors of the sample (the cohort); the same for all faces.
    pieces : RowStore, optional
        Where quantiles are kept, so that an interrupted run resumes.

    Returns
    -------
    ImpostorScores

    Notes
    -----
    Time 2 n m d FLOP, working memory 1,024 x m x 4 bytes.
    """
    n, m = len(X), len(reference)
    d = max(1, int(np.count_nonzero(reference.any(axis=0))))
    pieces = pieces or MemoryRows()
    quantiles = pieces.array("quantiles", (n, 2))
    cohort = _on_grid(reference).T
    for rows in pieces.remaining(n, _CHUNK):
        _two_quantiles(_on_grid(X[rows]) @ cohort, _ONE_DEVIATION_BELOW, quantiles[rows])
    low, median = quantiles.T / _SHRINK**2
    seen = m * (m - 1) / 2
    trust = seen / (seen + PRIOR_PAIRS)
    variance = trust * np.square(median - low) + (1 - trust) / d
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    return ImpostorScores(trust * median, deviation)


def impostor_mean(X: _Floats, seed: int = 0) -> float:
    """Mean similarity of impostor pairs, on a sample of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    seed : int
        Seed of the sample, which is drawn if there are more than 4,096 faces.
    """
    sample = X[sample_faces(len(X), seed)]
    return float(impostor_scores(sample, sample).center.mean())


def normalized_scores(
    similarities: _Floats, ids: npt.NDArray[np.integer], own: ImpostorScores, listed: ImpostorScores
) -> _Floats:
    """Normalise the similarities of listed neighbours (s-norm).

    Parameters
    ----------
    similarities : ndarray of float32, shape (m, k)
    ids : ndarray of int, shape (m, k)
        Neighbours; -1 = none.
    own : ImpostorScores
        Of the m faces whose lists these are.
    listed : ImpostorScores
        Of the faces that ``ids`` refers to.

    Returns
    -------
    ndarray of float32, shape (m, k)
        Symmetric in the two faces; undefined where ``ids`` is -1.
    """
    of_own = (similarities - own.center[:, None]) / own.deviation[:, None]
    of_listed = (similarities - listed.center[ids]) / listed.deviation[ids]
    score: _Floats = (of_own + of_listed) * np.float32(0.5)
    return score


def _on_grid(unit: _Floats) -> _Floats:
    """Coordinates rounded to a grid on which every sum of products is exact in single precision.

    Otherwise the last bit of a similarity would depend on the processor, the number of threads and the
    number of rows that are multiplied at a time. Products are multiples of 2^-24, and no partial sum
    exceeds the product of the lengths, which is scaled below 1, so that 24 bits suffice. Rounding
    changes a similarity by about 0.0001.
    """
    rounded: _Floats = np.rint(unit * (_SHRINK * _GRID)) / _GRID
    return rounded


@njit(cache=True, parallel=True)
def _two_quantiles(values: _Floats, low: float, out: _Floats) -> None:
    """Write lower quantile and median (n, 2) of each row (n, m) of values in [-1, 1]."""
    m = values.shape[1]
    ranks = int(low * (m - 1)), (m - 1) // 2
    for i in prange(len(values)):
        bins = np.empty(m, np.int32)
        count = np.zeros(_BINS, np.int32)
        for c in range(m):
            bins[c] = np.int32((values[i, c] + np.float32(1)) * np.float32(0.5 * (_BINS - 1)))
            count[bins[c]] += 1
        chosen = below = 0
        for q in range(2):
            while below + count[chosen] <= ranks[q]:
                below += count[chosen]
                chosen += 1
            out[i, q] = np.sort(values[i][bins == chosen])[ranks[q] - below]


_Doubles = npt.NDArray[np.float64]

IMPOSTOR_SCALE = 0.45
IMPOSTOR_BASE = 2.55
"""One impostor pair in a hundred has a normalised score above 2.55, and every further 0.45 divides their
number by e. Measured on two embedders and two sets of people, where the values are 2.45 to 2.61 and 0.39
to 0.49 (docs/clustering.md)."""

GENUINE_MEAN, GENUINE_DEVIATION = 0.72, 0.15
"""Prior of genuine scores, in units of the score of two identical faces. The measured median is 0.71 to
0.78 for all embedders, dimensions and sets tried, except for images of very poor quality."""

REACH = 1.2
"""Maximum score, in the same units: higher ones only reflect a small deviation of a face."""

STARTS = (0.35, 0.5, 0.65, 0.8)
"""Starting values of the mean genuine score, in the same units."""

PRIOR_EDGES, PRIOR_SHARE = 20, 0.02
"""The prior has the weight of 20 edges plus 2 % of all edges."""

MAX_EDGES = 100_000
"""If there are more edges, every second, third, ... in order of score is used, which keeps the
distribution."""

_EULER_GAMMA = 0.5772156649
_ROUNDS = 60
_LOWEST = -2.0


@dataclass(frozen=True)
class ScoreModel:
    """Log-odds that a pair is genuine, as a linear function of its normalised score.

    Attributes
    ----------
    threshold : float
        Score at which the log-odds are 0.
    slope : float
        Slope of the log-odds at the threshold. The log-odds are extrapolated linearly, because the ratio
        of the two fitted densities is not monotonic in the tails.
    """

    threshold: float
    slope: float

    def log_odds(self, score: _Floats) -> _Floats:
        """Return the log-odds of scores, in the same shape."""
        return (score - np.float32(self.threshold)) * np.float32(self.slope)


def fit_score_model(score: npt.NDArray[np.floating], n: int, identical: float) -> ScoreModel:
    """Fit a score model to the best edges of a set of faces.

    Parameters
    ----------
    score : ndarray of float, shape (m,)
        Normalised score of one edge per face. Infinite ones are ignored.
    n : int
        Number of faces, from which the expected maximum of impostor scores follows.
    identical : float
        Normalised score of two identical faces.

    Returns
    -------
    ScoreModel
    """
    x = score[np.isfinite(score)].astype(np.float64)
    x = np.sort(np.clip(x, _LOWEST, REACH * identical))
    x = x[:: 1 + len(x) // MAX_EDGES]
    reach = IMPOSTOR_BASE + IMPOSTOR_SCALE * np.log(max(n, 100) / 100 / np.log(2))
    impostor, deviation = reach + _EULER_GAMMA * IMPOSTOR_SCALE, np.pi * IMPOSTOR_SCALE / np.sqrt(6)
    # In a few dimensions impostor scores are as high as genuine ones: then join only outstanding pairs.
    genuine = max(GENUINE_MEAN * identical, impostor + 2 * deviation)
    prior = _Mixture(
        mean=np.array([impostor, genuine]),
        variance=np.array([deviation**2, (GENUINE_DEVIATION * identical) ** 2]),
        share=0.5,
    )
    fits = [_fit(x, prior, start * identical) for start in STARTS]
    best, _ = max(fits, key=lambda fit: fit[1])
    return _line(best)


def probability(log_odds: _Floats) -> _Floats:
    """Turn log-odds into probabilities, in the same shape."""
    chance: _Floats = expit(log_odds)
    return chance


@dataclass(frozen=True)
class _Mixture:
    """Mean and variance (2,) of impostor and of genuine scores, and the share of genuine ones."""

    mean: _Doubles
    variance: _Doubles
    share: float

    def log_densities(self, x: _Doubles) -> _Doubles:
        """Return the logarithm of share times density, shape (2, m)."""
        scale = np.sqrt(6 * self.variance[0]) / np.pi
        reduced = (x - self.mean[0]) / scale + _EULER_GAMMA
        impostor = np.log((1 - self.share) / scale) - reduced - np.exp(np.minimum(-reduced, 50))
        off = (x - self.mean[1]) ** 2 / self.variance[1]
        genuine = np.log(self.share) - (np.log(2 * np.pi * self.variance[1]) + off) / 2
        return np.stack((impostor, genuine))

    def log_odds(self, x: _Doubles) -> _Doubles:
        """Return the log-odds (m,) that pairs of score ``x`` are genuine."""
        impostor, genuine = self.log_densities(x)
        odds: _Doubles = genuine - impostor
        return odds


def _fit(x: _Doubles, prior: _Mixture, start: float) -> tuple[_Mixture, float]:
    """Fit a mixture by expectation maximisation; return it and its log-posterior."""
    weight = PRIOR_EDGES + PRIOR_SHARE * len(x)
    mixture = _Mixture(np.array([min(prior.mean[0], start - 1), start]), prior.variance, prior.share)
    for _ in range(_ROUNDS):
        odds = mixture.log_odds(x)
        # Outside the two means the tails are unreliable: assign scores to the nearer component.
        odds[x < mixture.mean[0]] = -np.inf
        odds[x > mixture.mean[1]] = np.inf
        genuine = expit(odds)
        belongs = np.stack([1 - genuine, genuine])
        total = belongs.sum(axis=1)
        mean = (belongs @ x + weight * prior.mean) / (total + weight)
        spread = (belongs * (x - mean[:, None]) ** 2).sum(axis=1)
        spread += weight * (prior.variance + (mean - prior.mean) ** 2)
        share = (total[1] + weight / 2) / (len(x) + weight)
        mixture = _Mixture(mean, spread / (total + weight), float(share))
    seen = np.logaddexp.reduce(mixture.log_densities(x), axis=0).sum()
    off = ((mixture.mean - prior.mean) ** 2 + prior.variance) / mixture.variance
    before = -weight / 2 * (off + np.log(mixture.variance)).sum()
    return mixture, float(seen + before)


def _line(mixture: _Mixture) -> ScoreModel:
    """Linearise the log-odds where they first cross zero between the two means."""
    grid = np.linspace(mixture.mean[0], mixture.mean[1], 2001)
    odds = mixture.log_odds(grid)
    at = int(np.clip(np.argmax(odds > 0), 1, len(grid) - 2))
    slope = (odds[at + 1] - odds[at - 1]) / (grid[at + 1] - grid[at - 1])
    return ScoreModel(float(grid[at]), float(slope))
