"""Between training and the model: starting from a model, making one of what was trained, writing it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nsrfc.errors import InputError
from nsrfc.model.bundle import NSRFC, holds_model
from nsrfc.model.settings import NETWORKS, STEPS, ModelSettings, NetworkName, Step
from nsrfc.storage.placing import placed_together
from nsrfc.storage.runs import versions, write_json
from nsrfc.training.config import TrainingConfig
from nsrfc.training.curves import draw_curves
from nsrfc.training.networks import model_settings
from nsrfc.training.trainer import Trainer

__all__ = [
    "CHECKPOINTS",
    "CURVES",
    "RECORD",
    "earlier_networks",
    "started_from",
    "steps_given",
    "trained_model",
    "training_versions",
    "write_result",
]

CHECKPOINTS, CURVES, RECORD = ".training", "curves.png", "training.json"
"""Files and folders that training writes besides the model."""

_GENTLER = 0.1

_logger = logging.getLogger(__name__)


def started_from(config: TrainingConfig, start: NSRFC) -> TrainingConfig:
    """Override a configuration by the settings of a model, so that training can start from its weights.

    Parameters
    ----------
    config : TrainingConfig
    start : NSRFC

    Returns
    -------
    TrainingConfig
        With a tenth of the learning rates, for fine-tuning.

    Raises
    ------
    InputError
        If the model is of another family than the configuration.
    """
    settings = start.settings
    if settings.family != config.family:
        raise InputError(
            f"start is a model of the family {settings.family!r}, but the settings are for "
            f"{config.family!r}: take a preset of its family, or train without it."
        )
    shared = settings.model_dump(include={"k", "rerank", "mutual", "weighted"})
    changes: dict[str, Any] = {**shared, "cluster_comparison": settings.cluster_comparison}
    for name, network in settings.networks.items():
        given = getattr(config, name)
        loop = given.loop.model_copy(update={"learning_rate": given.loop.learning_rate * _GENTLER})
        changes[name] = given.model_copy(update={"network": network, "loop": loop})
    return config.model_copy(update=changes)


def earlier_networks(folder: Path, only: NetworkName | None) -> dict[NetworkName, nn.Module]:
    """Return the networks before ``only`` from the model in a folder, if there is one.

    Networks after it are dropped, because they were trained on the output of another network.
    """
    if only is None or not holds_model(folder):
        return {}
    model = NSRFC.from_pretrained(folder)
    before, after = NETWORKS[: NETWORKS.index(only)], NETWORKS[NETWORKS.index(only) + 1 :]
    dropped = [name for name in after if getattr(model, name) is not None]
    if dropped:
        _logger.warning(
            "Networks trained on another %s are dropped and must be trained again: %s.",
            only,
            ", ".join(dropped),
        )
    return {name: network for name in before if (network := getattr(model, name)) is not None}


def steps_given(
    config: TrainingConfig, only: NetworkName | None = None, kept: ModelSettings | None = None
) -> Mapping[Step, bool] | None:
    """Return the steps that are used whatever the validation scores; None if validation decides."""
    if config.keep_all or only is not None:
        return dict.fromkeys(STEPS, True)
    return None if kept is None else kept.used


def trained_model(
    trainer: Trainer, dimension: int | None, data: Mapping[str, Any], kept: ModelSettings | None = None
) -> NSRFC:
    """Make a model from the networks that are used, with the thresholds found.

    Parameters
    ----------
    trainer : Trainer
        After training.
    dimension : int or None
        Embedding dimension; None: any.
    data : mapping
        Facts about the training data, for the model card.
    kept : ModelSettings, optional
        Settings of the model that training started from, whose thresholds are kept.
    """
    config = trainer.config
    wanted = {STEPS[step] for step, used in trainer.used.items() if used}
    networks = {name: network for name, network in trainer.networks.items() if name in wanted}
    settings = model_settings(
        config,
        dimension,
        networks,
        trainer.used,
        tau=None if config.keep_all else trainer.best.tau,
        connect=0.5 if config.keep_all else trainer.best.connect,
        calibration=trainer.calibration,
        precision=trainer.precision,
    )
    if kept is not None:
        thresholds = {"tau", "connect", "calibration", "precision"}
        settings = settings.model_copy(update={name: getattr(kept, name) for name in thresholds})
    metrics = {step: found.quality for step, found in trainer.measured.items()}
    model = NSRFC(settings, metrics=metrics, data=dict(data))
    for name, network in networks.items():
        getattr(model, name).load_state_dict(network.state_dict())
    return model.cpu().eval()


def write_result(folder: Path, model: NSRFC, trainer: Trainer, run: Mapping[str, Any]) -> None:
    """Write a model, its record and its curves into a folder, all or none.

    Parameters
    ----------
    folder : Path
        Other files in it are left alone; a model in it is replaced.
    model : NSRFC
    trainer : Trainer
        After training.
    run : mapping
        What the training depended on, as JSON values, for its record.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    with placed_together(folder) as staging:
        draw_curves(staging / CURVES, trainer.curves)
        write_json(staging / RECORD, {**run, **_outcome(trainer)})
        model.save_pretrained(staging)


def training_versions() -> dict[str, str]:
    """Return the versions that affect weights."""
    return versions() | {"torch": str(torch.__version__)}


def _outcome(trainer: Trainer) -> dict[str, Any]:
    """Return the outcome of a training, for its record."""
    return {
        "used": trainer.used,
        "validation": {step: found._asdict() for step, found in trainer.measured.items()},
        "curves": {name: [asdict(epoch) for epoch in epochs] for name, epochs in trainer.curves.items()},
        "seconds": trainer.progress.seconds,
        "versions": training_versions(),
    }
