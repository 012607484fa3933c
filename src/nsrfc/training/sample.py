"""Labelled faces, as far as the networks before have described them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.records import Neighborhood

__all__ = ["Sample"]

_Floats = npt.NDArray[np.float32]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A set of labelled faces, a graph of its own: it teaches, or it validates.

    Attributes
    ----------
    near : Neighborhood
    identity : ndarray of int64, shape (n,)
    lists : ndarray of int32, shape (n, k)
        The neighbours that the refinement works on: re-ranked, or those found first.
    pair, list_probability : ndarray of float32, shape (n, k), optional
        What the pair network and LCENet made of the lists, if they have a part.
    """

    near: Neighborhood
    identity: npt.NDArray[np.int64]
    lists: npt.NDArray[np.int32]
    pair: _Floats | None = None
    list_probability: _Floats | None = None

    @property
    def affinity(self) -> _Floats:
        """a_ij (n, k); where no pair network gave it, the cosine, or 0 if it is negative."""
        return np.maximum(self.near.similarities, 0) if self.pair is None else self.pair

    @property
    def genuine_probability(self) -> _Floats:
        """S_ij (n, k); where no LCENet gave it, a_ij."""
        return self.affinity if self.list_probability is None else self.list_probability

    @property
    def listed(self) -> _Bools:
        """Whether there is a neighbour, the face itself not counted, shape (n, k)."""
        listed = self.near.ids >= 0
        listed[:, 0] = False
        return listed

    @property
    def genuine(self) -> _Bools:
        """Whether a listed neighbour is of the same identity, shape (n, k)."""
        same: _Bools = self.identity[self.near.ids] == self.identity[:, None]
        return same & self.listed
