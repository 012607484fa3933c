"""Pieces of a graph, on which the C-GCN learns."""

from __future__ import annotations

import numpy as np

from nsrfc.graph.subgraphs import local_adjacency
from nsrfc.training.pieces import cut_piece, grow_piece

from .samples import sample_of


def test_a_piece_holds_its_starts_and_the_ties_of_the_whole_graph() -> None:
    near = sample_of(400, 16, 12).near
    local = local_adjacency(near.ids, near.similarities)
    starts = np.array([7, 300])
    nodes = grow_piece(near.ids, starts, 60, np.random.default_rng(0))
    assert len(nodes) == len(set(nodes)) == 60
    assert set(starts) | set(near.ids[starts].ravel()) <= set(nodes)
    piece = cut_piece(near.ids, local, nodes)
    assert np.array_equal(piece.local.toarray(), local.toarray()[np.ix_(nodes, nodes)])
    inside = np.isin(near.ids[nodes], nodes)
    assert np.array_equal(piece.lists >= 0, inside)
    assert np.array_equal(nodes[piece.lists][inside], near.ids[nodes][inside])


def test_a_piece_is_no_larger_than_what_can_be_reached() -> None:
    lists = np.array([[0, 1], [1, 0], [2, 3], [3, 2]], np.int32)
    nodes = grow_piece(lists, np.array([2]), 10, np.random.default_rng(0))
    assert nodes.tolist() == [2, 3]
