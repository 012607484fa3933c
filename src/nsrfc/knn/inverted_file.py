"""The approximate search: small cells around means of faces (an inverted file)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks
from nsrfc.progress import Progress
from nsrfc.rowstore import Arrays, Columns, MemoryRows, RowStore

if TYPE_CHECKING:
    import faiss

_Vectors = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]


__all__ = ["CELLS", "FACES_PER_CELL", "FLAT_CENTRES", "CellTask", "inverted_file"]

_LINKS, _BEAM = 32, 64

_AVERAGED_SHARE = 4

_INDEXED = 16_384

_LINKED_AT_A_TIME = 64
_VANISHED = np.float32(1e-6)

FACES_PER_CELL = 32
"""Average number of rows in a cell."""

FLAT_CENTRES = 65_536
"""Fewer centres than this are searched exhaustively."""

CELLS = 16
"""Number of cells visited in a search."""


def inverted_file(
    vectors: _Vectors, seed: int, pieces: RowStore | None = None, progress: Progress | None = None
) -> faiss.IndexIVFFlat:
    """Index the rows in small cells, of about as many faces as an identity has.

    In high dimensions only the cell of its own identity is near to a face: larger cells mix identities,
    and their centres are near to none. A random sample of rows gives the first centres; these are
    replaced by the means of the rows nearest to them, over a quarter of all rows. `FLAT_CENTRES` or more
    centres are searched through a graph (HNSW, Malkov and Yashunin, 2018). A search visits `CELLS`
    cells.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    seed : int
        Seed of the random samples.
    pieces : RowStore, optional
        Where the cells of the faces are kept, which take longest to find, so that interrupted work
        resumes.
    progress : Progress, optional
        Reports the stage "index", counted in faces whose cell is found.
    """
    import faiss

    n, d = vectors.shape
    pieces = pieces or MemoryRows()
    rng = np.random.default_rng(seed)
    centers = vectors[np.sort(rng.permutation(n)[: max(1, n // FACES_PER_CELL)])]
    some = vectors[np.sort(rng.permutation(n)[: -(-n // _AVERAGED_SHARE)])]
    with (progress or Progress()).stage("index", len(some) + n) as advance:
        nearest = _cells(some, _center_index(centers), pieces.before(), advance)
        centers = _means(some, nearest, centers)
        del some, nearest
        index = faiss.IndexIVFFlat(_center_index(centers), d, len(centers), faiss.METRIC_INNER_PRODUCT)
        index.is_trained = True
        cells = _cells(vectors, index.quantizer, pieces, advance)
        for part in chunks(n, _INDEXED):
            rows, own = vectors[part], cells[part].astype(np.int64)
            index.add_core(len(rows), faiss.swig_ptr(rows), None, faiss.swig_ptr(own))
    index.nprobe = min(CELLS, len(centers))
    return index


@dataclass(frozen=True)
class CellTask:
    """Finds the centre nearest to each row of vectors (n, d)."""

    vectors: _Vectors
    centers: faiss.Index
    step: int

    def __call__(self, rows: slice) -> Arrays:
        """Return the cells."""
        return {"cells": self.centers.search(self.vectors[rows], 1)[1][:, 0].astype(np.int32)}


def _cells(
    vectors: _Vectors, centers: faiss.Index, pieces: RowStore, advance: Callable[[int], None]
) -> _Ids:
    """Find the centre (n,) nearest to each row."""
    columns: Columns = {"cells": ((), np.int32)}
    task, n, told = CellTask(vectors, centers, _INDEXED), len(vectors), 0

    def tell(count: int) -> None:
        nonlocal told
        told += count
        advance(count)

    cells: _Ids = pieces.fill(n, columns, lambda: task, lambda: nullcontext(tell))["cells"]
    advance(n - told)  # What an earlier run has found.
    return cells


def _center_index(centers: _Vectors) -> faiss.Index:
    """Index of centres: exhaustive, or a graph if there are many."""
    import faiss

    if len(centers) < FLAT_CENTRES:
        flat = faiss.IndexFlatIP(centers.shape[1])
        flat.add(centers)
        return flat
    linked = faiss.IndexHNSWFlat(centers.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    linked.hnsw.efConstruction = linked.hnsw.efSearch = _BEAM
    # With several threads, which faiss starts for more than 100 rows, the graph would not be
    # deterministic.
    for part in chunks(len(centers), _LINKED_AT_A_TIME):
        linked.add(centers[part])
    return linked


def _means(vectors: _Vectors, cell: _Ids, centers: _Vectors) -> _Vectors:
    """Return the mean of the rows of each cell as a unit vector; the old centre if the mean vanishes."""
    from scipy.sparse import csr_array

    cells, n = len(centers), len(vectors)
    bounds = np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=cells))))
    members = np.argsort(cell, kind="stable")
    sums = csr_array((np.ones(n, np.float32), members, bounds), shape=(cells, n)) @ vectors
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    means: _Vectors = np.where(norms > _VANISHED, sums / np.maximum(norms, _VANISHED), centers)
    return means
