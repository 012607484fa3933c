"""Connected components of edges that a network must judge, judging as few of them as can be (step 4).

An edge whose ends are already connected cannot change the answer. So the certain edges are joined first;
then, best first, an uncertain edge is judged only if the better ones that hold leave its ends apart.

Edges are judged in rounds. A round takes an edge if its ends are apart even if all that the round took
before it should hold; otherwise the edge waits for their verdicts. So the edges judged are those that
one-by-one judging would take, however many make a round: a different order never costs a verdict.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from nsrfc.graph.components import relabel_by_first_appearance
from nsrfc.graph.union_find import root, roots
from nsrfc.records import EdgeList

__all__ = ["Connected", "Judge", "connect"]

_Ids = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float32]

Judge = Callable[[npt.NDArray[np.int64]], _Floats]
"""Probabilities (m,) of the edges whose numbers (m,) are given."""

ROUND = 65_536
"""Edges judged in a round, at most; neither the labels nor the edges judged depend on it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Connected:
    """Components, and what was found on the way.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance.
    probability : ndarray of float32, shape (m,)
        Of the uncertain edges; NaN for those that were spared.
    """

    labels: npt.NDArray[np.int64]
    probability: _Floats

    @property
    def spared(self) -> int:
        """Number of edges that were not judged."""
        return int(np.isnan(self.probability).sum())


def connect(
    n: int,
    certain: EdgeList,
    uncertain: EdgeList,
    judge: Judge,
    threshold: float,
    *,
    most: int = ROUND,
) -> Connected:
    """Find the components of all certain edges and of the uncertain ones that hold.

    Parameters
    ----------
    n : int
        Number of faces.
    certain : EdgeList
        Scores are not read.
    uncertain : EdgeList
        Of m edges; the higher its score, the earlier an edge is judged.
    judge : callable
        Gives the probability of edges; the same whatever others it is asked about.
    threshold : float
        Probability from which on an edge holds.
    most : int
        Edges judged in a round, at most.

    Returns
    -------
    Connected
        Labels as if every edge had been judged. The number of spared edges goes to the log.
    """
    parent = np.arange(n)
    _join(parent, certain.source, certain.target)
    probability = np.full(len(uncertain), np.nan, np.float32)
    waiting = np.argsort(-uncertain.score, kind="stable")
    while True:
        taken, waiting = _next_round(parent, uncertain.source, uncertain.target, waiting, most)
        if len(taken) == 0:
            break
        probability[taken] = judge(taken)
        held = taken[probability[taken] >= threshold]
        _join(parent, uncertain.source[held], uncertain.target[held])
    found = Connected(relabel_by_first_appearance(roots(parent)), probability)
    _logger.info("%s of %s density edges could change nothing and were spared.", *_counts(found))
    return found


def _counts(found: Connected) -> tuple[str, str]:
    return f"{found.spared:,}", f"{len(found.probability):,}"


def _next_round(
    parent: npt.NDArray[np.int64], source: _Ids, target: _Ids, waiting: npt.NDArray[np.int64], most: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the edges of the next round and those that wait on; redundant ones are in neither."""
    kind = np.empty(len(waiting), np.uint8)
    _sort_out(parent, parent.copy(), source, target, waiting, most, kind)
    return waiting[kind == _TAKEN], waiting[kind == _WAITS]


_REDUNDANT, _TAKEN, _WAITS = 0, 1, 2


@njit(cache=True, nogil=True)
def _sort_out(
    parent: npt.NDArray[np.int64],
    hoped: npt.NDArray[np.int64],
    source: _Ids,
    target: _Ids,
    waiting: npt.NDArray[np.int64],
    most: int,
    kind: npt.NDArray[np.uint8],
) -> None:
    """Say what becomes of each waiting edge; ``hoped`` becomes ``parent`` if all taken edges hold."""
    count = 0
    for position, edge in enumerate(waiting):
        i, j = source[edge], target[edge]
        if root(parent, i) == root(parent, j):
            kind[position] = _REDUNDANT
        elif count == most or root(hoped, i) == root(hoped, j):
            kind[position] = _WAITS
        else:
            kind[position] = _TAKEN
            hoped[root(hoped, i)] = root(hoped, j)
            count += 1


@njit(cache=True, nogil=True)
def _join(parent: npt.NDArray[np.int64], source: _Ids, target: _Ids) -> None:
    for edge in range(len(source)):
        parent[root(parent, source[edge])] = root(parent, target[edge])
