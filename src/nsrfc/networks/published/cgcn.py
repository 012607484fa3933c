"""C-GCN: embeddings refined by graph convolutions with learned edge weights (step 1 of the method)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from nsrfc.networks.attention import LastAxisNorm
from nsrfc.networks.published.adjacency import Adjacency

__all__ = ["CGCN"]


class CGCN(nn.Module):
    """Graph convolutions in two stages, each with its own learned edge weights.

    With x0 = BatchNorm(x), GraphConv(x, A) = ReLU([x ; A x] W + b), rownorm(A) = A / (row sum + 1e-5)::

        t1 = MLP(x0)                                            D -> 2D -> 2D, GELU between
        h1 = unit(Linear(BN(GraphConv(t1, rownorm(A_local)))))
        A1 = rownorm(h1 h1^T where >= 0.5, else 0)              over the entries of ``listed``
        x1 = MLP(BN(GraphConv(Linear(x0), A1))) + Linear(x0)
        t2 = MLP(x1);  h2 and A2 in the same way from t2
        x2 = MLP(BN(GraphConv(x1, A2))) + x1
        z  = unit(Linear([x2 ; x1 ; t1]))

    Source: PSE-GCN (Li et al., Engineering Applications of Artificial Intelligence 127, 2024), and the
    code of NSR-FC, which runs it on a padded subgraph of 801 faces per face and keeps one row.

    Two forms share the weights. With :class:`~nsrfc.networks.published.adjacency.DenseAdjacency` it is
    that code: ``local`` is the adjacency within the subgraphs, ``listed`` is 1 between any two faces
    that are not padding. With :class:`~nsrfc.networks.published.adjacency.SparseAdjacency` one pass
    refines all faces of a graph, and ``listed`` are their neighbour lists.

    Corrected: vectors are divided by at least 1e-12, so that none becomes NaN; padding is excluded from
    A1, A2 and the loss; identities are not needed for inference. In training, rows of padding still
    count in the statistics of the batch norms: train on full subgraphs or with the sparse form.

    Parameters
    ----------
    dimension : int
        Embedding dimension D; that of refined embeddings is 2 D.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        width = 2 * dimension
        self.input_norm = LastAxisNorm(dimension)
        self.project = nn.Linear(dimension, width)
        self.residual = nn.Linear(dimension, width)
        self.first = _Stage(dimension, width)
        self.second = _Stage(width, width)
        self.output = nn.Linear(3 * width, width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, local: Adjacency, listed: Adjacency, *, rows: int | None = None
    ) -> Tensor:
        """Refine embeddings.

        Parameters
        ----------
        x : Tensor of float32, shape (n, D), or (b, n, D) with dense adjacencies
            Unit vectors.
        local : Adjacency
            Symmetric weights of the nearest neighbours with self loops, not normalised.
        listed : Adjacency
            The non-zero entries of A1 and A2; its weights are not read.
        rows : int, optional
            Number of faces processed at a time, layer by layer. The result is the same; working memory
            is then about 18 D floats per face of the graph. Not for training, where batch norms need all
            faces at once.

        Returns
        -------
        Tensor, shape (n, 2 D) or (b, n, 2 D)
            Unit vectors.

        Raises
        ------
        ValueError
            If ``rows`` is given in training mode.
        """
        if rows is not None and self.training:
            raise ValueError("rows is for evaluation: batch norms in training need all faces at once.")

        x0 = self.input_norm(x)
        local = local.normalized()
        t1, x1 = self._first_stage(x0, local, listed, rows)
        # The published code normalises the matrix a second time, which makes a difference of 1e-5.
        h = self._second_space(x1, local.normalized(), rows)

        def refined(part: Adjacency) -> Tensor:
            x2 = self.second.convolve(x1, h, part) + part.own(x1)
            joined = torch.cat((x2, part.own(x1), part.own(t1)), dim=-1)
            return functional.normalize(self.output(joined), dim=-1)

        return _by_rows(listed, refined, rows, len(x))

    def _first_stage(
        self, x0: Tensor, local: Adjacency, listed: Adjacency, rows: int | None
    ) -> tuple[Tensor, Tensor]:
        """Return t1 and x1."""
        n = len(x0)
        t1 = _by_rows(local, lambda part: self.first.transform(part.own(x0)), rows, n)
        h = _by_rows(local, lambda part: self.first.similarity_space(t1, part), rows, n)
        projected = _by_rows(listed, lambda part: self.project(part.own(x0)), rows, n)

        def convolved(part: Adjacency) -> Tensor:
            added: Tensor = self.residual(part.own(x0))
            return self.first.convolve(projected, h, part) + added

        return t1, _by_rows(listed, convolved, rows, n)

    def _second_space(self, x1: Tensor, local: Adjacency, rows: int | None) -> Tensor:
        """Return h2."""
        n = len(x1)
        t2 = _by_rows(local, lambda part: self.second.transform(part.own(x1)), rows, n)
        return _by_rows(local, lambda part: self.second.similarity_space(t2, part), rows, n)


class _Stage(nn.Module):
    """Weights of one stage: a space to compare faces in, and a convolution over similar faces."""

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.transform = _mlp(dimension, width)
        self.local_conv = _GraphConv(width)
        self.local_head = nn.Sequential(LastAxisNorm(width), nn.Linear(width, width))
        self.conv = _GraphConv(width)
        self.head = nn.Sequential(LastAxisNorm(width), *_mlp(width, width))

    def similarity_space(self, t: Tensor, local: Adjacency) -> Tensor:
        """Return h, unit vectors, from t of all faces."""
        out: Tensor = self.local_head(self.local_conv(local.own(t), local.aggregate(t)))
        return functional.normalize(out.float(), dim=-1)

    def convolve(self, x: Tensor, h: Tensor, listed: Adjacency) -> Tensor:
        """Return MLP(BN(GraphConv(x, A))), with weights A from h of all faces."""
        out: Tensor = self.head(self.conv(listed.own(x), listed.refine(h).aggregate(x)))
        return out


class _GraphConv(nn.Module):
    """ReLU([x ; A x] W + b)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, aggregated: Tensor) -> Tensor:
        """Convolve, given x and A x."""
        return functional.relu(self.linear(torch.cat((x, aggregated), dim=-1)))


def _mlp(dimension: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dimension, width), nn.GELU(), nn.Linear(width, width))


def _by_rows(
    graph: Adjacency, step: Callable[[Adjacency], Tensor], rows: int | None, count: int
) -> Tensor:
    """Apply a step to all parts of a graph; return the results in one tensor of ``count`` rows."""
    joined: Tensor | None = None
    filled = 0
    for part in graph.split(rows):
        result = step(part)
        if len(result) == count:
            return result
        if joined is None:
            joined = result.new_empty((count, *result.shape[1:]))
        joined[filled : filled + len(result)] = result
        filled += len(result)
    assert joined is not None
    return joined
