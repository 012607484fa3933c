"""The neighbour graph, the local density graph and components: arrays only.

Names are imported when they are first used, so that the records of `structures` cost no numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsrfc.graph.components import connected_components, drop_small, relabel_by_first_appearance
    from nsrfc.graph.density import (
        approximate_ndde_density,
        naive_density,
        ndde_density,
        neighbor_distances,
    )
    from nsrfc.graph.dpc import density_peak_clustering, shared_neighbor_counts, tpdi
    from nsrfc.graph.neighbors import build_neighbor_graph, check_neighbor_graph, sampled_recall
    from nsrfc.graph.reciprocal import k_reciprocal_sets, reciprocal_sets
    from nsrfc.graph.reranking import rerank
    from nsrfc.graph.structures import Clustering, EdgeList, NeighborGraph

__all__ = [
    "Clustering",
    "EdgeList",
    "NeighborGraph",
    "approximate_ndde_density",
    "build_neighbor_graph",
    "check_neighbor_graph",
    "connected_components",
    "density_peak_clustering",
    "drop_small",
    "k_reciprocal_sets",
    "naive_density",
    "ndde_density",
    "neighbor_distances",
    "reciprocal_sets",
    "relabel_by_first_appearance",
    "rerank",
    "sampled_recall",
    "shared_neighbor_counts",
    "tpdi",
]

_MODULES = {
    "components": ("connected_components", "drop_small", "relabel_by_first_appearance"),
    "density": (
        "approximate_ndde_density",
        "naive_density",
        "ndde_density",
        "neighbor_distances",
    ),
    "dpc": ("density_peak_clustering", "shared_neighbor_counts", "tpdi"),
    "neighbors": ("build_neighbor_graph", "check_neighbor_graph", "sampled_recall"),
    "reciprocal": ("k_reciprocal_sets", "reciprocal_sets"),
    "reranking": ("rerank",),
    "structures": ("Clustering", "EdgeList", "NeighborGraph"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
