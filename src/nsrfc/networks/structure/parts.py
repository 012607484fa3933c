"""What the networks of the structure family are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nsrfc.networks.attention import Encoder
from nsrfc.networks.checks import check_sizes
from nsrfc.networks.norm import LastAxisNorm

__all__ = [
    "Evidence",
    "FeatureNorm",
    "leaning_encoder",
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
