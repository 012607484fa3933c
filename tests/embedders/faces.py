"""Faces that lie as those of dlib do, as its own card says: a narrow cone, and lengths of about 1.44."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.embedders.card import find_card

Floats = npt.NDArray[np.float32]

SPREAD, BLUR = 0.07, 0.035
"""Deviations of people from the common mean, and of photos from their person, in each coordinate of unit
vectors: impostor pairs then scatter about 0.84 and genuine ones about 0.97."""

DIRECTIONS = 30
"""People differ in few directions, so that impostor scores scatter."""


def of_dlib(people: int, photos: int, seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Draw raw embeddings (n, 128) and identities (n,)."""
    card = find_card("dlib")
    assert card.norm is not None
    rng, n = np.random.default_rng(seed), people * photos
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((128, DIRECTIONS + 1)))[0].T
    person = SPREAD * rng.standard_normal((people, DIRECTIONS))
    photo = BLUR * rng.standard_normal((n, DIRECTIONS))
    identity = np.repeat(np.arange(people), photos)
    X = axes[-1] + (person[identity] + photo) @ axes[:-1]
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X *= rng.normal(card.norm.mean, card.norm.deviation, (n, 1))
    return X.astype(np.float32), identity
