"""The settings of training, by network.

Values come from the presets, YAML files in the package; hyperparameters not given there have the
defaults of the network's class. A user's own file overrides values of a preset.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nsrfc.config import Count, Neighbors, Number, Positive, Seed, Share, problem
from nsrfc.errors import InputError
from nsrfc.model.settings import ClusterComparison, Hyperparameters, with_cluster_comparison
from nsrfc.records import Mutual
from nsrfc.storage.files import PathLike
from nsrfc.storage.yaml_files import parse_yaml, read_yaml

__all__ = [
    "PRESETS",
    "CGCNSettings",
    "EdgeSettings",
    "ListSettings",
    "LoopSettings",
    "TrainingConfig",
]

_logger = logging.getLogger(__name__)

PRESETS = ("default", "paper", "universal")

Drawn = Annotated[Count, Field(le=1_000_000)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoopSettings(_Settings):
    """How a network is trained."""

    epochs: Drawn
    """Maximum number of epochs."""

    patience: Drawn
    """Training stops after this many epochs without improvement on the validation identities."""

    batch: Drawn
    """Size of a step: lists, edges, subgraphs, or the faces that a piece grows from."""

    optimizer: Literal["adam", "adamw", "sgd"]

    learning_rate: Annotated[Positive, Field(le=100)]

    momentum: Share
    """For "sgd" only."""

    weight_decay: Annotated[Number, Field(ge=0, le=100)]

    schedule: Literal["cosine", "drops"]
    """Schedule after the warm-up: half a cosine down to 0, or a factor of 1/10 at each of ``drops``."""

    drops: Annotated[tuple[Share, ...], Field(max_length=100)]
    """Shares of all steps at which "drops" lowers the learning rate."""

    warm_up: Share
    """Share of all steps over which the learning rate rises linearly."""

    clip: Positive
    """Maximum norm of gradients."""


class _NetworkSettings(_Settings):
    network: Hyperparameters
    """Hyperparameters of the network, as arguments of its class."""

    loop: LoopSettings


class _ScorerSettings(_NetworkSettings):
    of_a_set: Count | None = None
    """Maximum number of lists or edges of a training set in an epoch; every epoch draws others."""

    sets_in_batch: Drawn = 1
    """Number of batches, each from one training set, that make a step if there are several training
    sets."""


class CGCNSettings(_NetworkSettings):
    """C-GCN of the family "coordinates"."""

    form: Literal["pieces", "subgraphs"]
    """Input of a step: one connected piece of the graph, or the published subgraph around each of some
    faces."""

    piece: Count
    """Number of faces of a piece."""


class ListSettings(_ScorerSettings):
    """Pair network, LCENet, and the refinement of the family "structure", which also scores lists."""


class EdgeSettings(_ScorerSettings):
    """PCENet."""

    hard_pairs: Annotated[Number, Field(ge=0, le=1000)]
    """Number of hard pairs in an epoch per density edge."""

    veto: bool
    """Whether the probability of PCENet is multiplied by the score a_ij p_ij of the edge."""


_PRESET_OF = {"structure": "default", "coordinates": "paper"}
"""A preset of each family."""


def _family_of(cgcn: object) -> str | None:
    """Return the family that settings of the C-GCN are for; None if they are no settings."""
    given = vars(cgcn) if isinstance(cgcn, _NetworkSettings) else cgcn
    if not isinstance(given, Mapping):
        return None
    return "coordinates" if {"form", "piece"} & given.keys() else "structure"


class TrainingConfig(_Settings):
    """Settings of :func:`nsrfc.train`."""

    family: Literal["structure", "coordinates"]
    """What the networks read: neighbour structure, or the vectors themselves as published."""

    k: Annotated[Neighbors, Field(ge=2)]
    """Neighbours per face, the face itself included."""

    search: Literal["auto", "exact", "approximate"]
    """As in :class:`nsrfc.ClusterConfig`."""

    rerank: bool
    """Whether the C-GCN works on re-ranked lists."""

    mutual: Mutual
    """How p_ij is computed from S_ij and S_ji: as the mean of those that exist, or as published."""

    weighted: bool
    """Whether the density is weighted by cosines; otherwise it is as published."""

    cluster_comparison: ClusterComparison | None
    """When two clusters are similar enough to be joined; None: every edge that is kept joins, as
    published."""

    validation: Annotated[Share, Field(gt=0, lt=1)]
    """Share of the identities used for validation: early stopping, thresholds and the choice of
    steps."""

    keep_all: bool
    """Whether to use all steps and the published thresholds, whatever the validation scores."""

    slack: Share
    """A step is left out of the training of later steps if it lowers the validation F by more than
    this."""

    seed: Seed

    checkpoint_seconds: Annotated[Number, Field(ge=0)]
    """Interval between checkpoints, in seconds."""

    cgcn: Annotated[
        Annotated[CGCNSettings, Tag("coordinates")] | Annotated[ListSettings, Tag("structure")],
        Discriminator(
            _family_of,
            custom_error_type="no_settings",
            custom_error_message="Input should be settings by name",
        ),
    ]
    pairs: ListSettings
    lcenet: ListSettings
    pcenet: EdgeSettings

    @model_validator(mode="before")
    @classmethod
    def _reads_older_files(cls, settings: Any) -> Any:  # noqa: ANN401
        newer = with_cluster_comparison(settings)
        if newer is not settings:
            _logger.warning(
                "The setting groups is now called cluster_comparison: rename it in your file."
            )
        return newer

    @field_validator("cgcn", mode="before")
    @classmethod
    def _is_of_the_family(cls, cgcn: object, info: ValidationInfo) -> object:
        family = info.data.get("family")
        if family is not None and _family_of(cgcn) not in (family, None):
            raise ValueError(
                f"these are not settings of the family {family!r}: "
                f"start from the preset {_PRESET_OF[family]}"
            )
        return cgcn

    @classmethod
    def load(
        cls,
        preset: str = "default",
        file: PathLike | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a preset, and override some of its settings.

        Parameters
        ----------
        preset : {"default", "paper", "universal"}
        file : path-like, optional
            YAML with the settings to override, nested as in the presets.
        changes : mapping, optional
            Settings to override, which take precedence over ``file``.

        Raises
        ------
        InputError
            If there is no such preset or file, or a setting is unknown or out of range.
        """
        if preset not in PRESETS:
            raise InputError(f"There is no preset {preset!r}: take {' or '.join(PRESETS)}.")
        shipped = resources.files("nsrfc") / "presets" / f"{preset}.yaml"
        settings = parse_yaml(shipped.read_text(encoding="utf-8"))
        if file is not None:
            settings = _overlaid(settings, _read(Path(file)))
        settings = _overlaid(settings, changes or {})
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            place = "" if file is None else f"{file}: "
            raise InputError(f"{place}{problem(error)}") from None


def _read(path: Path) -> Mapping[str, Any]:
    settings = read_yaml(path)
    if not isinstance(settings, Mapping):
        raise InputError(f"{path} is no list of settings: write name: value, as the presets do.")
    return settings


def _overlaid(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Override settings by a mapping, recursively."""
    result = dict(settings)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _overlaid(old, value)
        result[name] = value
    return result
