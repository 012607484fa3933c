"""Where faces are drawn that have no picture: a map of their first two principal components."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.library.store import Store
from nsrfc.vectors import normalize

__all__ = ["positions"]

SAMPLE = 20_000
"""Faces that the components are found of."""

CHUNK = 50_000
"""Faces that are placed at a time."""

_MARGIN = 10
"""Of a map of 100 by 100."""


def positions(store: Store) -> npt.NDArray[np.float32]:
    """Return coordinates between 0 and 100, by the number of the face; NaN for one that is not there.

    Parameters
    ----------
    store : Store

    Returns
    -------
    ndarray of float32, shape (n, 2)
        Of the n faces ever added.
    """
    faces = store.faces()
    found = np.full((store.n, 2), np.nan, np.float32)
    sample = faces[np.linspace(0, len(faces) - 1, min(SAMPLE, len(faces))).astype(np.int64)]
    if not len(sample):
        return found
    unit = normalize(store.vectors(sample))
    mean = unit.mean(axis=0)
    covariance = np.cov(unit, rowvar=False, bias=True).reshape(len(mean), -1)
    _, directions = np.linalg.eigh(covariance)
    two = directions[:, ::-1][:, :2]
    # The sign of a direction is free; so it is the same on every machine.
    two = two * np.sign(two[np.abs(two).argmax(axis=0), np.arange(two.shape[1])])
    for first in range(0, len(faces), CHUNK):
        chunk = faces[first : first + CHUNK]
        found[chunk, : two.shape[1]] = (normalize(store.vectors(chunk)) - mean) @ two
    found[faces] = np.nan_to_num(found[faces])
    # A few faces far out shall not press all others together.
    low, high = np.percentile(found[sample], (1, 99), axis=0)
    spread = np.where(high > low, high - low, 1)
    scaled = _MARGIN + (100 - 2 * _MARGIN) * (found - low) / spread
    inside: npt.NDArray[np.float64] = np.clip(scaled, _MARGIN / 2, 100 - _MARGIN / 2)
    return inside.astype(np.float32)
