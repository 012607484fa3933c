"""How the embeddings of an embedder lie, measured on unlabelled faces; and a card made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import read_rows, sample_faces
from nsrfc.embedders.card import EmbedderCard, Norm, Statistic
from nsrfc.errors import InputError
from nsrfc.graph.scores import impostor_scores
from nsrfc.knn.copies import DistinctFaces
from nsrfc.records import ImpostorScores
from nsrfc.vectors import as_array

__all__ = ["LEAST_FACES", "LEAST_IDENTITIES", "Geometry", "measured_card"]

FACES = 2048
"""Size of the sample of faces that is measured."""

LEAST_FACES, LEAST_IDENTITIES = 200, 20
"""Fewer faces, or faces of fewer people, say little about an embedder."""

LEAST_ERROR = 0.25
"""Minimum standard error of a measured statistic, in deviations of impostor scores: other photos differ
by more than a sample of these tells."""

_UNIT = 0.01
_LOW = 0.01


@dataclass(frozen=True)
class Geometry:
    """How embeddings lie.

    Attributes
    ----------
    faces, dimension : int
        Shape of what was measured.
    norm : Norm or None
        Lengths of the embeddings as given; None if they were normalised before.
    mean_length : float
        Of the mean of the unit vectors.
    effective_dimension : float
        (sum of the variances)^2 / sum of their squares, along principal axes; 0 if there is no variance.
    impostors : ImpostorScores
        As estimated from these faces alone.
    lowest : float
        Cosine below which 1 % of the pairs lie; NaN for a single face.
    """

    faces: int
    dimension: int
    norm: Norm | None
    mean_length: float
    effective_dimension: float
    impostors: ImpostorScores
    lowest: float

    @property
    def identities(self) -> float:
        """Number of people, if all have as many photos: what the share of genuine pairs tells."""
        return float(min(self.faces, 1 / max(self.impostors.genuine_share, 1e-6)))

    @classmethod
    def of(cls, X: npt.ArrayLike, faces: DistinctFaces) -> Geometry:
        """Measure a sample of embeddings.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            As the embedder returned them.
        faces : DistinctFaces
            The same, as unit vectors.

        Notes
        -----
        Time and memory do not grow with n beyond 2,048 faces.
        """
        rows = sample_faces(len(faces.vectors), size=FACES)
        unit = faces.vectors[rows]
        with np.errstate(over="ignore"):
            given = read_rows(as_array(X), faces.rows[rows])
            lengths = np.linalg.norm(given.astype(np.float64), axis=1)
        known = bool((np.abs(lengths - 1) > _UNIT).any() and np.isfinite(lengths).all())
        norm = Norm(mean=float(np.median(lengths)), deviation=_deviation(lengths)) if known else None
        cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
        mean = unit.mean(axis=0, dtype=np.float64)
        variances = np.linalg.svd(unit - mean, compute_uv=False) ** 2
        squares = float(variances @ variances)
        return cls(
            faces=len(unit),
            dimension=unit.shape[1],
            norm=norm,
            mean_length=float(np.linalg.norm(mean)),
            effective_dimension=float(variances.sum() ** 2 / squares) if squares else 0.0,
            impostors=impostor_scores(unit),
            lowest=float(np.quantile(cosines, _LOW)) if len(cosines) else float("nan"),
        )


def _deviation(lengths: npt.NDArray[np.float64]) -> float:
    """Deviation of lengths (n,), never 0: equal lengths are known to a hundredth."""
    return float(max(lengths.std(), _UNIT * lengths.mean()))


def measured_card(geometry: Geometry, name: str, source: str) -> EmbedderCard:
    """Make a card of what was measured.

    Parameters
    ----------
    geometry : Geometry
        Of many faces of many people.
    name : str
    source : str
        Where the faces come from, in words.

    Raises
    ------
    InputError
        If there are too few faces or people, or the name is none.
    """
    if geometry.faces < LEAST_FACES:
        raise InputError(
            f"A card needs {LEAST_FACES} different faces or more, got {geometry.faces}: "
            f"give more photos of more people."
        )
    if geometry.identities < LEAST_IDENTITIES:
        raise InputError(
            f"A card needs faces of {LEAST_IDENTITIES} people or more, but these seem to show about "
            f"{geometry.identities:.0f}: give photos of more people."
        )
    mean, deviation = geometry.impostors.mean, geometry.impostors.deviation
    error = max(np.sqrt(2 / geometry.identities), LEAST_ERROR) * deviation
    content = {
        "name": name,
        "title": name,
        "dimension": geometry.dimension,
        "norm": geometry.norm,
        "impostor_mean": Statistic(value=_rounded(mean), error=_rounded(error)),
        "impostor_deviation": Statistic(value=_rounded(deviation), error=_rounded(error)),
        "mean_length": _rounded(geometry.mean_length),
        "effective_dimension": _rounded(geometry.effective_dimension),
        "faces": geometry.faces,
        "source": source,
    }
    return EmbedderCard.of(content, "The card")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
