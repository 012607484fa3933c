"""Every setting of the label-free clusterer, with its default and its reason."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nsrfc.errors import InputError

__all__ = ["ClusterConfig"]


class ClusterConfig(BaseModel):
    """Settings of :func:`nsrfc.pipeline.cluster`. One set of defaults serves every embedding."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int = Field(default=80, ge=1)
    """Neighbours per face, the face itself included; clamped to the number of faces."""

    search: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours are found; "auto" is exact up to 100,000 faces."""

    min_cluster_size: int = Field(default=1, ge=1)
    """Groups of fewer faces get the label -1."""

    seed: int = Field(default=0, ge=0)
    """Seed of the samples that measure the data (reference faces, approximate search)."""

    @classmethod
    def of(cls, **settings: Any) -> Self:  # noqa: ANN401
        """Make a configuration of settings as a user gave them.

        Raises
        ------
        InputError
            If a setting is out of range, by name.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise InputError(f"{name}: {first['msg']}, got {first['input']!r}.") from None
