"""Selection of the method: the only place that does it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.methods.base import Method, Run
from nsrfc.records import ScorePrior

if TYPE_CHECKING:
    from nsrfc.methods.networks import NetworkMethod
    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import Family, NetworkName

__all__ = ["load_method", "load_networks", "method_class", "recorded_method"]

PRECISIONS = ("float32", "bfloat16")
"""With bfloat16, torch's autocast keeps some operations in float32."""


def load_method(
    model: NSRFC | str | Path | None,
    config: ClusterConfig,
    dimension: int,
    run: Run,
    prior: ScorePrior | None = None,
) -> Method:
    """Select the method.

    Parameters
    ----------
    model : NSRFC, path-like, str or None
        A model, "universal", a folder, or an id on the hub. None: the rules.
    config : ClusterConfig
    dimension : int
        Embedding dimension.
    run : Run
    prior : ScorePrior, optional
        What is known of the scores of the embeddings.

    Returns
    -------
    Method

    Raises
    ------
    InputError
        If there is no such model, device or floating-point precision, the model is for another
        dimension, or the method does not have one of the settings.
    """
    if model is None:
        from nsrfc.methods.rules import Rules

        config.refuse(("threshold", "tau", "precision"), "model=None, the rules, has no such setting")
        return Rules(k=config.k or Rules.k, search=config.search, seed=config.seed, prior=prior)
    from nsrfc.model.bundle import load_model

    loaded = load_model(model)
    config.refuse(("k",), "a model brings its own")
    return load_networks(loaded, config, dimension, run, prior=prior)


def load_networks(
    model: NSRFC | str | Path,
    config: ClusterConfig,
    dimension: int,
    run: Run,
    needed: NetworkName | None = None,
    prior: ScorePrior | None = None,
) -> NetworkMethod:
    """Return the method of a model with the thresholds of a configuration.

    Its networks are on the device of the run. The model is never changed: if it is on another device, or
    in training mode, a copy is used.

    Parameters
    ----------
    model : NSRFC, path-like or str
    config : ClusterConfig
    dimension : int
        Embedding dimension.
    run : Run
    needed : {"cgcn", "pairs", "lcenet", "pcenet"}, optional
        A network that the model must have.
    prior : ScorePrior, optional
        What is known of the scores of the embeddings.

    Raises
    ------
    InputError
        As :func:`load_method`, and if the model has no such network.
    """
    from nsrfc.model.bundle import load_model
    from nsrfc.runtime import find_device

    model = load_model(model)
    if needed is not None:
        model.network(needed)
    model.check_dimension(dimension)
    settings = model.settings.decided(config.threshold, config.tau, config.precision)
    if run.dtype not in PRECISIONS:
        raise InputError(f"dtype must be {' or '.join(PRECISIONS)}, got {run.dtype!r}.")
    place = find_device(run.device)
    if model.training or any(weight.device.type != place.type for weight in model.parameters()):
        model = copy.deepcopy(model).to(place).eval()
    networks = {name: model.network(name) for name in settings.networks}
    kind = method_class(settings.family)
    return kind(settings, networks, search=config.search, seed=config.seed, prior=prior)


def recorded_method(record: Mapping[str, Any]) -> Method:
    """Make the method that a record describes, without its networks: enough for step 4.

    Parameters
    ----------
    record : mapping
        From `Method.record`, also after JSON.
    """
    prior = ScorePrior.of(record["embedder"])
    if "networks" not in record:
        from nsrfc.methods.rules import Rules

        return Rules.recorded(record["settings"], prior)
    from nsrfc.model.settings import ModelSettings

    settings = ModelSettings.model_validate(record["settings"])
    kind = method_class(settings.family)
    return kind(settings, {}, search=record["search"], seed=record["seed"], prior=prior)


def method_class(family: Family) -> type[NetworkMethod]:
    """Return the method class of a family of networks."""
    if family == "structure":
        from nsrfc.methods.structure import StructureMethod

        return StructureMethod
    from nsrfc.methods.published import PublishedMethod

    return PublishedMethod
