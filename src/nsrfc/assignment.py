"""New faces to people already found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import sample_faces
from nsrfc.config import ClusterConfig
from nsrfc.graph.score_model import ScoreModel, fit_score_model, probability
from nsrfc.graph.score_normalization import ImpostorScores, impostor_scores, normalized_scores
from nsrfc.knn.exact import exact_lists
from nsrfc.methods.rules import Rules

__all__ = ["Assignment"]

_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]

LAW_FACES = 16_384
"""Faces whose best neighbours show the odds; more would hardly move them."""

_CHUNK = 4096


@dataclass(frozen=True)
class Assignment:
    """What is needed to place new faces: the known ones, their labels, and what strangers look like.

    Attributes
    ----------
    X : ndarray of float32, shape (n, d)
        Known faces, unit vectors.
    labels : ndarray of int64, shape (n,)
        Their people; -1 = none.
    reference : ndarray of float32, shape (m, d)
        Faces against which a background is measured.
    background : ImpostorScores
        Of the known faces.
    law : ScoreModel
        Odds that a pair of a given strength is one person.
    k : int
        Known faces that have a say about a new one.
    """

    X: _Floats
    labels: _Labels
    reference: _Floats
    background: ImpostorScores
    law: ScoreModel
    k: int

    @classmethod
    def fit(cls, X: _Floats, labels: _Labels, config: ClusterConfig) -> Assignment:
        """Measure the known faces: unit vectors X (n, d) and their labels (n,)."""
        n = len(X)
        reference = X[sample_faces(n, config.seed)]
        background = impostor_scores(X, reference)
        rows = sample_faces(n, config.seed, LAW_FACES)
        ids, similarities = exact_lists(X, rows, min(2, n))
        best = normalized_scores(similarities[:, 1:], ids[:, 1:], background[rows], background)
        return cls(
            X,
            labels,
            reference,
            background,
            fit_score_model(best.ravel(), n, background.identical),
            min(config.k or Rules.k, n),
        )

    def predict(self, X: _Floats) -> _Labels:
        """Label new faces: unit vectors (m, d) to labels (m,), -1 where nobody is likely enough.

        Of the nearest known faces each votes for its person with the probability that it and the new
        face show one person. The person with most votes gets the face if one of the voters is more
        likely the same person than not.
        """
        import faiss

        out = np.full(len(X), -1, np.int64)
        for start in range(0, len(X), _CHUNK):
            rows = slice(start, start + _CHUNK)
            similarities, ids = faiss.knn(X[rows], self.X, self.k, metric=faiss.METRIC_INNER_PRODUCT)
            own = impostor_scores(X[rows], self.reference)
            strength = normalized_scores(similarities, ids, own, self.background)
            out[rows] = self._vote(ids, probability(self.law.log_odds(strength)))
        return out

    def _vote(self, ids: npt.NDArray[np.int64], chance: _Floats) -> _Labels:
        labels = self.labels[ids]
        chance = np.where(labels >= 0, chance, np.float32(0))
        order = np.argsort(labels, axis=1, kind="stable")
        labels = np.take_along_axis(labels, order, axis=1)
        chance = np.take_along_axis(chance, order, axis=1)
        # Votes of one person stand together: a running sum less its value before the first of them.
        running = np.cumsum(chance, axis=1, dtype=np.float64)
        column = np.arange(labels.shape[1])
        opens = np.ones(labels.shape, np.bool_)
        opens[:, 1:] = labels[:, 1:] != labels[:, :-1]
        first = np.maximum.accumulate(np.where(opens, column, 0), axis=1)
        votes = running - np.take_along_axis(running - chance, first, axis=1)
        winner = votes.argmax(axis=1)[:, None]
        chosen = np.take_along_axis(labels, winner, axis=1)
        likely = ((labels == chosen) & (chance >= 0.5)).any(axis=1)
        return np.where(likely, chosen[:, 0], -1)
