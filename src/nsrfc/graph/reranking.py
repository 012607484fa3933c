"""k-reciprocal re-ranking: neighbours ordered by the overlap of their reciprocal neighbours.

As in PSE-GCN (Li et al., Engineering Applications of Artificial Intelligence 127, 2024), with the
sets R* of :mod:`nsrfc.graph.reciprocal`:

- the candidates of i are its k nearest and the first 10 in the list of each of those;
- score(i, j) = |R*(i) ∩ R*(j)| / |R*(i) ∪ R*(j)|, and the k best candidates are kept.

The intersections of R*(i) with all other sets are counted together, by iterating over the sets that
contain each of its members; this takes fewer steps than iterating over the sets of all candidates. Faces
are independent of each other, so the result does not depend on the number of threads. Time is about k^2
per face, memory O(n k).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.graph.reciprocal import k_reciprocal_sets
from nsrfc.graph.reverse import column_in_list
from nsrfc.knn.exact import dot
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.runtime import at_once, compiled, parts

__all__ = ["rerank"]

_HOP = 10
_BLOCK = 65536
_LOW_BITS = np.int64(0xFFFFFFFF)
_UNKNOWN = np.float32(-2)  # below every similarity

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Integers = npt.NDArray[np.int64]
_Unsigned = npt.NDArray[np.uint32]


def rerank(
    graph: NeighborGraph,
    k: int | None = None,
    *,
    X: _Floats | None = None,
    progress: Progress | None = None,
) -> NeighborGraph:
    """Re-rank the neighbours of every face by the overlap of their reciprocal neighbours.

    Equal scores are ordered by descending similarity, then by row number. The similarity of a candidate
    j of i is read from the list of i, or else computed from ``X``. Without ``X`` it is read from the
    list of j; candidates in neither list come last among equal scores.

    Parameters
    ----------
    graph : NeighborGraph
        Lists by descending cosine or another similarity.
    k : int, optional
        Number of columns to use and to return; all by default.
    X : ndarray of float32, shape (n, d), optional
        The unit vectors of the graph. With them, row numbers only decide between faces that are equally
        similar.
    progress : Progress, optional
        Reports the stage "re-ranking".

    Returns
    -------
    NeighborGraph
        With the scores, in [0, 1], as similarities; the face itself first with 1, the others
        descending. -1 at the end of a list with fewer than k candidates.

    Raises
    ------
    InputError
        If k is below 1, or the number of rows of ``X`` is not that of the graph.
    """
    n, k = graph.n, graph.k if k is None else min(k, graph.k)
    if k < 1:
        raise InputError(f"k counts the face itself and must be at least 1, got {k}.")
    if X is not None and len(X) != n:
        raise InputError(f"The graph has {n} faces and X has {len(X)}: give the graph's embeddings.")
    ids = np.ascontiguousarray(graph.ids[:, :k])
    similarities = np.ascontiguousarray(graph.similarities[:, :k])
    vectors = np.empty((n, 0), np.float32) if X is None else X
    with (progress or Progress()).stage("re-ranking", n) as advance:
        indptr, indices = k_reciprocal_sets(graph, k)
        holder_indptr, holders = _holders(indptr, indices)
        # Faces with the same lowest member of R* share many sets: processed together, they find these
        # in the CPU cache.
        order = np.argsort(indices[indptr[:-1]], kind="stable")
        sets = indptr, indices, holder_indptr, holders
        tasks = len(parts(n))
        room = np.zeros((tasks, n), np.uint8), np.zeros((tasks, n), np.int32)
        new_ids = np.full((n, k), -1, np.int32)
        scores = np.zeros((n, k), np.float32)
        for start in range(0, n, _BLOCK):
            faces = order[start : start + _BLOCK]
            at_once(
                partial(_rescore, faces[part], ids, similarities, vectors, sets, *own, new_ids, scores)
                for part, *own in zip(parts(len(faces)), *room, strict=False)
            )
            advance(len(faces))
    return NeighborGraph(new_ids, scores)


def _holders(indptr: _Integers, indices: _Ids) -> tuple[_Integers, _Unsigned]:
    """Return, in CSR form as well, the faces whose sets contain each face."""
    from scipy.sparse import csr_array

    n = len(indptr) - 1
    held = csr_array((np.ones(len(indices), np.bool_), indices, indptr), shape=(n, n)).tocsc()
    # For signed indices Numba checks whether they count from the end.
    holders = held.indices.astype(np.int32, copy=False).view(np.uint32)
    return held.indptr.astype(np.int64), holders


@compiled()
def _rescore(
    faces: _Integers,
    ids: _Ids,
    similarities: _Floats,
    vectors: _Floats,
    sets: tuple[_Integers, _Ids, _Integers, _Unsigned],
    marked: npt.NDArray[np.uint8],
    common: _Ids,
    new_ids: _Ids,
    scores: _Floats,
) -> None:
    indptr, indices, holder_indptr, holders = sets
    k = ids.shape[1]
    candidates = np.empty(k * (1 + _HOP), np.int32)
    ranked = np.empty(len(candidates), np.int64)
    ties = np.empty(len(candidates), np.int64)
    score = np.empty(len(candidates), np.float32)
    for i in faces:
        listed, count = _collect(i, ids, marked, candidates)
        members = indices[indptr[i] : indptr[i + 1]]
        for member in members:
            for h in range(holder_indptr[member], holder_indptr[member + 1]):
                common[holders[h]] += 1
        for c in range(count):
            j = candidates[c]
            size = len(members) + indptr[j + 1] - indptr[j]
            score[c] = common[j] / (size - common[j])
            ranked[c] = _key(score[c], c)
        for member in members:
            for h in range(holder_indptr[member], holder_indptr[member + 1]):
                common[holders[h]] = 0
        ranked[:count].sort()
        new_ids[i, 0] = i
        scores[i, 0] = 1
        rank = 0
        while rank < min(k - 1, count):
            equal = score[ranked[rank] & _LOW_BITS]
            stop = rank + 1
            while stop < count and score[ranked[stop] & _LOW_BITS] == equal:
                stop += 1
            for place in range(rank, stop):
                c = ranked[place] & _LOW_BITS
                similarity = _UNKNOWN
                # Similarities are more expensive than scores, and only needed for ties.
                if stop - rank > 1:
                    similarity = _similarity(i, c, listed, candidates, ids, similarities, vectors)
                ties[place - rank] = _key(similarity, candidates[c])
            ties[: stop - rank].sort()
            for place in range(rank, min(k - 1, stop)):
                new_ids[i, place + 1] = ties[place - rank] & _LOW_BITS
                scores[i, place + 1] = equal
            rank = stop


@compiled()
def _collect(i: int, ids: _Ids, marked: npt.NDArray[np.uint8], candidates: _Ids) -> tuple[int, int]:
    """Write the candidates of i, without i, its list first; return the numbers of listed and of all."""
    listed = 0
    while listed < ids.shape[1] and ids[i, listed] >= 0:
        marked[ids[i, listed]] = 1
        listed += 1
    count = listed - 1
    candidates[:count] = ids[i, 1:listed]
    for c in range(listed):
        for hop in range(min(_HOP, ids.shape[1])):
            j = ids[ids[i, c], hop]
            if j < 0:
                break
            if marked[j] == 0:
                marked[j] = 1
                candidates[count] = j
                count += 1
    for c in range(count):
        marked[candidates[c]] = 0
    marked[i] = 0
    return listed - 1, count


@compiled()
def _similarity(
    i: int,
    c: int,
    listed: int,
    candidates: _Ids,
    ids: _Ids,
    similarities: _Floats,
    vectors: _Floats,
) -> np.float32:
    """Similarity of i to its candidate number c; the first candidates are those in its list."""
    if c < listed:
        known: np.float32 = similarities[i, c + 1]
        return known
    j = candidates[c]
    if vectors.shape[1] > 0:
        return np.float32(min(1.0, max(-1.0, dot(vectors, i, j))))
    column = column_in_list(ids, j, i)
    return similarities[j, column] if column >= 0 else _UNKNOWN


@compiled()
def _key(value: np.float32, number: int) -> np.int64:
    """Return an integer that ascends as the float32 ``value`` descends, then with ``number``."""
    # The bits of a float are a sign and a magnitude; converted to a signed integer they sort like it.
    bits = np.int64(np.float32(value).view(np.int32))
    ordered = bits if bits >= 0 else -(bits & 0x7FFFFFFF)
    return np.int64((-ordered << 32) | number)
