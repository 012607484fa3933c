"""Split of labelled faces into training identities and validation identities.

The two are disjoint, so that everything chosen on validation identities (when to stop, thresholds, which
steps to use) is chosen on identities that the networks have never seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError

__all__ = ["Split", "split_identities"]

_Identities = npt.NDArray[np.int64]
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows of the training and of the validation identities.

    Attributes
    ----------
    train, validation : ndarray of int64
        Row numbers, ascending; together all rows, each once.
    """

    train: _Rows
    validation: _Rows


def split_identities(identity: _Identities, share: float, seed: int) -> Split:
    """Draw the validation identities.

    Identities with one photo are drawn separately, so that both sides have the same share of them. The
    split does not depend on the order of the rows.

    Parameters
    ----------
    identity : ndarray of int64, shape (n,)
    share : float
        Share of validation identities, between 0 and 1; they include at least two with several photos.
    seed : int

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If fewer than four identities have two photos or more, as each side needs two.
    """
    names, person, photos = np.unique(identity, return_inverse=True, return_counts=True)
    several, single = np.flatnonzero(photos > 1), np.flatnonzero(photos == 1)
    if len(several) < 4:
        raise InputError(
            f"Training needs at least 4 identities with two photos or more, 2 for training and 2 for "
            f"validation; here are {len(several)}: add identities."
        )
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(names), bool)
    wanted = min(max(2, round(share * len(several))), len(several) - 2)
    held_out[rng.permutation(several)[:wanted]] = True
    held_out[rng.permutation(single)[: round(share * len(single))]] = True
    return Split(np.flatnonzero(~held_out[person]), np.flatnonzero(held_out[person]))
