"""Classic baselines: well-known methods by library calls.

Methods on coordinates take ``X``, unit vectors (n, d) float32; methods on neighbours take the neighbour
graph. All return int64 labels (n,), where -1 = unclustered, which the metrics count as a cluster of its
own.

The functions called ``best_*`` are oracles: they choose their setting with the true identities, so they
give an upper bound of the quality of a method.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, OptionalDependencyError
from nsrfc.graph.components import connected_components
from nsrfc.metrics import contingency, pair_sums, pairwise
from nsrfc.records import EdgeList, NeighborGraph

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "MAX_LINKAGE_FACES",
    "Best",
    "average_linkage",
    "best_average_linkage",
    "best_by_labels",
    "best_threshold_components",
    "chinese_whispers",
    "dbscan",
    "hdbscan",
    "infomap",
    "kmeans",
    "threshold_components",
]

Labels = npt.NDArray[np.int64]
Setting = TypeVar("Setting")

MAX_LINKAGE_FACES = 30_000
"""Average linkage stores all pairs of faces: about 10 n^2 bytes at the peak, 9 GB at this limit."""

SMALLEST_DISTANCE = 1e-6
"""Used instead of 0: sparse matrices drop zeros, and duplicate faces must stay neighbours."""


class Best(NamedTuple, Generic[Setting]):
    """The best of several settings of a method.

    Attributes
    ----------
    setting
        The setting that gave the labels.
    labels : ndarray of int64, shape (n,)
        Cluster of each face.
    f : float
        Pairwise F of these labels.
    """

    setting: Setting
    labels: Labels
    f: float


def best_by_labels(
    candidates: Iterable[tuple[Setting, Labels]], identities: npt.ArrayLike
) -> Best[Setting]:
    """Choose, with the true identities, the setting of highest pairwise F (an oracle).

    Parameters
    ----------
    candidates : iterable of (setting, labels)
        Tried in turn and not kept, so that a generator saves memory; the first among equals wins.
    identities : array_like of integers, shape (n,)
        True identity of each face.

    Returns
    -------
    Best

    Raises
    ------
    InputError
        If there are no candidates, or as :func:`nsrfc.metrics.contingency`.
    """
    scored = (Best(setting, labels, pairwise(identities, labels).f) for setting, labels in candidates)
    best = max(scored, key=lambda result: result.f, default=None)
    if best is None:
        raise InputError("candidates must hold at least one setting with its labels, got none.")
    return best


def kmeans(X: npt.NDArray[np.float32], n_clusters: int, seed: int = 0) -> Labels:
    """Cluster by k-means, which needs the number of clusters.

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    n_clusters : int
        Number of clusters, from 1; clamped to n.
    seed : int
        Seed of the k-means++ initialisation, which is done only once.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    from sklearn.cluster import KMeans

    model = KMeans(min(n_clusters, len(X)), n_init=1, max_iter=25, random_state=seed)
    return np.asarray(model.fit_predict(X), dtype=np.int64)


def dbscan(graph: NeighborGraph, threshold: float, min_samples: int = 2) -> Labels:
    """Cluster by DBSCAN (Ester et al., 1996), two faces being close at a cosine >= ``threshold``.

    Pairs that are in neither's list are not seen. With min_samples <= k the core faces are the same as
    with all pairs, but a link between two core faces may be missing if a face has k close faces or more.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of n faces.
    threshold : float
        Minimum cosine similarity of two close faces: eps = sqrt(2 - 2 threshold).
    min_samples : int
        Minimum number of close faces, itself included, of a core face.

    Returns
    -------
    ndarray of int64, shape (n,)
        -1 = noise.
    """
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import sort_graph_by_row_values

    edges = _undirected(graph)
    close = _distances(graph.n, edges.where(edges.score >= threshold))
    close = sort_graph_by_row_values(close, copy=False, warn_when_not_sorted=False)
    # Only close pairs are stored, so eps just has to include all of them.
    model = DBSCAN(eps=3.0, min_samples=min_samples, metric="precomputed")
    return np.asarray(model.fit_predict(close), dtype=np.int64)


def hdbscan(graph: NeighborGraph, min_cluster_size: int) -> Labels:
    """Cluster by HDBSCAN (Campello et al., 2013) over the Euclidean distances of the lists.

    With 256 coordinates the trees of scikit-learn are no help, and all pairs take too much memory, so it
    is given the neighbour graph, which contains the short edges of the spanning tree. On real faces with
    k = 80 the labels are those of all pairs, except for ties of mutual reachability, which in both cases
    depend on the order of the rows. The connected components of the graph are joined by edges of the
    largest distance listed.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of n faces by cosine similarity.
    min_cluster_size : int
        Minimum cluster size, from 2; also the rank of the core distance, the face itself included.

    Returns
    -------
    ndarray of int64, shape (n,)
        -1 = noise.

    Raises
    ------
    InputError
        If a list has fewer faces than ``min_cluster_size``.
    """
    from sklearn.cluster import HDBSCAN

    if graph.n < min_cluster_size:
        return np.full(graph.n, -1, dtype=np.int64)
    shortest = int((graph.ids >= 0).sum(axis=1).min())
    if shortest < min_cluster_size:
        raise InputError(
            f"HDBSCAN with min_cluster_size {min_cluster_size} needs as many neighbours of each "
            f"face, but the shortest list has {shortest}: search with a larger k."
        )
    distances = _distances(graph.n, _bridged(graph.n, _undirected(graph)))
    model = HDBSCAN(min_cluster_size=min_cluster_size, metric="precomputed", copy=False)
    return np.asarray(model.fit_predict(distances), dtype=np.int64)


def threshold_components(graph: NeighborGraph, threshold: float) -> Labels:
    """Cluster by the connected components of the neighbour graph cut at a similarity.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of n faces.
    threshold : float
        Minimum similarity of an edge.

    Returns
    -------
    ndarray of int64, shape (n,)
        0..c-1 by first appearance.
    """
    edges = _undirected(graph)
    return connected_components(graph.n, edges.where(edges.score >= threshold))


def best_threshold_components(graph: NeighborGraph, identities: npt.ArrayLike) -> tuple[Labels, float]:
    """Cut the neighbour graph where pairwise F is highest, over all thresholds (an oracle).

    Parameters
    ----------
    graph : NeighborGraph
        Lists of n faces.
    identities : array_like of integers, shape (n,)
        True identity of each face.

    Returns
    -------
    labels : ndarray of int64, shape (n,)
        Those of :func:`threshold_components` at that threshold.
    threshold : float
        The best similarity; infinite if no edges are best.
    """
    edges = _undirected(graph)
    forest = _strongest_forest(graph.n, edges)
    thresholds = np.concatenate([[math.inf], np.unique(forest.score)[::-1]])
    best = _best_nested(
        len(thresholds),
        lambda cut: connected_components(graph.n, forest.where(forest.score >= thresholds[cut])),
        identities,
    )
    return best.labels, float(thresholds[best.setting])


def average_linkage(X: npt.NDArray[np.float32], threshold: float) -> Labels:
    """Cluster bottom-up by the mean cosine between clusters (UPGMA).

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors; n up to :data:`MAX_LINKAGE_FACES`.
    threshold : float
        Minimum mean cosine at which two clusters are joined.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    InputError
        If n is beyond :data:`MAX_LINKAGE_FACES`.
    """
    return _cut(_linkage_tree(X), 1.0 - threshold)


def best_average_linkage(X: npt.NDArray[np.float32], identities: npt.ArrayLike) -> tuple[Labels, float]:
    """Cut average linkage where pairwise F is highest, over all thresholds (an oracle).

    Parameters
    ----------
    X : ndarray of float32, shape (n, d)
        Unit vectors; n up to :data:`MAX_LINKAGE_FACES`.
    identities : array_like of integers, shape (n,)
        True identity of each face.

    Returns
    -------
    labels : ndarray of int64, shape (n,)
    threshold : float
        The best mean cosine; infinite if joining none is best.

    Raises
    ------
    InputError
        If n is beyond :data:`MAX_LINKAGE_FACES`.
    """
    tree = _linkage_tree(X)
    heights = np.concatenate([[-math.inf], np.unique(tree[:, 2])])
    best = _best_nested(len(heights), lambda cut: _cut(tree, heights[cut]), identities)
    return best.labels, float(1.0 - heights[best.setting])


def infomap(graph: NeighborGraph, threshold: float, seed: int = 1) -> Labels:
    """Cluster by Infomap (Rosvall and Bergstrom, 2008), two levels, edges weighted by similarity.

    Infomap is licensed under the GPL, so it is an extra that nothing else in the package needs.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of n faces.
    threshold : float
        Minimum similarity of an edge; edges without positive weight are always left out.
    seed : int
        Seed of its search, from 1.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    OptionalDependencyError
        If infomap is not installed.
    """
    try:
        from infomap import Infomap
    except ImportError:
        raise OptionalDependencyError("infomap", "infomap") from None

    edges = _undirected(graph)
    kept = edges.where((edges.score >= threshold) & (edges.score > 0))
    network = Infomap(two_level=True, silent=True, seed=seed)
    network.add_nodes(range(graph.n))
    network.add_links(np.column_stack([kept.source, kept.target, kept.score]).astype(np.float64))
    modules: dict[int, int] = network.run().modules()
    labels = np.empty(graph.n, dtype=np.int64)
    labels[np.fromiter(modules.keys(), np.int64)] = np.fromiter(modules.values(), np.int64)
    return labels


def chinese_whispers(graph: NeighborGraph, threshold: float) -> Labels:
    """Cluster by chinese whispers (Biemann, 2006), as dlib does; edges are weighted by similarity.

    Parameters
    ----------
    graph : NeighborGraph
        Lists of n faces.
    threshold : float
        Minimum similarity of an edge. dlib uses the Euclidean distance d of unit vectors: a similarity
        of 1 - d^2 / 2.

    Returns
    -------
    ndarray of int64, shape (n,)

    Raises
    ------
    OptionalDependencyError
        If dlib is not installed.
    """
    try:
        import dlib
    except ImportError:
        raise OptionalDependencyError("dlib", "bench") from None

    edges = _undirected(graph)
    kept = edges.where(edges.score >= threshold)
    # A loop at every face, so that faces without edges also get a label.
    faces = np.arange(graph.n)
    ends = np.concatenate((faces, kept.source)), np.concatenate((faces, kept.target))
    weights = np.concatenate((np.zeros(graph.n), kept.score))
    rows = zip(*(part.tolist() for part in (*ends, weights)), strict=True)
    return np.array(dlib.chinese_whispers(list(rows)), np.int64)


def _undirected(graph: NeighborGraph) -> EdgeList:
    """Return each listed pair once, source < target, with the larger of its two similarities."""
    source = np.repeat(np.arange(graph.n, dtype=np.int64), graph.k - 1)
    target = graph.ids[:, 1:].ravel().astype(np.int64)
    score = graph.similarities[:, 1:].ravel()
    listed = (target >= 0) & (target != source)
    source, target, score = source[listed], target[listed], score[listed]
    pair = np.minimum(source, target) * graph.n + np.maximum(source, target)
    order = np.argsort(pair, kind="stable")
    first = np.flatnonzero(np.diff(pair[order], prepend=-1))
    pair = pair[order[first]]
    return EdgeList(
        source=(pair // graph.n).astype(np.int32),
        target=(pair % graph.n).astype(np.int32),
        score=np.maximum.reduceat(score[order], first) if len(pair) else score,
    )


def _distances(n: int, edges: EdgeList) -> csr_array:
    """Return the symmetric sparse matrix of Euclidean distances between unit vectors.

    The diagonal is stored, because DBSCAN and HDBSCAN count a face as a neighbour of itself.
    """
    from scipy.sparse import csr_array

    gap = np.maximum(2.0 - 2.0 * edges.score.astype(np.float64), SMALLEST_DISTANCE**2)
    faces = np.arange(n, dtype=np.int32)
    values = np.concatenate([np.sqrt(gap), np.sqrt(gap), np.full(n, SMALLEST_DISTANCE)])
    rows = np.concatenate([edges.source, edges.target, faces])
    columns = np.concatenate([edges.target, edges.source, faces])
    return csr_array((values, (rows, columns)), shape=(n, n))


def _bridged(n: int, edges: EdgeList) -> EdgeList:
    """Join the connected components of a graph by a chain of edges of the lowest score."""
    pieces = np.unique(connected_components(n, edges), return_index=True)[1].astype(np.int32)
    lowest = np.full(len(pieces) - 1, edges.score.min(initial=1.0), dtype=np.float32)
    return EdgeList(
        source=np.concatenate([edges.source, pieces[:-1]]),
        target=np.concatenate([edges.target, pieces[1:]]),
        score=np.concatenate([edges.score, lowest]),
    )


def _strongest_forest(n: int, edges: EdgeList) -> EdgeList:
    """Return the maximum spanning forest.

    Cut at any threshold it has the same components as the whole graph, with fewer than n edges.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    negated, rank = np.unique(-edges.score, return_inverse=True)
    # Ranks from 1, because a weight of 0 would mean "no edge".
    weights = coo_array((rank + 1.0, (edges.source, edges.target)), shape=(n, n))
    tree = minimum_spanning_tree(weights).tocoo()
    return EdgeList(
        source=tree.row.astype(np.int32),
        target=tree.col.astype(np.int32),
        score=-negated[tree.data.astype(np.int64) - 1],
    )


def _linkage_tree(X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return scipy's linkage matrix (n - 1, 4) of average linkage over 1 - cosine."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    n = len(X)
    if n > MAX_LINKAGE_FACES:
        raise InputError(
            f"Average linkage needs all pairs of faces and takes up to {MAX_LINKAGE_FACES} faces, "
            f"got {n}: score a part of them."
        )
    if n == 1:
        return np.empty((0, 4))
    distances = np.empty((n, n), dtype=np.float32)
    for start in range(0, n, 1024):
        distances[start : start + 1024] = 1.0 - X[start : start + 1024] @ X.T
    np.maximum(distances, 0.0, out=distances)
    pairs = squareform(distances, checks=False)
    del distances
    return linkage(pairs, method="average")


def _cut(tree: npt.NDArray[np.float64], height: float) -> Labels:
    from scipy.cluster.hierarchy import fcluster

    if len(tree) == 0:
        return np.zeros(1, dtype=np.int64)
    return fcluster(tree, height, criterion="distance").astype(np.int64) - 1


def _best_nested(
    n_cuts: int, labels_at: Callable[[int], Labels], identities: npt.ArrayLike
) -> Best[int]:
    """Find the cut of highest pairwise F among nested partitions, the finest first.

    As cuts get coarser, the numbers of joined pairs and of genuine joined pairs can only grow. Between
    two cuts, F is therefore at most what the genuine joined pairs of the coarser one and the joined
    pairs of the finer one give. Intervals are halved in order of this bound until none can exceed the
    best F: a few dozen cuts are scored instead of all.
    """
    best = Best(0, labels_at(0), -1.0)
    sums: dict[int, tuple[int, int, int]] = {}
    for cut in sorted({0, n_cuts - 1}):
        best, sums[cut] = _better(best, cut, labels_at(cut), identities)

    def bound(fine: int, coarse: int) -> float:
        return 2 * sums[coarse][0] / max(sums[fine][1] + sums[fine][2], 1)

    open_intervals = [(-bound(0, n_cuts - 1), 0, n_cuts - 1)]
    while open_intervals and -open_intervals[0][0] > best.f:
        _, fine, coarse = heapq.heappop(open_intervals)
        if coarse - fine < 2:
            continue
        middle = (fine + coarse) // 2
        best, sums[middle] = _better(best, middle, labels_at(middle), identities)
        for ends in ((fine, middle), (middle, coarse)):
            heapq.heappush(open_intervals, (-bound(*ends), *ends))
    return best


def _better(
    best: Best[int], cut: int, labels: Labels, identities: npt.ArrayLike
) -> tuple[Best[int], tuple[int, int, int]]:
    """Return the better of ``best`` and this cut, and the cut's pair counts."""
    both, joined, genuine = sums = pair_sums(contingency(identities, labels))
    f = 2 * both / (joined + genuine) if joined + genuine else 1.0
    return (Best(cut, labels, f) if f > best.f else best), sums
