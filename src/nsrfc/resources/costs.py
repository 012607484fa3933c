"""Costs of the networks of each family, from measured runs on a CPU; seconds are those of one core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nsrfc.model.settings import Family

__all__ = ["COSTS", "Costs", "PublishedCosts", "StructureCosts"]

CONVOLVED_BYTES_PER_VALUE = 72
"""Per face and dimension, besides the vectors: layers of a C-GCN."""

STRUCTURE_BYTES_PER_NEIGHBOR = 24
"""Per face and neighbour, besides the graph: normalised scores, ranks, and lists being searched."""

LAYER_VALUES = 2560
"""Values that a published network keeps per token, besides four vectors."""

CONVOLUTION_SECONDS = 3e-9
"""A C-GCN, per face and squared dimension."""

ATTENTION_SECONDS = 2.3e-7
"""Pair network and LCENet as published, per face, neighbour and dimension."""

EDGE_SECONDS = 5.5e-7
"""PCENet as published, per face, neighbour and dimension, if no edge is skipped."""

LIST_SECONDS = 3.5e-8
"""Each network on structure that scores lists, per face and squared number of neighbours."""

FEATURE_SECONDS = 7e-8
"""The same in training."""


@dataclass(frozen=True)
class Costs:
    """Costs that do not depend on the size of a run.

    Attributes
    ----------
    searches_anew : bool
        Whether the neighbours of refined vectors are searched among all faces, not among neighbours of
        neighbours.
    width_factor : int
        Length of a refined vector divided by the embedding dimension.
    mean_bytes_per_value : int
        Memory of refinement in training, per face and dimension.
    """

    searches_anew: bool
    width_factor: int
    mean_bytes_per_value: int


@dataclass(frozen=True)
class StructureCosts(Costs):
    """Costs of networks on structure."""

    searches_anew: bool = False
    width_factor: int = 1
    mean_bytes_per_value: int = 24

    def list_seconds(self, entries: int, k: int, width: int) -> float:
        """Scoring all lists."""
        del width
        return LIST_SECONDS * entries * k

    def edge_seconds(self, entries: int, k: int, width: int) -> float:
        """Scoring all density edges."""
        return self.list_seconds(entries, k, width)

    def refining_seconds(self, n: int, k: int, dimension: int) -> float:
        """Refining all embeddings once."""
        return self.list_seconds(n * k, k, dimension)

    def refining_bytes(self, n: int, k: int, dimension: int) -> int:
        """Arrays that refining needs."""
        del dimension
        return self.list_bytes(n * k)

    def list_bytes(self, entries: int) -> int:
        """Arrays for scoring lists or edges, besides the graph."""
        return STRUCTURE_BYTES_PER_NEIGHBOR * entries

    def token_values(self, k: int, width: int) -> int:
        """Values per neighbour in a batch."""
        del width
        return 10 * k


@dataclass(frozen=True)
class PublishedCosts(Costs):
    """Costs of the published networks."""

    searches_anew: bool = True
    width_factor: int = 2
    mean_bytes_per_value: int = CONVOLVED_BYTES_PER_VALUE

    def list_seconds(self, entries: int, k: int, width: int) -> float:
        """Scoring all lists."""
        del k
        return ATTENTION_SECONDS * entries * width

    def edge_seconds(self, entries: int, k: int, width: int) -> float:
        """Scoring all density edges."""
        del k
        return EDGE_SECONDS * entries * width

    def refining_seconds(self, n: int, k: int, dimension: int) -> float:
        """Refining all embeddings once."""
        del k
        return CONVOLUTION_SECONDS * n * dimension**2

    def refining_bytes(self, n: int, k: int, dimension: int) -> int:
        """Arrays that refining needs."""
        del k
        return CONVOLVED_BYTES_PER_VALUE * n * dimension

    def list_bytes(self, entries: int) -> int:
        """Arrays for scoring lists or edges, besides the graph: none."""
        del entries
        return 0

    def token_values(self, k: int, width: int) -> int:
        """Values per neighbour in a batch."""
        return 4 * (width + 2 * k) + LAYER_VALUES


COSTS: Mapping[Family, StructureCosts | PublishedCosts] = {
    "structure": StructureCosts(),
    "coordinates": PublishedCosts(),
}
