"""Batch normalisation of features that stand in the last axis."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["LastAxisNorm"]


class LastAxisNorm(nn.BatchNorm1d):
    """Batch normalisation of the last axis, whatever axes stand before it: they are rows."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each feature over all rows."""
        return super().forward(input.reshape(-1, self.num_features)).view(input.shape)
