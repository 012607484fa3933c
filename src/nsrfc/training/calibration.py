"""Calibration: of the edges with probability 0.9, nine in ten should be genuine pairs.

The probability of a density edge is a product of probabilities that are not independent, PCENet's and
a_ij p_ij, and is therefore too low. Platt scaling (Platt, Probabilistic outputs for support vector
machines, 1999) corrects it with labelled faces: sigmoid(slope logit(p) + offset), which preserves the
order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nsrfc.methods.networks import clipped_logit
from nsrfc.model.settings import UNCHANGED, Calibration

__all__ = ["fit_calibration"]

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
