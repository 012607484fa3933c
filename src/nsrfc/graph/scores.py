"""Score normalisation, and the score model that turns normalised scores into probabilities.

Embedders differ in where the similarities of impostor pairs lie. Similarities are therefore normalised
as in speaker verification: expressed in standard deviations of impostor scores from their mean::

    z_ij = (s_ij - m) / d

m and d are estimated from the similarities of all pairs in a sample of faces, of which an unknown share
is genuine: small if there are many identities, half if there are two. The histogram of similarities is
explained as a mixture. Impostor scores are normal and the lowest; the left half of the normal
distribution is not mixed with anything, so each m that is tried gives d and the share of impostor pairs.
Whatever remains is genuine. The m that explains the histogram best is taken.

If the embedder is known, its card is a prior of m and d with the weight of a few faces: it decides where
there are hardly any, and many faces outvote it.

One m and one d serve all faces. Statistics of each face, as used where single recordings differ
("s-norm"), do not rank pairs better with any embedder tried, and much worse with embeddings that share a
large mean (``docs/clustering.md``).

Score model. Each face contributes one edge, to its best neighbour. The best impostor scores are maxima
of many scores and follow a Gumbel distribution (extreme value theory); genuine scores are assumed to be
normal. The mixture of the two is fitted by expectation maximisation, with a prior that keeps the fit
stable with few faces, or if all edges are genuine or all impostors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, expit

from nsrfc.chunks import chunks
from nsrfc.records import ImpostorScores, ScorePrior
from nsrfc.vectors import on_grid, typical_faces

__all__ = [
    "ScoreModel",
    "fit_score_model",
    "impostor_scores",
    "probability",
]

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

PRIOR_FACES = 5.0
"""Weight of the priors below, beside one for each face of the sample up to `MOST_FACES`."""

MOST_FACES = 200
"""Pairs of faces depend on each other: a sample tells no more than this number of them."""

DEVIATION, DEVIATION_SPREAD, MOST_DEVIATION = 0.11, 0.5, 0.3
"""Prior of d / (1 - m), log-normal: median, deviation of the logarithm, and maximum. Embedders have 0.07
to 0.25."""

GENUINE, GENUINE_SPREAD = 0.6, 0.15
"""Prior of the mean genuine score, as (g - m) / (1 - m): mean and deviation. It has full weight if at
least `ENOUGH_GENUINE` of all pairs are genuine."""

ENOUGH_GENUINE = 0.05

USUAL_SHARE, SHARE_SPREAD = 0.5, 0.1
"""Prior of the share of genuine pairs: even up to that of two identities of equal size, then normal."""

CARD_FACES, CARD_TAIL = 10.0, 4.0
"""Weight of the card of an embedder, as that of the priors above, up to `MOST_FACES` faces; with more it
falls like 1 / n. Its tails are those of Student's t with so many degrees of freedom, so that faces which
contradict a wrong card outvote it."""

PAIRED = 2_048
"""Size of the sample of faces whose pairs are counted."""

_CHUNK = 256
_SHRINK = np.float32(1 - 2.0**-7)
_BINS = 4096
_SHARES = np.linspace(0.01, 0.5, 50)
_FLOOR = 1e-7
_LEAST_WIDTH = 0.05


def impostor_scores(X: _Floats, seed: int = 0, prior: ScorePrior | None = None) -> ImpostorScores:
    """Estimate impostor score statistics from a sample of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    seed : int
        Seed of the sample, which is drawn if there are more than 2,048 faces.
    prior : ScorePrior, optional
        What is known of the embedder, if X are its embeddings as given.

    Returns
    -------
    ImpostorScores

    Notes
    -----
    m^2 d FLOP for m sampled faces, working memory 256 x m x 20 bytes.
    """
    # Scaled below 1, so that single precision holds every sum of products on this grid; rounding changes
    # a similarity by about 0.0001.
    faces = on_grid(X[typical_faces(X, seed, PAIRED)] * _SHRINK, 12)
    columns = faces.T
    count = np.zeros(_BINS, np.int64)
    for part in chunks(len(faces), _CHUNK):
        count += _counted(faces[part] @ columns[:, : part.stop], part.start)
    # One pair tells nothing: the prior alone decides.
    share = count / count.sum() if count.sum() > 1 else np.zeros(_BINS)
    return _impostors_of(share, len(X), prior)


def _impostors_of(share: _Doubles, n: int, prior: ScorePrior | None) -> ImpostorScores:
    """Explain a histogram of similarities, given as shares (bins,) of the pairs of n faces."""
    width = 2 / _BINS
    x = np.linspace(width / 2 - 1, 1 - width / 2, _BINS) / float(_SHRINK) ** 2
    below = np.cumsum(share)
    if below[-1] == 0:
        return _assumed(prior)
    first, second = np.cumsum(share * x), np.cumsum(share * x * x)
    # Means of impostor scores to try: quantiles, interpolated so that they change smoothly.
    mean = np.minimum(np.interp(_SHARES, below, x + width / 2), 1 - width)
    if prior is not None and prior.mean is not None:
        # All pairs may be genuine, so that no quantile of theirs is the mean of impostor scores.
        mean = np.append(mean, prior.mean[0])
    part = np.maximum(np.interp(mean, x, below), 1e-6)
    moment = np.interp(mean, x, second) - 2 * mean * np.interp(mean, x, first) + mean**2 * part
    deviation = np.sqrt(np.maximum(moment / part, width**2))
    if prior is not None and prior.mean is not None:
        deviation[-1] = _assumed(prior).deviation
    impostor = np.minimum(1, 2 * part)
    genuine = np.maximum(1 - impostor, 1e-4)
    density = _normal(x, mean, deviation) * width
    rest = np.maximum(share - impostor[:, None] * density, 0) * (x > mean[:, None])
    total = np.maximum(rest.sum(axis=1), 1e-12)
    above = (rest * x).sum(axis=1) / total
    spread = np.sqrt(np.maximum((rest * (x - above[:, None]) ** 2).sum(axis=1) / total, 0))
    spread = np.maximum(spread, _LEAST_WIDTH * (1 - mean))
    explained = impostor[:, None] * density
    explained += genuine[:, None] * _normal(x, above, spread) * width
    likelihood = (np.log(explained + _FLOOR) * share).sum(axis=1)
    scale = 1 - mean
    off = (np.log(deviation / scale / DEVIATION) / DEVIATION_SPREAD) ** 2
    off += ((above - mean) / scale / GENUINE_SPREAD - GENUINE / GENUINE_SPREAD) ** 2 * np.minimum(
        1, genuine / ENOUGH_GENUINE
    )
    off += (np.maximum(genuine - USUAL_SHARE, 0) / SHARE_SPREAD) ** 2
    posterior = min(n, MOST_FACES) * likelihood - PRIOR_FACES * off / 2
    if prior is not None:
        posterior -= CARD_FACES * min(1, MOST_FACES / n) * _off_card(prior, mean, deviation) / 2
    posterior[deviation > MOST_DEVIATION * scale] -= 1e6
    # A mean over all of them instead of the best, so that a small change of the faces is one here too.
    weight = np.exp(posterior - posterior.max())
    weight /= weight.sum()
    return ImpostorScores(
        float(weight @ mean), float(weight @ deviation), float(weight @ np.minimum(genuine, 1))
    )


def _assumed(prior: ScorePrior | None) -> ImpostorScores:
    """Return what is assumed where no face tells anything: the card, or the priors above."""
    mean = 0.0 if prior is None or prior.mean is None else prior.mean[0]
    known = None if prior is None else prior.deviation
    return ImpostorScores(mean, DEVIATION * (1 - mean) if known is None else known[0], 0.0)


def _off_card(prior: ScorePrior, mean: _Doubles, deviation: _Doubles) -> _Doubles:
    """Return twice the negative log-prior of m and d (c,) by a card, constants aside."""

    def tail(errors: _Doubles) -> _Doubles:
        off: _Doubles = (CARD_TAIL + 1) * np.log1p(errors**2 / CARD_TAIL)
        return off

    off = np.zeros_like(mean)
    if prior.mean is not None:
        off += tail((mean - prior.mean[0]) / prior.mean[1])
    if prior.deviation is not None:
        value, error = prior.deviation
        off += tail(np.log(deviation / value) * value / error)
    return off


def _normal(x: _Doubles, mean: _Doubles, deviation: _Doubles) -> _Doubles:
    """Return normal densities (m, bins) with means (m,) and deviations (m,)."""
    deviation = deviation[:, None]
    density: _Doubles = np.exp(((x - mean[:, None]) / deviation) ** 2 / -2)
    density /= deviation * np.sqrt(2 * np.pi)
    return density


def _counted(similarities: _Floats, first: int) -> npt.NDArray[np.int64]:
    """Return a histogram of the values, in [-1, 1], of pairs: each face with the faces before it.

    Row r holds the similarities of face ``first + r``; they are overwritten.
    """
    similarities += 1
    similarities *= 0.5 * _BINS
    bins = np.clip(similarities.astype(np.int32), 0, _BINS - 1)
    before = np.tri(len(bins), bins.shape[1], first - 1, dtype=np.bool_)
    return np.bincount(bins[before], minlength=_BINS)


TAIL = 2.0
"""Best impostor scores vary this much more than those of random directions, as people resemble each
other to different degrees."""

GENUINE_MEAN, GENUINE_DEVIATION = 0.72, 0.15
"""Prior of genuine scores, in units of the score of two identical faces. The measured median is 0.71 to
0.78 for all embedders, dimensions and sets tried, except for images of very poor quality."""

REACH = 1.2
"""Maximum score, in the same units: higher ones only reflect a small deviation of a face."""

STARTS = (0.35, 0.5, 0.65, 0.8)
"""Starting values of the mean genuine score, in the same units."""

PRIOR_EDGES, PRIOR_SHARE = 20, 0.05
"""The prior has the weight of 20 edges plus 5 % of all edges."""

MAX_EDGES = 5_000
"""If there are more edges, every second, third, ... in order of score is used, which keeps the
distribution."""

_EULER_GAMMA = 0.5772156649
_ROUNDS, _SETTLED = 60, 1e-9
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
    location, scale = best_impostor(n, identical)
    impostor, deviation = location + _EULER_GAMMA * scale, np.pi * scale / np.sqrt(6)
    # In a few dimensions impostor scores are as high as genuine ones: then join only outstanding pairs.
    genuine = max(GENUINE_MEAN * identical, impostor + 2 * deviation)
    prior = _Mixtures(
        mean=np.array([[impostor], [genuine]]),
        variance=np.array([[deviation**2], [(GENUINE_DEVIATION * identical) ** 2]]),
        share=np.array([0.5]),
    )
    return _line(_fit(x, prior, np.array(STARTS) * identical))


def best_impostor(n: int, identical: float) -> tuple[float, float]:
    """Location and scale of the best of n impostor scores, as prior of the score model.

    In e dimensions, cosines of random directions have the deviation 1 / sqrt(e), so that the score of
    two identical faces is sqrt(e), and their square has the distribution Beta(1/2, (e - 1) / 2).
    """
    dimension = max(identical**2, 3.0)

    def quantile(above: float) -> float:
        return float(identical * np.sqrt(betaincinv(0.5, (dimension - 1) / 2, 1 - 2 * above)))

    n = max(n, 3)
    location = quantile(1 / n)
    return location, TAIL * (quantile(1 / (np.e * n)) - location)


def probability(log_odds: _Floats) -> _Floats:
    """Turn log-odds into probabilities, in the same shape."""
    chance: _Floats = expit(log_odds)
    return chance


@dataclass(frozen=True)
class _Mixtures:
    """Means and variances (2, s) of impostor and of genuine scores, and the shares (s,) of genuine ones.

    They are fitted from several starts at once.
    """

    mean: _Doubles
    variance: _Doubles
    share: _Doubles

    def log_densities(self, x: _Doubles) -> _Doubles:
        """Return the logarithm of share times density, shape (2, s, m)."""
        mean, variance, share = self.mean[..., None], self.variance[..., None], self.share[:, None]
        scale = np.sqrt(6 * variance[0]) / np.pi
        reduced = (x - mean[0]) / scale + _EULER_GAMMA
        impostor = np.log((1 - share) / scale) - reduced - np.exp(np.minimum(-reduced, 50))
        off = (x - mean[1]) ** 2 / variance[1]
        genuine = np.log(share) - (np.log(2 * np.pi * variance[1]) + off) / 2
        return np.stack((impostor, genuine))

    def log_odds(self, x: _Doubles) -> _Doubles:
        """Return the log-odds (s, m) that pairs of score ``x`` are genuine."""
        impostor, genuine = self.log_densities(x)
        odds: _Doubles = genuine - impostor
        return odds


def _fit(x: _Doubles, prior: _Mixtures, starts: _Doubles) -> _Mixtures:
    """Fit mixtures from several starts by expectation maximisation; return that of highest posterior."""
    weight = PRIOR_EDGES + PRIOR_SHARE * len(x)
    mixtures = _Mixtures(
        np.stack((np.minimum(prior.mean[0], starts - 1), starts)), prior.variance, prior.share
    )
    for _ in range(_ROUNDS):
        odds = mixtures.log_odds(x)
        # Outside the two means the tails are unreliable: assign scores to the nearer component.
        odds[x < mixtures.mean[0, :, None]] = -np.inf
        odds[x > mixtures.mean[1, :, None]] = np.inf
        genuine = expit(odds)
        belongs = np.stack([1 - genuine, genuine])
        total = belongs.sum(axis=2)
        mean = ((belongs * x).sum(axis=2) + weight * prior.mean) / (total + weight)
        spread = (belongs * (x - mean[..., None]) ** 2).sum(axis=2)
        spread += weight * (prior.variance + (mean - prior.mean) ** 2)
        share = (total[1] + weight / 2) / (len(x) + weight)
        settled = np.abs(mean - mixtures.mean).max() < _SETTLED
        mixtures = _Mixtures(mean, spread / (total + weight), share)
        if settled:
            break
    seen = np.logaddexp.reduce(mixtures.log_densities(x), axis=0).sum(axis=1)
    off = ((mixtures.mean - prior.mean) ** 2 + prior.variance) / mixtures.variance
    before = -weight / 2 * (off + np.log(mixtures.variance)).sum(axis=0)
    best = [(seen + before).argmax()]
    return _Mixtures(mixtures.mean[:, best], mixtures.variance[:, best], mixtures.share[best])


def _line(mixture: _Mixtures) -> ScoreModel:
    """Linearise the log-odds of one mixture where they first cross zero between its two means."""
    (low,), (high,) = mixture.mean
    grid = np.linspace(low, high, 2001)
    (odds,) = mixture.log_odds(grid)
    at = int(np.clip(np.argmax(odds > 0), 1, len(grid) - 2))
    slope = (odds[at + 1] - odds[at - 1]) / (grid[at + 1] - grid[at - 1])
    return ScoreModel(float(grid[at]), float(slope))
