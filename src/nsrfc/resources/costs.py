"""What the networks of each family take, from measured runs on a CPU; seconds are those of one core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nsrfc.model.settings import Family

__all__ = ["COSTS", "Costs", "PublishedCosts", "StructureCosts"]

CONVOLVED_BYTES_PER_VALUE = 72
"""Per face and dimension beside the vectors: layers of a C-GCN."""

STRUCTURE_BYTES_PER_NEIGHBOR = 40
"""Per face and neighbour beside the graph: normalised scores, ranks and their order."""

LAYER_VALUES = 2560
"""What a published network keeps per token beside four vectors."""

CONVOLUTION_SECONDS = 3e-9
"""A C-GCN, per face and square of the dimension."""

ATTENTION_SECONDS = 2.3e-7
"""Pair network and LCENet as published, per face, neighbour and dimension."""

EDGE_SECONDS = 5.5e-7
"""PCENet as published, per face, neighbour and dimension, if no edge is skipped."""

FEATURE_SECONDS = 7e-8
"""Networks on structure, per face and square of the neighbours, each."""


@dataclass(frozen=True)
class Costs:
    """What does not depend on the size of a run.

    Attributes
    ----------
    searches_anew : bool
        Whether the graph of refined vectors is searched among all faces, not rebuilt.
    width_factor : int
        Length of a refined vector in embeddings.
    mean_bytes_per_value : int
        Per face and dimension: what refining holds in training.
    """

    searches_anew: bool
    width_factor: int
    mean_bytes_per_value: int


@dataclass(frozen=True)
class StructureCosts(Costs):
    """Of networks on structure."""

    searches_anew: bool = False
    width_factor: int = 1
    mean_bytes_per_value: int = 24

    def list_seconds(self, entries: int, k: int, width: int) -> float:
        """Scoring all lists."""
        del width
        return FEATURE_SECONDS * entries * k

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
        """Arrays that scoring lists or edges needs beside the graph."""
        return STRUCTURE_BYTES_PER_NEIGHBOR * entries

    def token_values(self, k: int, width: int) -> int:
        """Values that stand for each neighbour of a batch."""
        del width
        return 10 * k


@dataclass(frozen=True)
class PublishedCosts(Costs):
    """Of the published networks."""

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
        """Arrays that scoring lists or edges needs beside the graph: none."""
        del entries
        return 0

    def token_values(self, k: int, width: int) -> int:
        """Values that stand for each neighbour of a batch."""
        return 4 * (width + 2 * k) + LAYER_VALUES


COSTS: Mapping[Family, StructureCosts | PublishedCosts] = {
    "structure": StructureCosts(),
    "coordinates": PublishedCosts(),
}
