"""Neighbours from all faces, or from proposed candidates, ranked by exact similarities."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import STEP, chunks
from nsrfc.errors import InputError

if TYPE_CHECKING:
    import faiss

from nsrfc.progress import Progress
from nsrfc.rowstore import Arrays, Columns, RowStore, block_rows
from nsrfc.runtime import at_once, compiled, multiplies_bfloat16, parts

__all__ = [
    "HALVED_FROM",
    "SPARE",
    "Fresh",
    "ListTask",
    "Lists",
    "Products",
    "dot",
    "exact_lists",
    "filled",
    "halved_products",
    "index_lists",
    "largest_products",
    "lists_among",
    "proposed",
    "ranked",
    "ranked_in",
    "recall",
    "single_rounding",
]

SPARE = 8
"""Additional faces that a search proposes, to allow for rounding."""

HALVED_FROM = 20_000
"""Minimum number of faces to search for which a processor multiplies in bfloat16 if torch is loaded."""

TORCH_FROM = 100_000
"""Minimum number for which torch is loaded for that: it takes a second, and 200 MiB of memory."""

_WIDENING = 8


_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.int64]
_Doubles = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]
_Largest = Callable[[_Vectors, int], tuple[_Vectors, _Rows]]


class Products(Protocol):
    """Products of unit vectors with others in half precision, where a device is fast at them."""

    @property
    def widening(self) -> int:
        """Proposed faces for each face of a list."""

    def largest(self, asked: _Vectors, width: int, *, halved: bool) -> tuple[_Vectors, _Rows]:
        """Propose the rows with the largest products.

        Parameters
        ----------
        asked : ndarray of float32, shape (q, d)
            Unit vectors.
        width : int
            Number of products of each of them, at most n.
        halved : bool
            Whether to multiply in half precision instead of float32.

        Returns
        -------
        bound : ndarray of float32, shape (q,)
            No other row has a larger product.
        candidates : ndarray of int64, shape (q, width)
            -1 = none.
        """


def halved_products(vectors: _Vectors, asked: int) -> Products | None:
    """Return products with vectors in half precision, if that pays here for so many faces."""
    enough = HALVED_FROM if "torch" in sys.modules else TORCH_FROM
    if asked < enough or not multiplies_bfloat16():
        return None
    from nsrfc.knn.bfloat16 import Bfloat16Products

    return Bfloat16Products(vectors)


def exact_lists(
    vectors: _Vectors,
    rows: _Rows,
    k: int,
    products: Products | None = None,
    among: int | None = None,
) -> tuple[_Ids, _Vectors]:
    """Find the true k nearest rows of some rows by comparing them with all.

    Candidates are proposed by products in float32, or in half precision where ``products`` is given, and
    ranked by :func:`dot`. If rounding of those products could have missed a neighbour, more candidates
    are proposed.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    rows : ndarray of int64, shape (q,)
        Rows whose neighbours to find, q at least 1.
    k : int
        Length of a list, at most n.
    products : Products, optional
        With these vectors, or with those before ``among``; the lists are the same as without.
    among : int, optional
        Only rows before this one are listed, beside the row itself; all by default.

    Returns
    -------
    ids : ndarray of int32, shape (q, k)
        The row itself, then descending by :func:`dot`, ties by row number.
    similarities : ndarray of float32, shape (q, k)
        1 for the row itself, else :func:`dot` as float32 in [-1, 1], lowered if rounding would make it
        as high as that of a nearer row: rounding makes no ties.
    """
    ids = np.empty((len(rows), k), np.int32)
    similarities = np.empty((len(rows), k), np.float32)
    unsure = np.arange(len(rows))
    searched = vectors[:among]
    for largest, width in _proposals(searched, k, products):
        uncertain = []
        for part in chunks(len(unsure), max(1, len(rows) * k * _WIDENING // width)):
            places = unsure[part]
            bound, candidates = largest(vectors[rows[places]], width)
            ids[places], similarities[places] = ranked(vectors, rows[places], candidates, k)
            missed = (bound >= similarities[places, -1]) | (ids[places, -1] < 0)
            uncertain.append(places[missed])
        unsure = np.concatenate(uncertain)
        if width == len(searched) or not len(unsure):
            break
    return ids, similarities


def _proposals(vectors: _Vectors, k: int, products: Products | None) -> Iterator[tuple[_Largest, int]]:
    """Yield ways to propose candidates, each safer, and how many they propose."""
    n = len(vectors)
    largest: _Largest = partial(largest_products, vectors)
    if products is not None:
        yield partial(products.largest, halved=True), min(products.widening * k, n)
        largest = partial(products.largest, halved=False)
    width = k + SPARE
    while True:
        yield largest, min(width, n)
        width *= _WIDENING


def single_rounding(d: int) -> float:
    """Bound of the rounding error of a product of unit vectors in float32: it is far below."""
    return float(4 * np.sqrt(d) * np.finfo(np.float32).eps)


def largest_products(vectors: _Vectors, asked: _Vectors, width: int) -> tuple[_Vectors, _Rows]:
    """Propose ``width`` rows for each of some vectors by products in float32, as :class:`Products`."""
    import faiss

    found = faiss.knn(asked, vectors, width, metric=faiss.METRIC_INNER_PRODUCT)
    products: _Vectors = found[0]
    candidates: _Rows = found[1]
    return products[:, -1] + np.float32(single_rounding(vectors.shape[1])), candidates


def index_lists(
    vectors: _Vectors, rows: _Rows, k: int, index: faiss.Index, group: _Ids | None = None
) -> tuple[_Ids, _Vectors]:
    """Find the k nearest rows of some rows that a faiss index proposes.

    Parameters
    ----------
    vectors, rows, k
        As in :func:`exact_lists`.
    index : faiss.Index
        Searched with its own settings.
    group : ndarray of int32, shape (m,), optional
        Row of ``vectors`` for each entry of the index, if they are not the same.

    Returns
    -------
    ids, similarities
        As in :func:`exact_lists`, with -1 and 0 at the end of a list if too few were proposed.
    """
    candidates = proposed(index, vectors[rows], k + SPARE)
    if group is not None:
        candidates = np.where(candidates >= 0, group[candidates], -1)
    return ranked(vectors, rows, candidates, k)


def proposed(index: faiss.Index, vectors: _Vectors, width: int) -> _Rows:
    """Return the ``width`` entries of a faiss index, at most, that it finds nearest; -1 = none.

    Raises
    ------
    InputError
        If it cannot be searched, or finds entries that are no row numbers, as a damaged one may.
    """
    try:
        found: _Rows = index.search(vectors, min(width, index.ntotal))[1]
    except RuntimeError as error:
        raise InputError(
            "The index cannot be searched, it is damaged or was not trained: build or copy it anew."
        ) from error
    if (found >= index.ntotal).any():
        raise InputError(
            "The index does not find the embeddings under their row numbers: build it from these "
            "rows in this order."
        )
    return found


class Fresh(NamedTuple):
    """What a search among the neighbours of neighbours has brought into the lists (n, w).

    Attributes
    ----------
    mask : ndarray of bool, shape (n, w)
        Whether each listed row is fresh: it was not listed before. The row itself is.
    ids : ndarray of int32, shape (m,)
        Fresh rows, list by list.
    starts : ndarray of int64, shape (n + 1,)
        Where those of each list start.
    """

    mask: _Mask
    ids: _Ids
    starts: _Rows

    @classmethod
    def of(cls, ids: _Ids, mask: _Mask) -> Self:
        """Gather the fresh rows of lists (n, w)."""
        starts = np.concatenate(([0], np.cumsum(np.count_nonzero(mask, axis=1))))
        return cls(mask, np.concatenate([ids[part][mask[part]] for part in chunks(len(ids))]), starts)


def lists_among(
    vectors: _Vectors, rows: _Rows, k: int, around: _Ids, width: int, fresh: Fresh | None = None
) -> tuple[_Ids, _Vectors]:
    """Find the k nearest rows among the neighbours of neighbours.

    Parameters
    ----------
    vectors, rows, k
        As in :func:`exact_lists`.
    around : ndarray of int32, shape (n, w)
        Known neighbours; -1 = none.
    width : int
        Number of neighbours, from the first column on, whose lists are searched.
    fresh : Fresh, optional
        If ``around`` was found by such a search: what it has brought. The lists are the same as without,
        but neighbours of neighbours that this search has compared are not compared again.

    Returns
    -------
    ids, similarities
        As in :func:`index_lists`.
    """
    n, listed = around.shape
    starts = np.arange(0, (n + 1) * listed, listed)
    some = fresh and fresh._replace(mask=fresh.mask[rows, :width])
    return ranked_in(vectors, rows, around[rows, :width], around.ravel(), starts, k, some)


def ranked(
    vectors: _Vectors, rows: _Rows, candidates: npt.NDArray[np.integer], k: int
) -> tuple[_Ids, _Vectors]:
    """Return the k best candidates of each row, the row itself first."""
    own = np.arange(len(rows), dtype=np.int32)[:, None]
    starts = np.arange(len(rows) + 1) * candidates.shape[1]
    return ranked_in(vectors, rows, own, candidates.astype(np.int32).ravel(), starts, k)


def ranked_in(
    vectors: _Vectors,
    rows: _Rows,
    near: _Ids,
    members: _Ids,
    starts: _Rows,
    k: int,
    fresh: Fresh | None = None,
) -> tuple[_Ids, _Vectors]:
    """Return the k best candidates of each row, which are in groups that many rows share.

    Parameters
    ----------
    vectors, rows, k
        As in :func:`exact_lists`.
    near : ndarray of int32, shape (q, t)
        Groups of each row; -1 = none.
    members : ndarray of int32, shape (m,)
        Rows of ``vectors``, by group; -1 = none. They may come several times.
    starts : ndarray of int64, shape (groups + 1,)
        Where the members of each group start.
    fresh : Fresh, optional
        Fresh groups of each row, and members of every group: of the other groups only these are
        candidates. All groups are fresh by default.

    Returns
    -------
    ids, similarities
        As in :func:`index_lists`.
    """
    ids = np.full((len(rows), k), -1, np.int32)
    similarities = np.zeros((len(rows), k), np.float32)
    near, rounding = np.ascontiguousarray(near), single_rounding(vectors.shape[1])
    whole, *some = fresh or Fresh(np.ones(near.shape, np.bool_), members[:0], starts[:0])
    rank = partial(_rank, vectors, rounding, (members, starts), tuple(some))
    at_once(
        partial(rank, rows[part], near[part], whole[part], ids[part], similarities[part])
        for part in parts(len(rows))
    )
    return ids, similarities


@compiled(fastmath={"reassoc", "nsz", "contract"})
def dot(vectors: _Vectors, i: int, j: int) -> float:
    """Return the float64 dot product of rows i and j, equal to that of (j, i).

    A product of two float32 is exact in float64, so that contracting it with the sum changes nothing.
    """
    total = 0.0
    for c in range(vectors.shape[1]):
        total += np.float64(vectors[i, c]) * np.float64(vectors[j, c])
    return total


@compiled(fastmath={"reassoc", "nsz", "contract"})
def _quick_dot(vectors: _Vectors, i: int, j: int) -> np.float32:
    """Return the product of rows i and j in float32, which depends on the processor."""
    total = np.float32(0)
    for c in range(vectors.shape[1]):
        total += vectors[i, c] * vectors[j, c]
    return total


@compiled()
def _rank(
    vectors: _Vectors,
    rounding: float,
    groups: tuple[_Ids, _Rows],
    fresh: tuple[_Ids, _Rows],
    rows: _Rows,
    near: _Ids,
    whole: _Mask,
    ids: _Ids,
    similarities: _Vectors,
) -> None:
    # The last row of which a face was a candidate.
    seen = np.full(len(vectors), -1, np.int32)
    scores = np.empty(ids.shape[1])
    for r in range(len(rows)):
        i = rows[r]
        ids[r, 0] = i
        seen[i] = r
        held = np.int64(1)
        for a in range(near.shape[1]):
            group = near[r, a]
            if group < 0:
                continue
            members, starts = groups if whole[r, a] else fresh
            for m in range(starts[group], starts[group + 1]):
                j = np.int64(members[m])
                if j < 0 or seen[j] == r:
                    continue
                seen[j] = r
                # Most candidates are too far by more than rounding can change.
                full = held == len(scores) and held > 1
                if not full or _quick_dot(vectors, i, j) + rounding >= scores[held - 1]:
                    held = _insert(j, dot(vectors, i, j), held, ids[r], scores)
        _round(held, scores, similarities[r])


@compiled()
def _insert(j: int, score: float, held: int, ids: _Ids, scores: _Doubles) -> int:
    """Insert a face into a list by descending score, then by number; return the number of faces held."""
    if held == len(ids):
        last = held - 1
        if last == 0 or score < scores[last] or (score == scores[last] and j > ids[last]):
            return held
    else:
        last = held
    while last > 1 and (score > scores[last - 1] or (score == scores[last - 1] and j < ids[last - 1])):
        ids[last], scores[last] = ids[last - 1], scores[last - 1]
        last -= 1
    ids[last], scores[last] = j, score
    return min(held + 1, len(ids))


@compiled()
def _round(held: int, scores: _Doubles, similarities: _Vectors) -> None:
    """Round the scores of a list so that those which differ stay different."""
    similarities[0] = 1
    before = np.inf
    for c in range(1, held):
        last, similarity = similarities[c - 1], np.float32(scores[c])
        if similarity >= last:
            similarity = np.nextafter(last, np.float32(-2)) if scores[c] < before else last
        similarities[c] = max(np.float32(-1), similarity)
        before = scores[c]


Lists = Callable[[_Vectors, _Rows], tuple[_Ids, _Vectors]]
"""Finds the neighbours of some rows of vectors (n, d): ids and similarities (q, k)."""


@dataclass(frozen=True)
class ListTask:
    """Finds the lists of rows of vectors (n, d)."""

    vectors: _Vectors
    lists: Lists

    @property
    def step(self) -> int:
        """Rows that are found at a time: a block, as each call prepares memory for all faces."""
        return block_rows(len(self.vectors), STEP)

    def __call__(self, rows: slice) -> Arrays:
        """Return ids and similarities."""
        ids, similarities = self.lists(self.vectors, np.arange(rows.start, rows.stop))
        return {"ids": ids, "similarities": similarities}


def filled(
    vectors: _Vectors,
    k: int,
    lists: Callable[[], Lists],
    pieces: RowStore,
    progress: Progress | None,
) -> tuple[_Ids, _Vectors]:
    """Return ids and similarities (n, k); lists not yet in ``pieces`` are found by ``lists()``."""
    columns: Columns = {"ids": ((k,), np.int32), "similarities": ((k,), np.float32)}
    n, progress = len(vectors), progress or Progress()
    stage = partial(progress.stage, "neighbours", n)
    found = pieces.fill(n, columns, lambda: ListTask(vectors, lists()), stage)
    return found["ids"], found["similarities"]


def recall(truth: _Ids, found: _Ids) -> float:
    """Share of the true neighbours, without column 0, that are in the lists found.

    Parameters
    ----------
    truth, found : ndarray of int32, shape (q, k)
        Two lists for each of q faces; -1 = none.
    """
    wanted = truth[:, 1:]
    hits = np.zeros(wanted.shape, np.bool_)
    for column in found.T:
        hits |= wanted == column[:, None]
    present = wanted >= 0
    return float(hits[present].mean()) if present.any() else 1.0
