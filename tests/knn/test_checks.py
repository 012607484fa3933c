"""Graphs of other faces, or of something else than cosines, are refused."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.errors import InputError
from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.checks import check_neighbor_graph
from nsrfc.records import NeighborGraph
from nsrfc.synthetic import generate

Vectors = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> Vectors:
    return generate(3000, dimension=48).embeddings


def test_a_graph_of_other_faces_is_refused(faces: Vectors) -> None:
    graph = build_neighbor_graph(faces[:10], 3)
    check_neighbor_graph(graph, faces[:10])
    with pytest.raises(InputError, match="has 10 faces, the embeddings have 11"):
        check_neighbor_graph(graph, faces[:11])
    with pytest.raises(InputError, match="from these rows in this order"):
        check_neighbor_graph(graph, faces[10:20])


def test_a_graph_of_scores_that_are_no_cosines_is_refused(faces: Vectors) -> None:
    graph = build_neighbor_graph(faces, 20)
    for scores in (5 * graph.similarities, rerank(graph).similarities):
        with pytest.raises(InputError, match="are cosines of the embeddings"):
            check_neighbor_graph(NeighborGraph(graph.ids, scores), faces)
