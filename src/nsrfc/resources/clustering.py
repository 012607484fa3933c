"""What a run will take before it starts: memory and time, by models of its arrays and work.

Memory is the sum of the arrays that stand at the same time, with constants from measured runs. Time
depends on the machine: on an idle one take it as right to a factor of two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nsrfc.chunks import BATCH, CHUNK, ROWS
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.knn.build import EXACT_LIMIT
from nsrfc.knn.inverted_file import FACES_PER_CELL, FLAT_CENTRES
from nsrfc.pipeline import REFINEMENTS
from nsrfc.resources.machine import available_cores
from nsrfc.resources.plan import Plan, Stage, largest_fitting, refusal

if TYPE_CHECKING:
    from nsrfc.model.settings import ModelSettings

__all__ = ["check_plan", "plan", "plan_reranking", "plan_search"]


BLOCK_BYTES = 20 * 2**20
"""What a search holds for the block of faces it compares at a time."""

INDEX_BYTES_PER_VALUE = 5
"""Per face and dimension: the index of the approximate search, with its centres."""

CHUNK_BYTES_PER_NEIGHBOR = 40
"""Per neighbour of the faces that the steps work on at a time: working copies."""

REFINED_BYTES_PER_VALUE = 4
"""Per face and dimension beside input and unit vectors: refined vectors."""

STRENGTH_BYTES_PER_NEIGHBOR = 12
"""Per face and neighbour beside the graph: strengths, their order, and the first lists."""

RERANKING_BYTES_PER_NEIGHBOR = 24
"""Per face and neighbour beside the graph given: reciprocal sets and the new lists."""

TORCH_BYTES = 260 * 2**20
"""torch and the weights of a model."""

CONVOLVED_BYTES_PER_VALUE = 72
"""Per face and dimension beside the vectors: layers of a C-GCN."""

STRUCTURE_BYTES_PER_NEIGHBOR = 40
"""Per face and neighbour beside the graph: strengths, ranks and their order."""

JUDGED_BYTES_PER_NEIGHBOR = 4
"""Per face and neighbour: a probability."""

DENSITY_BYTES_PER_NEIGHBOR = 32
"""Per face and neighbour beside the graph and its probabilities: making the density graph of them."""

EDGE_BYTES_PER_NEIGHBOR = 10
"""Per face and neighbour: that graph, if every pair is a similarity edge."""

GROUPS_BYTES_PER_VALUE = 4
"""Per face and dimension beside the vectors: sums of groups that are compared."""

GROUPS_BYTES_PER_NEIGHBOR = 16
"""Per face and neighbour beside the density graph: its edges once more, in their order."""

LAYER_NUMBERS = 2560
"""What a published network keeps per token beside four vectors."""

START_SECONDS = 1.0
"""Loading the libraries."""

PAIR_FLOP_PER_SECOND = 1e11
"""Rate of the exact search on one core; a multiply-add counts two."""

PAIR_OVERHEAD_FLOP = 300
"""What a pair costs beside its 2 d FLOP: keeping the best."""

INDEX_PASSES = 2.25
"""How often the approximate search compares a face with the centres."""

LINKED_CENTERS = 75_000
"""Centres that could be compared with a face in the time that finding them through a graph takes."""

LISTED_SECONDS = 1e-6
"""Approximate search on one core, per face and dimension, beside the centres."""

REBUILD_SECONDS = 6e-9
"""Rebuilding a graph on one core, per face, neighbour and dimension."""

STRUCTURE_SECONDS = 4e-4
"""Everything but search and rebuilding on one core, per face."""

GROUPS_SECONDS = 1e-7
"""Comparing groups on one core, per face and neighbour: most of it orders edges and reads lists."""

RERANKING_SECONDS = 6e-7
"""Re-ranking on one core, per face and neighbour."""

CONVOLUTION_SECONDS = 3e-9
"""A C-GCN on one core, per face and square of the dimension."""

ATTENTION_SECONDS = 2.3e-7
"""Pair network and LCENet as published on one core, per face, neighbour and dimension."""

EDGE_SECONDS = 5.5e-7
"""PCENet as published on one core, per face, neighbour and dimension, if no edge is spared."""

FEATURE_SECONDS = 7e-8
"""Networks on structure on one core, per face and square of the neighbours, each."""


def plan(
    n: int,
    dimension: int,
    config: ClusterConfig | None = None,
    *,
    given_graph: bool = False,
    model: ModelSettings | None = None,
) -> Plan:
    """Expect what :func:`nsrfc.pipeline.cluster` takes, or :func:`nsrfc.learned.cluster`.

    Parameters
    ----------
    n, dimension : int
        Shape of the embeddings.
    config : ClusterConfig, optional
    given_graph : bool
        Whether the neighbours are known already.
    model : ModelSettings, optional
        Of the model, which brings k with it; time is that of the CPU.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If ``n`` or ``dimension`` is below 1.
    """
    config = config or ClusterConfig()
    if model is not None:
        return _plan_learned(n, dimension, config, given_graph, model)
    search = plan_search(n, dimension, config)
    vectors, neighbors = search.stages
    values, entries, rounds = n * dimension, n * search.k, 1 + len(REFINEMENTS)
    refined = REFINED_BYTES_PER_VALUE * values + STRENGTH_BYTES_PER_NEIGHBOR * entries
    chunk = CHUNK_BYTES_PER_NEIGHBOR * min(n, CHUNK) * search.k
    seconds = rounds * REBUILD_SECONDS * entries * dimension + STRUCTURE_SECONDS * n
    return Plan(
        n,
        dimension,
        search.k,
        "given" if given_graph else search.method,
        (
            vectors,
            replace(neighbors, seconds=0) if given_graph else neighbors,
            Stage("clusters", 0, BLOCK_BYTES + chunk + refined, seconds / available_cores()),
        ),
    )


def plan_search(n: int, dimension: int, config: ClusterConfig | None = None) -> Plan:
    """Expect what one search for neighbours takes; arguments as those of :func:`plan`."""
    config = config or ClusterConfig()
    if n < 1 or dimension < 1:
        raise InputError(f"A plan needs at least one face of one dimension, got {n} x {dimension}.")
    k = min(config.k, n)
    method = config.search
    if method == "auto":
        method = "exact" if n <= EXACT_LIMIT else "approximate"
    centers = n // FACES_PER_CELL
    compared = centers if centers < FLAT_CENTRES else LINKED_CENTERS
    pairs = n * (n if method == "exact" else INDEX_PASSES * compared)
    seconds = pairs * (2 * dimension + PAIR_OVERHEAD_FLOP) / PAIR_FLOP_PER_SECOND / available_cores()
    if method == "approximate":
        seconds += LISTED_SECONDS * n * dimension / available_cores()
    # The index first, then the lists that the next pass starts from.
    index_bytes = max(INDEX_BYTES_PER_VALUE * n * dimension, 8 * n * k) if method == "approximate" else 0
    return Plan(
        n,
        dimension,
        k,
        method,
        (
            Stage("vectors", 8 * n * dimension, 4 * n * dimension, START_SECONDS),
            Stage("neighbours", 8 * n * k, BLOCK_BYTES + index_bytes, seconds),
        ),
    )


def plan_reranking(n: int, k: int) -> Plan:
    """Expect what :func:`nsrfc.graph.rerank` takes for a graph of shape (n, k)."""
    entries = n * k
    return Plan(
        n,
        0,
        k,
        "given",
        (
            Stage("neighbours", 8 * entries, 0, START_SECONDS),
            Stage(
                "re-ranking",
                0,
                RERANKING_BYTES_PER_NEIGHBOR * entries,
                RERANKING_SECONDS * entries / available_cores(),
            ),
        ),
    )


def _plan_learned(
    n: int, dimension: int, config: ClusterConfig, given_graph: bool, model: ModelSettings
) -> Plan:
    """Expect what :func:`nsrfc.learned.cluster` takes."""
    search = plan_search(n, dimension, config.model_copy(update={"k": model.k}))
    vectors, neighbors = search.stages
    entries, cores = n * model.k, available_cores()
    published = model.family == "coordinates"
    # Networks on structure read embeddings of any length and keep it.
    width = model.width("pcenet") if published else dimension
    rebuilding = REBUILD_SECONDS * entries * dimension / cores
    judging = (
        ATTENTION_SECONDS * entries * width if published else FEATURE_SECONDS * entries * model.k
    ) / cores
    structure = 0 if published else STRUCTURE_BYTES_PER_NEIGHBOR * entries
    token = 4 * (width + 2 * model.k) + LAYER_NUMBERS if published else 10 * model.k
    batch = 4 * min(n, BATCH) * model.k * token
    judged = JUDGED_BYTES_PER_NEIGHBOR * entries
    stages = [
        Stage("model", TORCH_BYTES, 0, 0.0),
        vectors,
        replace(neighbors, seconds=0 if given_graph else neighbors.seconds),
    ]
    if model.uses("refine"):
        convolved = CONVOLVED_BYTES_PER_VALUE * n * dimension if published else structure
        reranked = RERANKING_BYTES_PER_NEIGHBOR * entries if model.rerank else 0
        whitened = model.uses("whiten")
        seconds = CONVOLUTION_SECONDS * n * dimension**2 / cores if published else judging
        seconds += whitened * judging
        # Whitened vectors and their lists stand beside the first ones.
        beside = (4 * n * dimension + 8 * entries) * whitened
        refined = 4 * n * width + 8 * entries * model.uses("rebuild")
        rescored = 0 if model.uses("rebuild") else 4 * min(n, ROWS) * model.k * width
        again = neighbors.seconds if published else rebuilding
        stages.append(
            Stage(
                "refinement",
                refined,
                max(convolved + reranked, rescored, neighbors.work_bytes) + beside,
                seconds + whitened * neighbors.seconds + again * model.uses("rebuild"),
            )
        )
    if model.uses("pairs"):
        stages.append(Stage("pairs", judged, structure + batch, judging))
    if model.uses("density"):
        stages.append(Stage("lcenet", judged, structure + batch, judging))
    made = EDGE_BYTES_PER_NEIGHBOR * entries, DENSITY_BYTES_PER_NEIGHBOR * entries
    stages.append(Stage("density graph", *made, 0.0))
    if model.uses("connect"):
        edges = EDGE_SECONDS * entries * width / cores if published else judging
        stages.append(Stage("edges", 0, structure + 2 * batch, edges))
    if model.groups:
        compared = GROUPS_BYTES_PER_VALUE * n * dimension + GROUPS_BYTES_PER_NEIGHBOR * entries
        stages.append(Stage("groups", 0, BLOCK_BYTES + compared, GROUPS_SECONDS * entries / cores))
    method = "given" if given_graph else search.method
    return Plan(n, dimension, model.k, method, tuple(stages))


def check_plan(
    planned: Plan,
    config: ClusterConfig,
    limit: int | None,
    *,
    given_graph: bool = False,
    model: ModelSettings | None = None,
) -> None:
    """Refuse a run of :func:`nsrfc.pipeline.cluster` that would need more than ``limit`` bytes.

    Raises
    ------
    MemoryPlanError
        With the most faces, or the most neighbours, that would fit.
    """
    if limit is None or planned.peak_bytes <= limit:
        return

    def fits(n: int, k: int) -> bool:
        smaller = config.model_copy(update={"k": k})
        whole = plan(n, planned.dimension, smaller, given_graph=given_graph, model=model)
        return whole.peak_bytes <= limit

    faces = largest_fitting(planned.n, lambda n: fits(n, config.k))
    neighbors = largest_fitting(planned.k, lambda k: fits(planned.n, k))
    ways = [f"{faces:,} faces"] if faces else []
    ways += [f"k = {neighbors}"] if neighbors > 1 and not given_graph and model is None else []
    raise refusal(planned, limit, ways)
