"""The model card: training data, quality, and use of a model. Returns text, writes no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nsrfc.model.settings import STEPS, ModelSettings

__all__ = ["model_card"]

_HEAD = """\
---
library_name: nsrfc
tags:
- face-clustering
- model_hub_mixin
- pytorch_model_hub_mixin
---
"""

_USE = """
## Use

```python
import nsrfc

labels = nsrfc.FaceClusterer(model="model/").fit_predict(X)
```

`X` holds one embedding per row, {embeddings}.
"""


def model_card(settings: ModelSettings, metrics: Mapping[str, float], data: Mapping[str, Any]) -> str:
    """Write the card of a model.

    Parameters
    ----------
    settings : ModelSettings
    metrics : mapping of str to float
        F on the validation identities after each step, in 0..1.
    data : mapping
        Facts about the training data.

    Returns
    -------
    str
        Markdown.
    """
    taken = [step for step in STEPS if settings.uses(step)]
    left_out = {*STEPS} - {*taken}
    tau = "the published rule" if settings.tau is None else f"{settings.tau:.4g}"
    facts = {
        "embedding dimension": settings.dimension or "any",
        "neighbours per face": settings.k,
        "family": settings.family,
        "networks": ", ".join(settings.networks) or "none",
        "steps": ", ".join(taken) or "none",
        "similarity threshold": tau,
        "connectivity threshold": f"{settings.connect:.4g}",
        "clusters compared": "yes" if settings.cluster_comparison else "no",
    }
    parts = [
        _HEAD,
        "# Clustering of face embeddings by identity (NSR-FC)\n",
        "Networks trained with the Python package nsrfc, which clusters face embeddings by identity.\n",
        _table("", "value", facts),
    ]
    if metrics:
        scores = {
            step: f"{quality:.2%}{' (left out)' if step in left_out else ''}"
            for step, quality in metrics.items()
        }
        parts += [
            "\n## Quality\n",
            "Mean of pairwise and BCubed F on validation identities, clustered with each step and those "
            "before it, at the thresholds that are best on them.\n",
            _table("step", "F", scores),
        ]
    if data:
        parts += ["\n## Training data\n", _table("", "value", data)]
    embeddings = "of any embedder and dimension"
    if settings.dimension is not None:
        embeddings = (
            f"of dimension {settings.dimension}, from the embedder that the model was trained on"
        )
    parts.append(_USE.format(embeddings=embeddings))
    return "\n".join(parts)


def _table(first: str, second: str, rows: Mapping[str, Any]) -> str:
    lines = [f"| {first} | {second} |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows.items()])
