"""PCENet: whether an edge is a genuine pair, from the lists of both ends (step 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nsrfc.networks.attention import Encoder, check_sizes, with_cosines

__all__ = ["PCENet"]


class PCENet(nn.Module):
    """Pairwise connectivity estimation.

    With the list of face i, itself first, and after it that of face j, 2k vectors x_0, ..., x_{2k-1}::

        token_a = [x_a ; x_a . x_0, ..., x_a . x_{2k-1}]            D + 2k
        h = Encoder(tokens)                                         pre-norm
        u_i, u_j = Linear(PReLU(Linear(h_0))), the same of h_k      D + 2k -> D -> D
        logits = MLP([x_i ; u_i ; x_j ; u_j])                       4D -> 2048 -> 2048 -> 2, PReLU
        probability = softmax, class 1 = one identity;   loss: cross-entropy over edges

    Source: LCE-PCENet (Shin et al., CVPR 2023).

    Corrected: the cosines are computed here, for the whole batch at once, not by the caller; the last
    layer is computed only for the two tokens that are used, not for all 2k; lists may be shorter than k.

    Parameters
    ----------
    dimension : int
        Embedding dimension D.
    k : int
        Length of a list.
    layers, heads, hidden, dropout
        Of the encoder, see :class:`~nsrfc.networks.attention.Encoder`.
    classifier_hidden : int
        Width of the classifier.
    """

    def __init__(
        self,
        dimension: int,
        k: int = 80,
        *,
        layers: int = 3,
        heads: int = 8,
        hidden: int = 1024,
        classifier_hidden: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_sizes(classifier_hidden=classifier_hidden)
        self.dimension = dimension
        self.k = k
        width = dimension + 2 * k
        self.encoder = Encoder(
            width, layers=layers, heads=heads, hidden=hidden, dropout=dropout, pre_norm=True
        )
        self.adjust = nn.Sequential(
            nn.Linear(width, dimension), nn.PReLU(), nn.Linear(dimension, dimension)
        )
        self.classifier = nn.Sequential(
            nn.Linear(4 * dimension, classifier_hidden),
            nn.PReLU(),
            nn.Linear(classifier_hidden, classifier_hidden),
            nn.PReLU(),
            nn.Linear(classifier_hidden, 2),
        )

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Score a batch of edges.

        Parameters
        ----------
        x : Tensor of float32, shape (b, 2, k, D)
            Unit vectors of the lists of both ends, each end first in its list; 0 where there is no
            neighbour.
        present : Tensor of bool, shape (b, 2, k), optional
            False where there is no neighbour; all True by default.

        Returns
        -------
        Tensor, shape (b, 2)
            Logits of (impostor pair, genuine pair).
        """
        tokens = with_cosines(x.flatten(1, 2))
        listed = None if present is None else present.flatten(1, 2)
        ends = self.adjust(self.encoder(tokens, present=listed, kept=[0, self.k]))
        logits: Tensor = self.classifier(torch.cat((x[:, :, 0], ends), dim=-1).flatten(1))
        return logits
