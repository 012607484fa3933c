"""Models with random weights, which several tests share."""

from __future__ import annotations

from typing import Any

import torch

from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import NETWORKS, STEPS, ModelSettings, Step

D, K = 32, 12
"""Length of an embedding and of a list of neighbours."""

_ATTENTION = {"layers": 1, "heads": 2, "hidden": 16}

PUBLISHED: dict[str, Any] = {
    "family": "coordinates",
    "networks": {
        "cgcn": {},
        "pairs": _ATTENTION,
        "lcenet": _ATTENTION,
        "pcenet": {**_ATTENTION, "classifier_hidden": 16},
    },
    "rerank": True,
    "mutual": "published",
    "veto": False,
    "tau": 0.27,
}
STRUCTURE: dict[str, Any] = {
    "family": "structure",
    "networks": {name: {} for name in NETWORKS},
    "tau": 0.4,
    "connect": 0.3,
}
FAMILIES = {"structure": STRUCTURE, "coordinates": PUBLISHED}

EVERY_STEP: dict[Step, bool] = dict.fromkeys(STEPS, True)


def make_model(settings: dict[str, Any], **changes: Any) -> NSRFC:  # noqa: ANN401
    """Return a model with random weights: of the family "structure" it knows what is known untrained."""
    torch.manual_seed(0)
    whole = {"dimension": D, "k": K, "used": EVERY_STEP, **settings, **changes}
    return NSRFC(ModelSettings(**whole)).eval()
