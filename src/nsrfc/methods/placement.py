"""Assigning new faces to existing clusters, one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, sample_faces
from nsrfc.graph.scores import fit_score_model, impostor_scores, normalized_scores, probability
from nsrfc.knn.exact import exact_lists

__all__ = ["Chance", "Placement", "score_model_chance"]

_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]

Chance = Callable[[_Floats, npt.NDArray[np.int64], _Floats], _Floats]
"""Returns the probabilities (m, k) that new faces (m, d) and known faces, given by ids (m, k) and
cosines (m, k), are genuine pairs."""

FACES = 16_384
"""Size of the sample that the score model is fitted to; more faces would hardly change it."""

ROWS = 4096


@dataclass(frozen=True)
class Placement:
    """Assigns new faces to clusters by a vote of known faces.

    Attributes
    ----------
    faces : ndarray of float32, shape (n, d)
        Known faces, unit vectors.
    labels : ndarray of int64, shape (n,)
        Their clusters; -1 = none.
    k : int
        Number of nearest known faces that vote, at most n.
    threshold : float
        Minimum probability of the best voter of the winning cluster.
    chance : callable
        Scores pairs of a new and a known face.
    """

    faces: _Floats
    labels: _Labels
    k: int
    threshold: float
    chance: Chance

    def __call__(self, X: _Floats) -> _Labels:
        """Label new faces: unit vectors (m, d) to labels (m,), -1 where no cluster is likely enough.

        Each of the k nearest known faces votes for its cluster, weighted by the probability that it and
        the new face are a genuine pair. The cluster with the highest sum wins if the probability of at
        least one of its voters reaches the threshold. Faces are independent of each other.
        """
        import faiss

        out = np.full(len(X), -1, np.int64)
        for rows in chunks(len(X), ROWS):
            similarities, ids = faiss.knn(X[rows], self.faces, self.k, metric=faiss.METRIC_INNER_PRODUCT)
            out[rows] = self._vote(ids, self.chance(X[rows], ids, similarities))
        return out

    def _vote(self, ids: npt.NDArray[np.int64], chance: _Floats) -> _Labels:
        labels = self.labels[ids]
        chance = np.where(labels >= 0, chance, np.float32(0))
        order = np.argsort(labels, axis=1, kind="stable")
        labels = np.take_along_axis(labels, order, axis=1)
        chance = np.take_along_axis(chance, order, axis=1)
        # Votes are sorted by cluster: their sum is a running sum minus its value before the first one.
        running = np.cumsum(chance, axis=1, dtype=np.float64)
        column = np.arange(labels.shape[1])
        opens = np.ones(labels.shape, np.bool_)
        opens[:, 1:] = labels[:, 1:] != labels[:, :-1]
        first = np.maximum.accumulate(np.where(opens, column, 0), axis=1)
        votes = running - np.take_along_axis(running - chance, first, axis=1)
        winner = votes.argmax(axis=1)[:, None]
        chosen = np.take_along_axis(labels, winner, axis=1)
        likely = ((labels == chosen) & (chance >= self.threshold)).any(axis=1)
        return np.where(likely, chosen[:, 0], -1)


def score_model_chance(faces: _Floats, seed: int) -> Chance:
    """Fit a score model to the best neighbours of known faces (n, d), for pairs with new faces."""
    n = len(faces)
    reference = faces[sample_faces(n, seed)]
    known = impostor_scores(faces, reference)
    rows = sample_faces(n, seed, FACES)
    ids, similarities = exact_lists(faces, rows, min(2, n))
    best = normalized_scores(similarities[:, 1:], ids[:, 1:], known[rows], known)
    model = fit_score_model(best.ravel(), n, known.identical)

    def chance(X: _Floats, ids: npt.NDArray[np.int64], similarities: _Floats) -> _Floats:
        own = impostor_scores(X, reference)
        return probability(model.log_odds(normalized_scores(similarities, ids, own, known)))

    return chance
