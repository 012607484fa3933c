"""The work of networks by rows, as tasks that any process can run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nsrfc.records import EdgeList
from nsrfc.rowstore import Arrays
from nsrfc.runtime import in_blocks

__all__ = [
    "CACHED",
    "EdgeInputs",
    "EdgeScoreTask",
    "ListInputs",
    "ListScoreTask",
    "Scorer",
    "device_of",
    "precision",
]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.integer]

CACHED = 64
"""Lists or edges that a core scores at a time: what one layer hands to the next stays in its cache."""

ListInputs = Callable[[_Rows], tuple[Tensor, ...]]
"""Gathers the input of a network for the lists of some faces. It can be pickled."""

EdgeInputs = Callable[[_Rows, _Rows], tuple[Tensor, ...]]
"""Gathers the input of a network for edges, given their sources and targets. It can be pickled."""


@dataclass(frozen=True)
class Scorer:
    """Scores a batch with a network.

    Attributes
    ----------
    network : Module
        In evaluation mode.
    log_odds : callable
        Turns its output for some inputs into log-odds.
    dtype : {"float32", "bfloat16"}
        Floating-point precision.
    """

    network: nn.Module
    log_odds: Callable[[nn.Module, tuple[Tensor, ...]], Tensor]
    dtype: str

    def __call__(self, inputs: tuple[Tensor, ...]) -> _Floats:
        """Return the probabilities that pairs are genuine; every core scores some of the rows."""
        if len(inputs[0]) <= CACHED or device_of(self.network).type != "cpu":
            return self._probability(inputs)
        found: dict[int, _Floats] = {}

        def score(rows: slice) -> None:
            found[rows.start] = self._probability(tuple(each[rows] for each in inputs))

        in_blocks(len(inputs[0]), CACHED, score)
        return np.concatenate([found[start] for start in sorted(found)])

    def _probability(self, inputs: tuple[Tensor, ...]) -> _Floats:
        with torch.no_grad(), precision(self.network, self.dtype):
            odds = self.log_odds(self.network, inputs)
            found: _Floats = odds.float().sigmoid().cpu().numpy()
            return found


@dataclass(frozen=True)
class ListScoreTask:
    """Scores the neighbours ``ids`` (n, w) of all faces, or of ``faces`` (n,); ``step`` at a time."""

    scorer: Scorer
    gather: ListInputs
    ids: _Ids
    step: int
    faces: _Rows | None = None

    def __call__(self, rows: slice) -> Arrays:
        """Return probabilities: 1 for the face itself, 0 where there is no neighbour."""
        faces = np.arange(rows.start, rows.stop) if self.faces is None else self.faces[rows]
        found = self.scorer(self.gather(faces))
        found[self.ids[rows] < 0] = 0
        found[:, 0] = 1
        return {"probability": found}


@dataclass(frozen=True)
class EdgeScoreTask:
    """Scores edges with a network, ``step`` at a time."""

    scorer: Scorer
    gather: EdgeInputs
    edges: EdgeList
    step: int

    def __call__(self, rows: slice) -> Arrays:
        """Return probabilities."""
        return {
            "probability": self.scorer(self.gather(self.edges.source[rows], self.edges.target[rows]))
        }


@contextmanager
def precision(network: nn.Module, dtype: str) -> Iterator[None]:
    """Run a network in a floating-point precision."""
    with torch.autocast(device_of(network).type, torch.bfloat16, enabled=dtype == "bfloat16"):
        yield


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights."""
    return next(network.parameters()).device
