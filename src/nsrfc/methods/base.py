"""What every method answers: the four steps, from faces to components."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import BATCH
from nsrfc.progress import Progress
from nsrfc.records import Components, DensityGraph, NeighborGraph, Neighborhood
from nsrfc.rowstore import NoResults, Results

if TYPE_CHECKING:
    from nsrfc.methods.placement import Placement

__all__ = ["EdgeScorer", "Method", "Run"]

_Floats = npt.NDArray[np.float32]

EdgeScorer = Callable[[npt.NDArray[np.int64]], _Floats]
"""Probabilities (m,) that density edges, given by their numbers (m,), join one identity. An edge has the
same one whatever others are asked about with it."""


@dataclass(frozen=True)
class Run:
    """How a run is carried out. Nothing here is part of the method.

    Attributes
    ----------
    device : str
        Where networks and an exact search run: "auto", "cpu", "cuda", ...
    dtype : {"float32", "bfloat16"}
        Floating-point precision of the networks.
    cache : path-like, optional
        Folder where results of stages are kept: a run that was cut off, given the same faces and
        settings again, goes on from there.
    progress : Progress
        Told of every stage; holds their seconds afterwards.
    batch : int
        Lists or edges that a network scores at a time.
    """

    device: str = "auto"
    dtype: str = "float32"
    cache: str | os.PathLike[str] | None = None
    progress: Progress = field(default_factory=Progress)
    batch: int = BATCH

    @cached_property
    def results(self) -> Results:
        """The results that are kept in ``cache``.

        Raises
        ------
        InputError
            If it is no path.
        """
        if self.cache is None:
            return NoResults()
        from nsrfc.storage.artifacts import Artifacts

        return Artifacts.at(self.cache)


class Method(Protocol):
    """The four steps on distinct faces in canonical order. No step reads a label.

    What follows from the faces alone stands in the records that are passed on; what the method itself
    decides by, in its settings.
    """

    @property
    def k(self) -> int:
        """Length of a list of neighbours, the face itself included."""

    @property
    def search(self) -> str:
        """How neighbours are found: "auto", "exact" or "approximate"."""

    @property
    def seed(self) -> int:
        """Seed of whatever is sampled."""

    def neighborhood(self, faces: _Floats, graph: NeighborGraph | None, run: Run) -> Neighborhood:
        """Step 1: find neighbours, refine the faces (n, d), and find neighbours anew.

        ``graph`` holds the neighbours by cosine, where they are known already.
        """

    def affinity(self, near: Neighborhood, run: Run) -> _Floats:
        """Step 1, its end: a_ij (n, k), how much neighbour j speaks for the identity of i."""

    def density_graph(self, near: Neighborhood, affinity: _Floats, run: Run) -> DensityGraph:
        """Step 2: density of every face, density edges and similarity edges."""

    def edge_scorer(self, near: Neighborhood, density: DensityGraph, run: Run) -> EdgeScorer:
        """Step 3: what says which density edges join one identity; it scores those it is asked about."""

    def components(
        self, near: Neighborhood, density: DensityGraph, scorer: EdgeScorer, run: Run
    ) -> Components:
        """Step 4: follow similarity edges and the density edges that hold."""

    def placement(self, faces: _Floats, labels: npt.NDArray[np.int64], run: Run) -> Placement:
        """Return what places new faces in the clusters found: labels (n,) of unit vectors (n, d)."""

    def record(self) -> Mapping[str, Any]:
        """Say what decides, in values of JSON."""
