"""Whitening: a space in which the photos of one person vary alike in all directions.

Light, pose and blur move embeddings along directions that all people share. The scatter of faces around
the means of their neighbourhoods shows these directions, without a label, and the inverse of its
square root takes them away: within-class covariance normalisation, as in speaker verification (Hatch,
Kajarekar and Stolcke, Interspeech 2006), with neighbourhoods in the place of classes::

    u_i = sum_j w_ij x_j / t_i,   t_i = sum_j w_ij      over neighbours of weight above 1/2, and i itself
    C = mean of (x_i - u_i) (x_i - u_i)^T t_i / (t_i - 1)
    x'_i = unit((C + e I)^(-power) x_i)              power = 1/2: alike in all directions

C is measured on the faces that are to be clustered, so whitening commutes with every rotation. The ridge
e = sqrt(r / m) tr(C^2) / tr(C), r = tr(C)^2 / tr(C^2) being the number of directions in use and m that
of the faces measured, stands for the error of C: with few faces little is changed. A lower power trusts
C less, which is safer where people have few photos and C is poorly known.

Not every set gains: where strangers are among the likely neighbours, C shows what tells people apart as
well. Whether a set does is read off it, again without a label: after a power that helps, fewer best
neighbours are in doubt (:func:`neighbor_entropy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, sample_faces
from nsrfc.graph.neighborhood_means import weighted_sums
from nsrfc.graph.scores import fit_score_model, impostor_scores, normalized_scores, probability
from nsrfc.knn.exact import exact_lists

__all__ = ["Scatter", "neighbor_entropy", "neighborhood_scatter", "whiten"]

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]

_LIKELY = 0.5
_FEWEST = 1.5

_ROWS = 16_384
"""Faces worked on at a time."""

_CLEARLY = 0.9
"""Share of the doubt that may be left for anything to be changed."""

_ALIKE = 0.002
"""Doubts, in nats, that differ by less are the same: three wholly doubtful faces in a thousand."""

_SUREST = 1e-6
"""Probability below which a neighbour counts as surely a stranger, and likewise near 1."""


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


def whiten(X: _Floats, scatter: Scatter | None, powers: Sequence[float] = (0.5,)) -> _Floats:
    """Whiten embeddings by the scatter inside neighbourhoods.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    scatter : Scatter, optional
        Of :func:`neighborhood_scatter`.
    powers : sequence of float
        In 0..1/2, ascending; 0 leaves all as it is. Of several, the one that leaves least doubt is
        taken, of equals the highest; but the first, if that takes away less than a tenth of its doubt.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Unit vectors; ``X`` itself with power 0, or where there is no scatter.
    """
    if scatter is None:
        return X

    def scaled(power: float) -> _Floats:
        return _scaled(X, scatter, power)

    if len(powers) == 1:
        return scaled(powers[0])
    left = [neighbor_entropy(scaled(power)) for power in powers]
    least = min(left)
    if least > _CLEARLY * left[0]:
        return scaled(powers[0])
    return scaled(max(power for power, its in zip(powers, left, strict=True) if its < least + _ALIKE))


def neighbor_entropy(X: _Floats) -> float:
    """Measure how hard the best neighbours of faces are to tell from strangers.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors; 4,096 of them are asked, if there are more.

    Returns
    -------
    float
        Mean entropy, in nats, of whether the best neighbour of a face shows the same person, by the
        law of best edges (:mod:`nsrfc.graph.scores`); 0 for a lone face.

    Notes
    -----
    2 n m d FLOP with m the faces asked. Embeddings that a few directions rule leave no doubt either:
    there everybody resembles somebody.
    """
    n = len(X)
    if n < 2:
        return 0.0
    faces = sample_faces(n)
    ids, similarities = exact_lists(X, faces, 2)
    ends, place = np.unique(ids, return_inverse=True)
    measured = impostor_scores(X[ends], X[faces])
    own, nearest = place.reshape(ids.shape).T
    score = normalized_scores(similarities[:, 1:], nearest[:, None], measured[own], measured)
    model = fit_score_model(score.ravel(), n, measured[np.concatenate((own, nearest))].identical)
    genuine = probability(model.log_odds(score)).astype(np.float64).clip(_SUREST, 1 - _SUREST)
    return float(-(genuine * np.log(genuine) + (1 - genuine) * np.log1p(-genuine)).mean())


def neighborhood_scatter(X: _Floats, ids: npt.NDArray[np.int32], weights: _Floats) -> Scatter | None:
    """Measure the scatter inside neighbourhoods.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    weights : ndarray of float32, shape (n, k)
        Probability that the neighbour is the same person.

    Returns
    -------
    Scatter or None
        None where no face has a likely neighbour.
    """
    n, d = X.shape
    products, count = np.zeros((d, d)), 0
    for part in chunks(n, _ROWS):
        near = ids[part]
        chosen = np.where((near >= 0) & (weights[part] > _LIKELY), weights[part], np.float32(0))
        chosen[:, 0] = 1
        total = chosen.sum(axis=1)
        measured = total > _FEWEST
        total = total[measured, None]
        mean = weighted_sums(X, np.maximum(near, 0)[measured], chosen[measured]) / total
        # In double precision, so that no digit which is kept depends on how a product is divided up.
        residual = ((X[part][measured] - mean) * np.sqrt(total / (total - 1))).astype(np.float64)
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


def _scaled(X: _Floats, scatter: Scatter, power: float) -> _Floats:
    """Scale vectors along axes by a power of the variance there; unit vectors (n, d)."""
    if power == 0:
        return X
    axes, variance = scatter
    transform = ((axes * variance**-power) @ axes.T).astype(np.float32)
    white = np.empty_like(X)
    for part in chunks(len(X), _ROWS):
        scaled = X[part] @ transform
        scaled /= np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), np.float32(1e-12))
        white[part] = scaled
    return white
