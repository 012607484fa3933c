"""Assigning new faces to existing clusters, one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks
from nsrfc.graph.scores import fit_score_model, impostor_scores, probability
from nsrfc.knn.exact import exact_lists
from nsrfc.records import ScorePrior
from nsrfc.vectors import typical_faces

__all__ = ["Chance", "Placement", "sampled_chance", "score_model_chance"]

_Floats = npt.NDArray[np.float32]
_Labels = npt.NDArray[np.int64]

Chance = Callable[[_Floats, npt.NDArray[np.int64], _Floats], _Floats]
"""Returns the probabilities (m, k) that new faces (m, d) and listed faces, given by ids (m, k) and
cosines (m, k), are genuine pairs. Ids from n on are the new faces themselves, in their order."""

FACES = 16_384
"""Size of the sample that the score model is fitted to; more faces would hardly change it."""

ROWS = 4096


COPY = np.float32(1 - 1e-6)
"""Cosine from which a new face is a copy of a known one, to rounding."""


@dataclass(frozen=True)
class Placement:
    """Assigns new faces to clusters, each by the known face that it most probably shows again.

    Attributes
    ----------
    faces : ndarray of float32, shape (n, d)
        Known faces, unit vectors.
    labels : ndarray of int64, shape (n,)
        Their clusters; -1 = none.
    k : int
        Number of nearest known faces that are scored, at most n.
    threshold : float
        Minimum probability that the two are a genuine pair.
    chance : callable
        Scores pairs of a new and a known face.
    """

    faces: _Floats
    labels: _Labels
    k: int
    threshold: float
    chance: Chance

    def __call__(self, X: _Floats) -> _Labels:
        """Label new faces: unit vectors (m, d) to labels (m,), as :meth:`scored`."""
        return self.scored(X)[0]

    def scored(self, X: _Floats) -> tuple[_Labels, _Floats]:
        """Label new faces, and say how sure that is.

        A new face gets the label of the known face of highest probability, as by a density edge. The
        number of faces in a cluster does not count, so that an identity with few photos is not
        outvoted by a look-alike with many. A copy of a known face gets its label. Faces are independent
        of each other.

        Parameters
        ----------
        X : ndarray of float32, shape (m, d)
            Unit vectors.

        Returns
        -------
        labels : ndarray of int64, shape (m,)
            -1 where no cluster is likely enough.
        probability : ndarray of float32, shape (m,)
            That the new face and that known face are a genuine pair.
        """
        import faiss

        labels, probability = np.empty(len(X), np.int64), np.empty(len(X), np.float32)
        for rows in chunks(len(X), ROWS):
            similarities, ids = faiss.knn(X[rows], self.faces, self.k, metric=faiss.METRIC_INNER_PRODUCT)
            chance = np.where(similarities >= COPY, 1, self.chance(X[rows], ids, similarities))
            best = chance.argmax(axis=1)[:, None]
            label = self.labels[np.take_along_axis(ids, best, axis=1)]
            most = np.take_along_axis(chance, best, axis=1)
            labels[rows] = np.where(most >= self.threshold, label, -1)[:, 0]
            probability[rows] = most[:, 0]
        return labels, probability


def score_model_chance(
    faces: _Floats, similarities: _Floats, seed: int, prior: ScorePrior | None = None
) -> Chance:
    """Fit a score model to the best of each list of cosines (m, k) among known faces (n, d)."""
    n, impostors = len(faces), impostor_scores(faces, seed, prior)
    best = impostors.normalized(similarities.max(axis=1, initial=-1))
    model = fit_score_model(best, n, impostors.identical)

    def chance(X: _Floats, ids: npt.NDArray[np.int64], similarities: _Floats) -> _Floats:
        del X, ids
        return probability(model.log_odds(impostors.normalized(similarities)))

    return chance


def sampled_chance(faces: _Floats, seed: int, prior: ScorePrior | None = None) -> Chance:
    """Fit a score model to the best neighbours of a sample of known faces (n, d)."""
    _, similarities = exact_lists(faces, typical_faces(faces, seed, FACES), min(2, len(faces)))
    return score_model_chance(faces, similarities[:, 1:], seed, prior)
