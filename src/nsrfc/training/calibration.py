"""Probabilities that mean what they say: of the edges that have 0.9, nine in ten join one person.

The probability of a density edge is a product, PCENet's verdict times a_ij p_ij, of judgements that are
not independent, and so too low. Platt scaling (Platt, Probabilistic outputs for support vector machines,
1999) mends that on labelled people: sigmoid(slope logit(p) + offset), which changes no order.
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
    """Find the calibration under which probabilities agree with what is true.

    Parameters
    ----------
    sets : sequence of (ndarray of float32, shape (m,); ndarray of bool, shape (m,))
        Probabilities, and whether it was so: one set of edges or several, each of the same weight.

    Returns
    -------
    (float, float)
        `UNCHANGED` where all edges are of one kind, or higher probabilities are not truer.
    """
    from sklearn.linear_model import LogisticRegression

    same = np.concatenate([true for _, true in sets])
    if same.all() or not same.any():
        return UNCHANGED
    odds = np.concatenate([clipped_logit(probability) for probability, _ in sets])
    weight = np.concatenate([np.full(len(true), 1 / max(1, len(true))) for _, true in sets])
    weight *= len(same) / weight.sum()
    fit = LogisticRegression(C=_WEAK_PENALTY).fit(odds[:, None], same, weight)
    slope = float(fit.coef_[0, 0])
    return (slope, float(fit.intercept_[0])) if slope > 0 else UNCHANGED
