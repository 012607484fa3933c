"""New faces to the clusters found, one by one."""

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
"""Probabilities (m, k) of one identity, of new faces (m, d) with known ones (m, k) of given cosines."""

FACES = 16_384
"""Faces whose best neighbours show the odds; more would hardly move them."""

ROWS = 4096


@dataclass(frozen=True)
class Placement:
    """What is needed to place new faces.

    Attributes
    ----------
    faces : ndarray of float32, shape (n, d)
        Known faces, unit vectors.
    labels : ndarray of int64, shape (n,)
        Their clusters; -1 = none.
    k : int
        Known faces that have a say about a new one, at most n.
    threshold : float
        Least probability of one of the voters of the winning cluster.
    chance : callable
    """

    faces: _Floats
    labels: _Labels
    k: int
    threshold: float
    chance: Chance

    def __call__(self, X: _Floats) -> _Labels:
        """Label new faces: unit vectors (m, d) to labels (m,), -1 where no cluster is likely enough.

        Of the nearest known faces each votes for its cluster with the probability that it and the new
        face are of one identity. The cluster with most votes gets the face if one of its voters is
        likely enough. Each face is placed by itself: the result does not depend on the others.
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
        # Votes of one cluster stand together: a running sum less its value before the first of them.
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
    """Read the odds off known faces (n, d): a score model of their best neighbours."""
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
