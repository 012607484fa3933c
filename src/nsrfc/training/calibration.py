"""Calibration: of the edges with probability 0.9, nine in ten should be genuine pairs.

The probability of a density edge is a product of probabilities that are not independent, PCENet's and
a_ij p_ij, and is therefore too low. Platt scaling (Platt, Probabilistic outputs for support vector
machines, 1999) corrects it with labelled faces: sigmoid(slope logit(p) + offset), which preserves the
order. Thresholds are measured on these probabilities.

What is reported is corrected once more, by the score model of the faces at hand (`fit_reported`). The
standard correction for another share of genuine edges (Saerens, Latinne & Decaestecker, Adjusting the
outputs of a classifier to new a priori probabilities, 2002) was tried, and makes most sets worse: it
takes the scores of impostors to be distributed as in training, while those of other faces differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nsrfc.methods.networks import clipped_logit
from nsrfc.model.settings import AS_DECIDED, UNCHANGED, Calibration, Reported

__all__ = ["fit_calibration", "fit_reported"]

_Floats = npt.NDArray[np.float32]
_Bools = npt.NDArray[np.bool_]


_WEAK_PENALTY = 1e6


def fit_calibration(sets: Sequence[tuple[_Floats, _Bools]]) -> Calibration:
    """Fit slope and offset to edges with known labels.

    Parameters
    ----------
    sets : sequence of (ndarray of float32, shape (m,); ndarray of bool, shape (m,))
        Probabilities, and whether the pairs are genuine: one or several sets of edges, weighted equally.

    Returns
    -------
    (float, float)
        `UNCHANGED` if all pairs are genuine or all impostors, or the fitted slope is not positive.
    """
    from sklearn.linear_model import LogisticRegression

    genuine = np.concatenate([true for _, true in sets])
    if genuine.all() or not genuine.any():
        return UNCHANGED
    odds = np.concatenate([clipped_logit(probability) for probability, _ in sets])
    weight = np.concatenate([np.full(len(true), 1 / max(1, len(true))) for _, true in sets])
    weight *= len(genuine) / weight.sum()
    fit = LogisticRegression(C=_WEAK_PENALTY).fit(odds[:, None], genuine, weight)
    slope = float(fit.coef_[0, 0])
    return (slope, float(fit.intercept_[0])) if slope > 0 else UNCHANGED


def fit_reported(sets: Sequence[tuple[_Floats, _Floats, _Bools]]) -> Reported:
    """Fit the weights by which probabilities are reported to edges with known labels.

    Parameters
    ----------
    sets : sequence of (ndarray of float32 (m,), ndarray of float32 (m,), ndarray of bool (m,))
        Calibrated probabilities, log-odds by the score model of the same faces, and whether the pairs
        are genuine: sets of edges that differ in their share of genuine ones. Every edge counts alike.

    Returns
    -------
    (float, float, float)
        As :func:`nsrfc.methods.networks.reported` reads them; `AS_DECIDED` if all pairs are genuine or
        all impostors.
    """
    from sklearn.linear_model import LogisticRegression

    genuine = np.concatenate([true for _, _, true in sets])
    if genuine.all() or not genuine.any():
        return AS_DECIDED
    evidence = [
        np.stack((clipped_logit(probability), np.tanh(odds.astype(np.float64) / 2)), axis=1)
        for probability, odds, _ in sets
    ]
    fit = LogisticRegression(C=_WEAK_PENALTY).fit(np.concatenate(evidence), genuine)
    own, given = fit.coef_[0]
    return float(own), float(given), float(fit.intercept_[0])
