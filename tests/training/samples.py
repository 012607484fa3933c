"""Labelled faces, as training describes them, and methods to teach: what tests of training share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from torch import nn

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.networks import NetworkMethod, padded
from nsrfc.methods.registry import method_class
from nsrfc.model.settings import ClusterComparison, Family, ModelSettings, NetworkName
from nsrfc.records import Neighborhood
from nsrfc.synthetic import generate
from nsrfc.training.sample import Sample


def neighborhood_of(X: npt.NDArray[np.float32], k: int) -> Neighborhood:
    ids, similarities = padded(build_neighbor_graph(X, k), k)
    return Neighborhood(X, X, ids, similarities, ids)


def sample_of(n: int, dimension: int, k: int, seed: int = 0) -> Sample:
    """Return generated faces of which nothing is known but their neighbours."""
    found = generate(n, "wild", dimension=dimension, seed=seed)
    X = found.embeddings / np.linalg.norm(found.embeddings, axis=1)[:, None]
    near = neighborhood_of(np.ascontiguousarray(X), k)
    return Sample(near, found.identities, near.ids)


def method_of(
    family: Family,
    k: int,
    networks: Mapping[NetworkName, nn.Module] | None = None,
    *,
    groups: bool = False,
) -> NetworkMethod:
    """Return a method whose similarity edges are all pairs that may be one."""
    networks = networks or {}
    settings = ModelSettings(
        family=family,
        dimension=None if family == "structure" else 1,
        k=k,
        networks={name: {} for name in networks},
        veto=False,
        cluster_comparison=ClusterComparison() if groups else None,
        tau=0.0,
    )
    return method_class(family)(settings, networks)
