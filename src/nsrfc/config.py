"""Every setting of the label-free clusterer, with its default and its reason."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nsrfc.errors import InputError

__all__ = ["ClusterConfig", "check_config", "problem"]


class ClusterConfig(BaseModel):
    """Settings of :func:`nsrfc.pipeline.cluster`. One set of defaults serves every embedding.

    Raises
    ------
    ValidationError
        Of pydantic, a ValueError of several lines, if a setting is unknown or out of range; :meth:`of`
        says the same in one sentence.
    """

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
            raise InputError(problem(error)) from None

    @classmethod
    def given(cls, config: Self | None) -> Self:
        """Return a configuration that was given, or the defaults.

        Raises
        ------
        InputError
            If it is something else.
        """
        if config is None:
            return cls()
        check_config(config, cls)
        return config


def problem(error: ValidationError) -> str:
    """Word the first thing that is wrong with settings: its name, what is wrong, and what it is.

    Parameters
    ----------
    error : ValidationError

    Returns
    -------
    str
        A sentence.
    """
    # Of a union the first member may only miss what a setting of the second needs not.
    first = min(error.errors(), key=lambda found: found["type"] == "missing")
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "value_error":
        # Of a validator, which has worded it.
        return f"{name}: {first['ctx']['error']}."
    return f"{name}: {first['msg']}, got {first['input']!r}."


def check_config(config: object, kind: type[BaseModel]) -> None:
    """Refuse settings of another kind, a mapping for instance.

    Raises
    ------
    InputError
    """
    if not isinstance(config, kind):
        raise InputError(
            f"config must be a {kind.__name__}, got {type(config).__name__}: make one of your settings."
        )
