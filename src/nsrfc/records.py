"""The values passed between the steps: small frozen records of arrays, checked where they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, release
from nsrfc.errors import InputError

__all__ = [
    "Clustering",
    "Components",
    "DensityGraph",
    "EdgeList",
    "Mutual",
    "NeighborGraph",
    "Neighborhood",
]

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
class Neighborhood:
    """What step 1 leaves: the faces and their lists.

    Attributes
    ----------
    faces : ndarray of float32, shape (n, d)
        The embeddings as given, unit vectors.
    vectors : ndarray of float32, shape (n, w)
        What comes after is to compare, unit vectors: refined or whitened embeddings, or ``faces``.
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    similarities : ndarray of float32, shape (n, k)
        Of the neighbours; the method that makes them says what they measure.
    nearest : ndarray of int32, shape (n, k)
        The neighbours that were found first.
    refined : bool
        Whether ``vectors`` are refined embeddings.
    impostor_means : (float, float)
        Mean similarity of impostor pairs by ``vectors`` and by ``faces``; NaN where the method does not
        ask for it.
    identical : float
        Score of two identical faces, where similarities are normalised scores.
    key : str
        Names all of this among the results that are kept; "" where none are.
    """

    faces: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float32]
    nearest: npt.NDArray[np.int32]
    refined: bool = False
    impostor_means: tuple[float, float] = (float("nan"), float("nan"))
    identical: float = float("nan")
    key: str = ""


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

    @classmethod
    def joined(cls, parts: Sequence[EdgeList]) -> EdgeList:
        """Return the edges of several lists, one after the other; at least one list."""
        return cls(
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.target for part in parts]),
            np.concatenate([part.score for part in parts]),
        )

    def __add__(self, other: EdgeList) -> EdgeList:
        """Return the edges of both, these first."""
        return EdgeList.joined((self, other))

    def where(self, keep: npt.NDArray[np.bool_ | np.integer]) -> EdgeList:
        """Return the edges for which ``keep`` (m,) is true, or whose numbers it holds."""
        return EdgeList(self.source[keep], self.target[keep], self.score[keep])


@dataclass(frozen=True)
class DensityGraph:
    """What step 2 leaves: the local density graph.

    Attributes
    ----------
    density : ndarray of float, shape (n,)
        rho_i.
    density_edges : EdgeList
        E_d in order of the source, at most one from a face.
    similarity_edges : EdgeList
        E_s, pairs that are joined at once.
    threshold : float
        tau: score from which on a pair is a similarity edge.
    affinity, genuine_probability : ndarray of float32, shape (n, k), optional
        a_ij and S_ij, of which the graph was made, where the next step reads them.
    """

    density: npt.NDArray[np.floating]
    density_edges: EdgeList
    similarity_edges: EdgeList
    threshold: float
    affinity: npt.NDArray[np.float32] | None = None
    genuine_probability: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Components:
    """What step 4 leaves: the clusters of distinct faces.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1.
    probability : ndarray of float32, shape (m,)
        That a density edge joins one identity, in 0..1.
    skipped : int, optional
        Density edges that were not scored, where a scorer can be spared any.
    """

    labels: npt.NDArray[np.int64]
    probability: npt.NDArray[np.float32]
    skipped: int | None = None


@dataclass(frozen=True)
class Clustering:
    """The clusters found.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance; -1 only for faces in groups below an asked-for minimum
        size.
    confidence : ndarray of float32, shape (n,)
        Probability in [0, 1] that the decision about the face's density edge is right: that the edge
        joins one person where it was kept, that it does not where it was cut. 1 for the densest face
        of its surroundings, which has no such edge.
    method : mapping
        What decided: name and settings of the method, and the SHA-256 of each network.
    """

    labels: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    method: Mapping[str, Any] = field(default_factory=dict)
