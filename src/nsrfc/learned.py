"""From embeddings to people: the steps of the method in order, with a model (NSR-FC).

1. Neighbour graph: the k nearest by cosine; embeddings refined by the C-GCN and the graph rebuilt on
   them; a_ij, the probability that a neighbour is the same person, by the pair network.
2. Local density graph: S_ij by LCENet, density of every face, density edges and similarity edges.
3. Connectivity: PCENet judges the density edges that can still change the answer.
4. Clusters: connected components of what is kept, but for an edge that would join two groups unlike each
   other.

A step that did not earn its place in training is left out (`ModelSettings.used`). No label is read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc import pipeline
from nsrfc.chunks import BATCH, release
from nsrfc.config import ClusterConfig
from nsrfc.graph.components import confidence, drop_small, relabel_by_first_appearance
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.checks import check_count, check_neighbor_graph
from nsrfc.knn.copies import Copies, canonical_rows, renumber
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.calibration import calibrated
from nsrfc.progress import Progress
from nsrfc.records import Clustering, NeighborGraph
from nsrfc.stages import Stages
from nsrfc.storage.artifacts import Artifacts
from nsrfc.storage.files import PathLike
from nsrfc.vectors import normalize

if TYPE_CHECKING:
    import faiss

__all__ = ["Execution", "cluster", "pair_probabilities", "refine_embeddings"]

_Floats = npt.NDArray[np.float32]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Execution:
    """How a model is run: nothing here is part of the method.

    Attributes
    ----------
    device : str
        "auto", "cpu", "cuda", ...
    dtype : str
        "float32" or "bfloat16".
    cache : path-like, optional
        Folder where results of stages are kept, and found by later runs on the same faces.
    progress : Progress
    batch : int
        Lists or edges that a network judges at a time.
    """

    device: str = "auto"
    dtype: str = "float32"
    cache: PathLike | None = None
    progress: Progress = field(default_factory=Progress)
    batch: int = BATCH


def cluster(
    X: npt.ArrayLike,
    model: NSRFC | str | Path,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    index: faiss.Index | None = None,
    threshold: float | None = None,
    tau: float | None = None,
    precision: float | None = None,
    execution: Execution | None = None,
) -> Clustering:
    """Group faces by person with a trained model.

    Parameters
    ----------
    X : array-like of float, shape (n, d)
        Embeddings, of any length; may be memory-mapped. Never written to.
    model : NSRFC, path-like or str
        A model, its folder, or its id on the hub.
    config : ClusterConfig, optional
        ``search``, ``min_cluster_size`` and ``seed`` are read; k is the model's.
    graph : NeighborGraph, optional
        The neighbours of these rows by cosine, if they are known already.
    index : faiss.Index, optional
        An index over the unit vectors of these rows, to be searched instead.
    threshold : float, optional
        Probability from which on a density edge is kept; that of the model by default.
    tau : float, optional
        Strength from which on a pair is joined at once; that of the model by default.
    precision : float, optional
        Share of the joined pairs that are to show one person, at least: the threshold becomes the lowest
        that gave so much on people held out in training. In the place of ``threshold``.
    execution : Execution, optional

    Returns
    -------
    Clustering
        The same for every order of the rows. Confidence is read off PCENet's probability; where an
        edge was spared, because others had joined its ends, off its strength. Sets of fewer faces than
        the model ever learned from (``ModelSettings.fewest``) are clustered by :mod:`nsrfc.pipeline`,
        and thresholds have no meaning there.

    Raises
    ------
    InputError
        If there is no such model, it is for another dimension, never reached the precision, ``X`` is not
        2-D, holds rows that are zero, NaN or infinite, or does not fit the graph or index; or if another
        run works in the folder of results.
    """
    config, execution = ClusterConfig.given(config), execution or Execution()
    model = load_model(model)
    settings = model.settings.decided(threshold, tau, precision)
    unit = normalize(X)
    release(X)
    model.check_dimension(unit.shape[1])
    if index is not None and graph is None:
        graph = build_neighbor_graph(unit, settings.k, index=index, progress=execution.progress)
    rows = _Rows.of(unit)
    distinct = unit[rows.faces]
    del unit
    if len(distinct) < settings.fewest:
        _logger.info("%d faces are too few for the model's networks: rules decide", len(distinct))
        return pipeline.cluster(
            X,
            config.model_copy(update={"k": settings.k}),
            graph=graph,
            device=execution.device,
            progress=execution.progress,
            cache=execution.cache,
        )
    stages = _stages(model, distinct, config, execution)
    given = rows.renumbered(graph, distinct)
    with stages.artifacts.locked():
        known = stages.refine(given)
        known = stages.pairs(known)
        known = stages.density(known)
        density = known.faces.density_graph(settings.tau)
        found = stages.connect(known, density, settings.connect)
        joined = found.labels
        if settings.groups:
            joined = stages.compare_groups(known, density, found, settings.connect)

    strength = calibrated(density.density_edges.score, settings.calibration)
    probability = np.where(np.isnan(found.probability), strength, found.probability)
    sure = confidence(joined, density.density_edges, probability.clip(0, 1))[rows.place]
    labels = relabel_by_first_appearance(joined[rows.place])
    return Clustering(drop_small(labels, config.min_cluster_size), sure)


def refine_embeddings(
    X: npt.ArrayLike,
    model: NSRFC | str | Path,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    execution: Execution | None = None,
) -> _Floats:
    """Refine embeddings with the C-GCN of a model.

    Parameters and errors are those of :func:`cluster`; `InputError` also if the model does not refine.

    Returns
    -------
    ndarray of float32, shape (n, w)
        Unit vectors in the order of the rows.
    """
    model = load_model(model)
    model.network("cgcn")
    unit = normalize(X)
    rows = _Rows.of(unit)
    stages = _stages(model, unit[rows.faces], ClusterConfig.given(config), execution or Execution())
    given = rows.renumbered(graph, stages.X)
    with stages.artifacts.locked():
        return stages.refined_vectors(given)[rows.place]


def pair_probabilities(
    X: npt.ArrayLike,
    model: NSRFC | str | Path,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    execution: Execution | None = None,
) -> NeighborGraph:
    """Judge the neighbours of every face with the pair network of a model.

    Parameters and errors are those of :func:`cluster`; `InputError` also if the model has no pair
    network.

    Returns
    -------
    NeighborGraph
        Over the rows of ``X``, with a_ij as similarities, descending. The distance of the published
        code is 1 - a_ij.
    """
    model = load_model(model)
    model.network("pairs")
    unit = normalize(X)
    rows = _Rows.of(unit)
    stages = _stages(model, unit[rows.faces], ClusterConfig.given(config), execution or Execution())
    given = rows.renumbered(graph, stages.X)
    with stages.artifacts.locked():
        faces = stages.pairs(stages.refine(given), always=True).faces
    return rows.spread(faces.ids, faces.a)


@dataclass(frozen=True)
class _Rows:
    """The rows of a user, and the distinct faces among them in canonical order.

    Attributes
    ----------
    faces : ndarray of int64, shape (g,)
        A row of each distinct face.
    place : ndarray of int64, shape (n,)
        The distinct face of each row.
    """

    faces: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]

    @classmethod
    def of(cls, unit: _Floats) -> _Rows:
        return cls(*canonical_rows(unit))

    def renumbered(self, graph: NeighborGraph | None, distinct: _Floats) -> NeighborGraph | None:
        """Turn a graph of the rows into one of the distinct faces, whose vectors are given."""
        if graph is None:
            return None
        check_count(graph, len(self.place))
        graph = renumber(graph, self.faces, self.place)
        check_neighbor_graph(graph, distinct)
        return graph

    def spread(self, ids: npt.NDArray[np.int32], similarities: _Floats) -> NeighborGraph:
        """Turn lists of the distinct faces, in any order, into a graph of the rows."""
        key = np.where(ids >= 0, -similarities, np.float32(np.inf))
        key[:, 0] = -np.inf
        order = np.argsort(key, axis=1, kind="stable")
        lists = np.take_along_axis(ids, order, axis=1), np.take_along_axis(similarities, order, axis=1)
        copies, n = Copies.of(self.place.astype(np.int32)), len(self.place)
        k = min(ids.shape[1], n)
        return NeighborGraph(*copies.spread(*lists, np.arange(n), self.place, k))


def _stages(model: NSRFC, X: _Floats, config: ClusterConfig, execution: Execution) -> Stages:
    return Stages(
        model,
        X,
        config,
        execution.device,
        execution.dtype,
        Artifacts.at(execution.cache),
        execution.progress,
        execution.batch,
    )
