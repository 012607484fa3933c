"""Networks made for training, and the settings of the model that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from nsrfc.model.bundle import NSRFC, build_network
from nsrfc.model.settings import STEPS, UNCHANGED, Calibration, ModelSettings, NetworkName, Step
from nsrfc.training.config import TrainingConfig

__all__ = ["model_settings", "new_network", "outline"]


def model_settings(
    config: TrainingConfig,
    dimension: int | None,
    networks: Iterable[NetworkName],
    used: Mapping[Step, bool],
    *,
    tau: float | None = None,
    connect: float = 0.5,
    calibration: Calibration = UNCHANGED,
    precision: Iterable[tuple[float, float]] = (),
) -> ModelSettings:
    """Word what was trained as settings of a model."""
    return ModelSettings(
        family=config.family,
        dimension=dimension,
        k=config.k,
        search=config.search,
        rerank=config.rerank,
        networks={name: getattr(config, name).network for name in networks},
        used={step: used[step] for step in STEPS if step in used},
        mutual=config.mutual,
        weighted=config.weighted,
        cluster_comparison=config.cluster_comparison,
        veto=config.pcenet.veto,
        tau=tau,
        connect=connect,
        calibration=calibration,
        precision=tuple(precision),
    )


def new_network(
    config: TrainingConfig,
    name: NetworkName,
    dimension: int | None,
    refined: bool,
    start: NSRFC | None = None,
) -> nn.Module:
    """Make a network as the configuration wants it, with random weights or those of a model.

    Parameters
    ----------
    config : TrainingConfig
    name : {"cgcn", "pairs", "lcenet", "pcenet"}
    dimension : int
        Length of the embeddings.
    refined : bool
        Whether it reads refined embeddings.
    start : NSRFC, optional
        Model whose weights it gets.
    """
    network = build_network(name, model_settings(config, dimension, [name], {"refine": refined}))
    if start is not None:
        network.load_state_dict(start.network(name).state_dict())
    return network


def outline(config: TrainingConfig, name: NetworkName, dimension: int | None) -> nn.Module:
    """Make a network that has shapes and no weights, on the device "meta": it takes no memory.

    Parameters are those of :func:`new_network`.

    Raises
    ------
    InputError
        If the configuration has settings for it with which it cannot be made.
    """
    with torch.device("meta"):
        return new_network(config, name, dimension, refined=True)
