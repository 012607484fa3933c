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
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.graph.refinement import average_neighbors

__all__ = ["whiten"]

_Floats = npt.NDArray[np.float32]

_LIKELY = 0.5
_FEWEST = 1.5


def whiten(X: _Floats, ids: npt.NDArray[np.int32], weights: _Floats, power: float = 0.5) -> _Floats:
    """Whiten embeddings by the scatter inside neighbourhoods.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    weights : ndarray of float32, shape (n, k)
        Probability that the neighbour is the same person.
    power : float
        In 0..1/2; with 0 nothing changes.

    Returns
    -------
    ndarray of float32, shape (n, d)
        Unit vectors; ``X`` itself where no face has a likely neighbour.
    """
    around = average_neighbors(X, ids, np.where(weights > _LIKELY, weights, np.float32(0)))
    measured = around.total > _FEWEST
    if not measured.any():
        return X
    total = around.total[measured, None]
    mean = around.mean[measured] * (around.norm[measured, None] / total)
    residual = (X[measured] - mean) * np.sqrt(total / (total - 1))
    scatter = (residual.T @ residual).astype(np.float64) / len(residual)
    variance, axes = np.linalg.eigh(scatter)
    variance = np.maximum(variance, 0)
    trace, square = variance.sum(), variance @ variance
    if square <= 0:
        return X
    ridge = np.sqrt(trace**2 / square / len(residual)) * square / trace
    transform = (axes * (variance + ridge) ** -power) @ axes.T
    white: _Floats = X @ transform.astype(np.float32)
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), np.float32(1e-12))
    return white
