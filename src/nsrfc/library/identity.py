"""Ids of clusters that stay: a cluster lives on in the one that shares most of its faces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from nsrfc.library.acts import State

__all__ = ["group_ids", "lineage", "living_ids"]

_Labels = npt.NDArray[np.int64]


def living_ids(
    before: _Labels, labels: _Labels, faces: _Labels, new_ids: Callable[[_Labels], _Labels]
) -> _Labels:
    """Give clusters the ids of those they continue.

    Overlaps are followed from the greatest on; of equal ones, that with the lower id, then that of the
    cluster with the lower face comes first. Each id is given once.

    Parameters
    ----------
    before : ndarray of int64, shape (n,)
        Id of each face's cluster before; -1 = it was in none.
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1 now, in order of first appearance.
    faces : ndarray of int64, shape (n,)
        Ids of the faces, ascending.
    new_ids : callable
        Returns ids for clusters that continue none, given by their lowest faces (m,).

    Returns
    -------
    ndarray of int64, shape (n,)
        Id of each face's cluster.
    """
    count = int(labels.max(initial=-1)) + 1
    ids = np.full(count, -1, np.int64)
    old, now, shared = overlaps(before, labels)
    order = np.lexsort((now, old, -shared))
    taken: set[int] = set()
    for one, cluster in zip(old[order].tolist(), now[order].tolist(), strict=True):
        if ids[cluster] < 0 and one not in taken:
            ids[cluster] = one
            taken.add(one)
    missing = np.flatnonzero(ids < 0)
    first = np.unique(labels, return_index=True)[1]
    ids[missing] = new_ids(faces[first[missing]])
    return ids[labels]


def overlaps(before: _Labels, labels: _Labels) -> tuple[_Labels, _Labels, _Labels]:
    """Return old id, cluster now and number of shared faces of all that share any, each (m,)."""
    known = before >= 0
    pairs, shared = np.unique(
        np.stack((before[known], labels[known]), axis=1), axis=0, return_counts=True
    )
    return pairs[:, 0], pairs[:, 1], shared


def lineage(before: _Labels, after: _Labels) -> list[tuple[int, int, int]]:
    """Say which clusters split or merged.

    Parameters
    ----------
    before, after : ndarray of int64, shape (n,)
        Id of each face's cluster; -1 = it was in none.

    Returns
    -------
    list of (int, int, int)
        Id before, id after and number of shared faces, for every pair of different ids that share
        faces.
    """
    old, now, shared = overlaps(before, after)
    changed = old != now
    return list(zip(*(part[changed].tolist() for part in (old, now, shared)), strict=True))


def group_ids(ids: _Labels, labels: _Labels, faces: _Labels, state: State) -> list[str]:
    """Return what each cluster is called by: the id of the person that it shows, or its own.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
        Id of each face's cluster.
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1.
    faces : ndarray of int64, shape (n,)
        Ids of the faces, ascending.
    state : State

    Returns
    -------
    list of str
        ``p7`` or ``c12``, for each of the c clusters.
    """
    first = np.unique(labels, return_index=True)[1]
    found = [f"c{cluster}" for cluster in ids[first].tolist()]
    for person in state.persons.values():
        own = np.fromiter(person.faces, np.int64)
        # All of them share a cluster, and nobody else's are in it.
        for row in np.searchsorted(faces, own[np.isin(own, faces)][:1]).tolist():
            found[labels[row]] = person.id
    return found
