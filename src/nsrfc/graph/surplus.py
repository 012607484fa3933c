"""From which normalised similarity on two clusters are one identity, by the pairs of clusters at hand.

How similar two identities can be, and how similar the poses of one, depends on the embedder, on the
space in which clusters are compared, and on how many identities there are. One thing does not: impostor
pairs become rarer the more similar they are. Where pairs become more frequent again, the surplus is
genuine::

    pairs |      #
          |    # # #
          |  # # # # #           # #
          |  # # # # # #   _   # # # #     above v there are at most as many impostor pairs in a window
          +---------------------------- r  as at v; from t on, most pairs are surplus
                           v   t

Where there is no surplus, nothing is said. Identities that resemble each other, such as siblings, make
the decline slower; they are no surplus.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["surplus_from"]

_WIDTH, _WINDOW = 0.025, 4
"""Width of a bin of r, and bins in a window, which is narrower than the poses of identities spread."""

_GENUINE = 0.75
"""Minimum share of genuine pairs in a window. Merging two identities is worse than splitting one."""

_LEAST = 0.5
"""Nearer to 0, the r of impostors, than to 1 is not enough: siblings may have a peak there."""

_DEVIATIONS = 2.0
"""Counts are small: the least one may be so many standard deviations too low."""


def surplus_from(similarity: npt.NDArray[np.floating]) -> float:
    """Find the similarity from which most pairs are genuine.

    Parameters
    ----------
    similarity : ndarray of float, shape (m,)
        Normalised similarity of pairs of clusters, most of them impostor pairs.

    Returns
    -------
    float
        A multiple of 0.025 from 0.5 up, or infinity if the pairs do not tell.
    """
    bins = np.linspace(-1, 1, round(2 / _WIDTH) + 1)
    count = np.histogram(np.clip(similarity, -1, 1), bins)[0]
    window = np.convolve(count, np.ones(_WINDOW, np.int64), "valid")
    usual = int(window.argmax())
    # A window is compared with those that end where it begins, or before. After a count of c, and if
    # nothing else is known, a Poisson rate has mean c + 1 and variance c + 1.
    rate = np.minimum.accumulate(window[usual:-_WINDOW]) + 1
    impostors = rate + _DEVIATIONS * np.sqrt(rate)
    genuine = window[usual + _WINDOW :] * (1 - _GENUINE) >= impostors
    start = bins[usual + _WINDOW :][: len(genuine)]
    found = start[genuine & (start >= _LEAST)]
    return float(found[0]) if len(found) else float("inf")
