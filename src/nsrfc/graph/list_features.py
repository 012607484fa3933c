"""Features of each listed pair from the structure of the neighbour graph, without coordinates.

They are based on normalised scores s_ij (:mod:`nsrfc.graph.scores`); the rank of a neighbour is its
place in the list by descending score. Beyond rounding, no feature changes if all embeddings are rotated
or padded with zeros. For face i, its neighbour j, and lists of length k:

    score          s_ij / 10
    rank           log(1 + rank of j in the list of i) / log 80
    reverse rank   the same for i in the list of j; its rank counts as k if it is not listed
    mutual         1 if i is in the list of j
    shared m       |N_m(i) ∩ N_m(j)| / m for m = 5, 10, 20, 40, 80
    company        cosine of the two lists as sparse vectors of squared scores
    own r          score / 10 of the r-th best neighbour of i, r = 1, 2, 3, 5, 10, 20, 40, 79
    other r        the same for j
    odds           log-odds / 10 of s_ij by the score model, the log-odds bounded to +-12

If a list is shorter than m or r, its last neighbour is used.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import ROWS, STEP, chunks
from nsrfc.graph.scores import ScoreModel, fit_score_model
from nsrfc.records import ImpostorScores
from nsrfc.rowstore import Arrays, Columns, MemoryRows, RowStore
from nsrfc.runtime import at_once, compiled, cores, parts

__all__ = [
    "LIST_FEATURES",
    "DescriptionTask",
    "ListStructure",
    "list_features",
    "list_structure",
    "normalize_within",
    "with_more_faces",
]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.integer]

_DEPTHS = np.array([5, 10, 20, 40, 80])
_CURVE = np.array([1, 2, 3, 5, 10, 20, 40, 79])
_ABSENT = np.float32(-100)
_RANK_UNIT = np.float32(1 / np.log(80))
_SCORE_UNIT = np.float32(0.1)
_BOUNDS = np.float32(-5), np.float32(40)
_MOST_ODDS = np.float32(12)
_DESCRIBED = "score", "rank", "curve", "squared_length"

LIST_FEATURES = (
    *("score", "rank", "reverse rank", "mutual"),
    *(f"shared {depth}" for depth in _DEPTHS),
    "company",
    *(f"own {rank}" for rank in _CURVE),
    *(f"other {rank}" for rank in _CURVE),
    "odds",
)
"""Names of the features, in their order."""


@dataclass(frozen=True)
class ListStructure:
    """Neighbour lists with normalised scores.

    Attributes
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    score : ndarray of float32, shape (n, k)
        Normalised scores in the order of ``ids``, bounded to -5..40; the upper bound in column 0.
    rank : ndarray of int32, shape (n, k)
        Rank of each column by descending score; 0 for the face itself.
    curve : ndarray of float32, shape (n, 8)
        Scores of the neighbours of some ranks, those of the features "own r"; of the last neighbour if
        the list is shorter (0 if empty).
    squared_length : ndarray of float32, shape (n,)
        Of the list as a sparse vector of squared scores, without the face itself.
    impostors : ImpostorScores
    score_model : ScoreModel
        Fitted to the best neighbour of every face.
    """

    ids: _Ids
    score: _Floats
    rank: _Ids
    curve: _Floats
    squared_length: _Floats
    impostors: ImpostorScores
    score_model: ScoreModel

    @cached_property
    def place(self) -> _Ids:
        """Scratch (cores, n + 1): column of each face in the list that a thread works on.

        It is k everywhere between calls.
        """
        return np.full((cores(), len(self.ids) + 1), self.ids.shape[1], np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True)
class DescriptionTask:
    """Bounds and ranks the scores of lists (n, k)."""

    ids: _Ids
    similarities: _Floats
    impostors: ImpostorScores
    step = STEP

    def __call__(self, rows: slice) -> Arrays:
        """Return what `ListStructure` holds of each list."""
        found = _described(self.ids[rows], self.impostors.normalized(self.similarities[rows]))
        return dict(zip(_DESCRIBED, found, strict=True))


def list_structure(
    ids: _Ids, similarities: _Floats, impostors: ImpostorScores, store: RowStore | None = None
) -> ListStructure:
    """Compute the structure of neighbour lists.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours in any order, except the face itself in column 0; -1 = none.
    similarities : ndarray of float32, shape (n, k)
        Cosines.
    impostors : ImpostorScores
        Of the vectors that were compared.
    store : RowStore, optional
        Where it is made; in memory by default.

    Returns
    -------
    ListStructure
        12 n k + 36 n bytes, including ``ids``.
    """
    (n, k), store = ids.shape, store or MemoryRows()
    columns: Columns = {
        "score": ((k,), np.float32),
        "rank": ((k,), np.int32),
        "curve": ((len(_CURVE),), np.float32),
        "squared_length": ((), np.float32),
    }
    lists = store.fill(n, columns, lambda: DescriptionTask(ids, similarities, impostors))
    model = fit_score_model(lists["curve"][:, 0], n, impostors.identical)
    return ListStructure(ids=ids, **lists, impostors=impostors, score_model=model)


def with_more_faces(
    structure: ListStructure, ids: npt.NDArray[np.integer], similarities: _Floats
) -> ListStructure:
    """Append new faces, which list known faces but are not listed themselves.

    The structure of known faces does not change, and new faces do not depend on each other.

    Parameters
    ----------
    structure : ListStructure
        Of n known faces.
    ids : ndarray of int, shape (m, k - 1)
        Neighbours of the new faces among the known ones.
    similarities : ndarray of float32, shape (m, k - 1)
        Cosines.

    Returns
    -------
    ListStructure
        Of n + m faces.
    """
    n, m = len(structure.ids), len(ids)
    score = structure.impostors.normalized(similarities)
    faces = np.arange(n, n + m, dtype=np.int32)[:, None]
    lists = np.hstack((faces, ids.astype(np.int32)))
    new = _described(lists, np.hstack((np.zeros((m, 1), np.float32), score)))
    every = np.concatenate((structure.ids, lists))
    return ListStructure(
        every,
        np.concatenate((structure.score, new[0])),
        np.concatenate((structure.rank, new[1])),
        np.concatenate((structure.curve, new[2])),
        np.concatenate((structure.squared_length, new[3])),
        structure.impostors,
        structure.score_model,
    )


def _described(ids: _Ids, score: _Floats) -> tuple[_Floats, _Ids, _Floats, _Floats]:
    """Bounded scores, ranks, curves and squared lengths of lists (n, k); ``score`` is overwritten."""
    rank, curve = np.empty_like(ids), np.empty((len(ids), len(_CURVE)), np.float32)
    squared_length = np.empty(len(ids), np.float32)
    for part in chunks(len(ids), ROWS):
        _describe_lists(ids[part], score[part], rank[part], curve[part], squared_length[part])
    return score, rank, curve, squared_length


def _describe_lists(
    ids: _Ids, score: _Floats, rank: _Ids, curve: _Floats, squared_length: _Floats
) -> None:
    np.clip(score, *_BOUNDS, out=score)
    score[:, 0] = _BOUNDS[1]
    score[ids < 0] = _ABSENT
    order = np.argsort(-score, axis=1, kind="stable")
    np.put_along_axis(rank, order, np.arange(ids.shape[1], dtype=np.int32)[None], axis=1)
    descending = np.take_along_axis(score, order, axis=1)
    last = np.maximum((ids >= 0).sum(axis=1) - 1, 0)
    chosen = np.minimum(np.minimum(_CURVE, ids.shape[1] - 1), last[:, None])
    curve[:] = np.where(last[:, None] > 0, np.take_along_axis(descending, chosen, axis=1), 0)
    score[ids < 0] = 0
    squared_length[:] = np.einsum("nk,nk,nk,nk->n", *(score[:, 1:],) * 4)


def list_features(structure: ListStructure, rows: _Rows, width: int | None = None) -> _Floats:
    """Compute the features of the pairs in some lists.

    Parameters
    ----------
    structure : ListStructure
        Of n faces.
    rows : ndarray of int, shape (b,)
        The faces whose lists are used.
    width : int, optional
        Number of columns, from the first on, that are described; k by default.

    Returns
    -------
    ndarray of float32, shape (b, width, f)
        In the order of `LIST_FEATURES`; 0 where there is no neighbour.

    Notes
    -----
    O(k width) time per list, independent of the number of faces.
    """
    k = structure.ids.shape[1]
    width = k if width is None else min(width, k)
    out = np.zeros((len(rows), width, len(LIST_FEATURES)), np.float32)
    faces = np.ascontiguousarray(rows, np.int64)
    describe = partial(
        _describe,
        structure.ids,
        structure.score,
        structure.rank,
        structure.curve,
        structure.squared_length,
        _DEPTHS,
        (np.log1p(np.arange(k + 1)) * _RANK_UNIT).astype(np.float32),
    )
    at_once(
        partial(describe, faces[part], out[part], column_of)
        for part, column_of in zip(parts(len(rows)), structure.place, strict=False)
    )
    score = structure.score[rows, :width]
    odds = np.clip(structure.score_model.log_odds(score), -_MOST_ODDS, _MOST_ODDS)
    listed = structure.ids[rows, :width] >= 0
    out[..., -1] = odds * _SCORE_UNIT * listed
    return out


def normalize_within(structure: ListStructure, ids: _Ids, similarity: _Floats) -> None:
    """Turn similarities between the faces of some lists into normalised scores / 10, in place.

    They are bounded like the scores of lists.

    Parameters
    ----------
    structure : ListStructure
    ids : ndarray of int32, shape (b, t)
        The faces; -1 = none.
    similarity : ndarray of float32, shape (b, t, t)
        Cosines; replaced by scores, 0 where a face is missing.
    """
    impostors = structure.impostors
    similarity -= np.float32(impostors.mean)
    similarity *= _SCORE_UNIT / np.float32(impostors.deviation)
    np.clip(similarity, _BOUNDS[0] * _SCORE_UNIT, _BOUNDS[1] * _SCORE_UNIT, out=similarity)
    missing = ids < 0
    similarity[missing] = 0
    similarity.swapaxes(1, 2)[missing] = 0


@compiled()
def _describe(
    ids: _Ids,
    score: _Floats,
    rank: _Ids,
    curve: _Floats,
    squared_length: _Floats,
    depths: npt.NDArray[np.int64],
    log_rank: _Floats,
    rows: npt.NDArray[np.int64],
    out: _Floats,
    column_of: _Ids,
) -> None:
    """Describe the pairs of some lists.

    ``column_of`` holds k for faces that are not listed, so that the lookup needs no branch and can be
    vectorised. Its last entry is for the id -1.
    """
    k = ids.shape[1]
    at = 4 + len(depths)
    weight, products = np.empty(k + 1, np.float32), np.empty(k, np.float32)
    own_rank, columns = np.empty(k + 1, np.int32), np.empty(k, np.int32)
    deepest = np.empty(k, np.int32)
    weight[k], own_rank[k], columns[0] = 0, k, k
    for r in range(len(rows)):
        i = rows[r]
        for c in range(k):
            weight[c] = score[i, c] ** 2 if c > 0 else np.float32(0)
            own_rank[c] = rank[i, c]
            if ids[i, c] >= 0:
                column_of[ids[i, c]] = c
        for c in range(out.shape[1]):
            j = ids[i, c]
            if j < 0:
                continue
            row, listed, other_rank, other_score = out[r, c], ids[j], rank[j], score[j]
            for d in range(1, k):
                columns[d] = column_of[listed[d]]
            for d in range(k):
                deepest[d] = max(own_rank[columns[d]], other_rank[d])
                products[d] = weight[columns[d]] * other_score[d] ** 2
            reverse = k if c > 0 else 0
            common = np.float32(0)
            for d in range(1, k):
                reverse = other_rank[d] if columns[d] == 0 else reverse
                common += products[d]
            row[0] = score[i, c] * _SCORE_UNIT
            row[1] = log_rank[own_rank[c]]
            row[2] = log_rank[reverse]
            row[3] = 1 if reverse < k else 0
            for m in range(len(depths)):
                # Face j is in column 0 of its own list.
                total, depth = np.int64(own_rank[c] < depths[m]), min(depths[m], k)
                for d in range(1, k):
                    total += deepest[d] < depth
                row[4 + m] = total / depth
            row[at] = common / np.sqrt(squared_length[i] * squared_length[j] + np.float32(1e-6))
            points = curve.shape[1]
            for p in range(points):
                row[at + 1 + p] = curve[i, p] * _SCORE_UNIT
                row[at + 1 + points + p] = curve[j, p] * _SCORE_UNIT
        for c in range(k):
            if ids[i, c] >= 0:
                column_of[ids[i, c]] = k
