"""Conversion of state dicts of the published code to the names used here.

C-GCN (``triple_model`` of PSE-GCN and NSR-FC; ``bn1`` is never used there and is dropped)::

    bn0                             input_norm
    trans_x, Up_dim                 project, residual
    trans1, trans2                  first.transform, second.transform
    local_conv1, local_conv2        first.local_conv.linear, ...    weight transposed
    local_classifier1, ...2         first.local_head, second.local_head
    conv1, conv2                    first.conv.linear, ...          weight transposed
    classifier1, classifier2        first.head, second.head
    classifier_out                  output

Encoders (pair network ``TransformerBased`` of OMHC and NSR-FC, ``LCENet``, ``PCENet``), per layer::

    self_attn.in_proj_weight, _bias     project
    self_attn.out_proj                  joined
    linear1, linear2                    widen, narrow
    norm1, norm2                        attention_norm, feed_forward_norm

Heads::

    clf                             classifier                      pair network
    adjust_dim                      adjust                          PCENet
    classifier                      classifier                      LCENet, PCENet

Gradients under the published names are renamed in the same way. The prefix ``module.`` of weights that
were saved from several devices is removed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nsrfc.errors import InputError

__all__ = [
    "cgcn_arguments",
    "convert_cgcn",
    "convert_lcenet",
    "convert_pairnet",
    "convert_pcenet",
    "lcenet_arguments",
    "pairnet_arguments",
    "pcenet_arguments",
]

_State = Mapping[str, Tensor]

_CGCN = {
    "bn0": "input_norm",
    "trans_x": "project",
    "Up_dim": "residual",
    "trans1": "first.transform",
    "trans2": "second.transform",
    "local_conv1": "first.local_conv.linear",
    "local_conv2": "second.local_conv.linear",
    "local_classifier1": "first.local_head",
    "local_classifier2": "second.local_head",
    "conv1": "first.conv.linear",
    "conv2": "second.conv.linear",
    "classifier1": "first.head",
    "classifier2": "second.head",
    "classifier_out": "output",
}
_LAYER = {
    "self_attn.in_proj": "project",
    "self_attn.out_proj": "joined",
    "linear1": "widen",
    "linear2": "narrow",
    "norm1": "attention_norm",
    "norm2": "feed_forward_norm",
}
_LAYER_NAME = re.compile(r"(encoder\.layers\.\d+)\.(.+)[._](weight|bias)")


def convert_cgcn(state: _State) -> dict[str, Tensor]:
    """Rename a state dict of the published C-GCN.

    Parameters
    ----------
    state : mapping of str to Tensor
        Under the published names.

    Returns
    -------
    dict of str to Tensor
        For :class:`nsrfc.networks.published.cgcn.CGCN`.

    Raises
    ------
    InputError
        If a name does not belong to that network.
    """
    renamed = {}
    for name, value in _plain(state).items():
        module, _, rest = name.partition(".")
        if module == "bn1":
            continue
        if module not in _CGCN:
            raise _unknown(name, "C-GCN")
        transposed = module.removeprefix("local_").startswith("conv") and rest == "weight"
        renamed[f"{_CGCN[module]}.{rest}"] = value.T.contiguous() if transposed else value
    return renamed


def convert_pairnet(state: _State) -> dict[str, Tensor]:
    """Rename a state dict of the published pair network.

    Parameters, return value and errors are those of :func:`convert_cgcn`, for
    :class:`nsrfc.networks.published.pairnet.PairNetwork`.
    """
    return _convert_transformer(state, {"clf": "classifier"}, "pair network")


def convert_lcenet(state: _State) -> dict[str, Tensor]:
    """Rename a state dict of the published LCENet.

    Parameters, return value and errors are those of :func:`convert_cgcn`, for
    :class:`nsrfc.networks.published.lcenet.LCENet`.
    """
    return _convert_transformer(state, {"classifier": "classifier"}, "LCENet")


def convert_pcenet(state: _State) -> dict[str, Tensor]:
    """Rename a state dict of the published PCENet.

    Parameters, return value and errors are those of :func:`convert_cgcn`, for
    :class:`nsrfc.networks.published.pcenet.PCENet`.
    """
    heads = {"classifier": "classifier", "adjust_dim": "adjust"}
    return _convert_transformer(state, heads, "PCENet")


def cgcn_arguments(state: _State) -> dict[str, int]:
    """Read the arguments of ``CGCN`` from a published state dict."""
    return {"dimension": _size(state, "bn0.weight", 0)}


def pairnet_arguments(state: _State) -> dict[str, Any]:
    """Read the arguments of ``PairNetwork`` from a published state dict.

    The number of heads cannot be read from it; the default is the published one.
    """
    return {
        "dimension": _size(state, "clf.0.weight", 0),
        "pre_norm": "encoder.norm.weight" in _plain(state),
        **_encoder_arguments(state),
    }


def lcenet_arguments(state: _State) -> dict[str, int]:
    """Read the arguments of ``LCENet`` from a published state dict.

    The number of heads cannot be read from it; the default is the published one.
    """
    dimension = _size(state, "classifier.0.weight", 0)
    k = _size(state, "classifier.0.weight", 1) // 2 - dimension
    return {"dimension": dimension, "k": k, **_encoder_arguments(state)}


def pcenet_arguments(state: _State) -> dict[str, int]:
    """Read the arguments of ``PCENet`` from a published state dict.

    The number of heads cannot be read from it; the default is the published one.
    """
    dimension = _size(state, "adjust_dim.0.weight", 0)
    return {
        "dimension": dimension,
        "k": (_size(state, "adjust_dim.0.weight", 1) - dimension) // 2,
        "classifier_hidden": _size(state, "classifier.0.weight", 0),
        **_encoder_arguments(state),
    }


def _encoder_arguments(state: _State) -> dict[str, int]:
    layers = {name.split(".")[2] for name in _plain(state) if name.startswith("encoder.layers.")}
    return {"layers": len(layers), "hidden": _size(state, "encoder.layers.0.linear1.weight", 0)}


def _convert_transformer(state: _State, heads: dict[str, str], network: str) -> dict[str, Tensor]:
    renamed = {}
    for name, value in _plain(state).items():
        module, _, rest = name.partition(".")
        in_layer = _LAYER_NAME.fullmatch(name)
        if in_layer and in_layer[2] in _LAYER:
            renamed[f"{in_layer[1]}.{_LAYER[in_layer[2]]}.{in_layer[3]}"] = value
        elif name.startswith("encoder.norm."):
            renamed[name] = value
        elif module in heads:
            renamed[f"{heads[module]}.{rest}"] = value
        else:
            raise _unknown(name, network)
    return renamed


def _plain(state: _State) -> dict[str, Tensor]:
    return {name.removeprefix("module."): value for name, value in state.items()}


def _size(state: _State, name: str, axis: int) -> int:
    value = _plain(state).get(name)
    if value is None or value.ndim <= axis:
        raise InputError(f"These weights have no {name}: they are of another network, or cut short.")
    return int(value.shape[axis])


def _unknown(name: str, network: str) -> InputError:
    return InputError(f"{name} is no weight of the published {network}: they are of another network.")
