"""How well labels agree with known identities: pairwise, BCubed, NMI, ARI and counts.

Everything comes from one sparse contingency table, made by sorting: O(n log n) time, O(n) memory.

Conventions
-----------
- A label of -1 means "unclustered", -2 a bad row that was left out: each such face counts as a cluster
  of its own, as scores without it would reward failing. All other labels, and all identities, are
  arbitrary names; only equality matters.
- Faces whose identity is not known (-1, empty, missing; see :mod:`nsrfc.identities`) count in no score:
  scores are those of the other faces with the same labels.
- Pairs are unordered pairs of two different faces. Pairwise precision is 1 if the labels join no pair,
  recall is 1 if no identity has two faces. F is 0 when precision and recall are both 0.
- NMI and ARI are 1 when both sides are the same trivial partition, as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.identities import identity_array, is_known
from nsrfc.records import BAD_ROW, UNCLUSTERED

__all__ = [
    "PRF",
    "Contingency",
    "Scores",
    "ari",
    "bcubed",
    "contingency",
    "evaluate",
    "nmi",
    "pair_count",
    "pair_sums",
    "pairwise",
]


class PRF(NamedTuple):
    """Precision, recall and their harmonic mean, each in [0, 1]."""

    precision: float
    recall: float
    f: float

    @classmethod
    def of(cls, precision: float, recall: float) -> PRF:
        """Complete a precision and a recall with F = 2 P R / (P + R), 0 if both are 0."""
        total = precision + recall
        return cls(precision, recall, 2 * precision * recall / total if total > 0 else 0.0)


@dataclass(frozen=True)
class Scores:
    """Agreement of labels with identities, and counts.

    Attributes
    ----------
    pairwise, bcubed : PRF
        See :func:`pairwise` and :func:`bcubed`.
    nmi, ari : float
        See :func:`nmi` and :func:`ari`.
    n_faces, n_identities, n_clusters : int
        Counts; unclustered faces do not count as clusters here.
    n_unclustered, n_bad_rows : int
        Faces with label -1, and with label -2.
    n_unknown : int
        Faces without a known identity: they count in no other figure.
    singleton_share, identity_singleton_share : float
        Share of the faces that are alone in their cluster (or in none), and share of those that are
        the only one of their identity.
    """

    pairwise: PRF
    bcubed: PRF
    nmi: float
    ari: float
    n_faces: int
    n_identities: int
    n_clusters: int
    n_unclustered: int
    n_bad_rows: int
    n_unknown: int
    singleton_share: float
    identity_singleton_share: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain dicts and numbers, ready for JSON."""
        return {
            **asdict(self),
            "pairwise": self.pairwise._asdict(),
            "bcubed": self.bcubed._asdict(),
        }


@dataclass(frozen=True)
class Contingency:
    """How many faces each identity and cluster share: the non-zero cells of the contingency table.

    Attributes
    ----------
    identities : ndarray, shape (r,)
        Identity of each table row, ascending.
    clusters : ndarray, shape (c,)
        Label of each table column: the labels ascending, then -1 or -2 once per face in no cluster.
    row, column : ndarray of int64, shape (m,)
        Position of the non-zero cells, in order of row, then column.
    count : ndarray of int64, shape (m,)
        Faces in each of these cells, at least 1.
    row_size, column_size : ndarray of int64, shape (r,) and (c,)
        Faces of each identity and each cluster.
    """

    identities: npt.NDArray[np.integer | np.str_]
    clusters: npt.NDArray[np.integer]
    row: npt.NDArray[np.int64]
    column: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    row_size: npt.NDArray[np.int64]
    column_size: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of faces."""
        return int(self.count.sum())


def contingency(identities: npt.ArrayLike, labels: npt.ArrayLike) -> Contingency:
    """Count the faces that each identity shares with each cluster.

    Parameters
    ----------
    identities : array_like of int or str, shape (n,)
        True identity of each face; those of unknown identity (-1, empty, missing) are not counted.
    labels : array_like of integers, shape (n,)
        Cluster of each face; -1 = unclustered, -2 = bad row.

    Returns
    -------
    Contingency

    Raises
    ------
    InputError
        If an argument is not one-dimensional, not of integers (identities may be strings) or empty, the
        lengths differ, or no identity is known.
    """
    true = identity_array(identities)
    found = _integers("labels", labels)
    if len(true) != len(found):
        raise InputError(
            f"identities and labels must name the same faces, got {len(true)} identities and "
            f"{len(found)} labels."
        )
    known = is_known(true)
    if not known.any():
        raise InputError(
            "identities: no face has a known identity (all are -1, empty or null): name some."
        )
    rows, row = np.unique(true[known], return_inverse=True)
    columns, column = _factorise_clusters(found[known])
    cells, count = np.unique(row * len(columns) + column, return_counts=True)
    return Contingency(
        identities=rows,
        clusters=columns,
        row=cells // len(columns),
        column=cells % len(columns),
        count=count.astype(np.int64),
        row_size=np.bincount(row).astype(np.int64),
        column_size=np.bincount(column).astype(np.int64),
    )


def pair_count(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the number of unordered pairs in sets of these sizes, s (s - 1) / 2 each."""
    return sizes * (sizes - 1) // 2


def pair_sums(table: Contingency) -> tuple[int, int, int]:
    """Return the number of pairs joined by labels and identities, by labels, and by identities.

    They are Python integers, so that the products in :func:`_ari` cannot overflow.
    """
    both, joined, genuine = (
        int(pair_count(sizes).sum()) for sizes in (table.count, table.column_size, table.row_size)
    )
    return both, joined, genuine


def pairwise(identities: npt.ArrayLike, labels: npt.ArrayLike) -> PRF:
    """Score the pairs of faces that the labels join.

    Precision is the share of joined pairs that are genuine (of one identity), recall the share of
    genuine pairs that are joined. Large identities dominate, as pairs grow with the square of size.

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`contingency`.

    Returns
    -------
    PRF

    Raises
    ------
    InputError
        As :func:`contingency`.
    """
    return _pairwise(contingency(identities, labels))


def bcubed(identities: npt.ArrayLike, labels: npt.ArrayLike) -> PRF:
    """Score each face's cluster and average over faces (Amigó et al., 2009).

    Precision of a face is the share of its cluster that has its identity, recall the share of its
    identity that is in its cluster; both count the face itself. F is computed from the two means.

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`contingency`.

    Returns
    -------
    PRF

    Raises
    ------
    InputError
        As :func:`contingency`.
    """
    return _bcubed(contingency(identities, labels))


def nmi(identities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the mutual information divided by the arithmetic mean of the entropies, in [0, 1].

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`contingency`.

    Raises
    ------
    InputError
        As :func:`contingency`.
    """
    return _nmi(contingency(identities, labels))


def ari(identities: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the Rand index adjusted for chance (Hubert and Arabie, 1985), at most 1.

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`contingency`.

    Raises
    ------
    InputError
        As :func:`contingency`.
    """
    return _ari(contingency(identities, labels))


def evaluate(identities: npt.ArrayLike, labels: npt.ArrayLike) -> Scores:
    """Compute all scores from one contingency table.

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`contingency`.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        As :func:`contingency`.
    """
    table = contingency(identities, labels)
    n_unclustered, n_bad_rows = (
        int(np.count_nonzero(table.clusters == label)) for label in (UNCLUSTERED, BAD_ROW)
    )
    return Scores(
        pairwise=_pairwise(table),
        bcubed=_bcubed(table),
        nmi=_nmi(table),
        ari=_ari(table),
        n_faces=table.n,
        n_identities=len(table.identities),
        n_clusters=len(table.clusters) - n_unclustered - n_bad_rows,
        n_unclustered=n_unclustered,
        n_bad_rows=n_bad_rows,
        n_unknown=np.size(labels) - table.n,
        singleton_share=int(np.count_nonzero(table.column_size == 1)) / table.n,
        identity_singleton_share=int(np.count_nonzero(table.row_size == 1)) / table.n,
    )


def _integers(name: str, values: npt.ArrayLike) -> npt.NDArray[np.integer]:
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0:
        raise InputError(f"{name} must be one integer per face, got an array of {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} must be integers, got {array.dtype}.")
    return array


def _factorise_clusters(
    labels: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    """Return the label of each table column and the column of each face."""
    alone = (labels == UNCLUSTERED) | (labels == BAD_ROW)
    names, codes = np.unique(labels[~alone], return_inverse=True)
    column = np.empty(len(labels), dtype=np.int64)
    column[~alone] = codes
    column[alone] = len(names) + np.arange(np.count_nonzero(alone))
    return np.concatenate([names, labels[alone]]), column


def _pairwise(table: Contingency) -> PRF:
    both, joined, genuine = pair_sums(table)
    return PRF.of(both / joined if joined else 1.0, both / genuine if genuine else 1.0)


def _bcubed(table: Contingency) -> PRF:
    squared = table.count.astype(np.float64) ** 2
    precision = (squared / table.column_size[table.column]).sum() / table.n
    recall = (squared / table.row_size[table.row]).sum() / table.n
    return PRF.of(float(precision), float(recall))


def _nmi(table: Contingency) -> float:
    entropies = _entropy(table.row_size) + _entropy(table.column_size)
    if entropies == 0:
        return 1.0
    shared = entropies - _entropy(table.count)
    return float(np.clip(2 * shared / entropies, 0.0, 1.0))


def _entropy(sizes: npt.NDArray[np.int64]) -> float:
    share = sizes / sizes.sum()
    return float(-(share * np.log(share)).sum())


def _ari(table: Contingency) -> float:
    both, joined, genuine = pair_sums(table)
    possible = table.n * (table.n - 1) // 2
    spread = possible * (joined + genuine) - 2 * joined * genuine
    if spread == 0:
        return 1.0
    return 2 * (possible * both - joined * genuine) / spread
