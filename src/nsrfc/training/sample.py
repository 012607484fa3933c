"""Labelled faces with the results of the networks trained so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.knn.copies import DistinctFaces
from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.search import scenes_and_neighbors
from nsrfc.records import Neighborhood

__all__ = ["Sample", "Unfolded", "labelled_sample"]

_Floats = npt.NDArray[np.float32]
_Bools = npt.NDArray[np.bool_]


class Unfolded(NamedTuple):
    """All faces of a set, before near-copies were folded.

    Attributes
    ----------
    place : ndarray of int64, shape (f,)
        The face of the neighbourhood that stands for each of them.
    identity : ndarray of int64, shape (f,)
    """

    place: npt.NDArray[np.int64]
    identity: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """A set of labelled faces with its own neighbour graph, for training or for validation.

    Attributes
    ----------
    near : Neighborhood
    identity : ndarray of int64, shape (n,)
        Of the faces of the neighbourhood; of near-copies, that of the face that leads them.
    lists : ndarray of int32, shape (n, k)
        The neighbours that the refinement works on, re-ranked or not.
    pair, list_probability : ndarray of float32, shape (n, k), optional
        Results of the pair network and of LCENet, if they are used.
    unfolded : Unfolded, optional
        All faces, if near-copies were folded.
    """

    near: Neighborhood
    identity: npt.NDArray[np.int64]
    lists: npt.NDArray[np.int32]
    pair: _Floats | None = None
    list_probability: _Floats | None = None
    unfolded: Unfolded | None = None

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


def labelled_sample(
    method: NetworkMethod, X: _Floats, identity: npt.NDArray[np.int64], run: Run
) -> Sample:
    """Fold near-copies and find neighbours, as in inference.

    Parameters
    ----------
    method : NetworkMethod
    X : ndarray of float32, shape (f, d)
        Distinct unit vectors.
    identity : ndarray of int64, shape (f,)
    run : Run
    """
    everyone = np.arange(len(X))
    faces = DistinctFaces(X.copy(), everyone, everyone)
    scenes, graph = scenes_and_neighbors(faces, None, method, run)
    near = method.nearest(scenes.vectors, graph, run)
    unfolded = Unfolded(scenes.place, identity) if len(scenes.rows) < len(X) else None
    lists = method.convolved_lists(near, run)
    return Sample(near, identity[scenes.rows], lists, unfolded=unfolded)
