"""Faces that were added since the last run, and their neighbours.

A new face is scored against its nearest faces, known or new, as `predict` scores it. What the run found
does not change: the cost follows the new faces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError
from nsrfc.knn.copies import canonical_rows
from nsrfc.knn.exact import exact_lists, ranked
from nsrfc.library.evidence import Kept
from nsrfc.methods.base import Run
from nsrfc.methods.placement import COPY
from nsrfc.records import EdgeList
from nsrfc.storage.arrays import read_npz_array, write_npz
from nsrfc.storage.files import kind_of

__all__ = ["ADDED", "Added", "added_since", "placed"]

ADDED = "added.npz"

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Added:
    """Faces that were added since a run of g scenes.

    Attributes
    ----------
    faces : ndarray of int64, shape (n,)
        Their ids, ascending.
    unit : ndarray of int64, shape (n,)
        Exact copies are one unit 0..m-1, in an order that depends only on their content.
    vectors : ndarray of float32, shape (m, d)
        Unit vectors.
    ids : ndarray of int64, shape (m, k - 1)
        Nearest scenes 0..g-1 and units g..g+m-1 of each unit; -1 = none.
    similarities : ndarray of float32, shape (m, k - 1)
        Their cosines.
    probability : ndarray of float32, shape (m, k - 1)
        That both are one person.
    scenes : int
        g.
    touched : int
        Number of lists that were made or changed at the last adding.
    """

    faces: _Rows
    unit: _Rows
    vectors: _Floats
    ids: _Rows
    similarities: _Floats
    probability: _Floats
    scenes: int
    touched: int

    def edges(self, first: int) -> EdgeList:
        """Return an edge to each neighbour, with ``first`` as the number of the first unit."""
        source, column = np.nonzero(self.ids >= 0)
        target = self.ids[source, column]
        target = np.where(target >= self.scenes, target + first - self.scenes, target)
        score = self.probability[source, column]
        return EdgeList((first + source).astype(np.int32), target.astype(np.int32), score)


def added_since(kept: Kept, faces: _Rows, X: _Floats, run: Run) -> Added:
    """Find the neighbours of faces that were added since a run, and score them.

    Parameters
    ----------
    kept : Kept
    faces : ndarray of int64, shape (n,)
        Ids of the faces, ascending, n at least 1.
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    run : Run
    """
    rows, unit = canonical_rows(X)
    vectors = X[rows]
    g, k = kept.near.nearest.shape
    every = np.concatenate((kept.near.faces, vectors))
    with run.progress.stage("neighbours", len(rows)) as advance:
        ids, similarities, touched = _lists(kept.folder, every, g, faces[rows], k)
        advance(len(rows))
    near, similarities = ids[:, 1:].astype(np.int64), similarities[:, 1:]
    with run.progress.stage("new faces", len(rows)) as advance:
        probability = _scored(kept, vectors, near, similarities, run)
        advance(len(rows))
    return Added(faces, unit, vectors, near, similarities, probability, g, touched)


def placed(
    kept: Kept, added: Added | None, X: _Floats, run: Run
) -> tuple[npt.NDArray[np.int64], _Floats]:
    """Find the known face that each of some new ones most probably shows again.

    The new faces change nothing, and do not depend on each other.

    Parameters
    ----------
    kept : Kept
    added : Added or None
    X : ndarray of float32, shape (q, d)
        Unit vectors.
    run : Run

    Returns
    -------
    best : ndarray of int64, shape (q,)
        A scene 0..g-1, or g + an added unit.
    probability : ndarray of float32, shape (q,)
        That both are one person.
    """
    k = kept.near.nearest.shape[1]
    known, before = kept.near.faces, 0
    if added is not None:
        known, before = np.concatenate((known, added.vectors)), len(added.vectors)
    every = np.concatenate((known, X))
    k = min(k, len(known) + 1)
    ids, similarities = ranked(every, len(known) + np.arange(len(X)), _nearest(X, known, k - 1), k)
    near, cosine, vectors = ids[:, 1:].astype(np.int64), similarities[:, 1:], X
    if added is not None:
        short = added.ids.shape[1] - near.shape[1]
        near = np.concatenate((added.ids, np.pad(near, ((0, 0), (0, short)), constant_values=-1)))
        cosine = np.concatenate((added.similarities, np.pad(cosine, ((0, 0), (0, short)))))
        vectors = np.concatenate((added.vectors, X))
    probability = _scored(kept, vectors, near, cosine, run)[before:]
    best = probability.argmax(axis=1)[:, None]
    return (
        np.take_along_axis(near[before:], best, axis=1)[:, 0],
        np.take_along_axis(probability, best, axis=1)[:, 0],
    )


def _scored(kept: Kept, vectors: _Floats, ids: _Rows, similarities: _Floats, run: Run) -> _Floats:
    """Probabilities (m, k - 1) that units and their neighbours are one person; 1 for copies."""
    near = kept.near
    impostors = kept.given_impostors, kept.given_impostors
    given = replace(near, vectors=near.faces, ids=near.nearest, impostors=impostors)
    chance = kept.whole_method(run).chance(given, run)(vectors, ids, similarities)
    found: _Floats = np.where(similarities >= COPY, 1, chance).astype(np.float32)
    return found


def _nearest(X: _Floats, known: _Floats, k: int) -> _Rows:
    """Rows (q, k) of the nearest of ``known`` for each vector."""
    import faiss

    found: _Rows = faiss.knn(X, known, k, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return found


def _lists(
    folder: Path, every: _Floats, g: int, faces: _Rows, k: int
) -> tuple[npt.NDArray[np.int32], _Floats, int]:
    """Nearest scenes and units (m, k) of each unit, itself first, and how many lists were made anew.

    Lists of units that were there before are kept on disk, by the ids of the faces: only those that a
    new unit enters change.
    """
    k = min(k, len(every))
    candidates, touched = np.full((len(faces), k), -1, np.int64), np.ones(len(faces), np.bool_)
    before = _kept_lists(folder)
    if before is not None:
        known, listed = before
        place = np.full(int(max(known.max(), faces.max())) + 1, -1, np.int64)
        place[faces] = g + np.arange(len(faces))
        there = place[known] >= 0
        found = np.where(listed >= g, place[np.maximum(listed - g, 0)], listed)
        old = place[known[there]] - g
        candidates[old, : listed.shape[1]] = found[there][:, :k]
        touched[old] = False
    new = np.flatnonzero(touched)
    ids, similarities = np.empty((len(faces), k), np.int32), np.empty((len(faces), k), np.float32)
    old = np.flatnonzero(~touched)
    if len(new):
        ids[new], similarities[new] = exact_lists(every, g + new, k)
    if len(old) and len(new):
        entering = _nearest(every[g + old], every[g + new], min(k, len(new)))
        both = np.concatenate((candidates[old], g + new[entering]), axis=1)
        ids[old], similarities[old] = ranked(every, g + old, both, k)
        touched[old] = (np.isin(ids[old], g + new)).any(axis=1)
    elif len(old):
        ids[old], similarities[old] = ranked(every, g + old, candidates[old], k)
    numbers = np.where(ids >= g, g + faces[np.maximum(ids - g, 0)], ids)
    write_npz(folder / ADDED, {"faces": faces, "listed": numbers.astype(np.int64)})
    return ids, similarities, int(touched.sum())


def _kept_lists(folder: Path) -> tuple[_Rows, _Rows] | None:
    """Faces (m,) and lists (m, k) of the last adding: scenes 0..g-1, or g + id of a face."""
    path = folder / ADDED
    if kind_of(path) != "file":
        return None
    try:
        faces, listed = (read_npz_array(path, name) for name in ("faces", "listed"))
    except InputError:
        return None
    return (faces, listed) if len(faces) else None
