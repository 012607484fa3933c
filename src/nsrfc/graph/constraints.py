"""What is known of pairs of faces before any edge is followed: who is one person, and who is not.

Constraints are hard: no edge joins clusters that they keep apart, however high its score, and faces that
they hold together share a cluster without any edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Constraints", "groups_of"]

_Ids = npt.NDArray[np.int32]
_Labels = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Constraints:
    """Groups of faces that are one person, and which groups are not.

    Attributes
    ----------
    group : ndarray of int64, shape (n,)
        Group 0..g-1 of each face; the faces of a group are one person.
    person : ndarray of int64, shape (g,)
        Known person of a group; -1 = unknown. Groups of different persons are kept apart.
    first : ndarray of float64, shape (g,)
        Date of the earliest face of a group, in any unit; inf = unknown.
    born : ndarray of float64, shape (g,)
        Date of birth of the person of a group; -inf = unknown. A group whose earliest face is older
        is kept apart.
    apart : ndarray of int32, shape (m, 2)
        Pairs of groups that are different persons for another reason.
    """

    group: _Labels
    person: _Labels
    first: _Doubles
    born: _Doubles
    apart: _Ids

    @classmethod
    def of(
        cls,
        group: _Labels,
        person: _Labels,
        first: _Doubles,
        born: _Doubles,
        apart: npt.NDArray[np.integer],
    ) -> Constraints:
        """Make constraints of what is known of single faces.

        Parameters
        ----------
        group : ndarray of int64, shape (n,)
            Groups 0..g-1.
        person, first, born : ndarray, shape (n,)
            Of each face; -1, inf and -inf if unknown.
        apart : ndarray of int, shape (m, 2)
            Pairs of faces.
        """
        count = int(group.max(initial=-1)) + 1
        persons = np.full(count, -1, np.int64)
        earliest, births = np.full(count, np.inf), np.full(count, -np.inf)
        np.maximum.at(persons, group, person)
        np.minimum.at(earliest, group, first)
        np.maximum.at(births, group, born)
        pairs = np.sort(group[apart.reshape(-1, 2)], axis=1)
        return cls(group, persons, earliest, births, np.unique(pairs, axis=0).astype(np.int32))

    def among(self, faces: npt.NDArray[np.integer]) -> Constraints:
        """Return what is known of some faces (m,), also by way of the others."""
        kept, group = np.unique(self.group[faces], return_inverse=True)
        number = np.full(len(self.person), -1, np.int32)
        number[kept] = np.arange(len(kept))
        apart = number[self.apart]
        known = self.person[kept], self.first[kept], self.born[kept]
        return Constraints(group.astype(np.int64), *known, apart[(apart >= 0).all(axis=1)])

    def between(self, labels: _Labels) -> Constraints:
        """Return what is known of clusters: each of the c clusters counts as one face of its own.

        Parameters
        ----------
        labels : ndarray of int64, shape (n,)
            Clusters 0..c-1, none of which divides a group.
        """
        cluster_of = np.zeros(len(self.person), np.int64)
        cluster_of[self.group] = labels
        count = int(labels.max(initial=-1)) + 1
        whole = Constraints.of(cluster_of, self.person, self.first, self.born, self.apart)
        return Constraints(np.arange(count), whole.person, whole.first, whole.born, whole.apart)

    def joined(self, labels: _Labels) -> Constraints:
        """Return constraints that hold clusters (n,) together as well."""
        merged = groups_of(labels, self.group)
        clusters = self.between(merged)
        return Constraints(merged, clusters.person, clusters.first, clusters.born, clusters.apart)

    def onto(self, unit: _Labels, count: int) -> Constraints:
        """Return what is known of units: faces that count as one.

        Parameters
        ----------
        unit : ndarray of int64, shape (n,)
            Unit 0..count-1 of each face, none of which holds faces that are kept apart.
        count : int
            Number of units; of one without faces nothing is known.
        """
        merged = groups_of(unit, self.group)
        known = self.between(merged)
        group = np.full(count, -1, np.int64)
        group[unit] = merged
        missing = np.flatnonzero(group < 0)
        group[missing] = len(known.person) + np.arange(len(missing))
        return Constraints(
            group,
            np.append(known.person, np.full(len(missing), -1)),
            np.append(known.first, np.full(len(missing), np.inf)),
            np.append(known.born, np.full(len(missing), -np.inf)),
            known.apart,
        )

    def violations(self, labels: _Labels) -> int:
        """Count what clusters (n,) break: divided groups, and pairs of clusters that are one."""
        together = groups_of(labels, self.group)
        divided = int(labels.max(initial=-1)) - int(together.max(initial=-1))
        known = self.person >= 0
        cluster_of = np.zeros(len(self.person), np.int64)
        cluster_of[self.group] = labels
        persons = np.unique(np.stack((cluster_of[known], self.person[known]), axis=1), axis=0)
        several = len(persons) - len(np.unique(persons[:, 0]))
        clusters = Constraints.of(cluster_of, self.person, self.first, self.born, self.apart)
        early = int((clusters.first < clusters.born).sum())
        a, b = cluster_of[self.apart].T
        return divided + several + early + int((a == b).sum())


def groups_of(*labels: _Labels) -> _Labels:
    """Join groupings (n,): faces share a group 0..g-1 if any of them puts them together."""
    from scipy.sparse import coo_array, csgraph

    n = len(labels[0])
    faces = np.arange(n)
    offset, source, target = n, [], []
    for each in labels:
        source.append(faces)
        target.append(offset + each)
        offset += int(each.max(initial=-1)) + 1
    ends = np.concatenate(source), np.concatenate(target)
    adjacency = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(offset, offset))
    _, found = csgraph.connected_components(adjacency.tocsr(), directed=True, connection="weak")
    groups = np.unique(found[:n], return_inverse=True)[1]
    return groups.astype(np.int64)
