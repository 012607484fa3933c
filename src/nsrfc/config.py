"""Every setting of the label-free clusterer, with its default and its reason."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["ClusterConfig"]


class ClusterConfig(BaseModel):
    """Settings of :func:`nsrfc.pipeline.cluster`. One set of defaults serves every embedding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=80, ge=1)
    """Neighbours per face, the face itself included; clamped to the number of faces."""

    search: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours are found; "auto" is exact up to 300,000 faces."""

    min_cluster_size: int = Field(default=1, ge=1)
    """Groups of fewer faces get the label -1."""

    seed: int = Field(default=0, ge=0)
    """Seed of the samples that measure the data (reference faces, approximate search)."""
