"""The networks of the "structure" family: small, and blind to coordinates.

They read similarities, ranks, shared neighbours and densities, so that a rotation of all embeddings, or
zeros appended to them, change nothing; and with a few hundred labelled people they hold on new ones,
where networks on coordinates learn their people by heart::

    StructureRefinement   in the place of the C-GCN       embeddings -> refined embeddings
    StructurePairs        in that of the pair network     list -> a_ij
    StructureLists        in that of LCENet               list -> S_ij
    StructureEdges        in that of PCENet               edge -> connectivity (structure_edges.py)

Every output is a known evidence plus a learned correction, zero before training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from nsrfc.graph.list_features import LIST_FEATURES
from nsrfc.networks.checks import check_numbers, check_sizes
from nsrfc.networks.structure.edges import StructureEdges
from nsrfc.networks.structure.parts import (
    Evidence,
    FeatureNorm,
    leaning_encoder,
    zeroed,
)
from nsrfc.records import NeighborGraph

__all__ = ["PairScorer", "StructureEdges", "StructureLists", "StructurePairs", "StructureRefinement"]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.integer]

Search = Callable[[_Floats], NeighborGraph]

ODDS = LIST_FEATURES.index("odds")
"""The known evidence among the features."""

TRUST = 0.3
"""What the odds of the best edges are worth for all of a list, before learning."""

ROWS = 1024
"""Lists that the refinement judges at a time; the result does not depend on it."""


class PairScorer(nn.Module):
    """Log-odds that a listed neighbour is the same person, from the features of the pair alone.

    With f_ij the features of :mod:`nsrfc.graph.list_features`, o_ij / 10 among them, the log-odds by the
    law of best edges::

        logit_ij = u (o_ij / 10 - v) + w . MLP(BN(f_ij))        MLP: f -> hidden -> hidden, GELU

    with u, v learned, w zero before training, BN a :class:`~nsrfc.networks.structure.parts.FeatureNorm`.

    Parameters
    ----------
    hidden : int
    """

    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        check_sizes(hidden=hidden)
        self.evidence = Evidence(TRUST)
        self.correction = nn.Sequential(
            FeatureNorm(len(LIST_FEATURES)),
            nn.Linear(len(LIST_FEATURES), hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            zeroed(nn.Linear(hidden, 1)),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Judge lists.

        Parameters
        ----------
        features : Tensor of float32, shape (b, k, f)

        Returns
        -------
        Tensor, shape (b, k)
            Logits; without meaning where there is no neighbour.
        """
        odds: Tensor = self.evidence(features[..., ODDS]) + self.correction(features).squeeze(-1)
        return odds


class StructureRefinement(nn.Module):
    """Embeddings replaced by means of neighbourhoods, with learned weights.

    With w = sigmoid(logit) of a :class:`PairScorer` on the lists given, w_ii = 1::

        u_i = sum_j w_ij x_j
        z_i = unit(unit(u_i) + b x_i)           b = 0.6

    Products z_i . z_j thus hold face with face, face with neighbourhood, and neighbourhood with
    neighbourhood: a poor image is drawn to its person. With whitening the same is done once more::

        x' = whiten(x, w)                       by the scatter inside neighbourhoods
        N' = k nearest by x'
        z  = the mean as above of x' with N'    weights of a second PairScorer

    which takes away what a poor image has in common with poor images of others
    (:mod:`nsrfc.graph.whitening`); where people have few photos the scatter is poorly known.

    The two scorers are trained one after the other, each by binary cross-entropy on lists like those it
    will see: ``first`` on the graph of the embeddings, ``second`` on that of :meth:`whiten`.

    Parameters
    ----------
    hidden : int
        Width of the scorers.
    own : float
        b.
    whitening : float or sequence of float
        Power of whitening, in 0..1/2; of several, ascending, the one that suits the faces at hand.
    """

    def __init__(
        self, hidden: int = 48, own: float = 0.6, whitening: float | Sequence[float] = 0.5
    ) -> None:
        super().__init__()
        check_numbers(math.inf, own=own)
        self.own, self.powers = own, tuple(map(float, np.atleast_1d(whitening)))
        if not self.powers or self.powers != tuple(sorted(self.powers)):
            raise ValueError(f"whitening must be one power or several, ascending, got {whitening!r}")
        for power in self.powers:
            check_numbers(0.5, whitening=power)
        self.first = PairScorer(hidden)
        self.second = PairScorer(hidden)


class StructurePairs(nn.Module):
    """The odds of every neighbour, from its features and its similarity to the rest of the list.

    With token f_ij for neighbour j of face i, and c_jl the similarity of the listed faces j and l in
    deviations above the background, / 10::

        t_j = W BN(f_ij) + b
        t = t + Attention(LayerNorm(t)),   logits of head h: q_j . k_l / sqrt(width) + g_h c_jl
        t = t + FeedForward(LayerNorm(t))                                   GELU
        logit_ij = u (o_ij / 10 - v) + w . LayerNorm(t_j)

    A list is a set here: rank enters as a feature, and attention leans on the k x k similarities, so
    that evidence spreads among neighbours that resemble each other. g_h starts at 0, 1, 2, ... x 5.

    Parameters
    ----------
    width, layers, heads, hidden : int
        Length of a token, number of layers, of heads in each, width of the feed-forward.
    """

    extra = 0
    trust = TRUST

    def __init__(self, width: int = 64, layers: int = 1, heads: int = 4, hidden: int = 128) -> None:
        super().__init__()
        self.evidence = Evidence(self.trust)
        features = len(LIST_FEATURES) + self.extra
        self.embed = nn.Sequential(FeatureNorm(features), nn.Linear(features, width))
        self.encoder = leaning_encoder(width, layers, heads, hidden)
        self.correction = nn.Sequential(nn.LayerNorm(width), zeroed(nn.Linear(width, 1)))

    def forward(self, features: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Judge lists.

        Parameters
        ----------
        features : Tensor of float32, shape (b, k, f)
        similarity : Tensor of float32, shape (b, k, k)
            c_jl.
        present : Tensor of bool, shape (b, k)
            False where there is no neighbour.

        Returns
        -------
        Tensor, shape (b, k)
            Logits; without meaning where there is no neighbour.
        """
        tokens = self.encoder(self.embed(features), present=present, similarity=similarity)
        odds: Tensor = self.evidence(self._known(features)) + self.correction(tokens).squeeze(-1)
        return odds

    def _known(self, features: Tensor) -> Tensor:
        """Known evidence (b, k) among the features, / 10."""
        return features[..., ODDS]


class StructureLists(StructurePairs):
    """The pair network once more, on what it said: S_ij from the a of the whole neighbourhood.

    As :class:`StructurePairs`, with two features more, the log-odds of a_ij and of a_ji (those of a_ij
    where i is not listed by j), / 10, and the known evidence being the mean of the two.

    Parameters
    ----------
    width, layers, heads, hidden : int
        As there.
    """

    extra = 2
    trust = 1.0

    def _known(self, features: Tensor) -> Tensor:
        return features[..., -2:].mean(dim=-1)
