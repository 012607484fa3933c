"""Models from the weights written by the published code.

    LCENet_*.pth, PCENet_*.pth      LCE-PCENet and NSR-FC: state dicts
    triple_*.pth                    C-GCN of PSE-GCN and NSR-FC: a state dict
    checkpoint_*.tar                pair network of OMHC and NSR-FC: a state dict under "net"

The network in a file is recognised by the names of its weights. Files are read with ``weights_only``, so
that no code in them is run.

The model runs as published: the C-GCN on re-ranked lists, without rebuilding the graph, and LCENet and
PCENet on the embeddings as given. One thing differs: the published pair network was trained to attend
over the faces in a batch; here it attends over the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nsrfc.errors import InputError
from nsrfc.model import convert
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import STEPS, ModelSettings, NetworkName
from nsrfc.storage.files import PathLike, existing_file, reading

__all__ = ["HEADS", "read_published"]

HEADS = 8
"""Attention heads of the published networks; the number cannot be read from the weights."""

_WRAPPINGS = ("net", "state_dict", "model")


class _Kind(NamedTuple):
    """How a network is recognised and converted."""

    mark: str
    convert: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    arguments: Callable[[Mapping[str, Tensor]], Mapping[str, Any]]


_KINDS: dict[NetworkName, _Kind] = {
    "cgcn": _Kind("bn0.weight", convert.convert_cgcn, convert.cgcn_arguments),
    "pairs": _Kind("clf.0.weight", convert.convert_pairnet, convert.pairnet_arguments),
    "pcenet": _Kind("adjust_dim.0.weight", convert.convert_pcenet, convert.pcenet_arguments),
    "lcenet": _Kind("classifier.0.weight", convert.convert_lcenet, convert.lcenet_arguments),
}


class _Found(NamedTuple):
    """A network found in a file."""

    path: Path
    weights: dict[str, Tensor]
    arguments: dict[str, Any]


def read_published(paths: Iterable[PathLike], heads: int = HEADS) -> NSRFC:
    """Make a model from published weights.

    Parameters
    ----------
    paths : iterable of path-like
        One to four files, of different networks.
    heads : int
        Attention heads of the transformers.

    Returns
    -------
    NSRFC
        In evaluation mode, with the published thresholds; steps whose network is not given are left out.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another kind, or the networks do not fit together.
    """
    found: dict[NetworkName, _Found] = {}
    for path in map(Path, paths):
        name, network = _read(path)
        if name in found:
            raise InputError(f"{found[name].path} and {path} are both weights of {name}: give one.")
        found[name] = network
    if not found:
        raise InputError("Give at least one file of published weights.")
    settings = _settings(found, heads)
    model = NSRFC(settings, data={"converted from": ", ".join(f.path.name for f in found.values())})
    for name, network in found.items():
        try:
            model.network(name).load_state_dict(network.weights)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()
            raise InputError(f"{network.path} is no complete {name} ({first}): copy it anew.") from None
    return model.eval()


def _read(path: Path) -> tuple[NetworkName, _Found]:
    with reading(existing_file(path)):
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    for wrapping in _WRAPPINGS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapping), Mapping):
            state = state[wrapping]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            f"{path} holds no weights of a network: give a checkpoint of the published code."
        )
    names = {name.removeprefix("module.") for name in state}
    for network, kind in _KINDS.items():
        if kind.mark in names:
            try:
                return network, _Found(path, kind.convert(state), dict(kind.arguments(state)))
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
    raise InputError(
        f"{path} holds weights of another network: give C-GCN, pair network, LCENet or PCENet."
    )


def _settings(found: Mapping[NetworkName, _Found], heads: int) -> ModelSettings:
    """Return settings under which the networks fit together."""
    original = {name: f.arguments["dimension"] for name, f in found.items() if name != "pairs"}
    lengths = {name: f.arguments["k"] for name, f in found.items() if "k" in f.arguments}
    for what, values in (("dimension", original), ("k", lengths)):
        if len(set(values.values())) > 1:
            each = ", ".join(f"{name} {value}" for name, value in values.items())
            raise InputError(
                f"The networks differ in {what} ({each}): give those trained on one data set."
            )
    refined = "cgcn" in found
    width = found["pairs"].arguments["dimension"] if "pairs" in found else 0
    dimension: int = next(iter(original.values()), width)
    expected = 2 * dimension if refined else dimension
    if "pairs" in found and width != expected:
        raise InputError(
            f"The pair network reads vectors of length {width}, and here they have {expected}: "
            f"give it with the C-GCN it was trained with."
        )
    networks = {}
    for name, network in found.items():
        shape = {key: value for key, value in network.arguments.items() if key not in ("dimension", "k")}
        networks[name] = shape if name == "cgcn" else {**shape, "heads": heads}
    return ModelSettings(
        family="coordinates",
        dimension=dimension,
        k=next(iter(lengths.values()), 80),
        rerank=refined,
        networks=networks,
        used={
            step: needed in found for step, needed in STEPS.items() if step not in ("rebuild", "whiten")
        },
        mutual="published",
        veto=False,
        unrefined=("lcenet", "pcenet") if refined else (),
    )
