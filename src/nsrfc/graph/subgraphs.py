"""The subgraph around each face, as read by the published C-GCN, and the local adjacency.

The subgraph of face i with hops (80, 10) consists of i, its list up to column 79, and columns 1..10 of
the lists of those: at most 870 faces. The published code pads to 801 and fails on more; here the widest
subgraph of the batch sets the width. It also numbers the faces in an arbitrary order; here they ascend,
which makes no difference to the C-GCN.

In the local adjacency two faces are adjacent if one is among the 10 nearest of the other, itself
included.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array

from nsrfc.errors import InputError
from nsrfc.runtime import at_once, compiled, parts

__all__ = ["Subgraphs", "local_adjacency", "subgraphs"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Subgraphs:
    """A batch of padded subgraphs.

    Attributes
    ----------
    nodes : ndarray of int32, shape (b, m)
        Faces of each subgraph, ascending; -1 = padding, at the end.
    center : ndarray of int64, shape (b,)
        Column of the face that each subgraph is centred on.
    adjacency : ndarray of float32, shape (b, m, m)
        Local adjacency between them; 0 for padding.
    """

    nodes: _Ids
    center: npt.NDArray[np.int64]
    adjacency: _Floats

    @property
    def mask(self) -> _Floats:
        """1 for pairs of faces, 0 for padding, shape (b, m, m)."""
        present = (self.nodes >= 0).astype(np.float32)
        product: _Floats = present[:, :, None] * present[:, None, :]
        return product


def subgraphs(
    ids: _Ids,
    adjacency: csr_array,
    faces: npt.ArrayLike,
    hops: tuple[int, int] = (80, 10),
    width: int = 0,
) -> Subgraphs:
    """Cut out the subgraphs around some faces.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        (Re-ranked) neighbours, the face itself in column 0; -1 = none.
    adjacency : csr_array of float32, shape (n, n)
        See :func:`local_adjacency`.
    faces : array_like of int, shape (b,)
    hops : (int, int)
        Number of columns of a face's list, column 0 included; number of columns of their lists, column 0
        not included.
    width : int
        Minimum width after padding.

    Returns
    -------
    Subgraphs

    Raises
    ------
    InputError
        If a face is not one of 0..n-1.
    """
    faces = np.asarray(faces, np.int64)
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(ids):
        raise InputError(f"Faces must lie in 0..{len(ids) - 1}, found {faces.min()}..{faces.max()}.")
    collected = np.full((len(faces), hops[0] * (hops[1] + 1)), -1, np.int32)
    sizes = np.zeros(len(faces), np.int64)
    collect = partial(_collect, np.ascontiguousarray(ids), *hops)
    at_once(partial(collect, faces[part], collected[part], sizes[part]) for part in parts(len(faces)))
    nodes = np.full((len(faces), max(width, sizes.max(initial=1))), -1, np.int32)
    taken = min(nodes.shape[1], collected.shape[1])
    nodes[:, :taken] = collected[:, :taken]
    center = (nodes == faces[:, None]).argmax(axis=1)
    dense = np.zeros((*nodes.shape, nodes.shape[1]), np.float32)
    cut = partial(_cut, adjacency.indptr, adjacency.indices, adjacency.data)
    at_once(partial(cut, nodes[part], sizes[part], dense[part]) for part in parts(len(faces)))
    return Subgraphs(nodes, center, dense)


def local_adjacency(ids: _Ids, similarities: _Floats, neighbors: int = 10) -> csr_array:
    """Connect each face to its nearest neighbours and to the faces that have it among theirs.

    Parameters
    ----------
    ids : ndarray of int32, shape (n, k)
        Neighbours by cosine, the face itself in column 0; -1 = none.
    similarities : ndarray of float32, shape (n, k)
        Neighbours of negative similarity are left out.
    neighbors : int
        Number of columns used, column 0 included.

    Returns
    -------
    csr_array of float32, shape (n, n)
        Symmetric, with the larger similarity if two faces list each other; 1 on the diagonal.
        Indices of a row ascend.
    """
    n = len(ids)
    near, similarity = ids[:, :neighbors], similarities[:, :neighbors]
    row, column = np.nonzero((near >= 0) & (near != np.arange(n)[:, None]) & (similarity >= 0))
    directed = csr_array((similarity[row, column], (row, near[row, column])), shape=(n, n))
    symmetric = csr_array(directed.maximum(directed.T) + eye_array(n, dtype=np.float32, format="csr"))
    symmetric.sort_indices()
    return symmetric


@compiled()
def _collect(
    ids: _Ids,
    first: int,
    second: int,
    faces: npt.NDArray[np.int64],
    nodes: _Ids,
    sizes: npt.NDArray[np.int64],
) -> None:
    """Write the faces of each subgraph, ascending, and their number."""
    k = ids.shape[1]
    for b in range(len(faces)):
        found = np.empty(1 + first * (second + 1), np.int32)
        found[0] = faces[b]
        count = 1
        for c in range(min(first, k)):
            i = ids[faces[b], c]
            if i < 0:
                continue
            found[count] = i
            count += 1
            if c == 0:
                continue
            for d in range(1, min(second + 1, k)):
                if ids[i, d] >= 0:
                    found[count] = ids[i, d]
                    count += 1
        size = 0
        for node in np.sort(found[:count]):
            if size == 0 or nodes[b, size - 1] != node:
                nodes[b, size] = node
                size += 1
        sizes[b] = size


@compiled()
def _cut(
    indptr: npt.NDArray[np.int32],
    indices: npt.NDArray[np.int32],
    data: _Floats,
    nodes: _Ids,
    sizes: npt.NDArray[np.int64],
    dense: _Floats,
) -> None:
    """Write the submatrix of a sparse matrix for each subgraph."""
    for b in range(len(nodes)):
        members = nodes[b, : sizes[b]]
        for a in range(len(members)):
            for entry in range(indptr[members[a]], indptr[members[a] + 1]):
                place = np.searchsorted(members, indices[entry])
                if place < len(members) and members[place] == indices[entry]:
                    dense[b, a, place] = data[entry]
