"""Whitening: after it, the images of one identity vary equally in all directions.

Light, pose and blur move embeddings along directions that are common to all identities. The scatter of
faces around the means of their neighbourhoods estimates these directions without labels, and the inverse
of its square root removes them. This is within-class covariance normalisation, as in speaker
verification (Hatch, Kajarekar and Stolcke, Interspeech 2006), with neighbourhoods instead of classes::

    u_i = sum_j w_ij x_j / t_i,   t_i = sum_j w_ij      over neighbours of weight above 1/2, and i itself
    C = mean of (x_i - u_i) (x_i - u_i)^T t_i / (t_i - 1)
    x'_i = unit((C + e I)^(-power) x_i)              power = 1/2: full whitening

C is estimated from the faces to be clustered, so whitening commutes with rotations. The ridge is::

    e = sqrt(r / m) tr(C^2) / tr(C),   r = tr(C)^2 / tr(C^2)

with r the effective number of directions and m the number of faces measured. It accounts for the
estimation error of C: with few faces, whitening changes little. A lower power relies less on C, which is
safer if identities have few photos.

Whitening does not help every set: if there are impostors among the likely neighbours, C also contains
directions that separate identities. Whether it helps is estimated from the data, again without labels: a
power that helps lowers the uncertainty about neighbours (:func:`neighbor_entropy`), and who is who stays
the same: if many more pairs seem genuine than before, impostor scores are no longer told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import STEP, chunks
from nsrfc.graph.neighborhood_means import weighted_sums
from nsrfc.graph.scores import fit_score_model, impostor_scores, probability
from nsrfc.knn.exact import exact_lists
from nsrfc.rowstore import Arrays, Columns, MemoryRows, RowStore
from nsrfc.vectors import on_grid, typical_faces

__all__ = [
    "ASKED",
    "MEASURED",
    "Scatter",
    "WhiteningTask",
    "best_power",
    "neighbor_entropy",
    "neighborhood_scatter",
    "whiten",
]

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

MEASURED = 16_384
"""Faces whose scatter is measured, at most."""

_LIKELY = 0.5
_MIN_TOTAL = 1.5

_ROWS = 4_096
"""Faces processed at a time."""

_NEIGHBORS = 80
"""Length of a list, the face itself included."""

_CLEARLY = 0.85
"""Embeddings are only changed if this share of the entropy, or less, remains, and the difference
counts."""

_EQUAL = 0.002
"""Entropies, in nats, that differ by less count as equal: three maximally uncertain pairs in a
thousand."""

_SAME_SHARE, _FEW_GENUINE = 4.0, 0.05
"""The share of all pairs that seem genuine may grow by this factor, or up to this share: whitening shows
genuine pairs that light and pose had hidden, but with many identities these are few."""

ASKED = 1_024
"""Size of the sample of faces whose entropy is measured."""

_SUREST = 1e-6
"""Probabilities are clipped to this distance from 0 and 1."""


class Scatter(NamedTuple):
    """C + e I.

    Attributes
    ----------
    axes : ndarray of float64, shape (d, d)
        Its eigenvectors, in columns.
    variance : ndarray of float64, shape (d,)
        Along each of them.
    """

    axes: _Doubles
    variance: _Doubles


def best_power(
    X: _Floats,
    scatter: Scatter | None,
    powers: Sequence[float],
    whitened: Callable[[float], _Floats] | None = None,
) -> float:
    """Choose how much embeddings are whitened.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    scatter : Scatter, optional
        From :func:`neighborhood_scatter`.
    powers : sequence of float
        In 0..1/2, ascending; 0 changes nothing.
    whitened : callable, optional
        Returns X whitened by a power; :func:`whiten`, in memory, by default.

    Returns
    -------
    float
        Of several powers the one of the lowest entropy, the highest one among equals; or the first,
        unless the entropy falls by at least 15 %. With one that is taken, hardly more pairs seem genuine
        than with the first. 0 without scatter.
    """
    if scatter is None:
        return 0.0
    if len(powers) == 1:
        return powers[0]
    whitened = whitened or partial(whiten, X, scatter)
    seen = [_uncertainty(whitened(power)) for power in powers]
    first = seen[0]
    left = {
        power: its.entropy
        for power, its in zip(powers, seen, strict=True)
        if its.genuine_share <= max(_SAME_SHARE * first.genuine_share, _FEW_GENUINE)
    }
    least = min(left.values())
    if least > min(_CLEARLY * first.entropy, first.entropy - _EQUAL):
        return powers[0]
    return max(power for power, entropy in left.items() if entropy < least + _EQUAL)


def whiten(
    X: _Floats,
    scatter: Scatter | None,
    power: float = 0.5,
    out: _Floats | None = None,
    store: RowStore | None = None,
) -> _Floats:
    """Whiten embeddings by the scatter within neighbourhoods.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    scatter : Scatter, optional
        From :func:`neighborhood_scatter`.
    power : float
        Of the variance along each axis.
    out : ndarray of float32, shape (n, d), optional
        Where the result is written, unless other processes make it; may be ``X``.
    store : RowStore, optional
        Where it is made; in memory by default.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Unit vectors; ``X`` itself with power 0 or without scatter.
    """
    if scatter is None or power == 0:
        return X
    columns: Columns = {"vectors": ((X.shape[1],), np.float32)}
    over = None if out is None else {"vectors": out}
    task = partial(WhiteningTask.of, X, scatter, power)
    white: _Floats = (store or MemoryRows()).fill(len(X), columns, task, over=over)["vectors"]
    return white


@dataclass(frozen=True)
class WhiteningTask:
    """Multiplies unit vectors (n, d) by a matrix (d, d), and scales them to unit length again."""

    X: _Floats
    transform: _Doubles
    step = STEP

    @classmethod
    def of(cls, X: _Floats, scatter: Scatter, power: float) -> WhiteningTask:
        """Make the matrix that takes a scatter away."""
        axes, variance = scatter
        transform = (axes * variance**-power) @ axes.T
        # No sum of products is above 1, so that all of them are exact: rows do not depend on each other,
        # nor on the number of threads.
        return cls(X, on_grid(transform / np.linalg.norm(transform, axis=0).max(), 26))

    def __call__(self, rows: slice) -> Arrays:
        """Return whitened vectors."""
        scaled = on_grid(self.X[rows].astype(np.float64), 26) @ self.transform
        scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-12)
        return {"vectors": scaled}


def neighbor_entropy(X: _Floats) -> float:
    """Measure the uncertainty about the neighbours of faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors; if there are more than 1,024, a sample of them is used.

    Returns
    -------
    float
        Mean entropy, in nats, of whether a face and a neighbour in its list are a genuine pair,
        according to the score model (:mod:`nsrfc.graph.scores`); 0 for a single face.

    Notes
    -----
    2 n m d FLOP, with m the size of the sample. The best neighbours alone would not do: in an embedding
    dominated by a few directions every face has a very similar one, genuine or not.
    """
    return _uncertainty(X).entropy


class _Uncertainty(NamedTuple):
    """Entropy about the neighbours of faces, and the share of all pairs that seem genuine."""

    entropy: float
    genuine_share: float


def _uncertainty(X: _Floats) -> _Uncertainty:
    n = len(X)
    if n < 2:
        return _Uncertainty(0.0, 0.0)
    _, similarities = exact_lists(X, typical_faces(X, size=ASKED), min(_NEIGHBORS, n))
    impostors = impostor_scores(X)
    score = impostors.normalized(similarities[:, 1:])
    model = fit_score_model(score[:, 0], n, impostors.identical)
    genuine = probability(model.log_odds(score)).astype(np.float64).clip(_SUREST, 1 - _SUREST)
    entropy = float(-(genuine * np.log(genuine) + (1 - genuine) * np.log1p(-genuine)).mean())
    return _Uncertainty(entropy, impostors.genuine_share)


def neighborhood_scatter(X: _Floats, ids: npt.NDArray[np.int32], weights: _Floats) -> Scatter | None:
    """Measure the scatter within neighbourhoods.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    ids : ndarray of int32, shape (m, k)
        Neighbours of some faces, the face itself in column 0; -1 = none.
    weights : ndarray of float32, shape (m, k)
        Probability that the pair is genuine.

    Returns
    -------
    Scatter or None
        None if no face has a likely neighbour.
    """
    d = X.shape[1]
    products, count = np.zeros((d, d)), 0
    for part in chunks(len(ids), _ROWS):
        near = ids[part]
        chosen = np.where((near >= 0) & (weights[part] > _LIKELY), weights[part], np.float32(0))
        chosen[:, 0] = 1
        total = chosen.sum(axis=1)
        measured = total > _MIN_TOTAL
        total = total[measured, None]
        mean = weighted_sums(X, np.maximum(near, 0)[measured], chosen[measured]) / total
        # Sums are exact, so that the result does not depend on how the product is split.
        residual = ((X[near[measured, 0]] - mean) * np.sqrt(total / (total - 1))).astype(np.float64)
        residual = on_grid(residual, 16)
        products += residual.T @ residual
        count += len(residual)
    if count == 0:
        return None
    variance, axes = np.linalg.eigh(products / count)
    variance = np.maximum(variance, 0)
    trace, square = variance.sum(), variance @ variance
    if square <= 0:
        return None
    return Scatter(axes, variance + np.sqrt(trace**2 / square / count) * square / trace)
