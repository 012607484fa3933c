"""The approximate search: faces in the cells near each face, of several partitions of all faces.

In high dimensions only the cell of its own identity is near to a face: larger cells mix identities, and
their centres are near to none. Cells are therefore about as small as an identity. Whether an identity
has a centre of its own is chance, but it is unlikely to have none in all of several partitions: four of
them with four cells visited in each find more neighbours than sixteen cells of one.

Faces are then searched among the neighbours of their neighbours, several times if they are many. As in
NN-descent (Dong et al., 2011) a later pass compares only those that the pass before has brought near;
its lists are those of a pass that compares all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks
from nsrfc.knn.exact import (
    Fresh,
    Lists,
    ListTask,
    Products,
    exact_lists,
    filled,
    halved_products,
    lists_among,
    ranked_in,
)
from nsrfc.knn.rebuilt import REBUILD_WIDTH
from nsrfc.progress import Progress
from nsrfc.rowstore import Arrays, Columns, RowStore
from nsrfc.runtime import at_once, compiled, parts
from nsrfc.vectors import on_grid

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]


__all__ = [
    "CELLS",
    "CROWDED",
    "FACES_PER_CELL",
    "FLAT_CENTRES",
    "GROUPS",
    "PARTITIONS",
    "CellTask",
    "PassTask",
    "lists_nearby",
    "wide_passes",
]

PARTITIONS = 4

CELLS = 4
"""Number of cells of each partition that are visited in a search."""

FACES_PER_CELL = 32
"""Average number of faces in a cell."""

FLAT_CENTRES = 8192
"""Up to so many centres are compared with every face."""

GROUPS = 16
"""More centres are in groups, as many as there are centres in a group, of which so many are visited."""

CROWDED = 1_000_000
"""From so many faces on, the cells near a face hold so few of its neighbours that those of all of them
are searched, twice; from four times as many on, three times."""

AVERAGED_SHARE = 4
"""One face of so many takes part in the means that are the centres."""

_STEP = 16_384
_VANISHED = np.float32(1e-6)


def wide_passes(n: int) -> int:
    """How often n faces are searched among the neighbours of all neighbours; 0: of the nearest, once."""
    return 0 if n < CROWDED else 2 + (n >= 4 * CROWDED)


def lists_nearby(
    vectors: _Vectors, k: int, seed: int, pieces: RowStore, progress: Progress | None = None
) -> tuple[_Ids, _Vectors]:
    """Find the k nearest of every face in the cells near it, then among the neighbours of neighbours.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    k : int
        Length of a list, at most n.
    seed : int
        Seed of the random samples that are the first centres.
    pieces : RowStore
        Where the lists are kept, and what they are made of until they are complete.
    progress : Progress, optional
        Reports the stages "index", counted in faces whose cells are found, and "neighbours".

    Returns
    -------
    ids, similarities
        As in :func:`nsrfc.knn.exact.index_lists`.

    Notes
    -----
    The first centres are faces drawn at random; they are replaced by the means of the faces nearest to
    them, over a quarter of all. Memory beside ``vectors`` and the result: 160 n bytes, another copy of
    the vectors, and as much as the result.
    """
    wide = wide_passes(len(vectors))
    width = k if wide else REBUILD_WIDTH
    passes = [pieces.before()]
    for _ in range(wide - 1):
        passes.insert(0, passes[0].before())
    first = passes[0].before()
    visited = first.before()
    sorted_rows = visited.before().before()

    def in_given_order() -> Lists:
        near = _near_cells(vectors, seed, visited, progress)
        # Faces of a cell beside each other are in the cache of the processor for the next face.
        order = np.argsort(near[:, 0], kind="stable")
        beside = sorted_rows.gathered(vectors, order)

        def in_cells() -> Lists:
            return partial(_in_cells, k=k, cells=_Cells.of(near[order]))

        found = filled(beside, k, in_cells, first, progress)[0]
        ids, scores = _in_passes(beside, found, width, passes, progress)
        return partial(_renumbered, order=order, place=np.argsort(order), ids=ids, scores=scores)

    lists = filled(vectors, k, in_given_order, pieces, progress)
    averaged = sorted_rows.before()
    for needed_no_more in (*passes, first, visited, visited.before(), sorted_rows, averaged):
        needed_no_more.discard()
    return lists


@dataclass(frozen=True)
class _Cells:
    """Cells of all partitions, and those near each of n faces.

    Attributes
    ----------
    near : ndarray of int32, shape (n, t)
        Cells near each face; -1 = none.
    members : ndarray of int32, shape (m,)
        Faces by cell.
    starts : ndarray of int64, shape (cells + 1,)
        Where the members of each cell start.
    """

    near: _Ids
    members: _Ids
    starts: _Rows

    @classmethod
    def of(cls, near: _Ids) -> _Cells:
        """Put faces into the nearest cell of each partition."""
        own = near[:, :: near.shape[1] // PARTITIONS].T.ravel()
        members = np.argsort(own, kind="stable")[np.count_nonzero(own < 0) :] % len(near)
        sizes = np.bincount(own[own >= 0], minlength=near.max() + 1)
        return cls(near, members.astype(np.int32), np.concatenate(([0], np.cumsum(sizes))))


def _in_cells(vectors: _Vectors, rows: _Rows, k: int, cells: _Cells) -> tuple[_Ids, _Vectors]:
    return ranked_in(vectors, rows, cells.near[rows], cells.members, cells.starts, k)


@dataclass(frozen=True)
class PassTask:
    """Finds the nearest of each row of vectors (n, d) among the neighbours of its neighbours.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
    ids : ndarray of int32, shape (n, k)
        Neighbours; -1 = none.
    width : int
        Number of them whose neighbours are searched.
    fresh : Fresh, optional
        What the pass before has brought.
    """

    vectors: _Vectors
    ids: _Ids
    width: int
    fresh: Fresh | None

    @property
    def _lists(self) -> ListTask:
        k = self.ids.shape[1]
        among = partial(lists_among, k=k, around=self.ids, width=self.width, fresh=self.fresh)
        return ListTask(self.vectors, among)

    @property
    def step(self) -> int:
        """Rows that are found at a time."""
        return self._lists.step

    def __call__(self, rows: slice) -> Arrays:
        """Return ids and similarities, and which ids are fresh for the next pass."""
        found = self._lists(rows)
        fresh = np.empty(found["ids"].shape, np.bool_)
        _mark_fresh(found["ids"], self.ids[rows], fresh)
        return found | {"fresh": fresh}


def _in_passes(
    vectors: _Vectors, ids: _Ids, width: int, stores: Sequence[RowStore], progress: Progress | None
) -> tuple[_Ids, _Vectors]:
    """Improve the lists ``ids`` (n, k) in one pass for each store; return ids and similarities."""
    n, k = ids.shape
    columns: Columns = {
        "ids": ((k,), np.int32),
        "similarities": ((k,), np.float32),
        "fresh": ((k,), np.bool_),
    }
    stage = partial((progress or Progress()).stage, "neighbours", n)
    found: Arrays = {"ids": ids}

    def task() -> PassTask:
        fresh = Fresh.of(found["ids"], found["fresh"]) if "fresh" in found else None
        return PassTask(vectors, found["ids"], width, fresh)

    for store in stores:
        found = store.fill(n, columns, task, stage)
    return found["ids"], found["similarities"]


@compiled()
def _mark_fresh(ids: _Ids, before: _Ids, fresh: npt.NDArray[np.bool_]) -> None:
    for r in range(len(ids)):
        # What is in the list of a face itself is always compared.
        fresh[r, 0] = True
        for c in range(1, ids.shape[1]):
            known = False
            for b in range(before.shape[1]):
                known |= ids[r, c] == before[r, b]
            fresh[r, c] = not known


def _renumbered(
    vectors: _Vectors, rows: _Rows, order: _Rows, place: _Rows, ids: _Ids, scores: _Vectors
) -> tuple[_Ids, _Vectors]:
    """Return the lists of some rows, given those of all in another order."""
    del vectors
    found = ids[place[rows]]
    return np.where(found >= 0, order[found], -1).astype(np.int32), scores[place[rows]]


@dataclass(frozen=True)
class CellTask:
    """Finds the cells nearest to each row of vectors (n, d) in each partition."""

    vectors: _Vectors
    centers: tuple[_Centers, ...]
    count: int
    step: int

    @classmethod
    def of(cls, vectors: _Vectors, centers: Sequence[_Vectors], seed: int, count: int) -> CellTask:
        """Search the ``count`` nearest centres of each partition."""
        return cls(
            vectors, tuple(_Centers.of(each, seed, len(vectors)) for each in centers), count, _STEP
        )

    def __call__(self, rows: slice) -> Arrays:
        """Return the cells, those of a partition numbered behind the ones before; -1 = none."""
        found, first = [], 0
        for centers in self.centers:
            near = centers.nearest(self.vectors[rows], self.count)
            found.append(np.where(near >= 0, near + first, -1).astype(np.int32))
            first += len(centers.vectors)
        return {"cells": np.concatenate(found, axis=1)}


def _near_cells(vectors: _Vectors, seed: int, pieces: RowStore, progress: Progress | None) -> _Ids:
    """Find the cells (n, `PARTITIONS` * `CELLS`) of each partition that are nearest to each face."""
    n = len(vectors)
    averaged, drawn = -(-n // AVERAGED_SHARE), max(1, n // FACES_PER_CELL)
    count = min(CELLS, drawn)
    with (progress or Progress()).stage("index", averaged + n) as advance:

        def filled_by(task: Callable[[], CellTask], rows: int, width: int, store: RowStore) -> _Ids:
            columns: Columns = {"cells": ((PARTITIONS * width,), np.int32)}
            told = 0

            def tell(count: int) -> None:
                nonlocal told
                told += count
                advance(count)

            cells: _Ids = store.fill(rows, columns, task, lambda: nullcontext(tell))["cells"]
            advance(rows - told)  # What an earlier run has found.
            return cells

        def means() -> CellTask:
            rng = np.random.default_rng(seed)
            centers = [vectors[np.sort(rng.permutation(n)[:drawn])] for _ in range(PARTITIONS)]
            drawn_rows = np.sort(rng.permutation(n)[:averaged])
            some = pieces.before().before().before().gathered(vectors, drawn_rows)
            nearest = filled_by(
                lambda: CellTask.of(some, centers, seed, 1), averaged, 1, pieces.before()
            )
            # No group of centres near a face may hold any: then its cell does not matter.
            own = np.maximum(nearest.T - drawn * np.arange(PARTITIONS)[:, None], 0)
            centers = [_means(some, *each) for each in zip(own, centers, strict=True)]
            return CellTask.of(vectors, centers, seed, count)

        return filled_by(means, n, count, pieces)


@dataclass(frozen=True)
class _Centers:
    """Centres (c, d), all of which are compared with a face, or those of the groups near it."""

    vectors: _Vectors
    products: Products | None = None
    groups: _Groups | None = None

    @classmethod
    def of(cls, centers: _Vectors, seed: int, asked: int) -> _Centers:
        if len(centers) > FLAT_CENTRES:
            return cls(centers, groups=_Groups.of(centers, seed))
        return cls(centers, halved_products(centers, asked))

    def nearest(self, faces: _Vectors, count: int) -> npt.NDArray[np.integer]:
        """Return the ``count`` centres nearest to each face (q, count); -1 = none."""
        if self.groups is not None:
            return self.groups.nearest(faces, count)
        among = len(self.vectors)
        rows = np.arange(among, among + len(faces))
        both = np.concatenate((self.vectors, faces))
        return exact_lists(both, rows, count + 1, self.products, among)[0][:, 1:]


@dataclass(frozen=True)
class _Groups:
    """Centres in groups; those in the `GROUPS` groups whose means are nearest to a face are compared.

    Faces are compared by group, as products of matrices. Values are on a grid, so that these are exact,
    and do not depend on how many faces are compared at a time.

    Attributes
    ----------
    means : ndarray of float32, shape (g, d)
    centers : ndarray of float32, shape (c, d)
        Group by group.
    starts : ndarray of int64, shape (g + 1,)
        Where the centres of each group start.
    number : ndarray of int64, shape (c,)
        Number of each centre.
    """

    means: _Vectors
    centers: _Vectors
    starts: _Rows
    number: _Rows

    @classmethod
    def of(cls, centers: _Vectors, seed: int) -> _Groups:
        """Group centres (c, d) by the nearest of about sqrt(c) means."""
        n = len(centers)
        heads = centers[np.sort(np.random.default_rng(seed).permutation(n)[: round(n**0.5)])]
        means = _coarse(_means(centers, _nearest(centers, _coarse(heads)), heads))
        own = _nearest(centers, means)
        number = np.argsort(own, kind="stable")
        starts = np.concatenate(([0], np.cumsum(np.bincount(own, minlength=len(means)))))
        return cls(means, _coarse(centers)[number], starts, number)

    def nearest(self, faces: _Vectors, count: int) -> _Rows:
        """Return the ``count`` nearest centres of each face (q, count); -1 = none."""
        from threadpoolctl import threadpool_limits

        found = np.full((len(faces), count), -1, np.int64)
        # Threads of faces need not wait for each other, as those that share a product do.
        with threadpool_limits(1, "blas"):
            at_once(partial(self._search, faces[part], found[part]) for part in parts(len(faces)))
        return np.where(found >= 0, self.number[found], -1)

    def _search(self, faces: _Vectors, found: _Rows) -> None:
        """Write the places of the nearest centres of some faces, -1 at first."""
        faces, visited = _fine(faces), min(GROUPS, len(self.means))
        near = np.argpartition(-(faces @ self.means.T), visited - 1, axis=1)[:, :visited]
        by_group = np.argsort(near.ravel(), kind="stable") // visited
        bounds = np.concatenate(([0], np.cumsum(np.bincount(near.ravel(), minlength=len(self.means)))))
        product = np.full(found.shape, -np.inf, np.float32)
        for group, (first, last) in enumerate(pairwise(self.starts)):
            rows = by_group[bounds[group] : bounds[group + 1]]
            if len(rows) and first < last:
                _keep_nearest(faces[rows] @ self.centers[first:last].T, rows, first, found, product)


def _fine(faces: _Vectors) -> _Vectors:
    """Round faces so that their products with what is `_coarse` are exact: 23 bits behind the point."""
    return on_grid(faces, 12)


def _coarse(centers: _Vectors) -> _Vectors:
    """Round centres so that their products with what is `_fine` are exact."""
    return on_grid(centers, 11)


def _nearest(faces: _Vectors, means: _Vectors) -> _Rows:
    """Return the nearest mean of each face."""
    found = [(_fine(faces[part]) @ means.T).argmax(axis=1) for part in chunks(len(faces), _STEP)]
    return np.concatenate(found)


@compiled()
def _keep_nearest(products: _Vectors, rows: _Rows, first: int, found: _Rows, product: _Vectors) -> None:
    """Put centres into the lists of some rows, by descending product; the first centre has a number."""
    last = found.shape[1] - 1
    for i, row in enumerate(rows):
        for j in range(products.shape[1]):
            value = products[i, j]
            if value > product[row, last]:
                place = last
                while place > 0 and product[row, place - 1] < value:
                    product[row, place] = product[row, place - 1]
                    found[row, place] = found[row, place - 1]
                    place -= 1
                product[row, place] = value
                found[row, place] = first + j


def _means(vectors: _Vectors, cell: npt.NDArray[np.integer], centers: _Vectors) -> _Vectors:
    """Return the mean of the rows of each cell as a unit vector; the old centre if the mean vanishes."""
    from scipy.sparse import csr_array

    cells, n = len(centers), len(vectors)
    bounds = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=cells))))
    members = np.argsort(cell, kind="stable")
    sums = csr_array((np.ones(n, np.float32), members, bounds), shape=(cells, n)) @ vectors
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: _Vectors = np.where(norms > _VANISHED, sums / np.maximum(norms, _VANISHED), centers)
    return means
