"""From embeddings to clusters in four steps, the same for every method."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.config import SUGGESTED_DIMENSIONS, ClusterConfig
from nsrfc.graph.components import drop_small, relabel_by_first_appearance
from nsrfc.graph.confidence import confidence, doubt_in_words
from nsrfc.knn.build import known_neighbors
from nsrfc.knn.copies import DistinctFaces, distinct_faces
from nsrfc.methods.base import EdgeScorer, Method, Run
from nsrfc.methods.registry import load_method, load_networks
from nsrfc.methods.search import scenes_and_neighbors
from nsrfc.records import (
    BAD_ROW,
    UNCLUSTERED,
    Clustering,
    Components,
    DensityGraph,
    NeighborGraph,
    Neighborhood,
    ScorePrior,
)
from nsrfc.rowstore import Arrays, Results
from nsrfc.runtime import fork_safe
from nsrfc.vectors import as_array, skipped_in_words

if TYPE_CHECKING:
    import faiss

    from nsrfc.model.bundle import NSRFC

__all__ = ["Evidence", "cluster", "gather_evidence", "pair_probabilities", "refine_embeddings"]

_logger = logging.getLogger(__name__)


@fork_safe()
def cluster(
    X: npt.ArrayLike,
    model: NSRFC | str | Path | None = "universal",
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    index: faiss.Index | None = None,
    run: Run | None = None,
) -> Clustering:
    """Cluster faces by identity. No labels are read.

    Parameters
    ----------
    X : array-like of float, shape (n, d)
        Embeddings; need not be normalised, may be memory-mapped. Also a column of vectors, a tensor, and
        other forms that :func:`nsrfc.vectors.as_matrix` reads. Never written to.
    model : NSRFC, path-like, str or None
        "universal" is the model that ships with the package and works with every embedder. Otherwise a
        model from :func:`nsrfc.train`, its folder, or its id on the hub. None: rules without learned
        weights.
    config : ClusterConfig, optional
        Settings that do not belong to the model.
    graph : NeighborGraph, optional
        Nearest neighbours of these rows by cosine, if already known.
    index : faiss.Index, optional
        An index over the unit vectors of these rows, to be searched instead.
    run : Run, optional
        Device, cache and progress.

    Returns
    -------
    Clustering
        Clusters do not depend on the order of the rows.

    Raises
    ------
    InputError
        If ``X`` is not 2-D, holds rows that are missing, zero, NaN or infinite (and
        ``config.on_bad_rows`` is not "skip"), or does not fit the model, graph or index; if graph and
        index are both given; if a setting has no effect with this model; or if the cache is in use by
        another run; or if there is no such embedder card, or it is of another dimension.
    """
    config, run = ClusterConfig.given(config), run or Run()
    with run.results.locked():
        evidence = gather_evidence(X, model, config, graph=graph, index=index, run=run)  # 1 to 3
        method, faces = evidence.method, evidence.faces
        found = method.components(evidence.near, evidence.density, evidence.scorer, run)  # 4
        del evidence
    if found.skipped is not None:
        share = f"{found.skipped:,} of {len(found.density_edges):,}"
        _logger.info("%s density edges were skipped, as their ends were already joined.", share)
    sure = _confidence(found, run.results)
    warning = doubt_in_words(len(found.labels), found.density_edges.score)
    if warning is not None:
        _logger.warning(warning)
    labels = relabel_by_first_appearance(faces.each_row(found.labels, UNCLUSTERED))
    labels = drop_small(labels, config.min_cluster_size)
    labels[faces.skipped] = BAD_ROW
    return Clustering(labels, faces.each_row(sure, 0), method.record(), warning)


def _confidence(found: Components, results: Results) -> npt.NDArray[np.float32]:
    edges = found.density_edges, found.similarity_edges
    read = [found.labels, *(array for each in edges for array in vars(each).values())]
    key = results.key("confidence", {"of": [results.passing_fingerprint(array) for array in read]})

    def sure() -> Arrays:
        return {"confidence": confidence(found.labels, *edges)}

    return results.once("confidence", key, sure)["confidence"]


@dataclass(frozen=True)
class Evidence:
    """Everything that step 4 reads.

    Attributes
    ----------
    method : Method
    faces : DistinctFaces
        The faces that are clustered, and which of the user's rows each of them stands for.
    near : Neighborhood
        Without its lists, which step 4 does not read.
    density : DensityGraph
    scorer : EdgeScorer
    """

    method: Method
    faces: DistinctFaces
    near: Neighborhood
    density: DensityGraph
    scorer: EdgeScorer


def gather_evidence(
    X: npt.ArrayLike,
    model: NSRFC | str | Path | None,
    config: ClusterConfig,
    *,
    graph: NeighborGraph | None = None,
    index: faiss.Index | None = None,
    run: Run,
) -> Evidence:
    """Take steps 1 to 3; parameters and errors are those of :func:`cluster`."""
    faces, prior = _distinct(X, config, run.results)
    method = load_method(model, config, faces.vectors.shape[1], run, prior)
    known = known_neighbors(faces, graph, index, method.k, run.progress, run.results)
    # The lists are handed over, so that the method can free them.
    faces, *lists = scenes_and_neighbors(faces, known, method, run)
    faces = replace(faces, vectors=run.results.shared(faces.vectors))
    near = method.neighborhood(faces.vectors, lists.pop(), run)  # 1  neighbours, refined, rebuilt
    affinity = method.affinity(near, run)  # a_ij
    density = method.density_graph(near, affinity, run)  # 2  rho, E_d, E_s
    scorer = method.edge_scorer(near, density, run)  # 3  scores density edges, on demand
    return Evidence(method, faces, near.without_lists(), density, scorer)


@fork_safe()
def refine_embeddings(
    X: npt.ArrayLike,
    model: NSRFC | str | Path,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    run: Run | None = None,
) -> npt.NDArray[np.float32]:
    """Refine embeddings with the C-GCN of a model (part of step 1).

    Parameters and errors are those of :func:`cluster`; `InputError` also if the model has no C-GCN.

    Returns
    -------
    ndarray of float32, shape (n, w)
        Unit vectors in the order of ``X``; NaN for bad rows that were left out.
    """
    config, run = ClusterConfig.given(config), run or Run()
    faces, prior = _distinct(X, config)
    method = load_networks(model, config, faces.vectors.shape[1], run, "cgcn", prior)
    known = known_neighbors(faces, graph, None, method.k, run.progress)
    with run.results.locked():
        near = method.nearest(faces.vectors, known, run)
        return faces.each_row(method.refined_vectors(near, run)[0], np.nan)


@fork_safe()
def pair_probabilities(
    X: npt.ArrayLike,
    model: NSRFC | str | Path,
    config: ClusterConfig | None = None,
    *,
    graph: NeighborGraph | None = None,
    run: Run | None = None,
) -> NeighborGraph:
    """Score the neighbours of every face with the pair network of a model (end of step 1).

    Parameters and errors are those of :func:`cluster`; `InputError` also if the model has no pair
    network.

    Returns
    -------
    NeighborGraph
        Over the rows of ``X``, with a_ij as similarities, descending. The published code calls
        1 - a_ij the distance. Bad rows that were left out list only themselves.
    """
    config, run = ClusterConfig.given(config), run or Run()
    faces, prior = _distinct(X, config)
    method = load_networks(model, config, faces.vectors.shape[1], run, "pairs", prior)
    known = known_neighbors(faces, graph, None, method.k, run.progress)
    with run.results.locked():
        near = method.neighborhood(faces.vectors, known, run)
        found = method.list_probability("pairs", near, run)
        return faces.spread(near.ids[:, : found.shape[1]], found)


def _distinct(
    X: npt.ArrayLike, config: ClusterConfig, results: Results | None = None
) -> tuple[DistinctFaces, ScorePrior | None]:
    """Return the distinct faces, and what the card of their embedder, if any, says about scores."""
    skip = config.on_bad_rows == "skip"
    vectors = as_array(X, missing=skip)
    faces = distinct_faces(vectors, skip=skip, results=results)
    left_out = skipped_in_words(~faces.skipped)
    if left_out is not None:
        _logger.warning(left_out)
    suggested = faces.vectors.shape[1] in SUGGESTED_DIMENSIONS
    if config.embedder == "none" or (config.embedder == "auto" and not suggested):
        return faces, None
    from nsrfc.embedders.choice import known_scores

    return faces, known_scores(config.embedder, vectors, faces)
