"""Estimates of the memory and time of clustering, from its arrays and its work.

Memory is the sum of the arrays that exist at the same time, with constants from measured runs. Time
depends on the machine; on an idle one it is accurate to a factor of two.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nsrfc.chunks import BATCH, CHUNK, ROWS
from nsrfc.config import MOST_FACES, ClusterConfig
from nsrfc.errors import InputError, shown
from nsrfc.knn.build import EXACT_LIMIT
from nsrfc.knn.cells import (
    AVERAGED_SHARE,
    FACES_PER_CELL,
    FLAT_CENTRES,
    GROUPS,
    PARTITIONS,
    wide_passes,
)
from nsrfc.knn.exact import HALVED_FROM
from nsrfc.methods.rules import Rules
from nsrfc.resources.costs import COSTS
from nsrfc.resources.machine import available_cores, available_memory
from nsrfc.resources.plan import (
    LISTS,
    MAPPED_BYTES_PER_FACE,
    MODEL,
    Plan,
    Stage,
    largest_fitting,
    refusal,
)
from nsrfc.runtime import multiplies_bfloat16

if TYPE_CHECKING:
    from nsrfc.model.settings import ModelSettings

__all__ = ["fitted", "plan", "plan_reranking", "plan_search"]


BLOCK_BYTES = 20 * 2**20
"""Memory for the block of faces that a search compares at a time."""

GRAPH_BYTES_PER_NEIGHBOR = 8
"""Per face and neighbour: an id and a similarity, in memory and in the cache."""

ORDERED_BYTES_PER_VALUE = 4
"""Per face and dimension: the vectors in the order of their cells, in an approximate search."""

CELL_BYTES = 160
"""Per face: cells near it, while they are put in order."""

PASS_BYTES_PER_NEIGHBOR = 9
"""Per face and neighbour: what a pass of an approximate search makes, an id, a similarity, and whether
the neighbour is fresh."""

FRESH_BYTES_PER_NEIGHBOR = 2
"""Per face and neighbour, besides the lists that a pass starts from: which neighbours are fresh."""

CHUNK_BYTES_PER_NEIGHBOR = 40
"""Per neighbour of the faces processed at a time: working copies."""

REFINED_BYTES_PER_VALUE = 4
"""Per face and dimension, besides input and unit vectors: refined vectors."""

SCORE_BYTES_PER_NEIGHBOR = 12
"""Per face and neighbour, besides the graph: normalised scores, their order, and the first lists."""

RERANKING_BYTES_PER_NEIGHBOR = 24
"""Per face and neighbour, besides the given graph: reciprocal sets and the new lists."""

TORCH_BYTES = 260 * 2**20
"""torch and the weights of a model."""

PROBABILITY_BYTES_PER_NEIGHBOR = 4
"""Per face and neighbour: a probability."""

DENSITY_BYTES_PER_NEIGHBOR = 32
"""Per face and neighbour, besides the graph and its probabilities: making the density graph."""

MAPPED_BYTES_PER_NEIGHBOR = 24
"""Per face and neighbour that networks score, where vectors and lists are mapped from files: edges, most
neighbours of a trained model being similarity edges, their order, and sums of clusters."""

EDGE_BYTES_PER_NEIGHBOR = 10
"""Per face and neighbour: the density graph, if every pair is a similarity edge."""

COMPARISON_BYTES_PER_VALUE = 2
"""Per face and dimension, besides the vectors: sums of the clusters that are compared, at most."""

COMPARISON_BYTES_PER_NEIGHBOR = 16
"""Per face and neighbour, besides the density graph: its edges in sorted order."""

START_SECONDS = 1.0
"""Loading the libraries."""

HALVED_BYTES_PER_VALUE = 2
"""Per face and dimension, where an exact search proposes in bfloat16."""

PAIR_FLOP_PER_SECOND = 1.5e11
"""Rate of the exact search on one core; a multiply-add counts as two."""

PAIR_OVERHEAD_FLOP = 300
"""Cost of a pair besides its 2 d FLOP: selecting the best."""

GROUPED_OVERHEAD = 2
"""A search in groups of centres takes as long as comparing so many times the centres visited."""

LISTED_SECONDS = 2e-7
"""Approximate search on one core, per face and dimension, besides the centres."""

WIDE_PASS_SECONDS = 4e-9
"""Searching the neighbours of all neighbours on one core, per face, neighbour and dimension."""

LATER_PASS = 0.6
"""Time of a later pass, which compares only what the one before has brought, in that of the first."""

REBUILD_SECONDS = 1.5e-9
"""Rebuilding a graph on one core, per face, neighbour and dimension."""

STRUCTURE_SECONDS = 1.5e-4
"""Everything except search and rebuilding on one core, per face."""

COMPARISON_SECONDS = 1e-7
"""Comparing clusters on one core, per face and neighbour: mostly sorting edges and reading lists."""

RERANKING_SECONDS = 6e-7
"""Re-ranking on one core, per face and neighbour."""


def plan(
    n: int,
    dimension: int,
    config: ClusterConfig | None = None,
    *,
    given_k: int | None = None,
    model: ModelSettings | None = None,
) -> Plan:
    """Estimate memory and time of :func:`nsrfc.cluster`.

    Parameters
    ----------
    n, dimension : int
        Shape of the embeddings.
    config : ClusterConfig, optional
    given_k : int, optional
        Length of the lists, if the neighbours are given.
    model : ModelSettings, optional
        Settings of the model, including its k; time is that of a CPU. None: the rules.

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
        return _plan_networks(n, dimension, config, given_k, model)
    search = plan_search(n, dimension, config)
    known = _known(search, given_k)
    values, entries, rounds = n * dimension, n * search.k, 1 + len(Rules.refinements)
    refined = REFINED_BYTES_PER_VALUE * values + SCORE_BYTES_PER_NEIGHBOR * entries
    chunk = CHUNK_BYTES_PER_NEIGHBOR * min(n, CHUNK) * search.k
    seconds = rounds * REBUILD_SECONDS * entries * dimension + STRUCTURE_SECONDS * n
    kept = rounds * GRAPH_BYTES_PER_NEIGHBOR * entries
    return Plan(
        n,
        dimension,
        search.k,
        search.method if given_k is None else "given",
        (
            *known,
            Stage("clusters", 0, BLOCK_BYTES + chunk + refined, seconds / available_cores(), kept),
        ),
    )


def _known(search: Plan, given_k: int | None) -> tuple[Stage, Stage, Stage]:
    """Stages of a search, or of given neighbours, and of a second search if there are near-copies."""
    vectors, searched = search.stages
    # Lists in another order, or what another search of scenes takes.
    work = max(searched.work_bytes, searched.held_bytes)
    again = replace(searched, name="near-copies", work_bytes=work)
    if given_k is None:
        return vectors, searched, replace(again, held_bytes=0)
    # The given lists stay in memory while those of the distinct faces are made.
    read = GRAPH_BYTES_PER_NEIGHBOR * search.n * given_k
    held = GRAPH_BYTES_PER_NEIGHBOR * search.n * min(given_k, search.k)
    return vectors, Stage(LISTS, held, BLOCK_BYTES + read, 0.0), again


def plan_search(n: int, dimension: int, config: ClusterConfig | None = None) -> Plan:
    """Estimate memory and time of one neighbour search; arguments as for :func:`plan`."""
    config = config or ClusterConfig()
    if n < 1 or dimension < 1:
        raise InputError(f"A plan needs at least one face of one dimension, got {n} x {dimension}.")
    if n > MOST_FACES:
        raise InputError(f"At most {MOST_FACES:,} faces can be clustered at once, got {shown(n)}.")
    k = min(config.k or Rules.k, n)
    method = config.search
    if method == "auto":
        method = "exact" if n <= EXACT_LIMIT else "approximate"
    centers = n // FACES_PER_CELL
    compared = centers if centers <= FLAT_CENTRES else GROUPED_OVERHEAD * (1 + GROUPS) * centers**0.5
    pairs = n * (n if method == "exact" else PARTITIONS * (1 + 1 / AVERAGED_SHARE) * compared)
    seconds = pairs * (2 * dimension + PAIR_OVERHEAD_FLOP) / PAIR_FLOP_PER_SECOND / available_cores()
    lists, more, passing = GRAPH_BYTES_PER_NEIGHBOR * n * k, 0, 0
    if method == "approximate":
        wide = wide_passes(n)
        passes = 1 + LATER_PASS * (wide - 1) if wide else 0
        listing = LISTED_SECONDS + passes * WIDE_PASS_SECONDS * k
        seconds += listing * n * dimension / available_cores()
        # The lists of cells and of its passes.
        passing = lists + max(1, wide) * PASS_BYTES_PER_NEIGHBOR * n * k
        # First the lists in the order of cells, then beside them those in the order of faces.
        ordered = n * (ORDERED_BYTES_PER_VALUE * dimension + CELL_BYTES)
        ordered += n * k * (PASS_BYTES_PER_NEIGHBOR + FRESH_BYTES_PER_NEIGHBOR)
        more = max(ordered, lists)
    elif n >= HALVED_FROM and multiplies_bfloat16():
        more = HALVED_BYTES_PER_VALUE * n * dimension
    return Plan(
        n,
        dimension,
        k,
        method,
        (
            Stage("vectors", 8 * n * dimension, BLOCK_BYTES, START_SECONDS),
            Stage(LISTS, lists, BLOCK_BYTES + more, seconds, lists, passing),
        ),
    )


def plan_reranking(n: int, k: int) -> Plan:
    """Estimate memory and time of :func:`nsrfc.graph.reranking.rerank` for a graph of shape (n, k)."""
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


def _plan_networks(
    n: int, dimension: int, config: ClusterConfig, given_k: int | None, model: ModelSettings
) -> Plan:
    search = plan_search(n, dimension, config.model_copy(update={"k": model.k}))
    known = _known(search, given_k)
    cores, costs = available_cores(), COSTS[model.family]
    # The whole list describes a face, of which networks score the nearest.
    nearest = min(model.scored or model.k, model.k)
    entries = n * nearest
    width = model.width("pcenet", dimension)
    scoring = costs.list_seconds(entries, model.k, width) / cores
    lists = costs.list_bytes(n * model.k)
    batch = 4 * min(n, BATCH) * nearest * costs.token_values(nearest, width)
    scores = PROBABILITY_BYTES_PER_NEIGHBOR * entries
    stages = [Stage(MODEL, TORCH_BYTES, 0, 0.0), *known]
    if model.uses("refine"):
        stages.append(_refinement(search, model, width))
    if model.uses("pairs"):
        stages.append(Stage("pairs", scores, lists + batch, scoring, scores))
    if model.uses("density"):
        stages.append(Stage("lcenet", scores, lists + batch, scoring, scores))
    made = EDGE_BYTES_PER_NEIGHBOR * entries, DENSITY_BYTES_PER_NEIGHBOR * entries
    stages.append(Stage("density graph", *made, 0.0))
    if model.uses("connect"):
        seconds = costs.edge_seconds(entries, model.k, width) / cores
        stages.append(Stage("edges", 0, lists + 2 * batch, seconds, 4 * n))
    if model.cluster_comparison:
        compared = COMPARISON_BYTES_PER_VALUE * n * dimension + COMPARISON_BYTES_PER_NEIGHBOR * entries
        stages.append(Stage("clusters", 0, BLOCK_BYTES + compared, COMPARISON_SECONDS * entries / cores))
    method = search.method if given_k is None else "given"
    face_bytes = max(MAPPED_BYTES_PER_FACE, MAPPED_BYTES_PER_NEIGHBOR * nearest)
    return Plan(n, dimension, model.k, method, tuple(stages), face_bytes=face_bytes)


def _refinement(search: Plan, model: ModelSettings, width: int) -> Stage:
    """Refining the embeddings, and rebuilding the graph."""
    n, dimension, entries = search.n, search.dimension, search.n * model.k
    costs, cores, neighbors = COSTS[model.family], available_cores(), search.stages[1]
    refining = costs.refining_seconds(n, model.scored or model.k, dimension) / cores
    whitened, rebuilt = model.uses("whiten"), model.uses("rebuild")
    again = REBUILD_SECONDS * entries * dimension / cores
    if costs.searches_anew:
        again = neighbors.seconds
    seconds = refining + (whitened + rebuilt) * again
    # Whitened vectors and their lists, in addition to the first ones.
    beside = (4 * n * dimension + GRAPH_BYTES_PER_NEIGHBOR * entries) * whitened
    held = 4 * n * width + GRAPH_BYTES_PER_NEIGHBOR * entries * rebuilt
    rescored = 0 if rebuilt else 4 * min(n, ROWS) * model.k * width
    work = costs.refining_bytes(n, model.k, dimension)
    work += RERANKING_BYTES_PER_NEIGHBOR * entries if model.rerank else 0
    return Stage("refinement", held, max(work, rescored, neighbors.work_bytes) + beside, seconds, held)


def fitted(
    planned: Plan,
    config: ClusterConfig,
    limit: int | None,
    *,
    given_k: int | None = None,
    model: ModelSettings | None = None,
) -> Plan:
    """Choose how a run of :func:`nsrfc.cluster` fits the memory.

    Parameters
    ----------
    planned : Plan
        In memory, from :func:`plan`, as are ``config``, ``given_k`` and ``model``.
    limit : int, optional
        Bytes that the run may take. By default what is available; then no run is refused.

    Returns
    -------
    Plan
        As ``planned``, or with arrays mapped from files if they would not fit.

    Raises
    ------
    MemoryPlanError
        If neither fits the limit, with the largest number of faces that would.
    """
    found = planned.within(available_memory() if limit is None else limit)
    if limit is None or found.peak_bytes <= limit:
        return found

    def fits(n: int) -> bool:
        fewer = plan(n, planned.dimension, config, given_k=given_k, model=model)
        return fewer.within(limit).peak_bytes <= limit

    raise refusal(found, limit, largest_fitting(planned.n, fits))
