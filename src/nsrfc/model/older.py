"""Conversion of weights written by version 0.1.0 to their present names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["present_names"]

_LEANING = re.compile(r"^(\w+)\.layers\.")
_RENAMED = {".feed_norm.": ".feed_forward_norm.", ".feed.0.": ".widen.", ".feed.2.": ".narrow."}
_QUERY = re.compile(r"\.query\.(weight|bias)$")


def present_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights: encoders of networks on structure, and projections that used to be separate.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Of a complete model, written by this version or the one before.

    Returns
    -------
    dict of str to Tensor
    """
    renamed = {}
    for name, value in weights.items():
        now = _LEANING.sub(r"\1.encoder.layers.", name)
        for before, after in _RENAMED.items():
            now = now.replace(before, after)
        renamed[now] = value
    for query in [name for name in renamed if _QUERY.search(name)]:
        parts = [query.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if all(part in renamed for part in parts):
            joined = torch.cat([renamed.pop(part) for part in parts])
            renamed[query.replace(".query.", ".project.")] = joined
    return renamed
