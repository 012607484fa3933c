"""The values passed between the steps: small frozen records of arrays, checked on construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, release
from nsrfc.errors import InputError, shortened, shown

if TYPE_CHECKING:
    from nsrfc.graph.scores import ScoreModel

__all__ = [
    "BAD_ROW",
    "UNCLUSTERED",
    "Clustering",
    "Components",
    "DensityGraph",
    "EdgeList",
    "Mutual",
    "NeighborGraph",
    "Neighborhood",
    "ScorePrior",
]

Mutual = Literal["present", "published"]
"""How p_ij is computed if only one of the two faces lists the other; see
:mod:`nsrfc.graph.density_graph`."""


UNCLUSTERED, BAD_ROW = -1, -2
"""Labels of faces that are in no cluster, and of rows that were left out because they are missing, zero,
NaN or infinite."""


@dataclass(frozen=True)
class NeighborGraph:
    """The k nearest neighbours of every face.

    Attributes
    ----------
    ids : ndarray of int32, shape (n, k)
        Row numbers of the neighbours. Column 0 is the face itself; -1 means "no neighbour" and only
        occurs at the end of a row.
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
                f"got {shown(ids.shape)} and {shown(similarities.shape)}."
            )
        if ids.dtype != np.int32 or similarities.dtype != np.float32:
            raise InputError(
                f"A neighbour graph needs int32 ids and float32 similarities, "
                f"got {shortened(ids.dtype)} and {shortened(similarities.dtype)}."
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

    def first(self, count: int) -> NeighborGraph:
        """Return the first ``count`` entries of each list, or all if there are no more."""
        if count >= self.k:
            return self
        return NeighborGraph(self.ids[:, :count], self.similarities[:, :count])


def _check_lists(ids: npt.NDArray[np.int32], similarities: npt.NDArray[np.float32], n: int) -> None:
    """Refuse invalid lists of a graph of ``n`` faces."""
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
class ImpostorScores:
    """Impostor score statistics of a set of faces.

    Attributes
    ----------
    mean, deviation : float
        m and d: of the similarities of impostor pairs.
    genuine_share : float
        Share of genuine pairs among all pairs: 1 / identities if these are of equal size.
    """

    mean: float
    deviation: float
    genuine_share: float

    @property
    def identical(self) -> float:
        """Normalised score of two identical faces."""
        return (1 - self.mean) / self.deviation

    def normalized(self, similarities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Normalise similarities (any shape)."""
        mean, slope = np.float32(self.mean), np.float32(1 / self.deviation)
        score: npt.NDArray[np.float32] = (similarities - mean) * slope
        return score


@dataclass(frozen=True)
class ScorePrior:
    """What is known of the scores of an embedder before the faces are seen, from its card.

    Each statistic is a value and its standard error, or None if it is not known.

    Attributes
    ----------
    card : str
        Name of the embedder's card.
    mean, deviation : (float, float), optional
        m and d: of the similarities of impostor pairs.
    """

    card: str
    mean: tuple[float, float] | None = None
    deviation: tuple[float, float] | None = None

    def widened(self, factor: float) -> ScorePrior:
        """Return the prior with larger standard errors."""
        mean, deviation = (
            known and (known[0], factor * known[1]) for known in (self.mean, self.deviation)
        )
        return ScorePrior(self.card, mean, deviation)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values, from which :meth:`of` makes an equal prior."""
        return dict(vars(self))

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> ScorePrior | None:
        """Make a prior of what :meth:`as_dict` returned, also after JSON; None of None."""
        if values is None:
            return None
        mean, deviation = (values[name] and tuple(values[name]) for name in ("mean", "deviation"))
        return cls(values["card"], mean, deviation)


@dataclass(frozen=True)
class Neighborhood:
    """Result of step 1: the faces and their neighbour lists.

    Attributes
    ----------
    faces : ndarray of float32, shape (n, d)
        The embeddings as given, unit vectors.
    vectors : ndarray of float32, shape (n, w)
        Unit vectors that later steps compare: refined or whitened embeddings, or ``faces``.
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    similarities : ndarray of float32, shape (n, k)
        Of the neighbours; their meaning depends on the method.
    nearest : ndarray of int32, shape (n, k)
        The neighbours found before refinement.
    refined : bool
        Whether ``vectors`` are refined embeddings.
    impostors : (ImpostorScores, ImpostorScores), optional
        Impostor score statistics by ``vectors`` and by ``faces``, if the method uses them.
    score_model : ScoreModel, optional
        Of the scores by ``faces``, if the method uses it.
    identical : float
        Normalised score of two identical faces, if similarities are normalised scores.
    key : str
        Key of this result in the cache; "" without a cache.
    """

    faces: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]
    ids: npt.NDArray[np.int32]
    similarities: npt.NDArray[np.float32]
    nearest: npt.NDArray[np.int32]
    refined: bool = False
    impostors: tuple[ImpostorScores, ImpostorScores] | None = None
    score_model: ScoreModel | None = None
    identical: float = float("nan")
    key: str = ""

    def without_lists(self) -> Neighborhood:
        """Return what step 4 reads, so that the lists can be freed."""
        return replace(self, ids=self.ids[:0].copy(), similarities=self.similarities[:0].copy())


@dataclass(frozen=True)
class EdgeList:
    """Scored edges between faces.

    Attributes
    ----------
    source, target : ndarray of int32, shape (m,)
        Row numbers of the two ends.
    score : ndarray of float32, shape (m,)
        Score of the edge; its meaning depends on the step that makes the edges.

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
        """Concatenate several lists, at least one."""
        return cls(
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.target for part in parts]),
            np.concatenate([part.score for part in parts]),
        )

    def __add__(self, other: EdgeList) -> EdgeList:
        """Concatenate two lists, this one first."""
        return EdgeList.joined((self, other))

    def scored(self, score: npt.NDArray[np.float32]) -> EdgeList:
        """Return the same edges with other scores (m,)."""
        return EdgeList(self.source, self.target, score)

    def where(self, keep: npt.NDArray[np.bool_ | np.integer]) -> EdgeList:
        """Return the edges selected by ``keep``: a mask (m,) or edge numbers."""
        return EdgeList(self.source[keep], self.target[keep], self.score[keep])


@dataclass(frozen=True)
class DensityGraph:
    """Result of step 2: the local density graph.

    Attributes
    ----------
    density : ndarray of float, shape (n,)
        rho_i.
    density_edges : EdgeList
        E_d in order of the source, at most one from a face.
    similarity_edges : EdgeList
        E_s, pairs that are joined directly.
    threshold : float
        tau: minimum score of a similarity edge.
    affinity, genuine_probability : ndarray of float32, shape (n, k), optional
        a_ij and S_ij, from which the graph was made; only if the next step reads them.
    """

    density: npt.NDArray[np.floating]
    density_edges: EdgeList
    similarity_edges: EdgeList
    threshold: float
    affinity: npt.NDArray[np.float32] | None = None
    genuine_probability: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Components:
    """Result of step 4: the clusters of distinct faces.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1.
    density_edges, similarity_edges : EdgeList
        The edges of the density graph, with the probability in 0..1 that both ends are one identity as
        score.
    skipped : int, optional
        Number of density edges that were not scored; None if the method always scores all.
    """

    labels: npt.NDArray[np.int64]
    density_edges: EdgeList
    similarity_edges: EdgeList
    skipped: int | None = None


@dataclass(frozen=True)
class Clustering:
    """The clusters found.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance; -1 only for faces in clusters smaller than the minimum size,
        -2 only for bad rows that were left out.
    confidence : ndarray of float32, shape (n,)
        Probability in [0, 1] that the face's cluster is right: of one identity, and no fragment of it
        (:func:`nsrfc.graph.confidence.confidence`); 0 for rows that were left out.
    method : mapping
        Name and settings of the method, and the SHA-256 of each network.
    warning : str or None
        A sentence that says what is in doubt if the set as a whole is beyond what can be known, and what
        can be done.
    """

    labels: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    method: Mapping[str, Any] = field(default_factory=dict)
    warning: str | None = None
