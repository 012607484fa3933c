"""Cards: what is known of an embedder before its faces are seen, with where it is known from.

A card is a YAML file. Those in the folder ``cards`` ship with the package and are known by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from nsrfc.config import Count, Dimension, Number, Positive, Share, Text, problem
from nsrfc.errors import InputError
from nsrfc.records import ScorePrior
from nsrfc.storage.files import PathLike, existing_file, kind_of, known_suffix
from nsrfc.storage.outputs import atomic_path

__all__ = ["SUFFIXES", "EmbedderCard", "Norm", "OperatingPoint", "Statistic", "card_names", "find_card"]

SUFFIXES = ".yaml", ".yml"

_FOLDER = resources.files("nsrfc") / "embedders" / "cards"

_Cosine = Annotated[Number, Field(gt=-1, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Statistic(_Part):
    """A statistic of cosines, and its standard error."""

    value: _Cosine
    error: Positive


def _deviates(deviation: Statistic) -> Statistic:
    if deviation.value <= 0:
        raise ValueError(f"a deviation is above 0, got {deviation.value}")
    return deviation


class Norm(_Part):
    """Lengths of the embeddings as the embedder returns them: mean and standard deviation."""

    mean: Positive
    deviation: Positive


class OperatingPoint(_Part):
    """A threshold that somebody publishes for this embedder. It is stated, not used."""

    measure: Literal["cosine", "euclidean", "euclidean of unit vectors"]
    threshold: Number
    by: Text


class EmbedderCard(_Part):
    """What is known of an embedder. Whatever nobody measured or published is left out.

    Raises
    ------
    ValidationError
        From pydantic, a ValueError of several lines; :meth:`read` reports the same in one sentence.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
    """By which the card is chosen, and named in messages and records."""

    title: Text
    """What the embedder is, in words."""

    dimension: Dimension

    norm: Norm | None = None

    impostor_mean: Statistic | None = None
    """m: mean cosine of impostor pairs."""

    impostor_deviation: Annotated[Statistic, AfterValidator(_deviates)] | None = None
    """d: standard deviation of the cosines of impostor pairs."""

    genuine_mean: Statistic | None = None
    """Mean cosine of genuine pairs. Stated, not used."""

    mean_length: Share | None = None
    """Length of the mean of the unit vectors. Stated, not used."""

    effective_dimension: Positive | None = None
    """(sum of the variances)^2 / sum of their squares, along principal axes. Stated, not used."""

    faces: Count | None = None
    """Number of faces that the figures were measured on."""

    operating_points: Annotated[tuple[OperatingPoint, ...], Field(max_length=100)] = ()

    source: Text
    """Where the figures come from."""

    links: Annotated[tuple[Text, ...], Field(max_length=100)] = ()

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
        # Imported here, as a run without a card of one's own does not need it.
        from nsrfc.storage.yaml_files import read_yaml

        path = existing_file(path, SUFFIXES, "embedder cards")
        return cls.of(read_yaml(path), str(path))

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
