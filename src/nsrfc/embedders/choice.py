"""Which card the scores are measured with: the one asked for, or one that the faces clearly fit.

A card never overrules the faces. If their lengths or cosines contradict it, a warning says so and it is
left out; otherwise it is a prior (:mod:`nsrfc.graph.scores`) that many faces outvote.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from nsrfc.embedders.card import EmbedderCard, card_names, find_card
from nsrfc.embedders.geometry import Geometry
from nsrfc.errors import InputError
from nsrfc.graph.scores import DEVIATION
from nsrfc.knn.copies import DistinctFaces
from nsrfc.records import ScorePrior

__all__ = ["contradiction", "known_scores", "suggested_card"]

_logger = logging.getLogger(__name__)

FAR = 4.0
"""Lengths contradict a card from so many of its deviations on."""

LOWEST = 5.0
"""The lowest cosines contradict a card if they are so many deviations of impostor scores away from the
impostor mean; above it only with `FACES` faces, as fewer may all be of one scene."""

CLEAR = 2.0
"""Only a card whose figures are all met within so many deviations is suggested."""

FACES = 10
"""Fewer faces suggest no card, and do not contradict one by being similar."""


def known_scores(embedder: str, X: npt.ArrayLike, faces: DistinctFaces) -> ScorePrior | None:
    """Return what a card says about the scores of some faces.

    Parameters
    ----------
    embedder : str
        Name or path of a card, or "auto": the card that these embeddings clearly fit, if there is one.
    X : array-like of float, shape (n, d)
        As the embedder returned them.
    faces : DistinctFaces
        The same, as unit vectors.

    Returns
    -------
    ScorePrior or None
        None if no card is suggested, or the faces contradict the one that was asked for. Both a
        suggested and a contradicted card are logged.

    Raises
    ------
    InputError
        If there is no such card, or it is of embeddings of another dimension.
    """
    if embedder == "auto":
        found = suggested_card(Geometry.of(X, faces))
        if found is None:
            return None
        _logger.info(
            "The faces look like embeddings of %s, so its card is a prior of impostor scores: "
            'confirm with embedder="%s", or leave it out with "none".',
            *(found.name, found.name),
        )
        return found.prior
    card, dimension = find_card(embedder), faces.vectors.shape[1]
    if card.dimension != dimension:
        raise InputError(
            f"embedder: the card {card.name} is of embeddings of dimension {card.dimension}, "
            f'but these have {dimension}: take the card of their embedder, or "auto".'
        )
    wrong = contradiction(card, Geometry.of(X, faces))
    if wrong is not None:
        _logger.warning(
            "The card %s does not fit these faces (%s), so it is left out.", card.name, wrong
        )
        return None
    return card.prior


def contradiction(card: EmbedderCard, geometry: Geometry) -> str | None:
    """Say in words in what way faces contradict a card of their dimension; None if they do not."""
    norm, lowest = geometry.norm, geometry.lowest
    if norm is not None and card.norm is not None and _off_norm(card, norm.mean) > FAR:
        return f"their median length is {norm.mean:.3g}, where it says {card.norm.mean:.3g}"
    prior = card.prior
    if prior.mean is None or np.isnan(lowest):
        return None
    mean, error = prior.mean
    deviation = DEVIATION * (1 - mean) if prior.deviation is None else prior.deviation[0]
    off = lowest - mean if geometry.faces >= FACES else min(lowest - mean, 0)
    if abs(off) > LOWEST * deviation + CLEAR * error:
        return f"their lowest cosines are about {lowest:.2f}, where impostor pairs have {mean:.2f} by it"
    return None


def suggested_card(geometry: Geometry) -> EmbedderCard | None:
    """Return the one shipped card that embeddings clearly fit, if there is one.

    Dimension, length and impostor scores must all be known of the card and be met: embeddings that were
    normalised, or few faces, suggest nothing.
    """
    if geometry.norm is None or geometry.faces < FACES:
        return None
    fitting = [card for card in map(EmbedderCard.shipped, card_names()) if _fits(card, geometry)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(card: EmbedderCard, geometry: Geometry) -> bool:
    mean, deviation = card.impostor_mean, card.impostor_deviation
    if mean is None or deviation is None or card.norm is None or geometry.norm is None:
        return False
    off = abs(geometry.impostors.mean - mean.value) / np.hypot(mean.error, deviation.value)
    return bool(
        card.dimension == geometry.dimension
        and _off_norm(card, geometry.norm.mean) < CLEAR
        and off < CLEAR
        and contradiction(card, geometry) is None
    )


def _off_norm(card: EmbedderCard, length: float) -> float:
    """Distance of a length from those of a card, in its deviations."""
    assert card.norm is not None
    return abs(length - card.norm.mean) / card.norm.deviation
