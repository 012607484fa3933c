"""Every setting of training, by network.

The values are in the presets, YAML files of the package, but for what a network's class knows as its
default; a user's own file is laid over one of them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nsrfc.config import problem
from nsrfc.errors import InputError
from nsrfc.model.settings import ClusterComparison, Hyperparameters, with_cluster_comparison
from nsrfc.records import Mutual
from nsrfc.storage.files import PathLike, existing_file, reading

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

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoopSettings(_Settings):
    """How a network is trained."""

    epochs: Count
    """At most."""

    patience: Count
    """Training stops when so many epochs in a row were no better on the validation people."""

    batch: Count
    """Of a step: lists, edges, subgraphs, or the faces that a piece grows from."""

    optimizer: Literal["adam", "adamw", "sgd"]

    learning_rate: Positive

    momentum: Share
    """Of "sgd"; the others have their own."""

    weight_decay: Annotated[float, Field(ge=0)]

    schedule: Literal["cosine", "drops"]
    """After the warm-up: along half a cosine down to 0, or to a tenth at each of ``drops``."""

    drops: tuple[Share, ...]
    """Shares of all steps at which "drops" lowers the learning rate."""

    warm_up: Share
    """Share of all steps in which the learning rate rises to its value."""

    clip: Positive
    """Gradients are scaled down to this norm."""


class _NetworkSettings(_Settings):
    network: Hyperparameters
    """Hyperparameters of the network, as its class names them."""

    loop: LoopSettings


class _ScorerSettings(_NetworkSettings):
    of_a_set: Count | None = None
    """Lists or edges of a set of faces in an epoch, at most; others in each."""

    sets_in_batch: Count = 1
    """Batches, each of one set, that make a step where several sets teach."""


class CGCNSettings(_NetworkSettings):
    """C-GCN of the family "coordinates"."""

    form: Literal["pieces", "subgraphs"]
    """What a step works on: one connected piece of the graph, or the published subgraph around each of
    some faces."""

    piece: Count
    """Faces of a piece."""


class ListSettings(_ScorerSettings):
    """Pair network, LCENet, and the refinement of the family "structure", which judges lists as well."""


class EdgeSettings(_ScorerSettings):
    """PCENet."""

    hard_pairs: Annotated[float, Field(ge=0)]
    """Hard pairs in an epoch for each density edge."""

    veto: bool
    """Whether a verdict is multiplied by the strength a_ij p_ij of the edge, or stands alone."""


_OF_FAMILY: Mapping[Any, tuple[type[_NetworkSettings], str]] = {
    "structure": (ListSettings, "default"),
    "coordinates": (CGCNSettings, "paper"),
}
"""Settings of the C-GCN, and the preset that has them."""


class TrainingConfig(_Settings):
    """Settings of :func:`nsrfc.train`."""

    family: Literal["structure", "coordinates"]
    """What the networks read: neighbour structure, or the vectors themselves as published."""

    k: Annotated[int, Field(ge=2)]
    """Neighbours per face, the face itself included; with no other there is nothing to learn from."""

    search: Literal["auto", "exact", "approximate"]
    """As in :class:`nsrfc.ClusterConfig`."""

    rerank: bool
    """Whether the C-GCN works on re-ranked lists."""

    mutual: Mutual
    """How p_ij is made of S_ij and S_ji: the mean of those there are, or the published one."""

    weighted: bool
    """Whether the density is weighted by cosines; otherwise it is as published."""

    cluster_comparison: ClusterComparison | None
    """When clusters are alike enough to become one; None: every edge that holds joins, as published."""

    validation: Annotated[float, Field(gt=0, lt=1)]
    """Share of the people that are held out to stop training and choose thresholds."""

    keep_all: bool
    """Keep every step and the published threshold, whatever the validation people say."""

    slack: Share
    """F of the validation people that a step may cost before what comes after it learns without it."""

    seed: Annotated[int, Field(ge=0)]

    checkpoint_seconds: Annotated[float, Field(ge=0)]
    """At most so much work is lost when training is interrupted."""

    cgcn: CGCNSettings | ListSettings
    pairs: ListSettings
    lcenet: ListSettings
    pcenet: EdgeSettings

    @model_validator(mode="before")
    @classmethod
    def _reads_older_files(cls, settings: Any) -> Any:  # noqa: ANN401
        newer = with_cluster_comparison(settings)
        if newer is not settings:
            _logger.warning(
                "The setting groups is called cluster_comparison now: rename it in your file."
            )
        return newer

    @field_validator("cgcn")
    @classmethod
    def _is_of_the_family(
        cls, cgcn: CGCNSettings | ListSettings, info: ValidationInfo
    ) -> CGCNSettings | ListSettings:
        family = info.data.get("family")
        own, preset = _OF_FAMILY.get(family, (type(cgcn), ""))
        if not isinstance(cgcn, own):
            raise ValueError(
                f"these are not settings of the family {family!r}: start from the preset {preset}"
            )
        return cgcn

    @classmethod
    def load(
        cls,
        preset: str = "default",
        file: PathLike | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a preset, then what is to differ.

        Parameters
        ----------
        preset : {"default", "paper", "universal"}
        file : path-like, optional
            YAML with the settings that differ, nested as in the presets.
        changes : mapping, optional
            The same as a mapping, laid over both.

        Raises
        ------
        InputError
            If there is no such preset or file, or a setting is unknown or out of range, by name.
        """
        if preset not in PRESETS:
            raise InputError(f"There is no preset {preset!r}: take {' or '.join(PRESETS)}.")
        shipped = resources.files("nsrfc") / "presets" / f"{preset}.yaml"
        settings = _parse(shipped.read_text(encoding="utf-8"))
        if file is not None:
            settings = _overlaid(settings, _read(Path(file)))
        settings = _overlaid(settings, changes or {})
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            place = "" if file is None else f"{file}: "
            raise InputError(f"{place}{problem(error)}") from None


def _read(path: Path) -> Mapping[str, Any]:
    with reading(existing_file(path)):
        settings = _parse(path.read_text(encoding="utf-8"))
    if not isinstance(settings, Mapping):
        raise InputError(f"{path} is no list of settings: write name: value, as the presets do.")
    return settings


def _parse(text: str) -> Any:  # noqa: ANN401
    return yaml.safe_load(text)


def _overlaid(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a mapping over settings, level by level."""
    result = dict(settings)
    for name, value in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _overlaid(old, value)
        result[name] = value
    return result
