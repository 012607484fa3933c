"""The learned steps, from arrays to arrays, for training and clustering alike.

    refine               embeddings -> refined embeddings                       C-GCN
    list_probability     lists -> probability that a neighbour is the same      pair network, LCENet
    EdgeJudge            edges -> probability that the ends are the same        PCENet
    join_groups          edges -> clusters, unlike groups kept apart

A network is reached through two gathers, which fetch the input of a batch on the fly, so that no array
of n k vectors ever stands in memory::

    gather = lists_of(network, faces);   network(*gather(rows))             logits (b, k)
    gather = edges_of(network, faces);   network(*gather(source, target))   logits (b,)

The published networks read the vectors of the lists. A network that reads something else brings methods
``lists_of(faces)`` or ``edges_of(faces)`` of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from nsrfc.chunks import BATCH, ROWS
from nsrfc.graph.cohesion import COHESION, REFINED_COHESION, join_cohesive
from nsrfc.graph.density_graph import DensityGraph, published_density_graph
from nsrfc.graph.subgraphs import local_adjacency
from nsrfc.networks.published.adjacency import SparseAdjacency
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.lcenet import LCENet
from nsrfc.networks.published.pcenet import PCENet
from nsrfc.networks.structure.lists import StructureRefinement
from nsrfc.progress import Progress
from nsrfc.records import EdgeList, Mutual, NeighborGraph
from nsrfc.rowstore import MemoryRows, RowStore

__all__ = [
    "EdgeJudge",
    "Faces",
    "Search",
    "device_of",
    "edges_of",
    "join_groups",
    "list_probability",
    "listed_cosines",
    "lists_of",
    "log_odds",
    "padded",
    "refine",
    "sparse",
]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.integer]

Search = Callable[[_Floats], NeighborGraph]
GatherLists = Callable[[_Rows], tuple[Tensor, ...]]
GatherEdges = Callable[[_Rows, _Rows], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Faces:
    """What is known of some faces; each step adds to it.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    ids : ndarray of int32, shape (n, k)
        Neighbours, the face itself in column 0; -1 = none.
    similarities : ndarray of float32, shape (n, k)
        Cosines of the vectors.
    refined : bool
        Whether the vectors are refined embeddings.
    pair : ndarray of float32, shape (n, k), optional
        a_ij: probability of the pair network.
    same : ndarray of float32, shape (n, k), optional
        S_ij: probability of LCENet.
    mutual : {"present", "published"}
        How p_ij is made of S_ij and S_ji; see :mod:`nsrfc.graph.density_graph`.
    weighted : bool
        Whether cosines weigh the density.
    """

    vectors: _Floats
    ids: _Ids
    similarities: _Floats
    refined: bool = False
    pair: _Floats | None = None
    same: _Floats | None = None
    mutual: Mutual = "present"
    weighted: bool = False

    @property
    def a(self) -> _Floats:
        """a_ij; where no pair network gave it, the cosine, or 0 if it is negative."""
        return np.maximum(self.similarities, 0) if self.pair is None else self.pair

    @property
    def S(self) -> _Floats:  # noqa: N802
        """S_ij; where no LCENet gave it, a_ij."""
        return self.a if self.same is None else self.same

    def density_graph(self, tau: float | None = None) -> DensityGraph:
        """Density, density edges and similarity edges; tau by the published rule if it is None."""
        weight = self.similarities if self.weighted else None
        return published_density_graph(self.ids, self.a, self.S, tau, self.mutual, weight)


def refine(
    network: nn.Module,
    X: _Floats,
    graph: NeighborGraph,
    lists: _Ids,
    search: Search,
    *,
    whiten: bool = False,
    rows: int = ROWS,
) -> _Floats:
    """Refine embeddings.

    Parameters
    ----------
    network : Module
        A C-GCN or the refinement of the family "structure", in evaluation mode.
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    graph : NeighborGraph
        Their neighbours by cosine; those of a C-GCN's local adjacency.
    lists : ndarray of int32, shape (n, k)
        The neighbours that a C-GCN convolves over: those of ``graph``, or re-ranked.
    search : callable
        Builds the neighbour graph of whitened vectors; a C-GCN does not need it.
    whiten : bool
        Whether the refinement of the family "structure" works on whitened embeddings.
    rows : int
        Faces that a C-GCN works on at a time.

    Returns
    -------
    ndarray of float32, shape (n, w)
        Unit vectors; w = 2 d for a C-GCN.
    """
    if isinstance(network, CGCN):
        return _convolved(network, X, graph, lists, rows)
    assert isinstance(network, StructureRefinement)
    return network.refine(X, graph, search if whiten else None)


def list_probability(
    network: nn.Module,
    faces: Faces,
    *,
    batch: int = BATCH,
    progress: Progress | None = None,
    name: str = "lists",
    pieces: RowStore | None = None,
) -> _Floats:
    """Judge every listed neighbour.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    faces : Faces
    batch : int
        Faces at a time.
    progress : Progress, optional
        Told of the stage ``name``, counted in faces.
    name : str
    pieces : RowStore, optional
        Where the result is kept, so that work that was cut off goes on.

    Returns
    -------
    ndarray of float32, shape (n, k)
        Probability that it is the same person: 1 for the face itself, 0 where there is none.
    """
    n = len(faces.ids)
    pieces = pieces or MemoryRows()
    probability: _Floats = pieces.array("probability", faces.ids.shape)
    if pieces.done == n:
        return probability
    gather = lists_of(network, faces)
    with torch.no_grad(), (progress or Progress()).stage(name, n) as advance:
        advance(pieces.done)
        for part in pieces.remaining(n, batch):
            judged = _judged(network, gather(np.arange(part.start, part.stop)))
            judged[faces.ids[part] < 0] = 0
            judged[:, 0] = 1
            probability[part] = judged
            advance(len(judged))
    return probability


@dataclass(frozen=True)
class EdgeJudge:
    """Judges density edges, in one call or in several: what is read off all faces is read once.

    ::

        judge = EdgeJudge(network, faces);   judge(edges)       probabilities (m,)

    Attributes
    ----------
    network : Module
        In evaluation mode.
    faces : Faces
    veto : bool
        Whether the network may only lower the strength of an edge: its verdict is multiplied by
        a_ij p_ij. Otherwise it stands in the place of the strength, as published.
    batch : int
        Edges at a time.
    """

    network: nn.Module
    faces: Faces
    veto: bool = False
    batch: int = BATCH

    @cached_property
    def _gather(self) -> GatherEdges:
        return edges_of(self.network, self.faces)

    def __call__(self, edges: EdgeList) -> _Floats:
        """Judge edges.

        Parameters
        ----------
        edges : EdgeList
            Of m edges, with a_ij p_ij as scores.

        Returns
        -------
        ndarray of float32, shape (m,)
            Probability that both ends are the same person.
        """
        probability = np.empty(len(edges), np.float32)
        with torch.no_grad():
            for start in range(0, len(edges), self.batch):
                part = slice(start, start + self.batch)
                inputs = self._gather(edges.source[part], edges.target[part])
                probability[part] = _judged(self.network, inputs)
        return probability * edges.score if self.veto else probability


def listed_cosines(vectors: _Floats, ids: _Ids, rows: int = ROWS) -> _Floats:
    """Cosines (n, k) of unit vectors with their listed neighbours; 0 where there is none."""
    cosine = np.empty(ids.shape, np.float32)
    for start in range(0, len(ids), rows):
        part = slice(start, start + rows)
        cosine[part] = np.einsum("nd,nkd->nk", vectors[part], vectors[ids[part]], optimize=True)
    return np.where(ids >= 0, cosine, np.float32(0))


def padded(graph: NeighborGraph, k: int) -> tuple[_Ids, _Floats]:
    """Return ids and similarities of lists of length k, as networks for that length need them.

    Where there are fewer faces than k, -1 and 0 fill the lists.
    """
    missing = ((0, 0), (0, k - graph.k))
    return (
        np.pad(graph.ids, missing, constant_values=-1),
        np.pad(graph.similarities, missing),
    )


def join_groups(faces: Faces, edges: EdgeList, stranger: float) -> npt.NDArray[np.int64]:
    """Follow edges, best first, and leave out those that would join unlike groups.

    Parameters
    ----------
    faces : Faces
    edges : EdgeList
    stranger : float
        Mean similarity of strangers among their vectors.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels 0..c-1 in order of first appearance.
    """
    cohesion = REFINED_COHESION if faces.refined else COHESION
    return join_cohesive(faces.vectors, edges, stranger, cohesion)


def lists_of(network: nn.Module, faces: Faces) -> GatherLists:
    """Return what gathers the input of a network that judges lists.

    For the published networks: vectors (b, k, d) of the lists, 0 where there is no neighbour, and a mask
    (b, k) of those there are.
    """
    own: Callable[[Faces], GatherLists] | None = getattr(network, "lists_of", None)
    if own is not None:
        return own(faces)
    return lambda rows: _vectors(faces, faces.ids[rows])


def edges_of(network: nn.Module, faces: Faces) -> GatherEdges:
    """Return what gathers the input of a network that judges edges.

    For the published one: vectors (b, 2, k, d) of the lists of both ends, and the mask (b, 2, k).
    """
    own: Callable[[Faces], GatherEdges] | None = getattr(network, "edges_of", None)
    if own is not None:
        return own(faces)
    return lambda source, target: _vectors(faces, faces.ids[np.stack((source, target), axis=1)])


def log_odds(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Log-odds of "the same person" of a batch, on the device of the network.

    LCENet and PCENet give logits of two classes, whose difference these are: cross-entropy over two
    classes is the binary cross-entropy of it.
    """
    device = device_of(network)
    output: Tensor = network(*(part.to(device, non_blocking=True) for part in inputs))
    if isinstance(network, LCENet | PCENet):
        return output[..., 1] - output[..., 0]
    return output


def sparse(matrix: csr_array, device: torch.device) -> SparseAdjacency:
    """Make an adjacency of a sparse matrix."""
    indices, indptr, data = (
        torch.from_numpy(part).to(device) for part in (matrix.indices, matrix.indptr, matrix.data)
    )
    return SparseAdjacency(indices, indptr, data)


def device_of(network: nn.Module) -> torch.device:
    """Return where the weights of a network are."""
    return next(network.parameters()).device


def _convolved(network: CGCN, X: _Floats, graph: NeighborGraph, lists: _Ids, rows: int) -> _Floats:
    """Run a C-GCN over all faces of a graph in one pass."""
    device = device_of(network)
    with torch.no_grad():
        refined = network(
            torch.from_numpy(X).to(device),
            sparse(local_adjacency(graph.ids, graph.similarities), device),
            SparseAdjacency.from_lists(torch.from_numpy(lists).to(device)),
            rows=rows,
        )
    return np.ascontiguousarray(refined.float().cpu().numpy())


def _vectors(faces: Faces, ids: _Ids) -> tuple[Tensor, Tensor]:
    present = ids >= 0
    vectors = faces.vectors[ids]
    vectors[~present] = 0
    return torch.from_numpy(vectors), torch.from_numpy(present)


def _judged(network: nn.Module, inputs: tuple[Tensor, ...]) -> _Floats:
    probability: _Floats = log_odds(network, inputs).float().sigmoid().cpu().numpy()
    return probability
