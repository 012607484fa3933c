"""The fourth network of the structure family: connectivity of an edge, in the place of PCENet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nsrfc.networks.checks import check_sizes
from nsrfc.networks.structure.parts import (
    Evidence,
    FeatureNorm,
    leaning_encoder,
    zeroed,
)

__all__ = ["StructureEdges"]

_Floats = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.integer]

_TOKEN_FEATURES, _EDGE_FEATURES = 6, 10


class StructureEdges(nn.Module):
    """Whether an edge joins one person, from many-to-many evidence between the lists of its two ends.

    The tokens are the ``reach`` best neighbours of each end by a, the end itself first. With c_tl the
    similarity of two of these faces in deviations above the background, / 10, and for the edge (i, j)

        token t of end i = [a_it, S_it, log(1 + rank), c_it, c_jt, largest c to a token of j]
        edge             = log-odds / 10 of a_ij, a_ji, S_ij, S_ji, and c_ij; means of c weighted by
                           a between both lists, inside each; logarithm of the sum of a of each

    Two look-alikes may share one strong pair, but the rest of their photos are apart: the means show
    it. With h the tokens after layers as in :class:`StructurePairs`, all pairs of values ordered by
    size so that (i, j) and (j, i) are judged alike::

        logit = MLP([edge ; h_i + h_j ; |h_i - h_j|]) + u (mean log-odds of S_ij, S_ji / 10 - v)

    Parameters
    ----------
    reach : int
        Faces read of each list.
    width, layers, heads, hidden : int
        As in :class:`StructurePairs`.
    """

    def __init__(
        self, reach: int = 24, width: int = 32, layers: int = 1, heads: int = 4, hidden: int = 64
    ) -> None:
        super().__init__()
        check_sizes(reach=reach)
        self.reach = reach
        self.evidence = Evidence()
        self.embed = nn.Sequential(FeatureNorm(_TOKEN_FEATURES), nn.Linear(_TOKEN_FEATURES, width))
        self.encoder = leaning_encoder(width, layers, heads, hidden)
        self.edge_norm = FeatureNorm(_EDGE_FEATURES)
        self.correction = nn.Sequential(
            nn.Linear(_EDGE_FEATURES + 2 * width, hidden), nn.GELU(), zeroed(nn.Linear(hidden, 1))
        )

    def forward(self, odds: Tensor, tokens: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Judge a batch of edges.

        Parameters
        ----------
        odds : Tensor of float32, shape (b, 4)
            Log-odds / 10 of a_ij, a_ji, S_ij, S_ji.
        tokens : Tensor of float32, shape (b, 2, reach, 3)
            a, S and log(1 + rank) of the faces read, in the list of their end.
        similarity : Tensor of float32, shape (b, 2 reach, 2 reach)
            c, the faces of the second end after those of the first.
        present : Tensor of bool, shape (b, 2, reach)
            False where a list is shorter.

        Returns
        -------
        Tensor, shape (b,)
            Logits.
        """
        b, _, m, _ = tokens.shape
        blocks = similarity.view(b, 2, m, 2, m)
        own = torch.stack((blocks[:, 0, 0, 0], blocks[:, 1, 0, 1]), dim=1)
        other = torch.stack((blocks[:, 1, 0, 0], blocks[:, 0, 0, 1]), dim=1)
        in_both = torch.stack((blocks[:, 0, :, 1].amax(-1), blocks[:, 0, :, 1].amax(-2)), dim=1)
        described = torch.cat((tokens, torch.stack((own, other, in_both), dim=-1)), dim=-1)
        tokens_in = self.embed(described.flatten(1, 2))
        encoded = self.encoder(tokens_in, present=present.flatten(1), similarity=similarity)
        first, second = encoded[:, 0], encoded[:, m]
        edge = self.edge_norm(_edge_features(odds, tokens[..., 0] * present, blocks))
        joined = torch.cat((edge, first + second, (first - second).abs()), dim=-1)
        logits: Tensor = self.evidence(odds[:, 2:].mean(dim=-1)) + self.correction(joined).squeeze(-1)
        return logits


def _edge_features(odds: Tensor, a: Tensor, blocks: Tensor) -> Tensor:
    """Features (b, 10) of edges, the same for both directions."""
    total = a.sum(dim=-1)
    weighted = torch.einsum("bxm,bxmyn,byn->bxy", a, blocks, a)
    mean = weighted / (total[:, :, None] * total[:, None, :])
    inside = torch.stack((mean[:, 0, 0], mean[:, 1, 1]), dim=1)
    pairs = torch.stack((odds[:, :2], odds[:, 2:], inside, total.log()), dim=1)
    across = torch.stack((mean[:, 0, 1], blocks[:, 0, 0, 1, 0]), dim=1)
    return torch.cat((pairs.amin(dim=-1), pairs.amax(dim=-1), across), dim=1)
