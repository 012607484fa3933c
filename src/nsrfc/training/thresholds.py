"""What the identities held out say: how well pairs are ranked, and which thresholds cluster best.

A threshold is measured with the function that serves: `NetworkMethod.components`.
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
from nsrfc.methods.networks import NetworkMethod, calibrated
from nsrfc.model.settings import Calibration
from nsrfc.records import DensityGraph, Neighborhood

__all__ = ["Clusters", "ScoredSet", "best_clusters", "precision_steps", "ranking_quality"]

_Floats = npt.NDArray[np.float32]
_Bools = npt.NDArray[np.bool_]

_NONE = 2.0
"""A threshold above every strength: no pair is joined by it."""

TOLERANCE = 0.003
"""F that may be given up for thresholds that will hold with more strangers than validate."""

MOST_TAU = 0.95
"""Similarity edges spare PCENet most of its work, and beyond this there are few: a higher tau is taken
only where none up to it does as well."""

_GRID = (*np.linspace(0.05, 0.95, 19), 0.98, 0.99)
_STEPS = (*np.linspace(0.05, 0.95, 19), 0.97, 0.98, 0.99, 0.995, 0.999)
_REACHED_BY = 0.75
_QUANTILES = 12
_NEAR = 3
_SWEEPS = 3


@dataclass(frozen=True)
class ScoredSet:
    """Labelled faces whose density edges are scored: what is left is to choose thresholds.

    Attributes
    ----------
    method : NetworkMethod
        Its thresholds are not read.
    near : Neighborhood
    graph : DensityGraph
        With every pair that may be a similarity edge.
    probability : ndarray of float32, shape (m,)
        Of the density edges.
    identity : ndarray of int64, shape (n,)
    """

    method: NetworkMethod
    near: Neighborhood
    graph: DensityGraph
    probability: _Floats
    identity: npt.NDArray[np.int64]

    @property
    def genuine(self) -> _Bools:
        """Whether each density edge joins faces of one identity."""
        edges = self.graph.density_edges
        genuine: _Bools = self.identity[edges.source] == self.identity[edges.target]
        return genuine

    def calibrated(self, calibration: Calibration) -> ScoredSet:
        """Return the same faces, with calibrated probabilities."""
        return replace(self, probability=calibrated(self.probability, calibration))

    def labels(self, tau: float, connect: float) -> npt.NDArray[np.int64]:
        """Cluster with given thresholds, as the method clusters; labels (n,)."""
        similar = self.graph.similarity_edges
        density = replace(self.graph, similarity_edges=similar.where(similar.score >= tau))
        method = self.method.with_settings(connect=connect)
        scorer = self.probability.__getitem__
        return method.components(self.near, density, scorer, Run()).labels

    def quality(self, tau: float, connect: float) -> float:
        """Mean of the pairwise and the BCubed F with given thresholds."""
        labels = self.labels(tau, connect)
        return (metrics.pairwise(self.identity, labels).f + metrics.bcubed(self.identity, labels).f) / 2


class Clusters(NamedTuple):
    """The best clusters that some faces can be given.

    Attributes
    ----------
    quality : float
        Mean of the pairwise and the BCubed F, in 0..1; of several sets of faces, in the mean.
    tau : float
        Strength from which on a pair is joined at once; 2: none is.
    connect : float
        Probability from which on a density edge is kept.
    """

    quality: float
    tau: float
    connect: float


def ranking_quality(score: _Floats, genuine: _Bools) -> float:
    """Probability that a pair of one person has a higher score than a pair of two (area under the ROC).

    Wrong labels cost it little, however rare one kind of pair is.

    Parameters
    ----------
    score : ndarray of float, shape (m,)
        The higher, the more probably the same person.
    same : ndarray of bool, shape (m,)

    Returns
    -------
    float
        1 = perfect order, 0.5 = none; 1 where all pairs are of one kind. Equal scores count half.
    """
    from sklearn.metrics import roc_auc_score

    return 1.0 if genuine.all() or not genuine.any() else float(roc_auc_score(genuine, score))


def best_clusters(*sets: ScoredSet) -> Clusters:
    """Find the thresholds under which faces are clustered best.

    Parameters
    ----------
    *sets : ScoredSet
        One set of faces or several, each a graph of its own.

    Returns
    -------
    Clusters

    Notes
    -----
    The best pair of thresholds, found by scanning one with the other held, in turn, is not what is
    taken: a low tau chains people once there are many. Of those within ``TOLERANCE`` of it, the highest
    tau up to ``MOST_TAU`` is taken, and the connect in the middle of those that do as well. Some hundred
    clusterings.
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
    """Measure which threshold of density edges gives which precision.

    Parameters
    ----------
    tau : float
        Strength from which on a pair is joined at once.
    *sets : ScoredSet
        One set of faces or several.

    Returns
    -------
    list of (float, float)
        Pairwise precision and the lowest threshold that reaches it, both ascending; of several sets,
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
    """Return thresholds worth trying, ascending: near an even grid, near what parts scores evenly.

    Each is in the middle of the widest gap near there, so that rounding flips no edge.
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
