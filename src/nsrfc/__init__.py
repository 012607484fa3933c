"""Cluster face embeddings by identity.

>>> import nsrfc
>>> labels = nsrfc.FaceClusterer().fit_predict(X)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nsrfc.runtime import note_forks

if TYPE_CHECKING:
    from nsrfc.clusterer import FaceClusterer
    from nsrfc.config import ClusterConfig
    from nsrfc.errors import InputError, MemoryPlanError, NsrfcError, OptionalDependencyError
    from nsrfc.library.library import Library
    from nsrfc.methods.base import Run
    from nsrfc.metrics import evaluate
    from nsrfc.model.bundle import NSRFC
    from nsrfc.pipeline import cluster
    from nsrfc.training.api import train
    from nsrfc.training.config import TrainingConfig

__version__ = "0.1.0"

__all__ = [
    "NSRFC",
    "ClusterConfig",
    "FaceClusterer",
    "InputError",
    "Library",
    "MemoryPlanError",
    "NsrfcError",
    "OptionalDependencyError",
    "Run",
    "TrainingConfig",
    "cluster",
    "evaluate",
    "train",
]

_HOMES = {
    "NSRFC": "model.bundle",
    "ClusterConfig": "config",
    "FaceClusterer": "clusterer",
    "InputError": "errors",
    "Library": "library.library",
    "MemoryPlanError": "errors",
    "NsrfcError": "errors",
    "OptionalDependencyError": "errors",
    "Run": "methods.base",
    "TrainingConfig": "training",
    "cluster": "pipeline",
    "evaluate": "metrics",
    "train": "training",
}

note_forks()


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # Heavy libraries are loaded on first use, so that the command line starts at once.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
