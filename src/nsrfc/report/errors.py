"""The worst errors of a clustering: clusters of several identities, and identities in several clusters.

Both are computed from the contingency table of :mod:`nsrfc.metrics` and ranked by pairs of faces: merges
cost pairwise precision, splits pairwise recall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nsrfc.metrics import contingency, pair_count

__all__ = ["Merge", "Split", "worst_merges", "worst_splits"]


@dataclass(frozen=True)
class Merge:
    """A cluster that holds faces of several identities.

    Attributes
    ----------
    cluster : int
        Its label.
    size : int
        Number of faces.
    n_identities : int
        Number of identities among them, at least 2.
    first_identity, second_identity : int or str
        The two with most faces in the cluster; the lower number or name first among equals.
    first_count, second_count : int
        Number of their faces in the cluster.
    wrong_pairs : int
        Number of impostor pairs in the cluster.
    """

    cluster: int
    size: int
    n_identities: int
    first_identity: int | str
    first_count: int
    second_identity: int | str
    second_count: int
    wrong_pairs: int


@dataclass(frozen=True)
class Split:
    """An identity whose faces are in several clusters.

    Attributes
    ----------
    identity : int or str
        Its number or name.
    size : int
        Number of faces.
    n_clusters : int
        Number of clusters they are in, at least 2; each face in no cluster counts as one.
    largest_piece : int
        Number of faces in the cluster that has most of them.
    lost_pairs : int
        Number of genuine pairs that are in different clusters.
    """

    identity: int | str
    size: int
    n_clusters: int
    largest_piece: int
    lost_pairs: int


def worst_merges(identities: npt.ArrayLike, labels: npt.ArrayLike, top: int = 10) -> list[Merge]:
    """Return the clusters that wrongly join the most pairs of faces, worst first.

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`nsrfc.metrics.contingency`.
    top : int
        Maximum number to return.

    Returns
    -------
    list of Merge
        Among equals, the lower label first; empty if no cluster has several identities.

    Raises
    ------
    InputError
        As :func:`nsrfc.metrics.contingency`.
    """
    table = contingency(identities, labels)
    wrong = pair_count(table.column_size)
    np.subtract.at(wrong, table.column, pair_count(table.count))
    cells = np.lexsort((table.row, -table.count, table.column))
    n_cells = np.bincount(table.column)
    first = np.cumsum(n_cells) - n_cells
    merges = []
    for column in _highest(wrong, top):
        one, two = cells[first[column]], cells[first[column] + 1]
        merges.append(
            Merge(
                cluster=int(table.clusters[column]),
                size=int(table.column_size[column]),
                n_identities=int(n_cells[column]),
                first_identity=table.identities[table.row[one]].item(),
                first_count=int(table.count[one]),
                second_identity=table.identities[table.row[two]].item(),
                second_count=int(table.count[two]),
                wrong_pairs=int(wrong[column]),
            )
        )
    return merges


def worst_splits(identities: npt.ArrayLike, labels: npt.ArrayLike, top: int = 10) -> list[Split]:
    """Return the identities that lose the most pairs of faces to different clusters, worst first.

    Parameters
    ----------
    identities, labels : array_like, shape (n,)
        As for :func:`nsrfc.metrics.contingency`.
    top : int
        Maximum number to return.

    Returns
    -------
    list of Split
        Among equals, the lower identity first; empty if every identity is in one cluster.

    Raises
    ------
    InputError
        As :func:`nsrfc.metrics.contingency`.
    """
    table = contingency(identities, labels)
    n_pieces = np.bincount(table.row)
    first = np.cumsum(n_pieces) - n_pieces
    lost = pair_count(table.row_size) - np.add.reduceat(pair_count(table.count), first)
    largest = np.maximum.reduceat(table.count, first)
    return [
        Split(
            identity=table.identities[row].item(),
            size=int(table.row_size[row]),
            n_clusters=int(n_pieces[row]),
            largest_piece=int(largest[row]),
            lost_pairs=int(lost[row]),
        )
        for row in _highest(lost, top)
    ]


def _highest(values: npt.NDArray[np.int64], top: int) -> npt.NDArray[np.intp]:
    """Return the indices of the ``top`` largest positive values, descending, ties by index."""
    order = np.argsort(-values, kind="stable")[: max(top, 0)]
    return order[values[order] > 0]
