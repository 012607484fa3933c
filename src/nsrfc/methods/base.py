"""The interface of all methods: the four steps, from faces to components."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import BATCH
from nsrfc.errors import InputError
from nsrfc.progress import Progress
from nsrfc.records import Components, DensityGraph, NeighborGraph, Neighborhood, ScorePrior
from nsrfc.rowstore import NoResults, Results

if TYPE_CHECKING:
    from nsrfc.execution.base import Executor
    from nsrfc.graph.constraints import Constraints
    from nsrfc.methods.placement import Chance, Placement
    from nsrfc.model.settings import ClusterComparison

__all__ = ["EdgeScorer", "Method", "Run"]

_Floats = npt.NDArray[np.float32]

EdgeScorer = Callable[[npt.NDArray[np.int64]], _Floats]
"""Returns the probabilities (m,) that density edges, given by their numbers (m,), are genuine pairs. The
probability of an edge does not depend on the other edges in the call."""


@dataclass(frozen=True)
class Run:
    """How a run is executed. Nothing here is part of the method.

    Attributes
    ----------
    device : str
        Where networks and an exact search run: "auto", "cpu", "cuda", ...
    dtype : {"float32", "bfloat16"}
        Floating-point precision of the networks.
    cache : path-like, optional
        Folder for the results of stages: an interrupted run, started again with the same faces and
        settings, resumes from them.
    progress : Progress
        Reports every stage; holds their duration in seconds afterwards.
    batch : int
        Lists or edges that a network scores at a time.
    mapped : bool
        Whether arrays of vectors and lists are mapped from files in ``cache``, so that they may exceed
        the memory. Results are the same.
    executor : Executor, optional
        Where tasks run; they need a ``cache``, which is a folder that all workers see. In this process
        by default.
    """

    device: str = "auto"
    dtype: str = "float32"
    cache: str | os.PathLike[str] | None = None
    progress: Progress = field(default_factory=Progress)
    batch: int = BATCH
    mapped: bool = False
    executor: Executor | None = None

    @cached_property
    def results(self) -> Results:
        """The cache of results.

        Raises
        ------
        InputError
            If ``cache`` is not a path, or missing where ``executor`` or ``mapped`` needs it.
        """
        if self.cache is None:
            if self.executor is not None:
                raise InputError("Tasks hand over their results in files: give a cache folder, too.")
            if self.mapped:
                raise InputError("mapped: arrays are in files of the cache: give a cache folder, too.")
            return NoResults()
        from nsrfc.storage.artifacts import Artifacts

        kept = Artifacts.at(self.cache, mapped=self.mapped)
        if self.executor is None:
            return kept
        from nsrfc.execution.results import TaskResults

        # Workers may have another working folder.
        return TaskResults(kept.folder.absolute(), self.executor)


class Method(Protocol):
    """The four steps on distinct faces in canonical order. No step reads a label.

    Everything computed from the faces is in the records passed between the steps; the method itself
    holds only settings and networks.
    """

    @property
    def k(self) -> int:
        """Length of a neighbour list, the face itself included."""

    @property
    def search(self) -> str:
        """How neighbours are found: "auto", "exact" or "approximate"."""

    @property
    def seed(self) -> int:
        """Seed of random samples and of the approximate search."""

    @property
    def prior(self) -> ScorePrior | None:
        """What is known of the scores of the embeddings as given."""

    def neighborhood(self, faces: _Floats, graph: NeighborGraph | None, run: Run) -> Neighborhood:
        """Step 1: find neighbours, refine the faces (n, d), and rebuild the graph on them.

        ``graph`` holds the nearest neighbours by cosine, if already known. ``faces`` may be overwritten.
        """

    def affinity(self, near: Neighborhood, run: Run) -> _Floats:
        """Step 1, end: a_ij (n, k), the affinity of face i and its neighbour j."""

    def density_graph(self, near: Neighborhood, affinity: _Floats, run: Run) -> DensityGraph:
        """Step 2: density of every face, density edges and similarity edges."""

    def edge_scorer(self, near: Neighborhood, density: DensityGraph, run: Run) -> EdgeScorer:
        """Step 3: return a function that scores density edges on demand."""

    def components(
        self,
        near: Neighborhood,
        density: DensityGraph,
        scorer: EdgeScorer,
        run: Run,
        constraints: Constraints | None = None,
    ) -> Components:
        """Step 4: cluster by similarity edges and the density edges that are kept."""

    @property
    def threshold(self) -> float:
        """Minimum probability at which a new face joins a known one."""

    @property
    def least_probability(self) -> float:
        """Minimum probability of a density edge that is followed."""

    @property
    def cluster_comparison(self) -> ClusterComparison | None:
        """When two clusters are similar enough to be joined; None if they are not compared."""

    def chance(self, near: Neighborhood, run: Run) -> Chance:
        """Return a function that scores new faces against known ones, given by their neighbourhood.

        Their vectors are the embeddings as given, and their lists the nearest by cosine.
        """

    def placement(self, faces: _Floats, labels: npt.NDArray[np.int64], run: Run) -> Placement:
        """Return a function that assigns new faces to clusters: labels (n,) of unit vectors (n, d)."""

    def record(self) -> Mapping[str, Any]:
        """Return name and settings of the method as JSON values."""
