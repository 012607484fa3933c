"""Making networks for training, and the settings of the resulting model."""

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
    """Return the settings of a model with the networks that were trained."""
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
    """Make a network from the configuration, with random weights or those of a model.

    Parameters
    ----------
    config : TrainingConfig
    name : {"cgcn", "pairs", "lcenet", "pcenet"}
    dimension : int
        Embedding dimension.
    refined : bool
        Whether it reads refined embeddings.
    start : NSRFC, optional
        Model whose weights are copied.
    """
    network = build_network(name, model_settings(config, dimension, [name], {"refine": refined}))
    if start is not None:
        network.load_state_dict(start.network(name).state_dict())
    return network


def outline(config: TrainingConfig, name: NetworkName, dimension: int | None) -> nn.Module:
    """Make a network on the device "meta": it has shapes but no weights, and takes no memory.

    Parameters are those of :func:`new_network`.

    Raises
    ------
    InputError
        If its settings are invalid.
    """
    with torch.device("meta"):
        return new_network(config, name, dimension, refined=True)
