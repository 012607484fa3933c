"""The networks of the "structure" family: small, and independent of coordinates.

They read similarities, ranks, shared neighbours and densities, so that results do not change, beyond
rounding, if all embeddings are rotated or padded with zeros. Trained on a few hundred identities they
generalise to new ones, whereas networks on coordinates memorise theirs::

    StructureRefinement   instead of the C-GCN            embeddings -> refined embeddings
    StructurePairs        instead of the pair network     list -> a_ij
    StructureLists        instead of LCENet               list -> S_ij
    StructureEdges        instead of PCENet               edge -> connectivity

Every output is known log-odds plus a learned correction, which is zero before training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nsrfc.errors import shown
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
"""Features of at most this variance count as constant, to allow for rounding; features are of order
0.1."""


class Evidence(nn.Module):
    """u (e - v) of known log-odds e in units of 10, with u = 10 trust and v = 0 before training."""

    def __init__(self, trust: float = 1.0) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(10.0 * trust))
        self.even = nn.Parameter(torch.tensor(0.0))

    def forward(self, known: Tensor) -> Tensor:
        """Return rescaled log-odds from known log-odds / 10."""
        odds: Tensor = self.slope * (known - self.even)
        return odds


class FeatureNorm(LastAxisNorm):
    """Batch normalisation over the last axis, without weights.

    After training it uses the mean statistics of all batches. A feature that was constant in training is
    then set to 0 whatever its value, because the network has learned nothing about it.

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
    """Make the encoder of these networks: pre-norm, GELU, attention biased by given similarities.

    Raises
    ------
    ValueError
        If a size is out of range; the message names it.
    """
    check_sizes(width=width, heads=heads)
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
    """Set weights and bias to 0, for a correction that starts at zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


ODDS = LIST_FEATURES.index("odds")
"""The feature that holds known log-odds."""

MOST_OWN = 1000
"""With a larger share of its own, a refined embedding is the embedding as given."""

TRUST = 0.3
"""Initial factor of the known log-odds: the score model is fitted to best edges, and applied to whole
lists."""


class PairScorer(nn.Module):
    """Log-odds that a listed neighbour is genuine, from the features of the pair alone.

    With f_ij the features of :mod:`nsrfc.graph.list_features`, among them o_ij / 10, the log-odds by the
    score model::

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
        """Score lists.

        Parameters
        ----------
        features : Tensor of float32, shape (b, k, f)

        Returns
        -------
        Tensor, shape (b, k)
            Logits; undefined where there is no neighbour.
        """
        odds: Tensor = self.evidence(features[..., ODDS]) + self.correction(features).squeeze(-1)
        return odds


class StructureRefinement(nn.Module):
    """Embeddings replaced by means of neighbourhoods, with learned weights.

    With w = sigmoid(logit) of a :class:`PairScorer` on the given lists, w_ii = 1::

        u_i = sum_j w_ij x_j
        z_i = unit(unit(u_i) + b x_i)           b = 0.6

    A product z_i . z_j therefore compares face with face, face with neighbourhood, and neighbourhood
    with neighbourhood, so that poor images move towards their identity. With whitening, this is
    repeated::

        x' = whiten(x, w)                       by the scatter within neighbourhoods
        N' = k nearest by x'
        z  = the mean as above of x' with N'    weights of a second PairScorer

    Whitening removes what a poor image has in common with poor images of other identities
    (:mod:`nsrfc.graph.whitening`); if identities have few photos, the scatter is poorly estimated.

    The two scorers are trained one after the other, each by binary cross-entropy on lists like those it
    will be used on: ``first`` on the graph of the embeddings, ``second`` on that of the whitened ones.

    Parameters
    ----------
    hidden : int
        Width of the scorers.
    own : float
        b.
    whitening : float or sequence of float
        Power of whitening, in 0..1/2; of several, ascending, one is chosen for the data.
    """

    def __init__(
        self, hidden: int = 48, own: float = 0.6, whitening: float | Sequence[float] = 0.5
    ) -> None:
        super().__init__()
        check_numbers(MOST_OWN, own=own)
        powers = whitening if isinstance(whitening, Sequence) else [whitening]
        for power in powers:
            check_numbers(0.5, whitening=power)
        self.own, self.powers = own, tuple(map(float, powers))
        if not self.powers or self.powers != tuple(sorted(self.powers)):
            raise ValueError(f"whitening must be one or several powers, ascending, got {shown(powers)}")
        self.first = PairScorer(hidden)
        self.second = PairScorer(hidden)


class StructurePairs(nn.Module):
    """Log-odds of every neighbour, from its features and its similarity to the rest of the list.

    With features f_ij of neighbour j of face i, and c_jl the normalised score / 10 of the listed faces j
    and l::

        t_j = W BN(f_ij) + b
        t = t + Attention(LayerNorm(t)),   logits of head h: q_j . k_l / sqrt(width) + g_h c_jl
        t = t + FeedForward(LayerNorm(t))                                   GELU
        logit_ij = u (o_ij / 10 - v) + w . LayerNorm(t_j)

    Lists are treated as sets: rank is a feature, and attention is biased by the k x k scores, so that
    similar neighbours support each other. g_h is initialised to 0, 5, 10, ...

    Parameters
    ----------
    width, layers, heads, hidden : int
        Length of a token, number of layers, heads per layer, width of the feed-forward layer.
    """

    extra = 0
    trust = TRUST

    def __init__(self, width: int = 64, layers: int = 1, heads: int = 4, hidden: int = 128) -> None:
        super().__init__()
        check_sizes(width=width)
        self.evidence = Evidence(self.trust)
        features = len(LIST_FEATURES) + self.extra
        self.embed = nn.Sequential(FeatureNorm(features), nn.Linear(features, width))
        self.encoder = leaning_encoder(width, layers, heads, hidden)
        self.correction = nn.Sequential(nn.LayerNorm(width), zeroed(nn.Linear(width, 1)))

    def forward(self, features: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Score lists.

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
            Logits; undefined where there is no neighbour.
        """
        tokens = self.encoder(self.embed(features), present=present, similarity=similarity)
        odds: Tensor = self.evidence(self._known(features)) + self.correction(tokens).squeeze(-1)
        return odds

    def _known(self, features: Tensor) -> Tensor:
        """Return the known log-odds / 10 (b, k) among the features."""
        return features[..., ODDS]


class StructureLists(StructurePairs):
    """A second pass of the pair network on its own results: S_ij from a_ij of the whole list.

    As :class:`StructurePairs`, with two additional features, the log-odds / 10 of a_ij and of a_ji (or
    of a_ij again if j does not list i). The known log-odds are the mean of the two.

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
    """Whether an edge is a genuine pair, from all similarities between the lists of its two ends.

    The tokens are the ``reach`` best neighbours of each end by a, the end itself first. With c_tl the
    normalised score / 10 of two of these faces, and for the edge (i, j)

        token t of end i = [a_it, S_it, log(1 + rank), c_it, c_jt, largest c to a token of j]
        edge             = log-odds / 10 of a_ij, a_ji, S_ij, S_ji, and c_ij; means of c weighted by a,
                           between the lists and within each; logarithm of the sum of a of each

    Two look-alikes may have one pair of high similarity, but the rest of their photos differ, which the
    means show. With h the tokens after layers as in :class:`StructurePairs`, and all pairs of values
    sorted so that (i, j) and (j, i) get the same score::

        logit = MLP([edge ; h_i + h_j ; |h_i - h_j|]) + u (mean log-odds of S_ij, S_ji / 10 - v)

    Parameters
    ----------
    reach : int
        Number of faces used from each list.
    width, layers, heads, hidden : int
        As in :class:`StructurePairs`.
    """

    def __init__(
        self, reach: int = 24, width: int = 32, layers: int = 1, heads: int = 4, hidden: int = 64
    ) -> None:
        super().__init__()
        check_sizes(reach=reach, width=width)
        self.reach = reach
        self.evidence = Evidence()
        self.embed = nn.Sequential(FeatureNorm(_TOKEN_FEATURES), nn.Linear(_TOKEN_FEATURES, width))
        self.encoder = leaning_encoder(width, layers, heads, hidden)
        self.edge_norm = FeatureNorm(_EDGE_FEATURES)
        self.correction = nn.Sequential(
            nn.Linear(_EDGE_FEATURES + 2 * width, hidden), nn.GELU(), zeroed(nn.Linear(hidden, 1))
        )

    def forward(self, odds: Tensor, tokens: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Score a batch of edges.

        Parameters
        ----------
        odds : Tensor of float32, shape (b, 4)
            Log-odds / 10 of a_ij, a_ji, S_ij, S_ji.
        tokens : Tensor of float32, shape (b, 2, reach, 3)
            a, S and log(1 + rank) of these faces, in the list of their end.
        similarity : Tensor of float32, shape (b, 2 reach, 2 reach)
            c, the faces of the first end before those of the second.
        present : Tensor of bool, shape (b, 2, reach)
            False if a list is shorter.

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
    """Features (b, 10) of edges, symmetric in the two ends."""
    total = a.sum(dim=-1)
    weighted = torch.einsum("bxm,bxmyn,byn->bxy", a, blocks, a)
    mean = weighted / (total[:, :, None] * total[:, None, :])
    inside = torch.stack((mean[:, 0, 0], mean[:, 1, 1]), dim=1)
    pairs = torch.stack((odds[:, :2], odds[:, 2:], inside, total.log()), dim=1)
    across = torch.stack((mean[:, 0, 1], blocks[:, 0, 0, 1, 0]), dim=1)
    return torch.cat((pairs.amin(dim=-1), pairs.amax(dim=-1), across), dim=1)
