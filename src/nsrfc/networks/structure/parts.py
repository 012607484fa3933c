"""What the networks of the structure family are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from nsrfc.networks.checks import check_sizes
from nsrfc.networks.norm import LastAxisNorm

__all__ = [
    "Evidence",
    "FeatureNorm",
    "LeaningLayer",
    "check_layers",
    "zeroed",
]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]

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


class LeaningLayer(nn.Module):
    """Attention that leans on given similarities, and a feed-forward, both before a residual."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.lean = nn.Parameter(5.0 * torch.arange(heads))
        self.feed = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Tokens (b, t, width) after attention with bias lean x similarity (b, t, t)."""
        b, t, width = tokens.shape
        parts = self.project(self.attention_norm(tokens)).view(b, t, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        bias = self.lean[:, None, None] * similarity[:, None]
        # Full lists, the rule, need no mask, and filling it in takes half as long as the attention.
        if not present.all():
            bias = bias.masked_fill_(~present[:, None, None, :], -torch.inf)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        tokens = tokens + self.joined(attended.transpose(1, 2).reshape(b, t, width))
        out: Tensor = tokens + self.feed(self.feed_norm(tokens))
        return out


def check_layers(width: int, layers: int, heads: int, hidden: int) -> None:
    """Refuse sizes of which no :class:`LeaningLayer` can be made, by name.

    Raises
    ------
    ValueError
    """
    check_sizes(width=width, layers=layers, heads=heads, hidden=hidden)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")


def zeroed(layer: nn.Linear) -> nn.Linear:
    """Set weights and bias to 0: a correction that starts at nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
