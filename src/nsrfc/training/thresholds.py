"""Scores on validation identities: how well pairs are ranked, and which thresholds cluster best.

Thresholds are measured with the function that clusters in inference, `NetworkMethod.components`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc import metrics
from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod, given_odds
from nsrfc.model.settings import Calibration
from nsrfc.records import DensityGraph
from nsrfc.training.calibration import Evidence
from nsrfc.training.sample import Sample

__all__ = ["Clusters", "ScoredSet", "best_clusters", "precision_steps", "ranking_quality"]

_Floats = npt.NDArray[np.float32]
_Bools = npt.NDArray[np.bool_]

_NONE = 2.0
"""A tau above every score: no pair is a similarity edge."""

TOLERANCE = 0.003
"""F that may be given up for thresholds that also work with more identities than in validation."""

MOST_TAU = 0.95
"""Similarity edges save PCENet most of its work, and above this tau there are few of them: a higher tau
is only chosen if no lower one is as good."""

_GRID = (*np.linspace(0.05, 0.95, 19), 0.98, 0.99)
_STEPS = (*np.linspace(0.05, 0.95, 19), 0.97, 0.98, 0.99, 0.995, 0.999)
_REACHED_BY = 0.75
_QUANTILES = 12
_NEAR = 3
_SWEEPS = 3


@dataclass(frozen=True)
class ScoredSet:
    """Labelled faces with scored density edges, on which thresholds are chosen.

    Attributes
    ----------
    method : NetworkMethod
        Its thresholds are not read, only how it calibrates.
    sample : Sample
    graph : DensityGraph
        With every pair that may be a similarity edge.
    probability : ndarray of float32, shape (m,)
        Of the density edges, calibrated or not.
    """

    method: NetworkMethod
    sample: Sample
    graph: DensityGraph
    probability: _Floats

    @property
    def genuine(self) -> _Bools:
        """Whether each density edge is a genuine pair."""
        edges = self.graph.density_edges
        identity = self.sample.identity
        genuine: _Bools = identity[edges.source] == identity[edges.target]
        return genuine

    @property
    def identity(self) -> npt.NDArray[np.int64]:
        """Identities (f,) of all faces."""
        unfolded = self.sample.unfolded
        return self.sample.identity if unfolded is None else unfolded.identity

    @property
    def evidence(self) -> Evidence:
        """What is known of the density edges, if they are not calibrated yet."""
        near = self.sample.near
        known = near.score_model is not None
        odds = given_odds(near, self.graph.density_edges) if known else None
        return Evidence(self.probability, odds, self.genuine)

    def calibrated(self, calibration: Calibration) -> ScoredSet:
        """Return the set with calibrated probabilities."""
        method = self.method.with_settings(calibration=calibration)
        edges = self.graph.density_edges.scored(self.probability)
        return replace(self, method=method, probability=method.calibrated(self.sample.near, edges))

    def labels(self, tau: float, connect: float) -> npt.NDArray[np.int64]:
        """Cluster with given thresholds; return labels (f,) of all faces."""
        similar = self.graph.similarity_edges
        density = replace(self.graph, similarity_edges=similar.where(similar.score >= tau))
        method = self.method.with_settings(connect=connect)
        scorer = self.probability.__getitem__
        labels = method.components(self.sample.near, density, scorer, Run()).labels
        return labels if self.sample.unfolded is None else labels[self.sample.unfolded.place]

    def quality(self, tau: float, connect: float) -> float:
        """Mean of the pairwise and the BCubed F with given thresholds."""
        labels = self.labels(tau, connect)
        return (metrics.pairwise(self.identity, labels).f + metrics.bcubed(self.identity, labels).f) / 2


class Clusters(NamedTuple):
    """The best clustering of some faces, over all thresholds.

    Attributes
    ----------
    quality : float
        Mean of the pairwise and the BCubed F, in 0..1, averaged over several sets.
    tau : float
        Minimum score of a similarity edge; 2: there are none.
    connect : float
        Minimum probability at which a density edge is kept.
    """

    quality: float
    tau: float
    connect: float


def ranking_quality(score: _Floats, genuine: _Bools) -> float:
    """Probability that a genuine pair scores higher than an impostor pair (area under the ROC curve).

    It is robust to wrong labels, even if one kind of pair is rare.

    Parameters
    ----------
    score : ndarray of float, shape (m,)
        Higher for genuine pairs.
    genuine : ndarray of bool, shape (m,)

    Returns
    -------
    float
        1 = perfect order, 0.5 = random; 1 if all pairs are of one kind. Equal scores count half.
    """
    from sklearn.metrics import roc_auc_score

    return 1.0 if genuine.all() or not genuine.any() else float(roc_auc_score(genuine, score))


def best_clusters(*sets: ScoredSet) -> Clusters:
    """Find the thresholds at which faces are clustered best.

    Parameters
    ----------
    *sets : ScoredSet
        One set of faces or several, each with its own graph.

    Returns
    -------
    Clusters

    Notes
    -----
    The two thresholds are optimised in turn. The optimum itself is not returned, because with more
    identities a low tau merges them. Among the thresholds within ``TOLERANCE`` of the optimum, the
    highest tau up to ``MOST_TAU`` is chosen, and for it the connect in the middle of those that are as
    good. This takes a few hundred clusterings.
    """
    taus = [*_candidates([each.graph.similarity_edges.score for each in sets]), _NONE]
    connects = _candidates([each.probability for each in sets])

    @cache
    def quality(tau: float, connect: float) -> float:
        return float(np.mean([each.quality(tau, connect) for each in sets]))

    tau, connect = _NONE, 0.5
    for _ in range(_SWEEPS):
        connect = max(connects, key=lambda value: quality(tau, value))
        tau = max(reversed(taus), key=lambda value: quality(value, connect))
    enough = quality(tau, connect) - TOLERANCE
    useful = [value for value in taus if value <= MOST_TAU]
    for tau in [*reversed(useful), *taus[len(useful) :]]:
        good = [value for value in connects if quality(tau, value) >= enough]
        if good:
            break
    middle = (good[0] + good[-1]) / 2
    connect = min(good, key=lambda value: abs(value - middle))
    return Clusters(quality(tau, connect), tau, connect)


def precision_steps(tau: float, *sets: ScoredSet) -> list[tuple[float, float]]:
    """Measure the precision at each threshold of density edges.

    Parameters
    ----------
    tau : float
        Minimum score of a similarity edge.
    *sets : ScoredSet
        One set of faces or several.

    Returns
    -------
    list of (float, float)
        Pairwise precision and the lowest threshold that reaches it, both ascending; for several sets,
        the precision that three in four of them reach.
    """
    found: list[tuple[float, float]] = []
    for connect in _STEPS:
        reached = [metrics.pairwise(each.identity, each.labels(tau, connect)).precision for each in sets]
        precision = float(np.quantile(reached, 1 - _REACHED_BY))
        if not found or precision > found[-1][0]:
            found.append((precision, float(connect)))
    return found


def _candidates(scores: Sequence[_Floats]) -> list[float]:
    """Return candidate thresholds, ascending: near a regular grid, and near quantiles of the scores.

    Each is in the middle of the widest gap nearby, so that rounding does not change the decision on any
    edge.
    """
    score = np.concatenate(scores)
    known = np.unique(score).astype(np.float64)
    if len(known) < 2:
        return list(_GRID)
    wanted = np.concatenate((_GRID, np.quantile(score, np.linspace(0, 1, _QUANTILES))))
    last = len(known) - 1
    place = np.searchsorted(known, wanted)[:, None] + np.arange(-_NEAR, _NEAR + 1)
    low, high = known[np.clip(place - 1, 0, last)], known[np.clip(place, 0, last)]
    widest = (high - low).argmax(axis=1)[:, None]
    middle = np.take_along_axis((low + high) / 2, widest, axis=1)
    return [float(value) for value in np.unique(middle)]
