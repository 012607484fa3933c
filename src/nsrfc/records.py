"""The values passed between the steps: small frozen records of arrays, checked where they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, release
from nsrfc.errors import InputError

__all__ = ["Clustering", "EdgeList", "Mutual", "NeighborGraph"]

Mutual = Literal["present", "published"]
"""How p_ij is made where only one of two faces lists the other; see
:mod:`nsrfc.graph.density_graph`."""


@dataclass(frozen=True)
class NeighborGraph:
    """The k nearest neighbours of every face.

    Attributes
    ----------
    ids : ndarray of int32, shape (n, k)
        Row numbers of the neighbours. Column 0 is the face itself; -1 means "no neighbour" and is
        only found at the end of a row.
    similarities : ndarray of float32, shape (n, k)
        Cosine similarity in [-1, 1] (or a probability), descending along each row; 0 where ``ids``
        is -1.

    Raises
    ------
    InputError
        If shapes, dtypes, ranges or the order of a row are not as stated.
    """

    ids: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        ids, similarities = self.ids, self.similarities
        if ids.ndim != 2 or ids.shape != similarities.shape or ids.shape[1] < 1:
            raise InputError(
                f"A neighbour graph needs ids and similarities of one shape (n, k) with k >= 1, "
                f"got {ids.shape} and {similarities.shape}."
            )
        if ids.dtype != np.int32 or similarities.dtype != np.float32:
            raise InputError(
                f"A neighbour graph needs int32 ids and float32 similarities, "
                f"got {ids.dtype} and {similarities.dtype}."
            )
        for part in chunks(len(ids)):
            if not np.array_equal(ids[part, 0], np.arange(part.start, part.stop)):
                raise InputError("Column 0 of a neighbour graph must be the face itself, in row order.")
            _check_lists(ids[part], similarities[part], len(ids))
            release(ids)
            release(similarities)

    @property
    def n(self) -> int:
        """Number of faces."""
        return int(self.ids.shape[0])

    @property
    def k(self) -> int:
        """Length of each list, the face itself included."""
        return int(self.ids.shape[1])


def _check_lists(ids: npt.NDArray[np.int32], similarities: npt.NDArray[np.float32], n: int) -> None:
    """Refuse lists of a graph of ``n`` faces that are not as stated."""
    if ids.min() < -1 or ids.max() >= n:
        raise InputError(f"Neighbour ids must lie in -1..{n - 1}, found {ids.min()}..{ids.max()}.")
    if not np.isfinite(similarities).all():
        raise InputError("Similarities of a neighbour graph must be finite.")
    absent = ids < 0
    if (absent[:, :-1] & ~absent[:, 1:]).any():
        raise InputError("Absent neighbours (-1) must stand at the end of their row.")
    if ((np.diff(similarities, axis=1) > 0) & ~absent[:, 1:]).any():
        raise InputError("Similarities of a neighbour graph must descend along each row.")


@dataclass(frozen=True)
class EdgeList:
    """Scored edges between faces.

    Attributes
    ----------
    source, target : ndarray of int32, shape (m,)
        Row numbers of the two ends.
    score : ndarray of float32, shape (m,)
        Strength of the edge; the step that makes the edges says what it measures.

    Raises
    ------
    InputError
        If the three arrays differ in length or dtype.
    """

    source: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if not (self.source.shape == self.target.shape == self.score.shape) or self.score.ndim != 1:
            raise InputError("An edge list needs source, target and score of one length.")
        if self.source.dtype != np.int32 or self.target.dtype != np.int32:
            raise InputError("An edge list needs int32 source and target.")

    def __len__(self) -> int:
        return len(self.score)

    def __add__(self, other: EdgeList) -> EdgeList:
        """Return the edges of both, these first."""
        return EdgeList(
            np.concatenate((self.source, other.source)),
            np.concatenate((self.target, other.target)),
            np.concatenate((self.score, other.score)),
        )

    def where(self, keep: npt.NDArray[np.bool_]) -> EdgeList:
        """Return the edges for which ``keep`` (m,) is true."""
        return EdgeList(self.source[keep], self.target[keep], self.score[keep])


@dataclass(frozen=True)
class Clustering:
    """The people found.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance; -1 only for faces in groups below an asked-for minimum
        size.
    confidence : ndarray of float32, shape (n,)
        Probability in [0, 1] that the decision about the face's density edge is right: that the edge
        joins one person where it was kept, that it does not where it was cut. 1 for the densest face
        of its surroundings, which has no such edge.
    """

    labels: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
