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

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks, release
from nsrfc.graph.scores import best_impostor, impostor_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import DistinctFaces
from nsrfc.methods.base import Method, Run
from nsrfc.records import NeighborGraph, ScorePrior
from nsrfc.rowstore import RowStore
from nsrfc.runtime import compiled

__all__ = ["fold_near_copies", "neighbors", "scenes_and_neighbors", "search"]

NEAR = 0.95
"""Minimum of (s - m) / (1 - m)."""

CLEAR = 3.0
"""Best impostor scores must lie below it by so many times their scale."""

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]


def fold_near_copies(
    faces: DistinctFaces, graph: NeighborGraph, prior: ScorePrior | None = None
) -> DistinctFaces:
    """Replace groups of near-copies by one face each.

    Parameters
    ----------
    faces : DistinctFaces
    graph : NeighborGraph
        Their nearest neighbours by cosine.
    prior : ScorePrior, optional
        What is known of their scores.

    Returns
    -------
    DistinctFaces
        With unit means of groups as vectors, in the order of the faces that lead them; ``faces`` itself
        if there are no near-copies.

    Notes
    -----
    O(n k) time beside impostor scores; 12 n bytes.
    """
    impostors = impostor_scores(faces.vectors, prior=prior)
    dimension = np.count_nonzero(faces.vectors.any(axis=0))
    identical = min(impostors.identical, float(np.sqrt(dimension)))
    location, scale = best_impostor(graph.n, identical)
    if NEAR * identical < location + CLEAR * scale:
        return faces
    least = np.float32(impostors.mean + NEAR * (1 - impostors.mean))
    near = np.zeros(graph.n, np.int32)
    for part in chunks(graph.n):
        listed = graph.ids[part, 1:] >= 0
        near[part] = (listed & (graph.similarities[part, 1:] >= least)).sum(axis=1)
        release(graph.ids)
        release(graph.similarities)
    if not near.any():
        return faces
    leader = np.full(graph.n, -1, np.int32)
    _lead(graph.ids, near, np.argsort(-near, kind="stable"), leader)
    leaders, group = np.unique(leader, return_inverse=True)
    if len(leaders) == graph.n:
        return faces
    place = faces.each_row(group, -1)
    return DistinctFaces(_means(faces.vectors, group), faces.rows[leaders], place)


def _means(X: _Floats, group: npt.NDArray[np.int64]) -> _Floats:
    """Return unit means (g, d) of groups of rows; a group of one keeps its row to the last bit."""
    from scipy.sparse import csr_array

    size = np.bincount(group)
    starts = np.concatenate(([0], np.cumsum(size)))
    members = np.argsort(group, kind="stable")
    sums: _Floats = csr_array((np.ones(len(X), np.float32), members, starts)) @ X
    several = size > 1
    sums[several] /= np.linalg.norm(sums[several], axis=1, keepdims=True)
    return sums


@compiled()
def _lead(ids: _Ids, near: _Ids, order: npt.NDArray[np.int64], leader: _Ids) -> None:
    """Let faces lead their near-copies, the first ``near`` of each list, that nobody leads yet."""
    for face in order:
        if leader[face] < 0:
            leader[face] = face
            for c in range(1, near[face] + 1):
                if leader[ids[face, c]] < 0:
                    leader[ids[face, c]] = face


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
    """Fold near-copies, and find the neighbours of what is left.

    Parameters
    ----------
    faces : DistinctFaces
    known : NeighborGraph, optional
        Their nearest neighbours, if already known.
    method : Method
    run : Run

    Returns
    -------
    DistinctFaces, NeighborGraph
        Only if there are near-copies are neighbours searched a second time.
    """
    graph = known or search(faces.vectors, method, run)
    scenes = fold_near_copies(faces, graph, method.prior)
    if scenes is faces:
        return faces, graph
    del graph  # Two graphs at a time would be the peak of memory.
    return scenes, search(scenes.vectors, method, run)
