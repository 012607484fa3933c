"""Estimates of the memory and time of training, from its arrays and its work.

Memory is the sum of the arrays that exist at the same time, with constants from measured runs on a CPU.
Published subgraphs count as full, so the C-GCN of the preset ``paper`` takes less if identities have
many photos. Time is that of a CPU without early stopping; on idle cores it is accurate to a factor of
two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from nsrfc.chunks import BATCH, ROWS
from nsrfc.config import ClusterConfig
from nsrfc.model.settings import NETWORKS, Family, NetworkName
from nsrfc.resources.clustering import (
    BLOCK_BYTES,
    COMPARISON_BYTES_PER_VALUE,
    REBUILD_SECONDS,
    RERANKING_BYTES_PER_NEIGHBOR,
    TORCH_BYTES,
    plan_reranking,
    plan_search,
)
from nsrfc.resources.costs import COSTS, FEATURE_SECONDS, LAYER_VALUES
from nsrfc.resources.machine import available_cores
from nsrfc.resources.plan import Plan, Stage, largest_fitting, refusal
from nsrfc.training.config import CGCNSettings, EdgeSettings, TrainingConfig
from nsrfc.training.networks import outline
from nsrfc.training.tasks import MOST_SCORED

__all__ = ["check_training_plan", "plan_training"]

VECTOR_BYTES_PER_VALUE = 12
"""Per face and dimension: embeddings as given, as distinct unit vectors, and split into two sides."""

MEAN_BYTES_PER_NEIGHBOR = 52
"""Per face of the larger side and neighbour: weights and their order, and lists of refined vectors."""

LEARNING_BYTES_PER_NEIGHBOR = 90
"""Per face of the larger side and neighbour: structure of the lists, log-odds in both directions; or the
density graph with all its edges, which takes less."""

WEIGHT_COPIES = 6
"""Weights, gradients, two moments of the optimiser, the best weights so far, and a checkpoint."""

KEPT_IN_TRAINING = 2
"""Memory of a network on structure per sample in a training step, relative to scoring."""

RETAINED_SHARE = 0.6
"""Share of the memory of a C-GCN's training that the C library does not free, as batches differ in
size."""

STEP_PASSES = 3
"""Time of a training step, relative to scoring."""

MULTIPLY_FLOP_PER_SECOND = 6e10
"""Rate of the networks on coordinates on one core; a multiply-add counts as two."""

SCORING_SECONDS = 5e-4
"""Finding thresholds on one core, per validation face."""

COMPARING_SECONDS = 6e-4
"""Additional time for it if clusters are compared."""

SEARCHES = 2
"""Additional searches: of refined vectors of twice the length for networks on coordinates; of whitened
vectors for networks on structure, once for training on them and once for refining them."""

REBUILDS = 2
"""Graphs rebuilt for networks on structure: on means of neighbourhoods, with and without whitening."""

SUBGRAPH_HOPS = 80, 10
"""Maximum number of faces from a list, and from each of their lists, in a published subgraph."""


def plan_training(
    n: int, dimension: int, config: TrainingConfig, only: NetworkName | None = None
) -> Plan:
    """Estimate memory and time of :func:`nsrfc.train`.

    Parameters
    ----------
    n, dimension : int
        Shape of the embeddings.
    config : TrainingConfig
    only : {"cgcn", "pairs", "lcenet", "pcenet"}, optional
        The only network to be trained; those before it are assumed to exist.

    Returns
    -------
    Plan
        With a stage for each network.

    Raises
    ------
    InputError
        If ``n`` or ``dimension`` is below 1, or a network cannot be made from ``config``.
    """
    sides = _Sides.of(n, config)
    search = plan_search(sides.larger, dimension, ClusterConfig(k=config.k, search=config.search))
    vectors, neighbors = search.stages
    searching = neighbors.seconds * n / sides.larger
    lists = sides.larger * config.k
    measuring = BLOCK_BYTES + LEARNING_BYTES_PER_NEIGHBOR * lists
    scoring = SCORING_SECONDS * sides.validation / available_cores()
    if config.cluster_comparison:
        measuring += COMPARISON_BYTES_PER_VALUE * sides.validation * dimension
        scoring += COMPARING_SECONDS * sides.validation / available_cores()
    rebuilding = SEARCHES * searching
    costs = COSTS[config.family]
    if not costs.searches_anew:
        rebuilding += REBUILDS * REBUILD_SECONDS * n * config.k * dimension / available_cores()
    stages = [
        Stage("networks", TORCH_BYTES, 0, 0.0),
        Stage("vectors", VECTOR_BYTES_PER_VALUE * n * dimension, 0, vectors.seconds),
        Stage("neighbours", 8 * n * config.k, measuring, searching + scoring),
    ]
    if config.rerank:
        reranking = RERANKING_BYTES_PER_NEIGHBOR * lists
        seconds = plan_reranking(n, config.k).stages[-1].seconds
        stages.append(Stage("re-ranking", 4 * n * config.k, reranking, seconds))
    retained = 0
    for name in NETWORKS if only is None else NETWORKS[: NETWORKS.index(only) + 1]:
        load = _load(name, config, dimension, sides)
        epochs = getattr(config, name).loop.epochs if only in (None, name) else 0
        held, work = 4 * n * config.k, measuring
        seconds = load.seconds(epochs) + scoring
        if name == "cgcn":
            width = dimension * costs.width_factor
            held, work = 4 * n * width, _refinement_bytes(sides.larger, config, dimension, width)
            seconds += 2 * scoring + rebuilding
        stages.append(Stage(name, held, work + load.bytes(epochs) + retained, seconds))
        if isinstance(getattr(config, name), CGCNSettings):
            retained = round(RETAINED_SHARE * load.bytes(epochs))
    return Plan(n, dimension, config.k, search.method, tuple(stages))


def check_training_plan(
    planned: Plan, config: TrainingConfig, limit: int | None, only: NetworkName | None = None
) -> None:
    """Refuse a training that would need more than ``limit`` bytes.

    Raises
    ------
    MemoryPlanError
        With the largest number of faces that would fit.
    """
    if limit is None or planned.peak_bytes <= limit:
        return
    faces = largest_fitting(
        planned.n, lambda n: plan_training(n, planned.dimension, config, only).peak_bytes <= limit
    )
    raise refusal(planned, limit, faces)


@dataclass(frozen=True)
class _Sides:
    """Number of faces for training and for validation."""

    training: int
    validation: int

    @classmethod
    def of(cls, n: int, config: TrainingConfig) -> _Sides:
        validation = round(config.validation * n)
        return cls(n - validation, validation)

    @property
    def larger(self) -> int:
        return max(self.training, self.validation)


@dataclass(frozen=True)
class _Load:
    """Memory and time of a network.

    Attributes
    ----------
    parameters : int
    learning, scoring : float
        float32 values per sample in a training step, and when scoring.
    step, batch : int
        Samples in a training step, and in a batch when scoring.
    token_seconds : float
        Time of scoring, on one core.
    shown : float
        Tokens per epoch.
    scored : float
        Tokens that the score of an epoch is measured on.
    learned, validated : float
        Tokens of the training and of the validation faces.
    """

    parameters: int
    learning: float
    scoring: float
    step: int
    batch: int
    token_seconds: float
    shown: float
    scored: float
    learned: float
    validated: float

    def bytes(self, epochs: int) -> int:
        """Weights and batches; with 0 epochs those of a known network, which only scores."""
        scoring = self.batch * self.scoring
        if epochs == 0:
            return round(4 * (self.parameters + scoring))
        return round(4 * (WEIGHT_COPIES * self.parameters + max(self.step * self.learning, scoring)))

    def seconds(self, epochs: int) -> float:
        """Training, then scoring all faces."""
        tokens = epochs * (STEP_PASSES * self.shown + self.scored) + self.learned + self.validated
        return tokens * self.token_seconds / available_cores()


def _load(name: NetworkName, config: TrainingConfig, dimension: int, sides: _Sides) -> _Load:
    settings = getattr(config, name)
    network: Any = outline(config, name, dimension)
    if isinstance(settings, CGCNSettings):
        return _convolution_load(network, settings, config.k, sides)
    tokens, learning, scoring, token_seconds = _TOKENS[config.family](name, network, config.k, dimension)
    samples = sides.training * (1 + settings.hard_pairs if isinstance(settings, EdgeSettings) else 1)
    shown = samples if settings.of_a_set is None else min(samples, settings.of_a_set)
    return _Load(
        _parameters(network),
        learning,
        scoring,
        min(settings.loop.batch, sides.training),
        min(BATCH, sides.larger),
        token_seconds,
        shown * tokens,
        min(sides.validation, MOST_SCORED) * tokens,
        samples * tokens,
        sides.validation * tokens,
    )


def _convolution_load(
    network: Any,  # noqa: ANN401
    settings: CGCNSettings,
    k: int,
    sides: _Sides,
) -> _Load:
    """Load of a C-GCN, which is trained on subgraphs or pieces and refines all faces in one pass."""
    first, second = SUBGRAPH_HOPS
    published = settings.form == "subgraphs"
    faces = min(sides.training, 1 + min(k, first) * second if published else settings.piece)
    # Averaged over data sets, a subgraph with its padding is half as large as a full one.
    repeated = max(1, faces / 2) if published else 1
    return _Load(
        _parameters(network),
        faces * (90 * network.dimension + 12 * faces),
        0.0,  # the memory of the pass over all faces is counted in the refinement
        min(settings.loop.batch, sides.training) if published else 1,
        0,
        2 * _parameters(network) / MULTIPLY_FLOP_PER_SECOND,
        repeated * sides.training,
        sides.validation,
        repeated * sides.training,
        sides.validation,
    )


def _structure_tokens(
    name: NetworkName,
    network: Any,  # noqa: ANN401
    k: int,
    dimension: int,
) -> _Tokens:
    """Tokens of networks on structure: vectors, similarities, and the layers."""
    if name == "cgcn":
        scoring = 4 * k * network.first.correction[1].out_features
        return k, KEPT_IN_TRAINING * scoring, scoring, FEATURE_SECONDS * k
    tokens = 2 * network.reach if name == "pcenet" else k
    width = network.embed[1].out_features
    layers = sum(2 * layer.heads * tokens**2 + 4 * tokens * width for layer in network.encoder.layers)
    scoring = tokens * dimension + 4 * tokens**2 + layers
    return tokens, KEPT_IN_TRAINING * scoring, scoring, FEATURE_SECONDS * k


def _attention_tokens(
    name: NetworkName,
    network: Any,  # noqa: ANN401
    k: int,
    dimension: int,
) -> _Tokens:
    """Tokens of the published networks, which keep several vectors per token."""
    del dimension
    tokens, layers = k, list(network.encoder.layers)
    if name == "pcenet":
        # Its last layer only computes two tokens.
        tokens, layers = 2 * k, layers[:-1]
    width = network.dimension + (0 if name == "pairs" else tokens)
    kept = [10 * width + 5 * x.heads * tokens + 4 * x.widen.out_features for x in layers]
    seconds = 2 * _parameters(network.encoder) / MULTIPLY_FLOP_PER_SECOND
    return tokens, tokens * (12 * width + sum(kept)), tokens * (4 * width + LAYER_VALUES), seconds


_Tokens = tuple[int, float, float, float]
"""Tokens of a list or edge; their values in a training step, and when scoring; seconds per token."""

_TOKENS: Mapping[Family, Callable[[NetworkName, Any, int, int], _Tokens]] = {
    "structure": _structure_tokens,
    "coordinates": _attention_tokens,
}


def _refinement_bytes(faces: int, config: TrainingConfig, dimension: int, width: int) -> int:
    """Arrays for refining one side, and the listed vectors whose cosines are computed at a time."""
    refined = (
        COSTS[config.family].mean_bytes_per_value * faces * dimension
        + MEAN_BYTES_PER_NEIGHBOR * faces * config.k
    )
    return refined + 4 * min(ROWS, faces) * config.k * width


def _parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())
