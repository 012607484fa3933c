"""Refinement without learned weights: embeddings become means of their neighbourhoods.

A poor image of an identity differs from the other images, but its neighbourhood does not. Each embedding
is replaced by the mean of its neighbours, weighted by the probability that the pair is genuine, and the
neighbour graph is rebuilt on these means (step 1 of the method; a C-GCN learns the same operation).

The means of two faces have their shared neighbours in common, so that their cosine overstates the
evidence: two impostors that are each other's only neighbours have identical means. The score is
therefore the mean similarity of *different* faces across the two neighbourhoods, on the scale of a
cosine:

    l_ij = (u_i . u_j - sum_a w_ia w_ja) / (t_i t_j - sum_a w_ia w_ja) * (t_i t_j) / (|u_i| |u_j|)

with u_i = sum_a w_ia x_a, t_i = sum_a w_ia and w_ii = 1. For two faces without other neighbours it is
their own similarity, corrected for the smaller norm of their means; for two large neighbourhoods it is
average linkage. It is symmetric and combines cosine with shared neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import ROWS, chunks
from nsrfc.runtime import at_once, compiled, parts

__all__ = ["Neighborhoods", "average_neighbors", "linkage", "weighted_sums"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]

_VANISHED = 1e-6


@dataclass(frozen=True)
class Neighborhoods:
    """Weighted neighbourhoods and their means.

    Attributes
    ----------
    mean : ndarray of float32, shape (n, d)
        u_i / |u_i|, unit vectors.
    norm, total : ndarray of float32, shape (n,)
        |u_i| and t_i.
    ids : ndarray of int32, shape (n, w)
        The neighbours, ascending.
    weights : ndarray of float32, shape (n, w)
        Their weights in [0, 1].
    """

    mean: _Floats
    norm: _Floats
    total: _Floats
    ids: _Ids
    weights: _Floats


def average_neighbors(X: _Floats, ids: _Ids, weights: _Floats) -> Neighborhoods:
    """Average faces with their neighbours.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    ids : ndarray of int32, shape (m, w)
        Neighbours of m of these faces, the face itself in column 0; -1 = none.
    weights : ndarray of float32, shape (m, w)
        Probability that the pair is genuine; column 0 counts as 1.

    Returns
    -------
    Neighborhoods
        Of the m faces.
    """
    n = len(ids)
    columns, chosen = np.empty(ids.shape, np.int32), np.empty(ids.shape, np.float32)
    mean, norm = np.empty((n, X.shape[1]), np.float32), np.empty(n, np.float32)
    for part in chunks(n, ROWS):
        near, weight = np.maximum(ids[part], 0), np.where(ids[part] >= 0, weights[part], np.float32(0))
        weight[:, 0] = 1
        order = np.argsort(near, axis=1, kind="stable")
        columns[part] = np.take_along_axis(near, order, axis=1)
        chosen[part] = np.take_along_axis(weight, order, axis=1)
        mean[part] = weighted_sums(X, columns[part], chosen[part])
        norm[part] = np.linalg.norm(mean[part], axis=1)
        # A mean can only vanish if its neighbours point the opposite way; the face is then kept.
        vanished = part.start + np.flatnonzero(norm[part] < _VANISHED)
        mean[vanished], norm[vanished] = X[ids[vanished, 0]], 1
        mean[part] /= norm[part, None]
    return Neighborhoods(mean, norm, chosen.sum(axis=1), columns, chosen)


def weighted_sums(X: _Floats, ids: _Ids, weights: _Floats) -> _Floats:
    """Weighted sums of listed faces.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
    ids : ndarray of int32, shape (m, w)
        Rows of ``X``.
    weights : ndarray of float32, shape (m, w)

    Returns
    -------
    ndarray of float32, shape (m, d)
    """
    from scipy.sparse import csr_array

    m, width = ids.shape
    starts = np.arange(0, m * width + 1, width)
    sums: _Floats = csr_array((weights.ravel(), ids.ravel(), starts), shape=(m, len(X))) @ X
    return sums


def linkage(ids: _Ids, similarities: _Floats, around: Neighborhoods) -> _Floats:
    """Mean similarity of different faces across two neighbourhoods, on the scale of a cosine.

    Parameters
    ----------
    ids : ndarray of int32, shape (m, k)
        Neighbours of some faces, the face itself in column 0; -1 = none.
    similarities : ndarray of float32, shape (m, k)
        Cosines of ``around.mean``.
    around : Neighborhoods
        Of all faces.

    Returns
    -------
    ndarray of float32, shape (m, k)
        l_ij (see the module) for every listed neighbour, at most 1; 1 in column 0.
    """
    out, faces = np.empty(ids.shape, np.float32), ids[:, 0].astype(np.int64)
    members = around.ids, around.weights, around.norm, around.total
    at_once(
        partial(_link, faces[rows], ids[rows], similarities[rows], *members, out[rows])
        for rows in parts(len(faces))
    )
    return out


@compiled()
def _link(
    faces: npt.NDArray[np.int64],
    ids: _Ids,
    similarities: _Floats,
    members: _Ids,
    weights: _Floats,
    norm: _Floats,
    total: _Floats,
    out: _Floats,
) -> None:
    width = members.shape[1]
    for row in range(len(ids)):
        i = faces[row]
        out[row, 0] = 1
        for c in range(1, ids.shape[1]):
            j = ids[row, c]
            if j < 0:
                out[row, c] = -1
                continue
            shared = np.float32(0)
            p = q = 0
            while p < width and q < width:
                if members[i, p] == members[j, q]:
                    shared += weights[i, p] * weights[j, q]
                    p += 1
                    q += 1
                elif members[i, p] < members[j, q]:
                    p += 1
                else:
                    q += 1
            norms, totals = norm[i] * norm[j], total[i] * total[j]
            across = (similarities[row, c] * norms - shared) / max(totals - shared, np.float32(1e-6))
            out[row, c] = min(np.float32(1), across * totals / norms)
