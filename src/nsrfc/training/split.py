"""Which people teach the networks and which people judge them.

The two groups share nobody, so that whatever is chosen on the second (when to stop, thresholds, which
steps to keep) is chosen on people that the networks have never seen.
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
    """Rows of both groups.

    Attributes
    ----------
    train, validation : ndarray of int64
        Row numbers, ascending; together all rows, each once.
    """

    train: _Rows
    validation: _Rows


def split_identities(identity: _Identities, share: float, seed: int) -> Split:
    """Draw the validation people.

    People with one photo are drawn apart from the others, so that both groups hold the same share of
    them. A person is drawn whatever rows their photos stand in.

    Parameters
    ----------
    identity : ndarray of int64, shape (n,)
    share : float
        Share of the people that validate, between 0 and 1; at least two with several photos are taken.
    seed : int

    Returns
    -------
    Split

    Raises
    ------
    InputError
        If fewer than four people have two photos or more: two must be left on either side.
    """
    people, person, photos = np.unique(identity, return_inverse=True, return_counts=True)
    several, single = np.flatnonzero(photos > 1), np.flatnonzero(photos == 1)
    if len(several) < 4:
        raise InputError(
            f"Training needs at least 4 people with two photos or more, 2 to learn from and 2 to "
            f"validate on; here are {len(several)}: add people."
        )
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(people), bool)
    wanted = min(max(2, round(share * len(several))), len(several) - 2)
    held_out[rng.permutation(several)[:wanted]] = True
    held_out[rng.permutation(single)[: round(share * len(single))]] = True
    return Split(np.flatnonzero(~held_out[person]), np.flatnonzero(held_out[person]))
