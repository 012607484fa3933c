"""The least work of the networks, counted layer by layer; see :mod:`benchmarks.work`.

n faces, d dimensions, k neighbours; w is the width of the vectors that a network reads.
"""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from nsrfc.graph.whitening import MEASURED
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import NetworkName
from nsrfc.networks.published.cgcn import CGCN
from nsrfc.networks.published.lcenet import LCENet
from nsrfc.networks.published.pairnet import PairNetwork
from nsrfc.networks.published.pcenet import PCENet
from nsrfc.networks.structure import StructureEdges, StructurePairs, StructureRefinement

from .work import (
    Work,
    averages,
    compared_clusters,
    impostor_scores,
    list_features,
    rebuilding,
    search,
    total,
    whitening,
)

__all__ = ["lcenet", "learned", "pair_network", "pcenet", "structure_edges", "structure_lists"]

Network = TypeVar("Network", bound=nn.Module)

LOCAL = 20
"""Ties of a face in the local adjacency: its 10 nearest, and about as many that have it among theirs."""


def learned(model: NSRFC, n: int, d: int, edges: int, method: str = "auto") -> dict[str, Work]:
    """Count the stages of a clustering with a model, every step of it being used.

    Parameters
    ----------
    model : NSRFC
    n, d : int
        Shape of the embeddings.
    edges : int
        Edges that the last network scored.
    method : {"auto", "exact", "approximate"}
        How neighbours were searched.
    """
    settings = model.settings
    k = settings.k
    searched = search(n, d, min(k, n), method)

    def network(name: NetworkName, kind: type[Network]) -> Network:
        found = model.network(name)
        assert isinstance(found, kind)
        return found

    compared = {"clusters": compared_clusters(n, d)} if settings.cluster_comparison else {}
    if settings.family == "coordinates":
        w = settings.width("pairs")
        return compared | {
            "neighbours": searched + search(n, w, min(k, n), method),
            "refinement": shared_convolution(network("cgcn", CGCN), n, k),
            "pairs": n * pair_network(network("pairs", PairNetwork), k),
            "lcenet": n * lcenet(network("lcenet", LCENet)),
            "edges": edges * pcenet(network("pcenet", PCENet)),
        }
    scored = min(settings.scored or k, k)
    return compared | {
        # Whitened vectors and means of them are searched among neighbours of neighbours.
        "neighbours": searched + 2 * rebuilding(n, d, k),
        "refinement": structure_refinement(network("cgcn", StructureRefinement), n, d, k, scored),
        "pairs": list_features(n, k, scored)
        + n * structure_lists(network("pairs", StructurePairs), scored, d),
        "lcenet": list_features(n, k, scored)
        + n * structure_lists(network("lcenet", StructurePairs), scored, d),
        "edges": edges * structure_edges(network("pcenet", StructureEdges), d),
    }


def shared_convolution(network: CGCN, n: int, k: int) -> Work:
    """Count a C-GCN in one pass: each layer once per face, and sums over neighbours.

    Each of two stages gathers the vectors of the local adjacency for their sum, and those of the list
    twice, for their cosines and for their sum.
    """
    gathered = 2.0 * n * (LOCAL + 2 * k) * 2 * network.dimension
    return linear_layers(network, n) + Work(flop=2 * gathered, bytes=4 * gathered)


def pair_network(network: PairNetwork, k: int) -> Work:
    """Count a list of k: layers for each token, 2 k^2 products of vectors for each attention."""
    w = network.dimension
    attention = 4.0 * k * k * w * len(network.encoder.layers)
    return linear_layers(network, k) + Work(flop=attention, bytes=gathered(k, w))


def lcenet(network: LCENet) -> Work:
    """Count the same on tokens of w + k numbers, the latter being the cosines of the list."""
    k, w = network.k, network.dimension
    attention = 4.0 * k * k * (w + k) * len(network.encoder.layers)
    cosines = 2.0 * k * k * w
    return linear_layers(network, k) + Work(flop=attention + cosines, bytes=gathered(k, w))


def pcenet(network: PCENet) -> Work:
    """Count an edge: 2 k tokens of w + 2 k numbers, two of which ask and go on in the last layer."""
    tokens, w = 2 * network.k, network.dimension
    *first, last = network.encoder.layers
    # Of the projection a third is for the two that ask, two thirds are for all.
    projected = (2 + 2 * tokens) / 3
    rows = {"project": projected, "joined": 2, "widen": 2, "narrow": 2}
    layers = total(linear_layers(layer, tokens) for layer in first)
    layers += total(linear_layers(last.get_submodule(name), count) for name, count in rows.items())
    layers += linear_layers(network.adjust, 2) + linear_layers(network.classifier, 1)
    attention = 4.0 * (w + tokens) * tokens * (tokens * len(first) + 2)
    cosines = 2.0 * tokens * tokens * w
    return layers + Work(flop=attention + cosines, bytes=gathered(tokens, w))


def structure_refinement(network: StructureRefinement, n: int, d: int, k: int, scored: int) -> Work:
    """Count features and scores of a sample for whitening, then of all faces and their averages."""
    some = min(n, MEASURED)
    lists = list_features(some, k, scored) + linear_layers(network.first, some * scored)
    lists += list_features(n, k, scored) + linear_layers(network.second, n * scored)
    return lists + 2 * impostor_scores(n, d) + whitening(n, d, scored) + averages(n, d, scored)


def structure_lists(network: StructurePairs, k: int, d: int) -> Work:
    """Count layers and attention of a list, and the similarities within it, 2 k^2 d."""
    attention = 4.0 * k * k * _out(network.embed) * len(network.encoder.layers)
    return linear_layers(network, k) + Work(flop=attention + 2.0 * k * k * d, bytes=gathered(k, d))


def structure_edges(network: StructureEdges, d: int) -> Work:
    """Count the same for the faces that are read of both ends of an edge, and the last layers once."""
    tokens = 2 * network.reach
    layers = linear_layers(network.embed, tokens) + linear_layers(network.encoder.layers, tokens)
    attention = 4.0 * tokens * tokens * _out(network.embed) * len(network.encoder.layers)
    within = 2.0 * tokens * tokens * d
    work = Work(flop=attention + within, bytes=gathered(tokens, d))
    return work + layers + linear_layers(network.correction, 1)


def linear_layers(network: nn.Module, rows: float) -> Work:
    """Count all linear layers of a network: two FLOP for each weight and row."""
    layers = (module for module in network.modules() if isinstance(module, nn.Linear))
    return Work(flop=2.0 * rows * sum(layer.weight.numel() for layer in layers))


def gathered(tokens: int, w: int) -> float:
    """Return bytes of vectors that are read where they are and written side by side."""
    return 8.0 * tokens * w


def _out(layers: nn.Module) -> int:
    """Return the width of what the last linear layer gives."""
    return [module for module in layers.modules() if isinstance(module, nn.Linear)][-1].out_features
