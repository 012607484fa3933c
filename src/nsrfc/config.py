"""Every setting of a clustering that is not a model's, with its default and its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nsrfc.errors import InputError

__all__ = ["ClusterConfig", "Share", "check_config", "problem"]

Share = Annotated[float, Field(ge=0, le=1)]


class ClusterConfig(BaseModel):
    """Settings of :func:`nsrfc.cluster`. One set of defaults serves every embedding.

    Raises
    ------
    ValidationError
        Of pydantic, a ValueError of several lines, if a setting is unknown or out of range; :meth:`of`
        says the same in one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: Annotated[int, Field(ge=1)] | None = None
    """Neighbours per face, the face itself included, for the rules: 80 by default, clamped to the number
    of faces. A model brings its own."""

    search: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours are found; "auto" is exact up to 100,000 faces."""

    min_cluster_size: int = Field(default=1, ge=1)
    """Clusters of fewer faces get the label -1."""

    seed: int = Field(default=0, ge=0)
    """Seed of the samples that measure the data (reference faces, approximate search)."""

    threshold: Share | None = None
    """With a model: probability from which on a density edge is kept."""

    tau: Share | None = None
    """With a model: score a_ij p_ij from which on two faces are joined at once."""

    precision: Share | None = None
    """With a model, in the place of ``threshold``: share of the joined pairs that are to be of one
    identity, at least, as far as the identities held out in training tell."""

    @model_validator(mode="after")
    def _decides_once(self) -> Self:
        if self.threshold is not None and self.precision is not None:
            raise ValueError("threshold and precision decide the same, so give one of them")
        return self

    def refuse(self, names: Sequence[str], reason: str) -> None:
        """Refuse settings that would have no effect.

        Raises
        ------
        InputError
            If one of ``names`` is given.
        """
        given = [name for name in names if getattr(self, name) is not None]
        if given:
            raise InputError(f"{' and '.join(given)} would have no effect, as {reason}: leave it out.")

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
        return f"{name}: {first['ctx']['error']}." if name else f"{first['ctx']['error']}.".capitalize()
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
