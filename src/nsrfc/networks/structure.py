"""The networks of the "structure" family: small, and blind to coordinates.

They read similarities, ranks, shared neighbours and densities, so that a rotation of all embeddings, or
zeros appended to them, change nothing; and with a few hundred labelled people they hold on new ones,
where networks on coordinates learn their people by heart::

    StructureRefinement   in the place of the C-GCN       embeddings -> refined embeddings
    StructurePairs        in that of the pair network     list -> a_ij
    StructureLists        in that of LCENet               list -> S_ij
    StructureEdges        in that of PCENet               edge -> connectivity

Every output is a known evidence plus a learned correction, zero before training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nsrfc.graph.list_features import LIST_FEATURES
from nsrfc.networks.attention import Encoder, LastAxisNorm, check_numbers, check_sizes

__all__ = [
    "Evidence",
    "FeatureNorm",
    "PairScorer",
    "StructureEdges",
    "StructureLists",
    "StructurePairs",
    "StructureRefinement",
    "leaning_encoder",
    "zeroed",
]


CONSTANT = 1e-7
"""Variance that rounding may leave of a feature that is always the same; features are of order 0.1."""


class Evidence(nn.Module):
    """u (e - v) of known log-odds e in units of 10, with u = 10 trust and v = 0 before learning."""

    def __init__(self, trust: float = 1.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(10.0 * trust))
        self.even = nn.Parameter(torch.tensor(0.0))

    def forward(self, known: Tensor) -> Tensor:
        """Log-odds learned from log-odds known."""
        odds: Tensor = self.slope * (known - self.even)
        return odds


class FeatureNorm(LastAxisNorm):
    """Batch normalisation of the last axis, without weights.

    Afterwards by the mean statistics of all batches; then a feature that never varied is 0, whatever its
    value: nothing was learned of it.

    Parameters
    ----------
    features : int
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, momentum=None, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each feature; the axes before it are rows."""
        normal = super().forward(input)
        if self.training:
            return normal
        assert self.running_var is not None
        return torch.where(self.running_var > CONSTANT, normal, 0.0)


def leaning_encoder(width: int, layers: int, heads: int, hidden: int) -> Encoder:
    """Make the encoder of these networks: pre-norm, GELU, attention that leans on given similarities.

    Raises
    ------
    ValueError
        If a size is out of range, by name.
    """
    check_sizes(width=width, layers=layers, heads=heads, hidden=hidden)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
    return Encoder(
        width,
        layers=layers,
        heads=heads,
        hidden=hidden,
        dropout=0.0,
        pre_norm=True,
        activation="gelu",
        leaning=True,
    )


def zeroed(layer: nn.Linear) -> nn.Linear:
    """Set weights and bias to 0: a correction that starts at nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


ODDS = LIST_FEATURES.index("odds")
"""The known evidence among the features."""

TRUST = 0.3
"""What the odds of the best edges are worth for all of a list, before learning."""


class PairScorer(nn.Module):
    """Log-odds that a listed neighbour is the same person, from the features of the pair alone.

    With f_ij the features of :mod:`nsrfc.graph.list_features`, o_ij / 10 among them, the log-odds by the
    law of best edges::

        logit_ij = u (o_ij / 10 - v) + w . MLP(BN(f_ij))        MLP: f -> hidden -> hidden, GELU

    with u, v learned, w zero before training, BN a :class:`~nsrfc.networks.structure.FeatureNorm`.

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
