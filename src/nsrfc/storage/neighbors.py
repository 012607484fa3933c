"""Reading and writing neighbour graphs, in the layout of this package or of the reference.

``nsrfc``      an ``.npz`` with ``ids`` int32 (n, k) and ``similarities`` float32 (n, k), as in a
               `NeighborGraph`.
``reference``  an ``.npz`` with ``data`` (n, 2, k), as in ``faiss_k_80.npz``: ``data[:, 0]`` are
               row numbers and ``data[:, 1]`` are 1 - cosine. If faces have duplicates, a face may
               come after them in its list, or be missing from it; reading corrects this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, enumerate_names, shortened, shown
from nsrfc.records import NeighborGraph
from nsrfc.storage.arrays import npz_headers, read_npz_array, write_npz
from nsrfc.storage.files import PathLike, existing_file, known_suffix
from nsrfc.vectors import enumerate_rows

__all__ = ["neighbors_shape", "read_neighbors", "write_neighbors"]

SUFFIXES = (".npz",)
BLOCK_ROWS = 16384
# Cosines of half-precision vectors leave [-1, 1] by about a thousandth.
ROUNDING = 0.01


def read_neighbors(path: PathLike) -> NeighborGraph:
    """Read a neighbour graph in either layout.

    Memory: the graph, and for the reference's layout the stored array beside it.

    Parameters
    ----------
    path : path-like
        An ``.npz`` file.

    Returns
    -------
    NeighborGraph
        From the package's layout as stored. From the reference's: each face first in its own list
        with similarity 1 (a missing face replaces the last entry), then the others by descending
        similarity, ties by lower id; similarities clipped to [-1, 1].

    Raises
    ------
    InputError
        If there is no such file, it is damaged, has neither layout, or holds invalid row numbers or
        distances.
    """
    path = existing_file(path, SUFFIXES, "neighbour graphs")
    headers = npz_headers(path)
    if "data" in headers:
        return _from_reference(read_npz_array(path, "data"), f"{path}[data]")
    if {"ids", "similarities"} <= headers.keys():
        ids, similarities = (read_npz_array(path, key) for key in ("ids", "similarities"))
        try:
            return NeighborGraph(ids, similarities)
        except InputError as error:
            raise InputError(f"{path}: {error} Build it anew.") from error
    raise _no_graph(path, headers)


def neighbors_shape(path: PathLike) -> tuple[int, int]:
    """Read only the number of faces and of neighbours from a file.

    Raises
    ------
    InputError
        As :func:`read_neighbors`, as far as the array headers show.
    """
    path = existing_file(path, SUFFIXES, "neighbour graphs")
    headers = npz_headers(path)
    if "data" in headers:
        data = headers["data"]
        _check_reference(data.shape, data.dtype, f"{path}[data]")
        return data.shape[0], data.shape[2]
    if {"ids", "similarities"} <= headers.keys():
        ids, similarities = headers["ids"].shape, headers["similarities"].shape
        if len(ids) != 2 or ids != similarities:
            raise InputError(
                f"{path} holds ids of shape {shown(ids)} and similarities of shape "
                f"{shown(similarities)}, but a neighbour graph has one shape (faces, k): build it anew."
            )
        return ids[0], ids[1]
    raise _no_graph(path, headers)


def write_neighbors(
    path: PathLike, graph: NeighborGraph, *, layout: Literal["nsrfc", "reference"] = "nsrfc"
) -> None:
    """Write a neighbour graph so that `read_neighbors` reads it, whole or not at all.

    Parameters
    ----------
    path : path-like
        An ``.npz`` file.
    graph : NeighborGraph
        What to write.
    layout : {"nsrfc", "reference"}
        In the reference's layout, similarities are rounded when 1 - s is stored as float32.

    Raises
    ------
    InputError
        If the suffix or layout is unknown, or the file cannot be written.
    """
    known_suffix(path, SUFFIXES, "neighbour graphs")
    if layout == "nsrfc":
        write_npz(path, {"ids": graph.ids, "similarities": graph.similarities})
    elif layout == "reference":
        # float32 represents integers exactly only up to 2**24.
        dtype = np.float32 if graph.n <= 2**24 else np.float64
        data = np.empty((graph.n, 2, graph.k), dtype=dtype)
        data[:, 0] = graph.ids
        np.subtract(1, graph.similarities, out=data[:, 1])
        write_npz(path, {"data": data})
    else:
        raise InputError(f"layout must be 'nsrfc' or 'reference', got {layout!r}.")


def _no_graph(path: PathLike, names: Iterable[str]) -> InputError:
    return InputError(
        f"{path} holds neither 'data' nor 'ids' and 'similarities' (it holds "
        f"{enumerate_names(names) or 'nothing'}): give a neighbour graph."
    )


def _check_reference(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    if len(shape) != 3 or shape[1] != 2 or 0 in shape or dtype.kind not in "fi":
        raise InputError(
            f"{name} is {shortened(dtype)} of shape {shown(shape)}, but the reference's layout is "
            f"numbers (faces, 2, k) with ids and 1 - cosine: write it so."
        )


def _from_reference(data: npt.NDArray[Any], name: str) -> NeighborGraph:
    _check_reference(data.shape, data.dtype, name)
    n, _, k = data.shape
    if data.dtype.kind == "f" and n > 2 ** (np.finfo(data.dtype).nmant + 1):
        raise InputError(f"{name}: {data.dtype} cannot tell {n} row numbers apart: use float64.")
    ids = np.empty((n, k), dtype=np.int32)
    similarities = np.empty((n, k), dtype=np.float32)
    for start in range(0, n, BLOCK_ROWS):
        rows = np.arange(start, min(n, start + BLOCK_ROWS))
        found, distances = data[rows, 0], data[rows, 1]
        # numpy warns of a signalling NaN, which is refused as an id, and of distances of absent
        # neighbours, which may be anything.
        with np.errstate(invalid="ignore", over="ignore"):
            _check_block(rows, found, distances, n, name)
            ids[rows], similarities[rows] = _face_first(rows, found, 1 - distances.astype(np.float32))
    return NeighborGraph(ids, similarities)


def _check_block(
    rows: npt.NDArray[np.intp],
    found: npt.NDArray[Any],
    distances: npt.NDArray[Any],
    n: int,
    name: str,
) -> None:
    """Refuse rows with invalid ids, or distances that are not 1 - cosine."""
    present = found >= 0
    no_ids = (found != np.floor(found)) | (found < -1) | (found >= n)
    no_distances = present & ~((distances >= -ROUNDING) & (distances <= 2 + ROUNDING))
    far_from_itself = (found == rows[:, None]) & (distances > 0.5)
    for wrong, fault, fix in (
        (
            no_ids,
            f"ids that are not whole numbers in -1..{n - 1}",
            "build the graph of these faces",
        ),
        (no_distances, "distances outside 0..2", "store 1 - cosine"),
        (far_from_itself, "a face far from itself", "store 1 - cosine, not the cosine"),
    ):
        at = rows[wrong.any(axis=1)]
        if len(at):
            raise InputError(f"{name} has {fault} in {enumerate_rows(at)}, counted from 0: {fix}.")


def _face_first(
    rows: npt.NDArray[np.intp], found: npt.NDArray[Any], similarities: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Sort lists (b, k) by descending similarity, the face itself first and missing entries last."""
    k = found.shape[1]
    ids = np.column_stack([rows, found]).astype(np.int32)
    similarities = np.column_stack([np.ones(len(rows), np.float32), similarities.clip(-1, 1)])
    absent = ids < 0
    # The face is put first, so another entry of it in the list is a duplicate.
    absent[:, 1:] |= found == rows[:, None]
    ids[absent] = -1
    similarities[absent] = -np.inf
    rank = -similarities
    rank[:, 0] = -np.inf
    order = np.lexsort((ids, rank))[:, :k]
    ids = np.take_along_axis(ids, order, axis=1)
    similarities = np.take_along_axis(similarities, order, axis=1)
    similarities[ids < 0] = 0
    return ids, similarities
