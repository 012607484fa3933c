"""The pair network: the probability that a neighbour is genuine, from the whole list (step 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nsrfc.networks.attention import Encoder, beside_first

__all__ = ["PairNetwork", "rank_code"]


class PairNetwork(nn.Module):
    """Attention over the k vectors of a face's list, then a classifier of pairs (face, neighbour).

    With x_0, x_1, ... the list of a face in order of rank, itself first, and a code of the rank r::

        h = Encoder(x, code)                        attention over the list
        logit_j = MLP([h_0 ; h_j])                  2D -> D -> D/2 -> 1, ReLU between
        a_ij = sigmoid(logit_j);   loss: binary cross-entropy over all k
        code_r = (sin(r f_0), cos(r f_0), sin(r f_1), ...),   f_m = 10000^(-2m / D)

    Source: OMHC (Chen et al., ECCV 2022) and the code of NSR-FC.

    Corrected: the code attends over the faces of a batch at each rank, not over the list of each face,
    so that its results depend on the other faces in the batch.

    Parameters
    ----------
    dimension : int
        Embedding dimension D.
    layers, heads, hidden, dropout
        Of the encoder, see :class:`~nsrfc.networks.attention.Encoder`.
    pre_norm : bool
        Whether to use pre-norm layers and a final norm; the published network is post-norm.
    """

    def __init__(
        self,
        dimension: int,
        *,
        layers: int = 1,
        heads: int = 8,
        hidden: int = 2048,
        dropout: float = 0.2,
        pre_norm: bool = False,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.encoder = Encoder(
            dimension,
            layers=layers,
            heads=heads,
            hidden=hidden,
            dropout=dropout,
            pre_norm=pre_norm,
            final_norm=pre_norm,
        )
        half = max(1, dimension // 2)
        self.classifier = nn.Sequential(
            nn.Linear(2 * dimension, dimension),
            nn.ReLU(),
            nn.Linear(dimension, half),
            nn.ReLU(),
            nn.Linear(half, 1),
        )

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Score the neighbours of a batch of faces.

        Parameters
        ----------
        x : Tensor of float32, shape (b, k, D)
            Vectors of each list in order of rank, the face itself first.
        present : Tensor of bool, shape (b, k), optional
            False where there is no neighbour; all True by default.

        Returns
        -------
        Tensor, shape (b, k)
            Logits; undefined where there is no neighbour.
        """
        return self.score(self.encoder(x, present=present, code=rank_code(x.shape[1], x)))

    def score(self, encoded: Tensor) -> Tensor:
        """Return the logits (b, k) from encoded lists (b, k, D)."""
        logits: Tensor = self.classifier(beside_first(encoded))
        return logits.squeeze(-1)


def rank_code(k: int, like: Tensor) -> Tensor:
    """Sinusoidal code of the ranks 0..k-1.

    Parameters
    ----------
    k : int
    like : Tensor, shape (..., D)
        Its width, dtype and device are used.

    Returns
    -------
    Tensor, shape (k, D)
    """
    width = like.shape[-1]
    rank = torch.arange(k, device=like.device, dtype=torch.float32)[:, None]
    even = torch.arange(0, width, 2, device=like.device, dtype=torch.float32)
    angle = rank * 10000.0 ** (-even / width)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :width].to(like.dtype)
