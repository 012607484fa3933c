"""Exact copies among faces: only distinct faces are processed, and results are copied to all rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import CHUNK, STEP, RowParts, Vectors, check_unchanged, chunks, read_rows, release
from nsrfc.records import NeighborGraph
from nsrfc.rowstore import Arrays, Columns, Gathered, MemoryRows, NoResults, Results, RowStore
from nsrfc.runtime import at_once, compiled, parts
from nsrfc.vectors import as_array, check_matrix, has_direction, refuse_none, refuse_rows, unit_rows

__all__ = [
    "Copies",
    "DistinctFaces",
    "UnitTask",
    "among_all",
    "canonical_rows",
    "distinct_faces",
    "find_copies",
    "renumber",
]

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]

_ROWS = 2_048
"""Rows that are hashed or compared at a time."""


@dataclass(frozen=True)
class Copies:
    """Groups of faces that are exact copies of each other.

    Attributes
    ----------
    group : ndarray of int32, shape (n,)
        Group of each face, 0..g-1 in order of first appearance; copies share a group.
    members : ndarray of int32, shape (n,)
        The faces, group by group, ascending within a group.
    bounds : ndarray of int64, shape (g + 1,)
        Group u is ``members[bounds[u] : bounds[u + 1]]``.
    """

    group: _Ids
    members: _Ids
    bounds: npt.NDArray[np.int64]

    @classmethod
    def of(cls, group: _Ids) -> Copies:
        """Make groups from the group (n,) of each face."""
        members = np.argsort(group, kind="stable").astype(np.int32)
        return cls(group, members, np.concatenate(([0], np.cumsum(np.bincount(group)))))

    @property
    def count(self) -> int:
        """Number g of distinct faces."""
        return len(self.bounds) - 1

    @property
    def any(self) -> bool:
        """Whether there are copies at all."""
        return self.count < len(self.group)

    def distinct(self, X: _Vectors) -> _Vectors:
        """Return the distinct rows (g, d) in order of group; ``X`` itself if there are no copies."""
        return X[self.members[self.bounds[:-1]]] if self.any else X

    def spread(
        self,
        ids: _Ids,
        similarities: _Vectors,
        faces: npt.NDArray[np.int64],
        rows: npt.NDArray[np.integer],
        k: int,
    ) -> tuple[_Ids, _Vectors]:
        """Turn lists of groups into lists of faces.

        Parameters
        ----------
        ids, similarities : ndarray, shape (m, w)
            Lists of groups, the group itself in column 0; -1 = none.
        faces : ndarray of int64, shape (f,)
            The faces whose lists are made.
        rows : ndarray of int, shape (f,)
            Row of ``ids`` that holds the list of each face's group.
        k : int
            Length of the lists.

        Returns
        -------
        ids, similarities : ndarray, shape (f, k)
            The face itself, then the members of the listed groups, descending, ties by row number.
        """
        face_ids = np.full((len(faces), k), -1, np.int32)
        face_similarities = np.zeros((len(faces), k), np.float32)
        spread = partial(_spread, ids, similarities, self.members, self.bounds)
        at_once(
            partial(spread, faces[part], rows[part], face_ids[part], face_similarities[part])
            for part in parts(len(faces))
        )
        return face_ids, face_similarities


def find_copies(X: _Vectors) -> Copies:
    """Find equal rows.

    Rows are sorted by a 64-bit hash, and each is compared with the one before. If two different rows
    ever had the same hash, copies of them could be in separate groups, which would only affect the order
    of ties.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d), C-contiguous
    """
    order, starts = _by_content(X, _hashes(X))
    leaders = order[starts]
    number = np.empty(len(leaders), np.int32)
    number[np.argsort(leaders)] = np.arange(len(leaders), dtype=np.int32)
    group = np.empty(len(X), np.int32)
    group[order] = number[np.cumsum(starts) - 1]
    return Copies.of(group)


def canonical_rows(X: _Vectors) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct rows in an order that depends only on their content.

    Results computed in this order do not depend on the order of the rows, to the last bit.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d), C-contiguous

    Returns
    -------
    rows : ndarray of int64, shape (g,)
        One row of ``X`` for each distinct content.
    place : ndarray of int64, shape (n,)
        Position in ``rows`` of the content of each row: ``X[rows][place]`` equals ``X``.
    """
    order, starts = _by_content(X, _hashes(X))
    place = np.empty(len(X), np.int64)
    place[order] = np.cumsum(starts) - 1
    return order[starts], place


def _by_content(
    X: _Vectors, hashes: npt.NDArray[np.uint64], kept: npt.NDArray[np.int64] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Order of the rows (n,), or of those that are kept, by hash, and where in it new content starts."""
    if kept is None or len(kept) == len(X):
        order = np.argsort(hashes, kind="stable")
    else:
        order = kept[np.argsort(hashes[kept], kind="stable")]
    starts = np.ones(len(order), np.bool_)
    again = 1 + np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    for part in chunks(len(again), _ROWS):
        rows = again[part]
        starts[rows] = (X[order[rows]] != X[order[rows - 1]]).any(axis=1)
    return order, starts


def _hashes(X: _Vectors) -> npt.NDArray[np.uint64]:
    """Hash every row, column by column; 0 and -0 are equal."""
    hashes = np.full(len(X), 0xCBF29CE484222325, np.uint64)
    for part in chunks(len(X), _ROWS):
        words = (X[part] + np.float32(0)).view(np.uint32).T.astype(np.uint64, order="C")
        value = hashes[part]
        for column in words:
            value ^= column
            value *= np.uint64(0x9E3779B97F4A7C15)
            value ^= value >> np.uint64(29)
    return hashes


@compiled()
def _spread(
    ids: _Ids,
    similarities: _Vectors,
    members: _Ids,
    bounds: npt.NDArray[np.int64],
    faces: npt.NDArray[np.int64],
    rows: npt.NDArray[np.integer],
    face_ids: _Ids,
    face_similarities: _Vectors,
) -> None:
    width = ids.shape[1]
    k = face_ids.shape[1]
    for f in range(len(faces)):
        row = rows[f]
        face_ids[f, 0] = faces[f]
        face_similarities[f, 0] = 1
        filled = 1
        column = 0
        while filled < k and column < width and ids[row, column] >= 0:
            # All groups of equal similarity form one run of ties, in order of row number. More than
            # k + 1 faces of a group are never needed.
            similarity = similarities[row, column]
            tied = np.empty(0, np.int32)
            while column < width and ids[row, column] >= 0 and similarities[row, column] == similarity:
                low, high = bounds[ids[row, column]], bounds[ids[row, column] + 1]
                tied = np.concatenate((tied, members[low : min(high, low + k + 1)]))
                column += 1
            for face in np.sort(tied):
                if face != faces[f] and filled < k:
                    face_ids[f, filled] = face
                    face_similarities[f, filled] = similarity
                    filled += 1


def renumber(
    graph: NeighborGraph,
    faces: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    store: RowStore | None = None,
) -> NeighborGraph:
    """Turn lists of all faces into lists of distinct faces.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of all n faces.
    faces, place : ndarray of int64
        As `nsrfc.knn.copies.canonical_rows` returns them.
    store : RowStore, optional
        Where they are made; in memory by default.

    Returns
    -------
    NeighborGraph
        Of g faces in the order of ``faces``; of several copies in a list the first is kept, equal
        similarities are in order of the new numbers, and lists are padded with -1.
    """
    columns: Columns = {"ids": ((graph.k,), np.int32), "similarities": ((graph.k,), np.float32)}
    task = partial(_RenumberTask, graph, faces, place)
    return NeighborGraph(**(store or MemoryRows()).fill(len(faces), columns, task))


@dataclass(frozen=True)
class _RenumberTask:
    """Makes the lists of some distinct faces; the attributes are arguments of :func:`renumber`."""

    graph: NeighborGraph
    faces: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    step = CHUNK

    def __call__(self, rows: slice) -> Arrays:
        """Return ids and similarities."""
        old, similarities = self.graph.ids[self.faces[rows]], self.graph.similarities[self.faces[rows]]
        ids = np.where(old >= 0, self.place[old], -1).astype(np.int32)
        by_id = np.argsort(ids, axis=1, kind="stable")
        ordered = np.take_along_axis(ids, by_id, axis=1)
        again = np.zeros(ids.shape, np.bool_)
        np.put_along_axis(again, by_id[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        ids[again] = -1
        # Sort by two keys: first the face itself, descending similarity, missing entries; then the
        # number.
        key = np.where(ids >= 0, -similarities, np.float32(np.inf))
        key[:, 0] = -np.inf
        order = np.lexsort((ids, key))
        ids = np.take_along_axis(ids, order, axis=1)
        kept = np.where(ids >= 0, np.take_along_axis(similarities, order, axis=1), np.float32(0))
        return {"ids": ids, "similarities": kept}


_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DistinctFaces:
    """The distinct faces: exact copies count as one.

    Attributes
    ----------
    vectors : ndarray of float32, shape (g, d)
        Unit vectors, in an order that does not depend on that of the user's rows.
    rows : ndarray of int64, shape (g,)
        One of the user's rows for each of them.
    place : ndarray of int64, shape (n,)
        The distinct face of each of the user's rows; -1 for a bad row that was left out.
    """

    vectors: _Floats
    rows: _Rows
    place: _Rows

    @property
    def skipped(self) -> npt.NDArray[np.bool_]:
        """Mask (n,) of the user's rows that were left out."""
        skipped: npt.NDArray[np.bool_] = self.place < 0
        return skipped

    def each_row(self, values: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        """Return for each of the user's rows the value (g, ...) of its face; ``fill`` if left out."""
        spread = values[self.place]
        spread[self.skipped] = fill
        return spread

    def spread(self, ids: npt.NDArray[np.int32], similarities: _Floats) -> NeighborGraph:
        """Turn lists of the distinct faces, in any order, into a graph of the user's rows.

        A row that was left out has no neighbour but itself, and is nobody's neighbour.
        """
        key = np.where(ids >= 0, -similarities, np.float32(np.inf))
        key[:, 0] = -np.inf
        order = np.argsort(key, axis=1, kind="stable")
        lists = np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)
        rows = np.flatnonzero(~self.skipped)
        place = self.place[rows]
        copies, k = Copies.of(place.astype(np.int32)), min(ids.shape[1], len(rows))
        graph = NeighborGraph(*copies.spread(*lists, np.arange(len(rows)), place, k))
        return among_all(graph, rows, len(self.place))


def among_all(graph: NeighborGraph, rows: _Rows, n: int) -> NeighborGraph:
    """Turn a graph of some rows (g,), ascending, into one of all ``n``; the others have no neighbour."""
    if graph.n == n:
        return graph
    ids = np.full((n, graph.k), -1, np.int32)
    similarities = np.zeros((n, graph.k), np.float32)
    ids[:, 0], similarities[:, 0] = np.arange(n), 1
    ids[rows] = np.where(graph.ids >= 0, rows[graph.ids], -1)
    similarities[rows] = graph.similarities
    return NeighborGraph(ids, similarities)


@dataclass(frozen=True)
class UnitTask:
    """Scales embeddings (n, d) to unit length, and hashes them."""

    vectors: Vectors
    step = STEP

    def __call__(self, rows: slice) -> Arrays:
        """Return unit vectors, their hashes, and the largest absolute values of the embeddings."""
        unit, peaks = unit_rows(read_rows(self.vectors, rows))
        return {"unit": unit, "hash": _hashes(unit), "peak": peaks}


def distinct_faces(
    X: npt.ArrayLike, *, skip: bool = False, results: Results | None = None
) -> DistinctFaces:
    """Scale embeddings to unit length and find the distinct faces.

    Parameters
    ----------
    X : array-like of float, shape (n, d)
        May be memory-mapped; its pages are freed.
    skip : bool
        Whether bad rows are left out; by default they are refused.
    results : Results, optional
        Where the vectors are made; in memory by default.

    Raises
    ------
    InputError
        As :func:`nsrfc.vectors.normalize`; and if no row is good.

    Notes
    -----
    Memory besides the vectors: 50 bytes per face.
    """
    vectors, results = as_array(X, missing=skip), results or NoResults()
    check_matrix(vectors, "X")
    key = results.key("unit", {"sha256": results.passing_fingerprint(vectors)})
    # Of files that are only read whole, every block would be read by another process.
    here = isinstance(vectors, RowParts) and not vectors.mapped
    columns: Columns = {
        "unit": ((vectors.shape[1],), np.float32),
        "hash": ((), np.uint64),
        "peak": ((), np.float64),
    }
    store = results.passing("unit", key, here=here)
    made = store.fill(len(vectors), columns, partial(UnitTask, vectors))
    check_unchanged(vectors)
    release(vectors)
    good = has_direction(made["peak"])
    if not skip:
        refuse_rows(made["peak"], "X")
    refuse_none(good, "X")
    unit, kept = made["unit"], np.flatnonzero(good)
    order, starts = _by_content(unit, made["hash"], kept)
    place = np.full(len(good), -1, np.int64)
    place[order] = np.cumsum(starts) - 1
    rows = order[starts]
    store = results.passing("faces", results.key("faces", {"of": key, "skip": skip}))
    return DistinctFaces(store.moved(Gathered(unit, rows)), rows, place)
