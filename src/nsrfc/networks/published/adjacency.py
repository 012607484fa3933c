"""Weighted adjacency, dense over small subgraphs or sparse over a whole graph.

Both forms offer the operations of a C-GCN on a graph: weighted sums over neighbours, normalised weights,
and weights replaced by cosines in a learned space. For equal entries they give equal results.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Adjacency", "DenseAdjacency", "SparseAdjacency"]

_EPSILON = 1e-5
_SIMILAR = 0.5


class Adjacency(Protocol):
    """Weights a_ij between the faces i of this part of a graph and their neighbours j."""

    def own(self, x: Tensor) -> Tensor:
        """Return the rows of ``x`` that belong to the faces of this part."""

    def aggregate(self, x: Tensor) -> Tensor:
        """Return the weighted sums sum_j a_ij x_j."""

    def normalized(self) -> Self:
        """Divide rows by their sum + 1e-5."""

    def refine(self, h: Tensor) -> Self:
        """Replace weights by cosines h_i . h_j, 0 below 0.5, and normalise rows.

        ``h`` holds a unit vector for every face.
        """

    def split(self, rows: int | None) -> Iterator[Self]:
        """Yield parts of at most ``rows`` faces each, in order; None = one part."""


@dataclass(frozen=True)
class DenseAdjacency:
    """Square matrices over a batch of padded subgraphs.

    Attributes
    ----------
    weights : Tensor of float32, shape (b, n, n)
        0 = no neighbours; rows and columns of padding are 0.
    """

    weights: Tensor

    def own(self, x: Tensor) -> Tensor:
        """Return ``x`` (b, n, w): a subgraph is not split."""
        return x

    def aggregate(self, x: Tensor) -> Tensor:
        """Return the weighted sums (b, n, w) of ``x`` (b, n, w)."""
        return self.weights.to(x.dtype) @ x

    def normalized(self) -> DenseAdjacency:
        """Divide rows by their sum + 1e-5."""
        return DenseAdjacency(self.weights / (self.weights.sum(-1, keepdim=True) + _EPSILON))

    def refine(self, h: Tensor) -> DenseAdjacency:
        """Replace non-zero weights by cosines of ``h`` (b, n, w), 0 below 0.5, and normalise rows."""
        cosine = h @ h.mT
        similar = (cosine >= _SIMILAR) & (self.weights != 0)
        return DenseAdjacency(torch.where(similar, cosine, 0)).normalized()

    def split(self, rows: int | None) -> Iterator[DenseAdjacency]:
        """Yield the whole, as subgraphs are small."""
        del rows
        yield self


@dataclass(frozen=True)
class SparseAdjacency:
    """Neighbour lists of any length over one graph of n faces, or of a range of its faces.

    Attributes
    ----------
    ids : Tensor of int32 or int64, shape (m,)
        Neighbours in 0..n-1, list by list.
    offsets : Tensor like ids, shape (r + 1,)
        List i is ``ids[offsets[i] : offsets[i + 1]]``.
    weights : Tensor of float32, shape (m,)
    start : int
        Row number of the face with the first list.
    """

    ids: Tensor
    offsets: Tensor
    weights: Tensor
    start: int = 0

    @classmethod
    def from_lists(cls, ids: Tensor, weights: Tensor | None = None) -> SparseAdjacency:
        """Make an adjacency from lists of equal length.

        Parameters
        ----------
        ids : Tensor of int32 or int64, shape (n, k)
            Neighbours; -1 = none.
        weights : Tensor of float32, shape (n, k), optional
            1 by default.
        """
        present = ids >= 0
        offsets = functional.pad(present.sum(1).cumsum(0), (1, 0)).to(ids.dtype)
        listed = ids[present]
        if weights is None:
            return cls(listed, offsets, torch.ones((), device=ids.device).expand(len(listed)))
        return cls(listed, offsets, weights[present])

    def own(self, x: Tensor) -> Tensor:
        """Return the rows (r, w) of ``x`` (n, w) that belong to the faces of these lists."""
        return x[self.start : self.start + len(self.offsets) - 1]

    def aggregate(self, x: Tensor) -> Tensor:
        """Return the weighted sums (r, w) of ``x`` (n, w)."""
        return _weighted_sums(x, self.weights.to(x.dtype), self.ids, self.offsets)

    def normalized(self) -> SparseAdjacency:
        """Divide rows by their sum + 1e-5."""
        row = self._row()
        total = self.weights.new_zeros(len(self.offsets) - 1).index_add(0, row, self.weights)
        return self._weighted(self.weights / (total + _EPSILON)[row])

    def refine(self, h: Tensor) -> SparseAdjacency:
        """Replace weights by cosines of ``h`` (n, w), 0 below 0.5, and normalise rows."""
        cosine = _listed_dots(h, self.own(h), self.ids, self.offsets)
        return self._weighted(torch.where(cosine >= _SIMILAR, cosine, 0)).normalized()

    def split(self, rows: int | None) -> Iterator[SparseAdjacency]:
        """Yield parts of at most ``rows`` faces each, of nearly equal size, in order."""
        n = len(self.offsets) - 1
        parts = 1 if rows is None else max(1, -(-n // rows))
        bounds = [part * n // parts for part in range(parts + 1)]
        for first, last in pairwise(bounds):
            offsets = self.offsets[first : last + 1]
            begin, end = int(offsets[0]), int(offsets[-1])
            yield SparseAdjacency(
                self.ids[begin:end], offsets - begin, self.weights[begin:end], self.start + first
            )

    def _row(self) -> Tensor:
        """Return, for each entry (m,), the position in ``own`` of the face with its list."""
        counts = self.offsets.diff()
        places = torch.arange(len(counts), device=counts.device, dtype=counts.dtype)
        return places.repeat_interleave(counts)

    def _weighted(self, weights: Tensor) -> SparseAdjacency:
        return SparseAdjacency(self.ids, self.offsets, weights, self.start)


def _weighted_sums(x: Tensor, weights: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:
    return functional.embedding_bag(
        ids, x, offsets, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def _listed_dots(x: Tensor, own: Tensor, ids: Tensor, offsets: Tensor) -> Tensor:
    dots: Tensor = _ListedDots.apply(x, own, ids, offsets)  # type: ignore[no-untyped-call]
    return dots


class _ListedDots(torch.autograd.Function):
    """Dot products (m,) of each face with its listed neighbours.

    They are the derivative of sum_i y_i . (sum_j a_ij x_j) with respect to a_ij, which torch computes
    without the (m, w) copies that gathering the neighbours would need.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        own: Tensor,
        ids: Tensor,
        offsets: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(x, own, ids, offsets)
        with torch.inference_mode(mode=False), torch.enable_grad():
            # Tensors made in inference mode cannot be differentiated, but copies of them can.
            given = (x.detach(), own, ids, offsets)
            x, own, ids, offsets = (each.clone() if each.is_inference() else each for each in given)
            weights = x.new_ones(len(ids), requires_grad=True)
            sums = _weighted_sums(x, weights, ids, offsets)
            return torch.autograd.grad(sums, weights, own)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, own, ids, offsets = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            sums = _weighted_sums(x, gradient.contiguous(), ids, offsets)
        return torch.autograd.grad(sums, x, own)[0], sums.detach(), None, None
