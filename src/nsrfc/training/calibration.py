"""Calibration: of the edges with probability 0.9, nine in ten should be genuine pairs.

The probability of a density edge is a product of probabilities that are not independent, PCENet's and
a_ij p_ij, and is therefore too low; and the networks do not know what share of the faces at hand has a
genuine neighbour at all. Both are corrected with labelled faces, by logistic regression on what the
networks say and what the score model of the same faces says (Platt, Probabilistic outputs for support
vector machines, 1999, with a second input). Thresholds are measured on these probabilities.

The standard correction for another share of genuine edges (Saerens, Latinne & Decaestecker, Adjusting
the outputs of a classifier to new a priori probabilities, 2002) was tried, and makes most sets worse: it
takes the scores of impostors to be distributed as in training, while those of other faces differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.methods.networks import bounded, clipped_logit
from nsrfc.model.settings import UNCHANGED, Calibration

__all__ = ["Evidence", "fit_calibration"]

_Floats = npt.NDArray[np.float32]
_Bools = npt.NDArray[np.bool_]


_WEAK_PENALTY = 1e6


class Evidence(NamedTuple):
    """What is known of the edges of one set of labelled faces.

    Attributes
    ----------
    probability : ndarray of float32, shape (m,)
        What the networks say, not calibrated.
    odds : ndarray of float32, shape (m,), or None
        Log-odds by the score model of the same faces; None: it has none.
    genuine : ndarray of bool, shape (m,)
        Whether the pairs are genuine.
    """

    probability: _Floats
    odds: _Floats | None
    genuine: _Bools


def fit_calibration(sets: Sequence[Evidence]) -> Calibration:
    """Fit how probabilities are calibrated to edges with known labels.

    Parameters
    ----------
    sets : sequence of Evidence
        One or several sets of edges. Every edge counts alike.

    Returns
    -------
    (float, float, float)
        As :func:`nsrfc.methods.networks.calibrated` reads them. The score model has no weight if a set
        has none, or if what it says would count against an edge. `UNCHANGED` if all pairs are genuine
        or all impostors, or if what the networks say would count against an edge.
    """
    from sklearn.linear_model import LogisticRegression

    genuine = np.concatenate([each.genuine for each in sets])
    if genuine.all() or not genuine.any():
        return UNCHANGED
    evidence = [np.concatenate([clipped_logit(each.probability) for each in sets])]
    known = [each.odds for each in sets if each.odds is not None]
    if len(known) == len(sets):
        evidence.append(bounded(np.concatenate(known)))
    fit = LogisticRegression(C=_WEAK_PENALTY).fit(np.stack(evidence, axis=1), genuine)
    if len(evidence) == 2 and fit.coef_[0, 1] < 0:
        return fit_calibration([each._replace(odds=None) for each in sets])
    own, given = (*fit.coef_[0], 0.0)[:2]
    return (float(own), float(given), float(fit.intercept_[0])) if own > 0 else UNCHANGED
