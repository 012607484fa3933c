"""Positions of faces in the lists of other faces."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import ROWS, chunks
from nsrfc.runtime import at_once, compiled, parts

__all__ = ["both_directions", "column_in_list", "columns_in_lists", "reverse_columns"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]


@compiled()
def column_in_list(ids: _Ids, owner: int, face: int) -> np.int32:
    """Column of ``face`` in the list of ``owner``; -1 if it is not listed. For compiled code."""
    # No early exit, so that the compiler can vectorise the loop.
    column = np.int32(-1)
    for c in range(ids.shape[1]):
        column = max(column, np.int32(c) if ids[owner, c] == face else np.int32(-1))
    return column


def columns_in_lists(ids: _Ids, owners: npt.ArrayLike, faces: npt.ArrayLike) -> _Ids:
    """Find the columns of faces in lists.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, each once in a list; -1 = none.
    owners, faces : array_like of int, shape (m,)
        Faces whose lists are searched, and faces to find in them.

    Returns
    -------
    ndarray of int32, shape (m,)
        Column of the face; -1 if it is not listed.
    """
    owners, faces = np.asarray(owners, np.int64), np.asarray(faces, np.int64)
    columns = np.empty(len(owners), np.int32)
    for part in chunks(len(owners), ROWS):
        found = ids[owners[part]] == faces[part, None]
        columns[part] = np.where(found.any(axis=1), found.argmax(axis=1), -1)
    return columns


def reverse_columns(ids: _Ids) -> _Ids:
    """Find each face in the lists of its neighbours.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours, each once in a list; -1 = none.

    Returns
    -------
    ndarray of int32, shape (n, k)
        Column of i in the list of its neighbour j; -1 if it is not listed.
    """
    columns, faces, ids = (
        np.full(ids.shape, -1, np.int32),
        np.arange(len(ids)),
        np.ascontiguousarray(ids),
    )
    at_once(partial(_find_reverse, faces[part], ids, columns) for part in parts(len(ids)))
    return columns


def both_directions(ids: _Ids, values: _Floats) -> _Floats:
    """Return the values of each listed pair in both directions.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours; -1 = none.
    values : ndarray of float32, shape (n, k)
        A value for each listed pair.

    Returns
    -------
    ndarray of float32, shape (n, k, 2)
        The value of (i, j), then that of (j, i), or that of (i, j) again if j does not list i.
    """
    reverse = reverse_columns(ids)
    safe = np.maximum(reverse, 0)
    other = np.where(reverse >= 0, values[np.maximum(ids, 0), safe], values)
    return np.stack((values, other), axis=-1)


@compiled()
def _find_reverse(faces: npt.NDArray[np.int64], ids: _Ids, columns: _Ids) -> None:
    for i in faces:
        for c in range(ids.shape[1]):
            if ids[i, c] >= 0:
                columns[i, c] = column_in_list(ids, ids[i, c], i)
