"""Spanning trees of clusters: where a cluster falls into two, and how similar the two sides are.

In every cluster the strongest edges that join all its faces are a tree. Taking one of them away leaves
two sides. Parts of a cluster that no edge connects are linked where they are most similar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nsrfc.graph.components import root, roots
from nsrfc.graph.connectivity import group_sums
from nsrfc.records import EdgeList
from nsrfc.runtime import compiled

__all__ = ["LINK", "ClusterSums", "Comparison", "Sums", "Tree", "spanning_tree"]

_Rows = npt.NDArray[np.int64]
_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]

LINK = -1
"""Number of an edge that is none, but links two parts of a cluster."""

_LEAST_WITHIN = 1e-4
"""Lower bound of s_AA - c, so that quotients stay finite."""


class Sums(NamedTuple):
    """Number (m,) of the unit vectors of groups, and the squared length (m,) of their sum."""

    size: _Rows
    square: _Doubles


@dataclass(frozen=True)
class ClusterSums:
    """Sums of the unit vectors of clusters.

    Attributes
    ----------
    of : ndarray of int64, shape (u,)
        Cluster 0..c-1 of each unit; -1 = none.
    size : ndarray of int64, shape (c,)
        Number of units.
    sums : ndarray of float32, shape (c, d)
    square : ndarray of float64, shape (c,)
        Squared length of the sums.
    """

    of: _Rows
    size: _Rows
    sums: _Floats
    square: _Doubles

    @classmethod
    def sum_up(cls, vectors: _Floats, cluster: _Rows) -> ClusterSums:
        """Sum unit vectors (u, d) of clusters (u,), none of which is empty."""
        there = cluster >= 0
        if not there.all():
            vectors, kept = vectors[there], cluster[there]
        else:
            kept = cluster
        sums = group_sums(vectors, kept)
        square = np.einsum("cd,cd->c", sums, sums).astype(np.float64)
        return cls(cluster, np.bincount(kept), sums, square)

    def at(self, number: _Rows) -> Sums:
        """Return some clusters (m,)."""
        return Sums(self.size[number], self.square[number])


@dataclass(frozen=True)
class Comparison:
    """Normalised similarity of groups of faces, of which sums are given.

    With s_AB the mean cosine of a face of A and one of B, and c that of impostor pairs, it is
    (s_AB - c) / sqrt((s_AA - c) (s_BB - c)): about 1 for two halves of an identity, 0 for different
    ones. A single face has no s_AA: that of a usual cluster is taken.

    Attributes
    ----------
    impostor_mean : float
        c.
    usual : float
        s_AA - c of a usual cluster.
    """

    impostor_mean: float
    usual: float

    @classmethod
    def of(cls, clusters: ClusterSums, impostor_mean: float) -> Comparison:
        """Measure what is usual."""
        found, several = cls(impostor_mean, 1 - impostor_mean), clusters.size > 1
        if not several.any():
            return found
        size = clusters.size[several]
        within = found._within(clusters.square[several], size)
        return cls(impostor_mean, float(np.average(within, weights=size)))

    def similarity(self, a: Sums, b: Sums, product: _Doubles) -> _Doubles:
        """Normalised similarity (m,) of groups, given also by the products (m,) of their sums."""
        across = product / (a.size * b.size) - self.impostor_mean
        inside = self._within(a.square, a.size) * self._within(b.square, b.size)
        return np.asarray(across / np.sqrt(inside), np.float64)

    def of_all(self, sums: _Floats, size: _Rows) -> _Doubles:
        """Normalised similarity (m, m) of all pairs of groups with sums (m, d) and sizes (m,)."""
        mean = sums / size[:, None]
        within = np.sqrt(self._within(np.einsum("md,md->m", sums, sums), size))
        return np.asarray((mean @ mean.T - self.impostor_mean) / np.outer(within, within), np.float64)

    def _within(self, square: _Doubles, size: _Rows) -> _Doubles:
        found = (square - size) / np.maximum(size * (size - 1.0), 1) - self.impostor_mean
        return np.maximum(np.where(size > 1, found, self.usual), _LEAST_WITHIN)


@dataclass(frozen=True)
class Tree:
    """The spanning trees of all clusters, hung on one node above them.

    Attributes
    ----------
    node : ndarray of int64, shape (u,)
        Node 0..g-1 of each unit.
    edges : ndarray of int64, shape (m,)
        Numbers of the edges in the trees; `LINK` for a link.
    below : ndarray of int64, shape (m,)
        The lower node of each.
    order : ndarray of int32, shape (g + 1,)
        Nodes from the top down.
    above : ndarray of int32, shape (g + 1,)
        The next higher node of each.
    """

    node: _Rows
    edges: _Rows
    below: _Rows
    order: _Ids
    above: _Ids

    def of_edges(self, cluster: _Rows) -> _Rows:
        """Cluster (m,) of each edge, from those of the units (u,)."""
        of_node = np.full(len(self.order), -1, np.int64)
        of_node[self.node] = cluster
        found: _Rows = of_node[self.below]
        return found

    def sums(self, values: _Rows) -> _Rows:
        """Sum values (u,) of units at and below the lower node of each edge: (m,)."""
        found = np.zeros((len(self.order), 1), np.int64)
        np.add.at(found[:, 0], self.node, values)
        _add_up(self.order, self.above, found)
        sums: _Rows = found[self.below, 0]
        return sums

    def similarity(self, vectors: _Floats, clusters: ClusterSums, comparison: Comparison) -> _Doubles:
        """Normalised similarity (m,) of the two sides of each edge, of unit vectors (u, d)."""
        own, there = self.of_edges(clusters.of), clusters.of >= 0
        sums = np.zeros((len(self.order), vectors.shape[1]), np.float32)
        _collect(self.node, there, vectors, sums)
        _add_up(self.order, self.above, sums)
        square, product = _products(sums, self.below, clusters.sums, own)
        size, whole = self.sums(there.astype(np.int64)), clusters.at(own)
        rest = Sums(whole.size - size, whole.square - 2 * product + square)
        return comparison.similarity(Sums(size, square), rest, product - square)

    def side(self, place: int) -> _Mask:
        """Whether each unit (u,) is at or below the lower node of an edge, given by its place."""
        marked = np.zeros(len(self.order), np.bool_)
        marked[self.below[place]] = True
        _mark_down(self.order, self.above, marked)
        return marked[self.node]


def spanning_tree(
    cluster: _Rows, edges: EdgeList, node: _Rows, vectors: _Floats, comparison: Comparison
) -> Tree:
    """Find the trees.

    Parameters
    ----------
    cluster : ndarray of int64, shape (u,)
        Cluster of each unit; -1 = none.
    edges : EdgeList
        Between units, with probabilities as scores.
    node : ndarray of int64, shape (u,)
        Node 0..g-1 of each unit; units of one node are held together by more than edges.
    vectors : ndarray of float32, shape (u, d)
        Unit vectors.
    comparison : Comparison
    """
    from scipy.sparse import coo_array, csgraph

    nodes = int(node.max(initial=-1)) + 1
    a, b = node[edges.source], node[edges.target]
    own = cluster[edges.source]
    inside = np.flatnonzero((own == cluster[edges.target]) & (own >= 0) & (a != b))
    inside = inside[np.argsort(-edges.score[inside], kind="stable")]
    parent = np.arange(nodes)
    kept = inside[_joining(a[inside], b[inside], parent)]
    of_node = np.full(nodes, -1, np.int64)
    of_node[node] = cluster
    one, other = _links(of_node, node, parent, vectors, comparison)
    low, high = np.append(a[kept], one), np.append(b[kept], other)
    tops = np.flatnonzero(parent == np.arange(nodes))
    ends = np.append(low, np.full(len(tops), nodes)), np.append(high, tops)
    graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(nodes + 1, nodes + 1)).tocsr()
    order, above = csgraph.breadth_first_order(graph, nodes, directed=False)
    numbers = np.append(kept, np.full(len(one), LINK))
    return Tree(node, numbers, np.where(above[low] == high, low, high), order, above)


def _links(
    cluster: _Rows, node: _Rows, parent: _Rows, vectors: _Floats, comparison: Comparison
) -> tuple[_Rows, _Rows]:
    """Join trees (g,) of one cluster at their roots, the most similar first: ends (l,) of the links."""
    tops = np.flatnonzero((parent == np.arange(len(parent))) & (cluster >= 0))
    trees = tops[np.argsort(cluster[tops], kind="stable")]
    count = np.bincount(cluster[trees])
    trees = trees[count[cluster[trees]] > 1]
    if not len(trees):
        return trees, trees
    number = np.full(len(parent), -1, np.int64)
    number[trees] = np.arange(len(trees))
    part = number[roots(parent)[node]]
    sums, size = group_sums(vectors[part >= 0], part[part >= 0]), np.bincount(part[part >= 0])
    low, high = [], []
    for own in np.split(np.arange(len(trees)), np.flatnonzero(np.diff(cluster[trees])) + 1):
        i, j = np.triu_indices(len(own), 1)
        best = np.argsort(-comparison.of_all(sums[own], size[own])[i, j], kind="stable")
        joins = _joining(trees[own[i]][best], trees[own[j]][best], parent)
        low.append(trees[own[i]][best][joins])
        high.append(trees[own[j]][best][joins])
    return np.concatenate(low), np.concatenate(high)


@compiled()
def _joining(a: _Rows, b: _Rows, parent: _Rows) -> _Mask:
    """Whether each edge (m,) joins two trees when its turn comes."""
    joins = np.zeros(len(a), np.bool_)
    for edge in range(len(a)):
        one, other = root(parent, a[edge]), root(parent, b[edge])
        if one != other:
            parent[other] = one
            joins[edge] = True
    return joins


@compiled()
def _collect(node: _Rows, there: _Mask, vectors: _Floats, sums: _Floats) -> None:
    """Add the vectors (u, d) of units to the sums (g + 1, d) of their nodes."""
    for unit in range(len(node)):
        if there[unit]:
            for column in range(vectors.shape[1]):
                sums[node[unit], column] += vectors[unit, column]


@compiled()
def _products(sums: _Floats, below: _Rows, whole: _Floats, cluster: _Rows) -> tuple[_Doubles, _Doubles]:
    """Products (m,) of the sum of each lower node with itself, and with that of its cluster."""
    square, product = np.empty(len(below)), np.empty(len(below))
    for edge in range(len(below)):
        square[edge] = np.dot(sums[below[edge]], sums[below[edge]])
        product[edge] = np.dot(sums[below[edge]], whole[cluster[edge]])
    return square, product


@compiled()
def _add_up(order: _Ids, above: _Ids, values: npt.NDArray[np.generic]) -> None:
    """Add to the values (g + 1, w) of each node those of all below it."""
    for place in range(len(order) - 1, 0, -1):
        low, high = order[place], above[order[place]]
        for column in range(values.shape[1]):
            values[high, column] += values[low, column]


@compiled()
def _mark_down(order: _Ids, above: _Ids, marked: _Mask) -> None:
    """Mark each node (g + 1,) that is below a marked one."""
    for place in range(1, len(order)):
        node = order[place]
        marked[node] = marked[node] or marked[above[node]]
