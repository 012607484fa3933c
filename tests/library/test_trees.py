"""Spanning trees of clusters, against every edge taken away by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.graph.components import connected_components
from nsrfc.graph.connectivity import normalized_similarity
from nsrfc.library.trees import LINK, ClusterSums, Comparison, Tree, spanning_tree
from nsrfc.records import EdgeList

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def units(n: int, seed: int) -> Floats:
    vectors = np.random.default_rng(seed).normal(size=(n, 6)) + 1
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def tree_of(cluster: Labels, edges: EdgeList, node: Labels, vectors: Floats) -> Tree:
    comparison = Comparison.of(ClusterSums.sum_up(vectors, cluster), 0.1)
    return spanning_tree(cluster, edges, node, vectors, comparison)


@st.composite
def clustered(draw: st.DrawFn) -> tuple[Labels, EdgeList, Labels]:
    n = draw(st.integers(2, 10))
    cluster = np.unique(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), return_inverse=True)[
        1
    ]
    # A node never lies in two clusters.
    share = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    node = np.unique(10 * cluster + share, return_inverse=True)[1]
    unit = st.integers(0, n - 1)
    drawn = draw(st.lists(st.tuples(unit, unit, st.sampled_from([0.1, 0.5, 0.9])), max_size=20))
    ends = [np.array([edge[end] for edge in drawn], np.int32) for end in (0, 1)]
    score = np.array([edge[2] for edge in drawn], np.float32)
    return cluster.astype(np.int64), EdgeList(ends[0], ends[1], score), node.astype(np.int64)


@given(clustered())
def test_each_cluster_is_one_tree_of_its_strongest_edges(
    given_: tuple[Labels, EdgeList, Labels],
) -> None:
    cluster, edges, node = given_
    tree = tree_of(cluster, edges, node, units(len(cluster), 0))

    assert len(tree.edges) == len(np.unique(node)) - len(np.unique(cluster))
    kept = tree.edges[tree.edges != LINK]
    own = edges.where(cluster[edges.source] == cluster[edges.target])
    for least in (0.1, 0.5, 0.9):
        # Whatever edges of some strength connect, those of the tree connect as well.
        all_of_them = connected_components(node.max() + 1, onto(own.where(own.score >= least), node))
        of_tree = connected_components(
            node.max() + 1, onto(edges.where(kept[edges.score[kept] >= least]), node)
        )
        assert np.array_equal(all_of_them, of_tree)


def onto(edges: EdgeList, node: Labels) -> EdgeList:
    source, target = (node[ends].astype(np.int32) for ends in (edges.source, edges.target))
    return EdgeList(source, target, edges.score)


@given(clustered())
def test_an_edge_has_two_sides(given_: tuple[Labels, EdgeList, Labels]) -> None:
    cluster, edges, node = given_
    vectors = units(len(cluster), 1)
    clusters = ClusterSums.sum_up(vectors, cluster)
    comparison = Comparison.of(clusters, 0.1)
    tree = spanning_tree(cluster, edges, node, vectors, comparison)
    own, count = tree.of_edges(cluster), tree.sums(np.ones(len(cluster), np.int64))
    similarity = tree.similarity(vectors, clusters, comparison)

    for place, number in enumerate(tree.edges.tolist()):
        side = tree.side(place)
        rest = (cluster == own[place]) & ~side
        assert side.sum() == count[place]
        assert (cluster[side] == own[place]).all()
        assert rest.any()
        assert not set(node[side]) & set(node[rest])
        if number != LINK:
            assert side[edges.source[number]] != side[edges.target[number]]
        if min(side.sum(), rest.sum()) > 1:
            labels = np.where(side, 0, np.where(rest, 1, 2))
            found = normalized_similarity(vectors, labels, np.array([0]), np.array([1]), 0.1)
            assert similarity[place] == pytest.approx(found[0], rel=1e-3, abs=1e-3)


def test_parts_are_linked_where_they_are_most_similar() -> None:
    angle = np.array([0.0, 0.1, 0.5, 0.6, 1.1])
    vectors = np.stack((np.cos(angle), np.sin(angle)), axis=1).astype(np.float32)
    none = np.empty(0, np.int32)
    cluster = np.zeros(5, np.int64)
    tree = tree_of(cluster, EdgeList(none, none, np.empty(0, np.float32)), np.arange(5), vectors)

    assert (tree.edges == LINK).all()
    sides = {tuple(min(side.tolist(), (~side).tolist())) for side in map(tree.side, range(4))}
    # A chain from the first to the last.
    assert len(sides) == 4
    assert all(np.count_nonzero(np.diff(np.array(side, np.int8))) == 1 for side in sides)


def test_a_cluster_without_pairs_has_no_usual_similarity() -> None:
    vectors = units(3, 2)
    found = Comparison.of(ClusterSums.sum_up(vectors, np.arange(3)), 0.2)
    assert found.usual == pytest.approx(0.8)
