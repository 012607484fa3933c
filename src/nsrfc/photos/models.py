"""A detector and an embedder by their names, ready to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nsrfc.photos.faces import Detector, Embedder
from nsrfc.photos.registry import Registry, Weights

__all__ = ["DETECTOR", "EMBEDDER", "Models", "load_models"]

DETECTOR, EMBEDDER = "dlib-hog", "dlib"
"""The pair that comes from the index of Python packages alone."""


@dataclass(frozen=True)
class Models:
    """What finds and embeds faces.

    Attributes
    ----------
    detector : Detector
    embedder : Embedder
    card : str
        Embedder card; "auto" if there is none.
    """

    detector: Detector
    embedder: Embedder
    card: str


def load_models(
    registry: Registry, detector: str, embedder: str, *, accepted: bool = False, device: str = "auto"
) -> Models:
    """Find the weights of a detector and an embedder, and load them.

    Parameters
    ----------
    registry : Registry
    detector, embedder : str
        Names in the registry.
    accepted : bool
        Whether licences that do not allow any use are accepted.
    device : str
        Where ONNX networks run: "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        If there are no such weights, they are other ones, or their licence is not accepted.
    OptionalDependencyError
        If a library is not installed.
    """
    finds, embeds = registry.named(detector, "detector"), registry.named(embedder, "embedder")
    # Both are looked for before one is loaded, which may take a while.
    first, second = (registry.paths(each, accepted=accepted) for each in (finds, embeds))
    return Models(_detector(finds, first, device), _embedder(embeds, second, device), embeds.card)


def _detector(weights: Weights, paths: list[Path], device: str) -> Detector:
    contract = weights.contract
    if weights.kind == "yunet":
        from nsrfc.photos.yunet import YuNet

        return YuNet(weights.name, paths[0], contract, device)
    if weights.kind == "scrfd":
        from nsrfc.photos.scrfd import Scrfd

        return Scrfd(weights.name, paths[0], contract, device)
    from nsrfc.photos.dlib_models import DlibDetector

    return DlibDetector(weights.name, paths[0], contract, paths[1] if len(paths) > 1 else None)


def _embedder(weights: Weights, paths: list[Path], device: str) -> Embedder:
    if weights.kind == "aligned":
        from nsrfc.photos.embedders import AlignedEmbedder

        return AlignedEmbedder(weights, paths[0], device)
    from nsrfc.photos.dlib_models import DlibEmbedder

    return DlibEmbedder(weights, *paths)
