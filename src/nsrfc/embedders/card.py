"""Cards: what is known of an embedder before its faces are seen, with where it is known from.

A card is a YAML file. Those in the folder ``cards`` ship with the package and are known by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nsrfc.config import problem
from nsrfc.errors import InputError
from nsrfc.records import ScorePrior
from nsrfc.storage.files import PathLike, atomic_path, existing_file, kind_of, known_suffix, reading

__all__ = ["SUFFIXES", "EmbedderCard", "Norm", "OperatingPoint", "Statistic", "card_names", "find_card"]

SUFFIXES = ".yaml", ".yml"

_FOLDER = resources.files("nsrfc") / "embedders" / "cards"

_Cosine = Annotated[float, Field(gt=-1, lt=1)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Statistic(_Part):
    """A statistic of cosines, and its standard error."""

    value: _Cosine
    error: _Positive


class Norm(_Part):
    """Lengths of the embeddings as the embedder returns them: mean and standard deviation."""

    mean: _Positive
    deviation: _Positive


class OperatingPoint(_Part):
    """A threshold that somebody publishes for this embedder. It is stated, not used."""

    measure: Literal["cosine", "euclidean", "euclidean of unit vectors"]
    threshold: float
    by: str


class EmbedderCard(_Part):
    """What is known of an embedder. Whatever nobody measured or published is left out.

    Raises
    ------
    ValidationError
        From pydantic, a ValueError of several lines; :meth:`read` reports the same in one sentence.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """By which the card is chosen, and named in messages and records."""

    title: str
    """What the embedder is, in words."""

    dimension: Annotated[int, Field(ge=1)]

    norm: Norm | None = None

    impostor_mean: Statistic | None = None
    """m: mean cosine of impostor pairs."""

    impostor_deviation: Statistic | None = None
    """d: standard deviation of the cosines of impostor pairs."""

    genuine_mean: Statistic | None = None
    """Mean cosine of genuine pairs. Stated, not used."""

    mean_length: Annotated[float, Field(ge=0, le=1)] | None = None
    """Length of the mean of the unit vectors. Stated, not used."""

    effective_dimension: _Positive | None = None
    """(sum of the variances)^2 / sum of their squares, along principal axes. Stated, not used."""

    faces: Annotated[int, Field(ge=1)] | None = None
    """Number of faces that the figures were measured on."""

    operating_points: tuple[OperatingPoint, ...] = ()

    source: str
    """Where the figures come from."""

    links: tuple[str, ...] = ()

    @property
    def prior(self) -> ScorePrior:
        """The part that is a prior of impostor score statistics."""
        known = (self.impostor_mean, self.impostor_deviation)
        mean, deviation = (None if each is None else (each.value, each.error) for each in known)
        return ScorePrior(self.name, mean, deviation)

    @classmethod
    def read(cls, path: PathLike) -> EmbedderCard:
        """Read a card. No code in the file is run.

        Raises
        ------
        InputError
            If there is no such file, it is no YAML, or no card; the message names the first wrong field.
        """
        path = existing_file(path, SUFFIXES, "embedder cards")
        with reading(path):
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return cls.of(content, str(path))

    def write(self, path: PathLike) -> None:
        """Write the card, whole or not at all; fields that are left out are not written.

        Raises
        ------
        InputError
            If the suffix is not that of a card, or the file cannot be written.
        """
        known_suffix(path, SUFFIXES, "embedder cards")
        content = self.model_dump(mode="json", exclude_defaults=True)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def shipped(cls, name: str) -> EmbedderCard:
        """Return a card of the package by its name."""
        text = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        return cls.of(yaml.safe_load(text), name)

    @classmethod
    def of(cls, content: object, place: str) -> EmbedderCard:
        """Make a card of the content of a file; ``place`` names it in the message.

        Raises
        ------
        InputError
            If it is none; the message names the first wrong field.
        """
        if not isinstance(content, Mapping):
            raise InputError(
                f"{place} is no embedder card: write name: value, as nsrfc embedder-card does."
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise InputError(f"{place}: {problem(error)}") from None


def card_names() -> list[str]:
    """Return the names of the cards that ship with the package."""
    names = (Path(file.name) for file in _FOLDER.iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml")


def find_card(embedder: str) -> EmbedderCard:
    """Return a card by its name, in any spelling of case and hyphens, or by the path of a file.

    Raises
    ------
    InputError
        If there is none; the message lists the names. Otherwise as :meth:`EmbedderCard.read`.
    """
    names, name = card_names(), embedder.lower().replace("_", "-")
    if name in names:
        return EmbedderCard.shipped(name)
    if Path(embedder).suffix.lower() in SUFFIXES or kind_of(embedder) == "file":
        return EmbedderCard.read(embedder)
    raise InputError(
        f"There is no card of an embedder {embedder!r}: "
        f"take auto, none, {', '.join(names)}, or the path of a card ({' or '.join(SUFFIXES)})."
    )
