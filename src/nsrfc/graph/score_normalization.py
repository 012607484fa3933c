"""Similarities in units of the data: how far a pair stands above what strangers show.

Embedders differ in scale, and faces differ in how similar they are to everybody. Each similarity is
therefore expressed in standard deviations of the two faces' similarities to strangers, as scores are
normalised in speaker verification (symmetric normalisation, "s-norm"):

    z_ij = ((s_ij - m_i) / d_i + (s_ij - m_j) / d_j) / 2

m and d are read from the lower half of a face's similarities to a sample of all faces, which holds
strangers only: people fill the upper tail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from nsrfc.chunks import sample_faces
from nsrfc.rowstore import MemoryRows, RowStore

__all__ = ["ImpostorScores", "impostor_mean", "impostor_scores", "normalized_scores"]

_Floats = npt.NDArray[np.float32]


PRIOR_PAIRS = 200
"""Weight of what is assumed before looking: strangers are orthogonal, with deviation 1 / sqrt(d). Only
coordinates that are not zero throughout count. It decides for a handful of faces, which show no
background of their own, and fades beyond a hundred."""

_CHUNK = 1024
_GRID = np.float32(2.0**12)
_SHRINK = np.float32(1 - 2.0**-7)
_BINS = 2048
_ONE_DEVIATION_BELOW = 0.1587


@dataclass(frozen=True)
class ImpostorScores:
    """What each face's similarity to strangers looks like.

    Attributes
    ----------
    center : ndarray of float32, shape (n,)
        Median similarity.
    deviation : ndarray of float32, shape (n,)
        Distance from the median down to the 16 % quantile, one standard deviation of a normal law.
    """

    center: _Floats
    deviation: _Floats

    def __getitem__(self, rows: slice | npt.NDArray[np.integer]) -> ImpostorScores:
        """Return that of some of the faces."""
        return ImpostorScores(self.center[rows], self.deviation[rows])

    @property
    def identical(self) -> float:
        """Strength of two identical faces, in the mean over faces."""
        return float(((1 - self.center) / self.deviation).mean())


def impostor_scores(X: _Floats, reference: _Floats, pieces: RowStore | None = None) -> ImpostorScores:
    """Measure the background of every face against a sample of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    reference : ndarray of float32, shape (m, d)
        Unit vectors of the sample; the same for all faces.
    pieces : RowStore, optional
        Where quantiles are kept, so that a measurement that was cut off goes on.

    Returns
    -------
    ImpostorScores

    Notes
    -----
    2 n m d FLOP and chunks of 1,024 x m x 4 bytes.
    """
    n, m = len(X), len(reference)
    d = max(1, int(np.count_nonzero(reference.any(axis=0))))
    pieces = pieces or MemoryRows()
    quantiles = pieces.array("quantiles", (n, 2))
    strangers = _on_grid(reference).T
    for rows in pieces.remaining(n, _CHUNK):
        _two_quantiles(_on_grid(X[rows]) @ strangers, _ONE_DEVIATION_BELOW, quantiles[rows])
    low, median = quantiles.T / _SHRINK**2
    seen = m * (m - 1) / 2
    trust = seen / (seen + PRIOR_PAIRS)
    variance = trust * np.square(median - low) + (1 - trust) / d
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    return ImpostorScores(trust * median, deviation)


def impostor_mean(X: _Floats, seed: int = 0) -> float:
    """Mean similarity of strangers, on a sample of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    seed : int
        Chooses the sample, if there are more than 4,096.
    """
    sample = X[sample_faces(len(X), seed)]
    return float(impostor_scores(sample, sample).center.mean())


def normalized_scores(
    similarities: _Floats, ids: npt.NDArray[np.integer], own: ImpostorScores, listed: ImpostorScores
) -> _Floats:
    """Express similarities of listed neighbours in deviations above the background.

    Parameters
    ----------
    similarities : ndarray of float32, shape (m, k)
    ids : ndarray of int, shape (m, k)
        Neighbours; -1 = none.
    own : ImpostorScores
        Of the m faces whose lists these are.
    listed : ImpostorScores
        Of the faces that ``ids`` number.

    Returns
    -------
    ndarray of float32, shape (m, k)
        Symmetric in the two faces; where ``ids`` is -1 the value has no meaning.
    """
    of_own = (similarities - own.center[:, None]) / own.deviation[:, None]
    of_listed = (similarities - listed.center[ids]) / listed.deviation[ids]
    strength: _Floats = (of_own + of_listed) * np.float32(0.5)
    return strength


def _on_grid(unit: _Floats) -> _Floats:
    """Coordinates rounded to a grid on which every sum of products is exact in single precision.

    Otherwise the last bit of a similarity would depend on the processor, on the number of threads and
    on how many rows are multiplied at a time. Products are multiples of 2^-24 and no partial sum exceeds
    the product of the lengths, which shrinking keeps below 1: 24 bits hold it. Rounding moves a
    similarity by 0.0001, a hundredth of a percent of its range.
    """
    rounded: _Floats = np.rint(unit * (_SHRINK * _GRID)) / _GRID
    return rounded


@njit(cache=True, parallel=True)
def _two_quantiles(values: _Floats, low: float, out: _Floats) -> None:
    """Lower quantile and median (n, 2) of each row (n, m) of values in [-1, 1]."""
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
