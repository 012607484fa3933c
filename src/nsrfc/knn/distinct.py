"""The distinct faces behind the rows of a user, in an order that no row order can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import release
from nsrfc.errors import InputError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.checks import check_count, check_neighbor_graph
from nsrfc.knn.copies import Copies, canonical_rows, renumber
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.vectors import normalize

if TYPE_CHECKING:
    import faiss

__all__ = ["DistinctFaces", "distinct_faces"]

_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DistinctFaces:
    """The faces that differ, of which exact copies are one.

    Attributes
    ----------
    vectors : ndarray of float32, shape (g, d)
        Unit vectors in canonical order.
    rows : ndarray of int64, shape (g,)
        A row of the user for each of them.
    place : ndarray of int64, shape (n,)
        The distinct face of each row of the user.
    """

    vectors: _Floats
    rows: _Rows
    place: _Rows

    def known_neighbors(
        self, graph: NeighborGraph | None, index: faiss.Index | None, k: int, progress: Progress
    ) -> NeighborGraph | None:
        """Turn what a user knows of neighbours into a graph of the distinct faces.

        Parameters
        ----------
        graph : NeighborGraph, optional
            Over the rows of the user.
        index : faiss.Index, optional
            Over the unit vectors of these rows; it is searched for lists of length ``k``.
        k : int
        progress : Progress

        Returns
        -------
        NeighborGraph or None
            None where nothing is known.

        Raises
        ------
        InputError
            If both are given, or do not fit these rows.
        """
        if graph is not None and index is not None:
            raise InputError("graph and index both bring the neighbours: give one of them.")
        if index is not None:
            unit = self.vectors[self.place]
            graph = build_neighbor_graph(unit, k, index=index, progress=progress)
        if graph is None:
            return None
        check_count(graph, len(self.place))
        graph = renumber(graph, self.rows, self.place)
        check_neighbor_graph(graph, self.vectors)
        return graph

    def spread(self, ids: npt.NDArray[np.int32], similarities: _Floats) -> NeighborGraph:
        """Turn lists of the distinct faces, in any order, into a graph of the user's rows."""
        key = np.where(ids >= 0, -similarities, np.float32(np.inf))
        key[:, 0] = -np.inf
        order = np.argsort(key, axis=1, kind="stable")
        lists = np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)
        copies, n = Copies.of(self.place.astype(np.int32)), len(self.place)
        k = min(ids.shape[1], n)
        return NeighborGraph(*copies.spread(*lists, np.arange(n), self.place, k))


def distinct_faces(X: npt.ArrayLike) -> DistinctFaces:
    """Scale embeddings to unit length and find the faces that differ.

    Parameters
    ----------
    X : array-like of float, shape (n, d)
        May be memory-mapped; its pages are let go of.

    Raises
    ------
    InputError
        As :func:`nsrfc.vectors.normalize`.
    """
    unit = normalize(X)
    release(X)
    rows, place = canonical_rows(unit)
    return DistinctFaces(unit[rows], rows, place)
