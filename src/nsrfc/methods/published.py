"""The published networks, which read the vectors of neighbour lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn

from nsrfc.chunks import ROWS
from nsrfc.graph.reranking import rerank
from nsrfc.graph.subgraphs import local_adjacency
from nsrfc.methods.base import Run
from nsrfc.methods.network_tasks import EdgeInputs, ListInputs, device_of, precision
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.search import neighbors
from nsrfc.networks.published.adjacency import SparseAdjacency
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.records import NeighborGraph, Neighborhood
from nsrfc.rowstore import RowStore

__all__ = ["PublishedMethod", "sparse_adjacency"]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.integer]


class PublishedMethod(NetworkMethod):
    """The four steps by networks of the family "coordinates"."""

    name = "published"
    whitens = False

    def refined(
        self, near: Neighborhood, run: Run, *, whiten: bool, lists: _Ids | None = None
    ) -> _Floats:
        """Run the C-GCN over all faces in one pass, without whitening."""
        del whiten
        lists = self.convolved_lists(near, run) if lists is None else lists
        with precision(self.networks["cgcn"], run.dtype):
            return self.convolved(near, lists)

    def convolved_lists(self, near: Neighborhood, run: Run) -> _Ids:
        """Return the lists that the C-GCN convolves over, re-ranked if the settings say so."""
        if not self.settings.rerank:
            return near.ids
        graph = NeighborGraph(near.ids, near.similarities)
        return rerank(graph, X=near.vectors, progress=run.progress).ids

    def convolved(self, near: Neighborhood, lists: _Ids, rows: int = ROWS) -> _Floats:
        """Run the C-GCN over the given lists (n, k), ``rows`` faces at a time."""
        network = self.networks["cgcn"]
        device = device_of(network)
        with torch.no_grad():
            refined = network(
                torch.from_numpy(near.vectors).to(device),
                sparse_adjacency(local_adjacency(near.ids, near.similarities), device),
                SparseAdjacency.from_lists(torch.from_numpy(lists).to(device)),
                rows=rows,
            )
        return np.ascontiguousarray(refined.float().cpu().numpy())

    def rebuilt_graph(
        self, vectors: _Floats, before: _Ids, run: Run, store: RowStore | None = None
    ) -> NeighborGraph:
        """Find the neighbours of refined vectors among all faces."""
        del before
        return neighbors(vectors, self, run, store)

    def list_inputs(
        self,
        network: nn.Module,
        near: Neighborhood,
        affinity: _Floats | None = None,
        run: Run | None = None,
    ) -> ListInputs:
        """Gather vectors (b, k, d), 0 where there is no neighbour, and a mask of neighbours (b, k)."""
        del network, affinity, run
        return _Lists(near.vectors, near.ids)

    def edge_inputs(
        self, near: Neighborhood, affinity: _Floats, genuine: _Floats, run: Run | None = None
    ) -> EdgeInputs:
        """Gather the lists of both ends: vectors (b, 2, k, d), and a mask of neighbours (b, 2, k)."""
        del affinity, genuine, run
        return _EndLists(near.vectors, near.ids)

    @staticmethod
    def log_odds(network: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """Log-odds that pairs are genuine.

        LCENet and PCENet return logits of two classes. The log-odds are their difference, so that
        cross-entropy over two classes equals binary cross-entropy of the log-odds.
        """
        output = NetworkMethod.log_odds(network, inputs)
        return output if isinstance(network, PairNetwork) else output[..., 1] - output[..., 0]


def sparse_adjacency(matrix: csr_array, device: torch.device) -> SparseAdjacency:
    """Turn a scipy sparse matrix into an adjacency on a device."""
    indices, indptr, data = (
        torch.from_numpy(part).to(device) for part in (matrix.indices, matrix.indptr, matrix.data)
    )
    return SparseAdjacency(indices, indptr, data)


@dataclass(frozen=True)
class _Lists:
    vectors: _Floats
    ids: _Ids

    def __call__(self, rows: _Rows) -> tuple[Tensor, ...]:
        return _vectors(self.vectors, self.ids[rows])


@dataclass(frozen=True)
class _EndLists:
    vectors: _Floats
    ids: _Ids

    def __call__(self, source: _Rows, target: _Rows) -> tuple[Tensor, ...]:
        return _vectors(self.vectors, self.ids[np.stack((source, target), axis=1)])


def _vectors(vectors: _Floats, ids: _Ids) -> tuple[Tensor, Tensor]:
    present = ids >= 0
    listed = vectors[ids]
    listed[~present] = 0
    return torch.from_numpy(listed), torch.from_numpy(present)
