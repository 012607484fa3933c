"""Labelled faces with the results of the networks trained so far."""

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
    """A set of labelled faces with its own neighbour graph, for training or for validation.

    Attributes
    ----------
    near : Neighborhood
    identity : ndarray of int64, shape (n,)
    lists : ndarray of int32, shape (n, k)
        The neighbours that the refinement works on, re-ranked or not.
    pair, list_probability : ndarray of float32, shape (n, k), optional
        Results of the pair network and of LCENet, if they are used.
    """

    near: Neighborhood
    identity: npt.NDArray[np.int64]
    lists: npt.NDArray[np.int32]
    pair: _Floats | None = None
    list_probability: _Floats | None = None

    @property
    def affinity(self) -> _Floats:
        """a_ij (n, k) by the pair network; without it the cosine, negative ones as 0."""
        return np.maximum(self.near.similarities, 0) if self.pair is None else self.pair

    @property
    def genuine_probability(self) -> _Floats:
        """S_ij (n, k) by LCENet; without it a_ij."""
        return self.affinity if self.list_probability is None else self.list_probability

    @property
    def listed(self) -> _Bools:
        """Mask (n, k) of neighbours, the face itself not included."""
        listed = self.near.ids >= 0
        listed[:, 0] = False
        return listed

    @property
    def genuine(self) -> _Bools:
        """Mask (n, k) of neighbours of the same identity, the face itself not included."""
        genuine: _Bools = self.identity[self.near.ids] == self.identity[:, None]
        return genuine & self.listed
