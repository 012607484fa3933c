"""LCENet: which neighbours of a face are genuine, from the structure within its list (step 2)."""

from __future__ import annotations

from torch import Tensor, nn

from nsrfc.networks.attention import Encoder, beside_first, with_cosines

__all__ = ["LCENet"]


class LCENet(nn.Module):
    """Local connectivity estimation.

    With x_0, ..., x_{k-1} the list of face i, itself first::

        token_j = [x_j ; x_j . x_0, ..., x_j . x_{k-1}]         D + k
        h = Encoder(tokens)                                     pre-norm
        logits_j = Linear(PReLU(Linear([h_0 ; h_j])))           2(D + k) -> D -> 2
        S_ij = softmax, class 1 = same identity as i;   loss: cross-entropy over all k

    Source: LCE-PCENet (Shin et al., CVPR 2023).

    Corrected: the cosines are computed here, for the whole batch at once, not by the caller; lists may
    be shorter than k.

    Parameters
    ----------
    dimension : int
        Embedding dimension D.
    k : int
        Length of a list.
    layers, heads, hidden, dropout
        Of the encoder, see :class:`~nsrfc.networks.attention.Encoder`.
    """

    def __init__(
        self,
        dimension: int,
        k: int = 80,
        *,
        layers: int = 3,
        heads: int = 8,
        hidden: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.k = k
        width = dimension + k
        self.encoder = Encoder(
            width, layers=layers, heads=heads, hidden=hidden, dropout=dropout, pre_norm=True
        )
        self.classifier = nn.Sequential(
            nn.Linear(2 * width, dimension), nn.PReLU(), nn.Linear(dimension, 2)
        )

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """Score the neighbours of a batch of faces.

        Parameters
        ----------
        x : Tensor of float32, shape (b, k, D)
            Unit vectors of each list, the face itself first; 0 where there is no neighbour.
        present : Tensor of bool, shape (b, k), optional
            False where there is no neighbour; all True by default.

        Returns
        -------
        Tensor, shape (b, k, 2)
            Logits of (impostor pair, genuine pair); undefined where there is no neighbour.
        """
        encoded = self.encoder(with_cosines(x), present=present)
        logits: Tensor = self.classifier(beside_first(encoded))
        return logits
