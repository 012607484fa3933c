"""The first search, and near-copies: frames of one scene, bursts, one photo in several files.

A neighbour list that is filled by frames of one scene shows no other scene of that identity. A scene is
therefore counted once: groups of near-copies are replaced by their mean before lists are made, and their
faces share its label.

Two faces are near-copies if their cosine s is close to 1, on the scale of the embedder::

    (s - m) / (1 - m) >= 0.95           m: mean of impostor scores

Different photos of an identity lie at 0.6 to 0.85. In few dimensions, where impostor pairs are as
similar, nothing is folded. Groups are balls, not chains: the face with the most near-copies in its list
leads them, then that with the most of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import CHUNK, STEP, chunks, release
from nsrfc.graph.connectivity import group_matrix
from nsrfc.graph.scores import best_impostor, impostor_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import DistinctFaces
from nsrfc.knn.rebuilt import rebuild_neighbor_graph
from nsrfc.methods.base import Method, Run
from nsrfc.records import NeighborGraph, ScorePrior
from nsrfc.rowstore import COLUMNS, Arrays, Columns, MemoryRows, RowStore, block_rows
from nsrfc.runtime import compiled

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["GroupMeans", "merged", "near_copies", "neighbors", "scenes_and_neighbors", "search"]

NEAR = 0.95
"""Minimum of (s - m) / (1 - m)."""

CLEAR = 3.0
"""Best impostor scores must lie below it by so many times their scale."""

TOGETHER = 10
"""Neighbours by which faces are ordered."""

LEFT, SHORT = 0.75, 0.1
"""Neighbours of scenes are searched among all if less than three quarters of the list are left of more
than a tenth of the lists."""

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]


def near_copies(
    faces: DistinctFaces, graph: NeighborGraph, prior: ScorePrior | None = None
) -> npt.NDArray[np.int32]:
    """Find groups of near-copies.

    Parameters
    ----------
    faces : DistinctFaces
    graph : NeighborGraph
        Their nearest neighbours by cosine.
    prior : ScorePrior, optional
        What is known of their scores.

    Returns
    -------
    ndarray of int32, shape (n,)
        The face that leads the group of each face: itself, if it is in no group.

    Notes
    -----
    O(n k) time beside impostor scores; 12 n bytes.
    """
    leader = np.arange(graph.n, dtype=np.int32)
    impostors = impostor_scores(faces.vectors, prior=prior)
    dimension = np.count_nonzero(faces.vectors.any(axis=0))
    identical = min(impostors.identical, float(np.sqrt(dimension)))
    location, scale = best_impostor(graph.n, identical)
    if NEAR * identical < location + CLEAR * scale:
        return leader
    least = np.float32(impostors.mean + NEAR * (1 - impostors.mean))
    near = np.zeros(graph.n, np.int32)
    for part in chunks(graph.n):
        listed = graph.ids[part, 1:] >= 0
        near[part] = (listed & (graph.similarities[part, 1:] >= least)).sum(axis=1)
        release(graph.ids)
        release(graph.similarities)
    if near.any():
        leader[:] = -1
        _lead(graph.ids, near, np.argsort(-near, kind="stable"), leader)
    return leader


@dataclass(frozen=True)
class GroupMeans:
    """Makes the unit means of groups of vectors (n, d); a group of one keeps its vector to the last bit.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
    sums : sparse array, shape (g, n)
        1 where a vector is in a group.
    """

    vectors: _Floats
    sums: csr_array
    step = STEP

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the means."""
        return self.sums.shape[0], self.vectors.shape[1]

    def __call__(self, rows: slice) -> Arrays:
        """Return some of the means."""
        sums = self.sums[rows]
        return {"vectors": self._unit(sums @ self.vectors, sums)}

    def in_place(self) -> _Floats:
        """Make them in the memory of the vectors."""
        means = self.vectors[: self.sums.shape[0]]
        for columns in chunks(self.vectors.shape[1], COLUMNS):
            means[:, columns] = self.sums @ self.vectors[:, columns]
        return self._unit(means, self.sums)

    @staticmethod
    def _unit(means: _Floats, sums: csr_array) -> _Floats:
        several = np.diff(sums.indptr) > 1
        means[several] /= np.linalg.norm(means[several], axis=1, keepdims=True)
        return means


def merged(
    faces: DistinctFaces, leader: _Ids, order: npt.NDArray[np.int64], store: RowStore | None = None
) -> DistinctFaces:
    """Put faces in another order, and replace groups by their unit means.

    Parameters
    ----------
    faces : DistinctFaces
        Their vectors are overwritten, if they are in memory.
    leader : ndarray of int32, shape (n,)
        The face that leads the group of each face.
    order : ndarray of int64, shape (n,)
        A permutation of the faces.
    store : RowStore, optional
        Where the means are made; in memory by default.

    Returns
    -------
    DistinctFaces
        Groups in the order of the faces that lead them.
    """
    first, group = np.unique(np.argsort(order)[leader], return_inverse=True)
    means = GroupMeans(faces.vectors, group_matrix(group))
    vectors = (store or MemoryRows()).moved(means)
    return DistinctFaces(vectors, faces.rows[order[first]], faces.each_row(group, -1))


@compiled()
def _lead(ids: _Ids, near: _Ids, order: npt.NDArray[np.int64], leader: _Ids) -> None:
    """Let faces lead their near-copies, the first ``near`` of each list, that nobody leads yet."""
    for face in order:
        if leader[face] < 0:
            leader[face] = face
            for c in range(1, near[face] + 1):
                if leader[ids[face, c]] < 0:
                    leader[ids[face, c]] = face


@compiled()
def _fold_lists(
    ids: _Ids,
    leaders: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    seen: _Ids,
    around: _Ids,
) -> None:
    """Turn the lists of leaders into lists of groups, each once; -1 where too few are left.

    ``seen`` is the last list in which a group was seen, -1 at first.
    """
    for row in range(len(leaders)):
        held = 0
        for c in range(ids.shape[1]):
            face = ids[leaders[row], c]
            if face >= 0 and seen[group[face]] != row:
                seen[group[face]] = row
                around[row, held] = group[face]
                held += 1
        for c in range(held, ids.shape[1]):
            around[row, c] = -1


def search(vectors: _Floats, method: Method, run: Run) -> NeighborGraph:
    """Find the neighbours of unit vectors (n, d), in lists of the method's k; the lists are kept."""
    of = run.results.key("embeddings", {"sha256": run.results.fingerprint(vectors)})
    parts = {"of": of, "k": method.k, "search": method.search, "seed": method.seed}
    store = run.results.pieces("neighbours", run.results.key("neighbours", parts))
    return neighbors(vectors, method, run, store)


def neighbors(
    vectors: _Floats, method: Method, run: Run, store: RowStore | None = None
) -> NeighborGraph:
    """Find the neighbours of unit vectors (n, d) as the method searches; kept in ``store``, if given."""
    return build_neighbor_graph(
        vectors,
        method.k,
        method=method.search,
        device=run.device,
        seed=method.seed,
        progress=run.progress,
        pieces=store,
    )


def scenes_and_neighbors(
    faces: DistinctFaces, known: NeighborGraph | None, method: Method, run: Run
) -> tuple[DistinctFaces, NeighborGraph]:
    """Fold near-copies, find the neighbours of what is left, and put neighbours beside each other.

    Later steps gather what belongs to the neighbours of one face after the other. If these are gathered
    for the faces before it as well, they are still in the cache of the processor, which halves the time.

    Parameters
    ----------
    faces : DistinctFaces
        Their vectors are overwritten.
    known : NeighborGraph, optional
        Their nearest neighbours, if already known.
    method : Method
    run : Run

    Returns
    -------
    DistinctFaces, NeighborGraph
        The neighbours of scenes are found among the neighbours of the neighbours of their faces; by
        another search if near-copies fill most of many lists, or if the search is to be exact.
    """
    graph = known or search(faces.vectors, method, run)
    results = run.results
    leader, order = near_copies(faces, graph, method.prior), _beside_neighbors(graph.ids)
    of = [results.passing_fingerprint(array) for array in (faces.vectors, leader, order)]
    key = results.key("scenes", {"of": of})
    scenes = merged(faces, leader, order, results.passing("scenes", key))
    lists = [results.passing_fingerprint(array) for array in (graph.ids, graph.similarities)]
    key = results.key("folded", {"of": key, "lists": lists})
    columns: Columns = {"ids": ((graph.k,), np.int32), "similarities": ((graph.k,), np.float32)}
    if len(scenes.rows) == graph.n:
        store = results.passing("folded", key)
        found = store.fill(graph.n, columns, partial(_ReorderTask.of, graph, order))
        return scenes, NeighborGraph(**found)
    leaders, group = faces.place[scenes.rows], scenes.place[faces.rows]
    fold = partial(_FoldTask, graph.ids, leaders, group)
    del graph  # Two graphs at a time would be the peak of memory.
    columns = {"ids": columns["ids"]}
    around = results.passing("folded", key).fill(len(leaders), columns, fold)["ids"]
    del fold
    if method.search == "exact" or _short(around):
        return scenes, search(scenes.vectors, method, run)
    fingerprints = [results.fingerprint(array) for array in (scenes.vectors, around)]
    store = results.pieces("neighbours", results.key("neighbours", {"around": fingerprints}))
    return scenes, rebuild_neighbor_graph(scenes.vectors, around, progress=run.progress, pieces=store)


def _short(lists: _Ids) -> bool:
    """Whether too many lists are short of neighbours."""
    width, short = min(lists.shape[1], len(lists)), 0
    for part in chunks(len(lists)):
        short += int(((lists[part] >= 0).sum(axis=1) / width < LEFT).sum())
    return short / len(lists) > SHORT


def _beside_neighbors(ids: _Ids) -> npt.NDArray[np.int64]:
    """Order the faces so that neighbours are near each other: by the lowest face of their lists.

    Faces of one identity share most of their neighbours, and often the lowest. That lowest faces share
    theirs is used once more.
    """
    n = len(ids)
    lowest, of_near = np.empty(n, np.int32), np.empty(n, np.int32)
    for part in chunks(n):
        near = ids[part, :TOGETHER]
        lowest[part] = np.where(near >= 0, near, n).min(axis=1)
    for part in chunks(n):
        near = ids[part, :TOGETHER]
        of_near[part] = np.where(near >= 0, lowest[near], n).min(axis=1)
    return np.lexsort((lowest, of_near))


@dataclass(frozen=True)
class _ReorderTask:
    """Makes the graph of the faces in another order; ``number`` (n + 1,) is the new number of each."""

    graph: NeighborGraph
    order: npt.NDArray[np.int64]
    number: _Ids
    step = CHUNK

    @classmethod
    def of(cls, graph: NeighborGraph, order: npt.NDArray[np.int64]) -> _ReorderTask:
        """Make the task that puts a graph in an order."""
        return cls(graph, order, np.append(np.argsort(order), -1).astype(np.int32))

    def __call__(self, rows: slice) -> Arrays:
        """Return ids and similarities."""
        graph, old = self.graph, self.order[rows]
        found = {"ids": self.number[graph.ids[old]], "similarities": graph.similarities[old]}
        release(graph.ids)
        release(graph.similarities)
        return found


@dataclass(frozen=True)
class _FoldTask:
    """Turns the lists (n, k) of the faces that lead groups (g,) into lists of groups."""

    ids: _Ids
    leaders: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]

    @property
    def step(self) -> int:
        """Rows that are made at a time: a block, as each call prepares memory for all groups."""
        return block_rows(len(self.leaders), STEP)

    def __call__(self, rows: slice) -> Arrays:
        """Return ids."""
        leaders = self.leaders[rows]
        around = np.empty((len(leaders), self.ids.shape[1]), np.int32)
        seen = np.full(len(self.leaders), -1, np.int32)
        _fold_lists(self.ids, leaders, self.group, seen, around)
        return {"ids": around}
