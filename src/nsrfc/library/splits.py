"""Where to split a cluster that shows two persons.

What a human said of its faces is left aside, as a word may be what joined the two. The spanning tree of
its edges is cut where the two sides are least like one person for the number of pairs that they part:
where ``(1 - p) |A| |B|`` is largest, with p by the normalised similarity of the sides alone. Then every
face goes to the side to which its mean cosine is higher, until none moves: a poor image may hang on the
wrong side by a single edge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.library.decision import Decision
from nsrfc.library.questions import chance
from nsrfc.library.trees import ClusterSums, Comparison, spanning_tree
from nsrfc.records import EdgeList

__all__ = ["suggested_split"]

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.bool_]

ROUNDS = 20
"""Maximum number of times that faces change sides."""


def suggested_split(decision: Decision, faces: _Rows) -> _Rows:
    """Propose which faces of a group are another person than the rest.

    Parameters
    ----------
    decision : Decision
    faces : ndarray of int64, shape (m,)
        Ids of the faces of the group, ascending.

    Returns
    -------
    ndarray of int64, shape (s,)
        The smaller side, ascending; empty if all faces are of one scene.
    """
    rows = np.searchsorted(decision.faces, faces)
    units, unit = np.unique(decision.unit[rows], return_inverse=True)
    if len(units) < 2:
        return faces[:0]
    vectors, weight = decision.vectors[units], np.bincount(unit)
    number = np.full(len(decision.vectors), -1, np.int32)
    number[units] = np.arange(len(units))
    edges = decision.edges
    inside = (number[edges.source] >= 0) & (number[edges.target] >= 0)
    own = EdgeList(number[edges.source[inside]], number[edges.target[inside]], edges.score[inside])
    usual = ClusterSums.sum_up(decision.vectors, decision.of_units)
    comparison = Comparison.of(usual, decision.impostor_mean)
    every = np.arange(len(units))
    whole = np.zeros(len(units), np.int64)
    tree = spanning_tree(whole, own, every, vectors, comparison)
    similarity = tree.similarity(vectors, ClusterSums.sum_up(vectors, whole), comparison)
    low = tree.sums(weight)
    gain = (1 - chance(np.zeros(len(low)), similarity)) * (low * (len(faces) - low))
    side = _settled(vectors, weight, tree.side(int(gain.argmax())))
    if 2 * weight[side].sum() > len(faces):
        side = ~side
    return faces[side[unit]]


def _settled(vectors: _Floats, weight: _Rows, side: _Mask) -> _Mask:
    """Move units (u,) to the side to which their mean cosine is higher, itself left out."""
    for _ in range(ROUNDS):
        cosine = []
        for part in (side, ~side):
            own = part * weight
            total = vectors @ (own @ vectors)
            # Of a face alone on its side nothing is left to compare: it stays.
            left = own.sum() - own
            cosine.append(np.where(left > 0, (total - own) / np.maximum(left, 1), np.inf))
        moved = cosine[0] > cosine[1]
        if (moved == side).all() or moved.all() or not moved.any():
            return side
        side = moved
    return side
