"""The work of the rules by rows, as tasks that any process can run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import STEP, release
from nsrfc.graph.density_graph import neighbor_density
from nsrfc.graph.neighborhood_means import Neighborhoods, average_neighbors, linkage
from nsrfc.graph.scores import ScoreModel, probability
from nsrfc.records import ImpostorScores, NeighborGraph
from nsrfc.rowstore import Arrays

__all__ = ["AverageTask", "DensityTask", "ScoreTask"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoreTask:
    """Turns the similarities of a graph into normalised scores, and sorts each list by them.

    Attributes
    ----------
    graph : NeighborGraph
    impostors : ImpostorScores
    around : Neighborhoods, optional
        If the graph is built on their means: the similarities of their faces are taken.
    """

    graph: NeighborGraph
    impostors: ImpostorScores
    around: Neighborhoods | None = None
    step = STEP

    def __call__(self, rows: slice) -> Arrays:
        """Return ids and scores; -inf where there is no neighbour."""
        near, similarities = self.graph.ids[rows], self.graph.similarities[rows]
        if self.around is not None:
            similarities = linkage(near, similarities, self.around)
        found = self.impostors.normalized(similarities)
        found[near < 0] = -np.inf
        found[:, 0] = np.inf
        order = np.argsort(-found, axis=1, kind="stable")
        ids = np.take_along_axis(near, order, axis=1)
        release(self.graph.ids)
        release(self.graph.similarities)
        return {"ids": ids, "score": np.take_along_axis(found, order, axis=1)}


@dataclass(frozen=True)
class AverageTask:
    """Averages faces with their best neighbours.

    Attributes
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    ids : ndarray of int32, shape (n, k)
        Neighbours by descending score.
    score : ndarray of float32, shape (n, k)
    model : ScoreModel
    width : int
        Neighbours that are averaged.
    log_odds : float
        At which one has weight 1/2.
    """

    X: _Floats
    ids: _Ids
    score: _Floats
    model: ScoreModel
    width: int
    log_odds: float
    step = STEP

    def __call__(self, rows: slice) -> Arrays:
        """Return the fields of `Neighborhoods`."""
        odds = self.model.log_odds(self.score[rows, : self.width])
        weights = probability(odds - np.float32(self.log_odds))
        return vars(average_neighbors(self.X, self.ids[rows, : self.width], weights))


@dataclass(frozen=True)
class DensityTask:
    """Computes the density of faces from the scores (n, k) of their lists."""

    score: _Floats
    model: ScoreModel
    step = STEP

    def __call__(self, rows: slice) -> Arrays:
        """Return the densities."""
        score = self.score[rows]
        return {"density": neighbor_density(score, probability(self.model.log_odds(score)))}
