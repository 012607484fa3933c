"""Reciprocal neighbours: the sets R and the expanded sets R*.

N_k(i) are the k nearest faces of i, itself included. As in Ada-NETS (Wang et al., ICLR 2022) and PSE-GCN
(Li et al., Engineering Applications of Artificial Intelligence 127, 2024):

- R(i) = {j in N_k(i) : i in N_k(j)}; R_half(i) is the same with k // 2;
- R*(i) = R(i) and all R_half(j), j in R(i), with |R_half(j) ∩ R(i)| >= 2/3 |R_half(j)|.

Sets are in CSR form, ascending: that of face i is ``indices[indptr[i] : indptr[i + 1]]``, with
``indptr`` int64 (n + 1,) and ``indices`` int32.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks
from nsrfc.errors import InputError
from nsrfc.graph.reverse import column_in_list
from nsrfc.records import NeighborGraph
from nsrfc.runtime import at_once, compiled, parts

__all__ = ["k_reciprocal_sets", "reciprocal_sets"]

_SCRATCH_VALUES = 1 << 23

_Ids = npt.NDArray[np.int32]
_Counts = npt.NDArray[np.int64]


def reciprocal_sets(graph: NeighborGraph, k: int | None = None) -> tuple[_Counts, _Ids]:
    """Return the reciprocal neighbours R of every face.

    Parameters
    ----------
    graph : NeighborGraph
        Lists with the face itself in column 0.
    k : int, optional
        How many columns to use; all of them by default and at most.

    Returns
    -------
    indptr : ndarray of int64, shape (n + 1,)
    indices : ndarray of int32, shape (m,)

    Raises
    ------
    InputError
        If k is below 1.
    """
    members, sizes = _reciprocal(_columns(graph, k))
    return _indptr(sizes), _flat(members, sizes)


def k_reciprocal_sets(graph: NeighborGraph, k: int | None = None) -> tuple[_Counts, _Ids]:
    """Return the expanded reciprocal neighbours R* of every face.

    Parameters
    ----------
    graph : NeighborGraph
        Lists with the face itself in column 0.
    k : int, optional
        How many columns to use; all of them by default and at most.

    Returns
    -------
    indptr : ndarray of int64, shape (n + 1,)
    indices : ndarray of int32, shape (m,)

    Raises
    ------
    InputError
        If k is below 1.
    """
    ids = _columns(graph, k)
    n, k = ids.shape
    members, sizes = _reciprocal(ids)
    half_members, half_sizes = _reciprocal(np.ascontiguousarray(ids[:, : k // 2]))
    # At most a third of an R_half that is added is not in R.
    room = k + k * (k // 2 // 3)
    sets = np.empty((min(n, max(1, _SCRATCH_VALUES // room)), room), np.int32)
    counts = np.empty(n, np.int64)
    marks = np.zeros((2, len(parts(n)), n), np.uint8)
    expand, found = partial(_expand, members, sizes, half_members, half_sizes), []
    for chunk in chunks(n, len(sets)):
        faces, count = np.arange(chunk.start, chunk.stop), counts[chunk]
        at_once(
            partial(expand, faces[part], *own, sets[part], count[part])
            for part, *own in zip(parts(len(faces)), *marks, strict=False)
        )
        found.append(_flat(sets[: len(count)], count))
    return _indptr(counts), np.concatenate(found)


def _columns(graph: NeighborGraph, k: int | None) -> _Ids:
    if k is not None and k < 1:
        raise InputError(f"k counts the face itself and must be at least 1, got {k}.")
    return np.ascontiguousarray(graph.ids[:, :k])


def _reciprocal(ids: _Ids) -> tuple[_Ids, _Counts]:
    """Return the reciprocal neighbours (n, k), ascending, and their number (n,)."""
    members = np.empty_like(ids)
    sizes = np.empty(len(ids), np.int64)
    faces = np.arange(len(ids))
    at_once(
        partial(_find_reciprocal, faces[part], ids, members[part], sizes[part])
        for part in parts(len(ids))
    )
    return members, sizes


def _flat(sets: _Ids, sizes: _Counts) -> _Ids:
    """Concatenate the first ``sizes`` entries of the rows."""
    return sets[np.arange(sets.shape[1]) < sizes[:, None]]


def _indptr(sizes: _Counts) -> _Counts:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))


@compiled()
def _find_reciprocal(faces: npt.NDArray[np.int64], ids: _Ids, members: _Ids, sizes: _Counts) -> None:
    for row in range(len(faces)):
        i, size = faces[row], 0
        for c in range(ids.shape[1]):
            j = ids[i, c]
            if j < 0:
                break
            if column_in_list(ids, j, i) >= 0:
                members[row, size] = j
                size += 1
        members[row, :size].sort()
        sizes[row] = size


@compiled()
def _expand(
    members: _Ids,
    sizes: _Counts,
    half_members: _Ids,
    half_sizes: _Counts,
    faces: npt.NDArray[np.int64],
    in_r: npt.NDArray[np.uint8],
    in_set: npt.NDArray[np.uint8],
    sets: _Ids,
    counts: _Counts,
) -> None:
    for row in range(len(faces)):
        i = faces[row]
        count = sizes[i]
        for c in range(count):
            sets[row, c] = members[i, c]
            in_r[members[i, c]] = 1
            in_set[members[i, c]] = 1
        for c in range(sizes[i]):
            j = members[i, c]
            common = 0
            for h in range(half_sizes[j]):
                common += in_r[half_members[j, h]]
            if common == half_sizes[j] or 3 * common < 2 * half_sizes[j]:
                continue
            for h in range(half_sizes[j]):
                if in_set[half_members[j, h]] == 0:
                    in_set[half_members[j, h]] = 1
                    sets[row, count] = half_members[j, h]
                    count += 1
        for c in range(count):
            in_r[sets[row, c]] = 0
            in_set[sets[row, c]] = 0
        sets[row, :count].sort()
        counts[row] = count
