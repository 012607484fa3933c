"""The settings of clustering that do not belong to a model, and the numbers that any setting may be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from nsrfc.errors import InputError, shortened, shown

__all__ = [
    "MOST_FACES",
    "SUGGESTED_DIMENSIONS",
    "ClusterConfig",
    "Count",
    "Dimension",
    "Neighbors",
    "Number",
    "Positive",
    "Seed",
    "Share",
    "Text",
    "Whole",
    "check_config",
    "problem",
]

MOST_FACES = 2**31 - 1
"""Row numbers are int32."""


def _not_bool(value: object) -> object:
    # Python counts with True and False, so pydantic would take them for 1 and 0.
    if type(value).__name__ in ("bool", "bool_"):  # numpy's as well, which are no bool
        raise ValueError(f"a number is needed, got {value!r}")
    return value


_Unmistaken = BeforeValidator(_not_bool)

Whole = Annotated[int, _Unmistaken, Field(ge=0, le=MOST_FACES)]
Number = Annotated[float, _Unmistaken, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, _Unmistaken, Field(ge=0, le=1)]
Positive = Annotated[float, _Unmistaken, Field(ge=1e-9, le=1e9, allow_inf_nan=False)]
Count = Annotated[int, _Unmistaken, Field(ge=1, le=MOST_FACES)]
Seed = Annotated[int, _Unmistaken, Field(ge=0, le=2**63 - 1)]
Dimension = Annotated[int, _Unmistaken, Field(ge=1, le=65_536)]
Neighbors = Annotated[int, _Unmistaken, Field(ge=1, le=65_536)]
Text = Annotated[str, Field(max_length=10_000)]

SUGGESTED_DIMENSIONS = (128,)
"""Embedding dimensions for which there is an embedder card that "auto" may suggest; for others none is
read."""


def _text_of_path(value: object) -> object:
    return str(value) if isinstance(value, os.PathLike) else value


class ClusterConfig(BaseModel):
    """Settings of :func:`nsrfc.cluster`. The defaults suit every embedder.

    Raises
    ------
    ValidationError
        From pydantic, a ValueError of several lines, if a setting is unknown or out of range; :meth:`of`
        reports the same in one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: Neighbors | None = None
    """Neighbours per face, the face itself included, for the rules: 80 by default, clamped to the number
    of faces. A model has its own k."""

    search: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours are found; "auto" is exact up to 100,000 faces."""

    min_cluster_size: Count = 1
    """Faces in smaller clusters get the label -1."""

    on_bad_rows: Literal["error", "skip"] = "error"
    """What is done with rows that are missing, zero, NaN or infinite, as of failed detections: "error"
    refuses the faces and names those rows; "skip" leaves the rows out and gives them the label -2."""

    seed: Seed = 0
    """Seed of random samples and of the approximate search."""

    embedder: Annotated[str, BeforeValidator(_text_of_path)] = "auto"
    """What made the embeddings: name of an embedder card, such as "dlib", or path of a card; many faces
    outvote it. "auto": the card that these embeddings clearly fit, if there is one, as the log says;
    "none": no card."""

    threshold: Share | None = None
    """With a model: minimum probability at which a density edge is kept."""

    tau: Share | None = None
    """With a model: minimum score a_ij p_ij of a similarity edge, which joins two faces directly."""

    precision: Share | None = None
    """With a model, instead of ``threshold``: minimum pairwise precision, as measured on validation
    identities."""

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
        """Make a configuration from settings that a user gave.

        Raises
        ------
        InputError
            If a setting is out of range; the message names it.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            raise InputError(problem(error)) from None

    @classmethod
    def given(cls, config: Self | None) -> Self:
        """Return the given configuration, or the defaults for None.

        Raises
        ------
        InputError
            If it is of another type.
        """
        if config is None:
            return cls()
        check_config(config, cls)
        return config


def problem(error: ValidationError) -> str:
    """Describe the first invalid setting: its name, what is wrong, and its value.

    Parameters
    ----------
    error : ValidationError

    Returns
    -------
    str
        A sentence.
    """
    # For a union type, "missing" may only mean that the settings were meant for the other member.
    first = min(error.errors(), key=lambda found: found["type"] == "missing")
    name = ".".join(shortened(part) for part in first["loc"])
    if first["type"] == "value_error":
        # Raised by one of our validators, so the message is already a sentence.
        return f"{name}: {first['ctx']['error']}." if name else f"{first['ctx']['error']}.".capitalize()
    return f"{name or 'settings'}: {first['msg'][:120]}, got {shown(first['input'])}."


def check_config(config: object, kind: type[BaseModel]) -> None:
    """Refuse settings of another type, such as a dict.

    Raises
    ------
    InputError
    """
    if not isinstance(config, kind):
        raise InputError(
            f"config must be a {kind.__name__}, got {type(config).__name__}: make one of your settings."
        )
