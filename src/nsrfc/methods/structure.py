"""Networks on neighbourhood structure: their inputs, and the refinement with learned weights.

They read normalised scores, ranks, shared neighbours and densities, so that results do not change,
beyond rounding, if all embeddings are rotated or padded with zeros. The shipped model is of this family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import logit
from torch import Tensor, nn

from nsrfc.chunks import STEP, chunks
from nsrfc.graph.list_features import (
    ListStructure,
    list_features,
    list_structure,
    normalize_within,
    with_more_faces,
)
from nsrfc.graph.neighborhood_means import average_neighbors
from nsrfc.graph.reverse import both_directions, columns_in_lists
from nsrfc.graph.scores import impostor_scores
from nsrfc.graph.whitening import MEASURED, best_power, neighborhood_scatter, whiten
from nsrfc.knn.rebuilt import rebuild_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.methods.network_tasks import CACHED, EdgeInputs, ListInputs, Scorer
from nsrfc.methods.networks import NetworkMethod, padded
from nsrfc.networks.structure import (
    PairScorer,
    StructureEdges,
    StructureLists,
    StructurePairs,
    StructureRefinement,
)
from nsrfc.records import NeighborGraph, Neighborhood
from nsrfc.rowstore import Arrays, Columns, RowStore
from nsrfc.runtime import in_blocks
from nsrfc.vectors import typical_faces

if TYPE_CHECKING:
    from nsrfc.methods.placement import Chance

__all__ = ["StructureMethod"]

_Floats = npt.NDArray[np.float32]
_Ids = npt.NDArray[np.int32]
_Rows = npt.NDArray[np.integer]

MOST_ODDS = 12.0
"""Bound of the log-odds that networks read."""


class StructureMethod(NetworkMethod):
    """The four steps by networks of the family "structure"."""

    name = "structure"
    whitens = True

    @property
    def refinement(self) -> StructureRefinement:
        """The network that takes the place of the C-GCN."""
        network = self.networks["cgcn"]
        assert isinstance(network, StructureRefinement)
        return network

    def refined(
        self, near: Neighborhood, run: Run, *, whiten: bool, lists: _Ids | None = None
    ) -> _Floats:
        """Replace faces by weighted means of their neighbourhoods, optionally after whitening."""
        del lists
        if not whiten:
            return self._averaged(self.refinement.first, near, run)
        return self._averaged(self.refinement.second, self.whitened(near, run), run)

    def whitened(self, near: Neighborhood, run: Run) -> Neighborhood:
        """Whiten embeddings by the scatter within neighbourhoods, and rebuild the graph on them."""
        rows = typical_faces(near.vectors, self.seed, MEASURED)
        weights = self._weights(self.refinement.first, near, run, rows)
        scatter = neighborhood_scatter(near.vectors, near.ids[rows, : self.width], weights)
        made = {"of": near.key, **self._made_with("cgcn", run)}

        def whitened(power: float) -> _Floats:
            store = run.results.passing(
                "whitened", run.results.key("whitened", {**made, "power": power})
            )
            return whiten(near.vectors, scatter, power, store=store)

        power = best_power(near.vectors, scatter, self.refinement.powers, whitened)
        if power == 0:
            return near
        key = run.results.key("whitened", made)
        white = whitened(power)
        store = run.results.passing("neighbours", key)
        rebuilt = rebuild_neighbor_graph(white, near.ids, progress=run.progress, pieces=store)
        ids, similarities = padded(rebuilt, self.k)
        return Neighborhood(near.faces, white, ids, similarities, ids, key=key)

    def rebuilt_graph(
        self, vectors: _Floats, before: _Ids, run: Run, store: RowStore | None = None
    ) -> NeighborGraph:
        """Find the neighbours of refined vectors among the neighbours of neighbours."""
        return rebuild_neighbor_graph(vectors, before, progress=run.progress, pieces=store)

    def list_inputs(
        self,
        network: nn.Module,
        near: Neighborhood,
        affinity: _Floats | None = None,
        run: Run | None = None,
    ) -> ListInputs:
        """Gather features of pairs, and for networks with attention the similarities within the list.

        The network in place of LCENet also reads the log-odds of a_ij and a_ji.
        """
        structure = self._structure(near, run)
        more: _Floats | None = None
        if isinstance(network, StructureLists):
            assert affinity is not None
            ids = near.ids[:, : affinity.shape[1]]
            more = both_directions(ids, _log_odds(affinity)) * np.float32(0.1)
        return _list_inputs(network, structure, self.width, near.vectors, more)

    def edge_inputs(
        self, near: Neighborhood, affinity: _Floats, genuine: _Floats, run: Run | None = None
    ) -> EdgeInputs:
        """Gather the best neighbours of both ends by a_ij, and the log-odds of the edge."""
        network = self.networks["pcenet"]
        assert isinstance(network, StructureEdges)
        structure, ids = self._structure(near, run), near.ids[:, : affinity.shape[1]]
        best = np.argsort(-affinity, axis=1, kind="stable")[:, : network.reach].astype(np.int32)
        read = np.take_along_axis(ids, best, axis=1)
        values = [affinity, genuine, np.log1p(structure.rank).astype(np.float32)]
        tokens = np.stack([np.take_along_axis(value, best, axis=1) for value in values], axis=-1)
        tokens[read < 0] = 0
        return _Edges(structure, near.vectors, ids, (affinity, genuine), read, tokens)

    @property
    def scores_given(self) -> bool:
        """Whether a network scores lists of embeddings as given."""
        return self.settings.uses("refine") or self.settings.uses("pairs")

    def chance(self, near: Neighborhood, run: Run) -> Chance:
        """Score new faces with a network that scores lists of embeddings as given, if there is one."""
        if not self.scores_given:
            return super().chance(near, run)
        refines = self.settings.uses("refine")
        network: nn.Module = self.refinement.first if refines else self.networks["pairs"]
        known, faces, room = self._structure(near, run), near.faces, self.k - 1

        def chance(X: _Floats, ids: npt.NDArray[np.int64], similarities: _Floats) -> _Floats:
            width = ids.shape[1]
            missing = ((0, 0), (0, room - width))
            ids = np.pad(ids, missing, constant_values=-1)
            similarities = np.pad(similarities, missing)
            structure = with_more_faces(known, ids, similarities)
            vectors = np.concatenate((faces, X)) if isinstance(network, StructurePairs) else faces
            gather = _list_inputs(network, structure, self.width, vectors)
            found, scorer = np.zeros((len(X), width), np.float32), self._scorer(network, Run())
            for part in chunks(len(X), STEP):
                rows = np.arange(len(faces) + part.start, len(faces) + part.stop)
                scored = scorer(gather(rows))[:, 1 : 1 + width]
                found[part, : scored.shape[1]] = scored
            return found

        return chance

    def _structure(self, near: Neighborhood, run: Run | None) -> ListStructure:
        """Structure of the lists; what is known of the scores holds for the embeddings as given."""
        if near.impostors is None:
            prior = self.prior if near.vectors is near.faces else None
            impostors = impostor_scores(near.vectors, self.seed, prior)
        else:
            impostors = near.impostors[0]
        results = (run or Run()).results
        key = results.key("structure", {"of": near.key, "impostors": list(vars(impostors).values())})
        store = results.passing("structure", key)
        return list_structure(near.ids, near.similarities, impostors, store)

    def _averaged(self, scorer: PairScorer, near: Neighborhood, run: Run) -> _Floats:
        of = {"of": near.key, "second": scorer is self.refinement.second}
        key = run.results.key("averaged", {**of, **self._made_with("cgcn", run)})
        columns: Columns = {"vectors": (near.vectors.shape[1:], np.float32)}

        def task() -> _AverageTask:
            pairs = self._pair_weights(scorer, near, run)
            return _AverageTask(pairs, near.vectors, float(self.refinement.own))

        found = run.results.passing("averaged", key).fill(len(near.ids), columns, task)
        vectors: _Floats = found["vectors"]
        return vectors

    def _weights(self, scorer: PairScorer, near: Neighborhood, run: Run, rows: _Rows) -> _Floats:
        """Probability (m, w) that pairs in some lists are genuine; 1 for the face itself."""
        pairs = self._pair_weights(scorer, near, run)
        return np.concatenate([pairs(rows[part]) for part in chunks(len(rows), STEP)])

    def _pair_weights(self, scorer: PairScorer, near: Neighborhood, run: Run) -> _PairWeights:
        gather = self.list_inputs(scorer, near, run=run)
        return _PairWeights(self._scorer(scorer, run), gather, near.ids[:, : self.width])


@dataclass(frozen=True)
class _PairWeights:
    """Scores the neighbours ``ids`` (n, w) of some faces."""

    scorer: Scorer
    gather: ListInputs
    ids: _Ids

    def __call__(self, rows: _Rows) -> _Floats:
        ids, weights = self.ids[rows], self.scorer(self.gather(rows))
        weights[ids < 0] = 0
        weights[:, 0] = 1
        return weights


@dataclass(frozen=True)
class _AverageTask:
    """Refines vectors (n, d): weighted means of their neighbours, and ``own`` times themselves."""

    pairs: _PairWeights
    vectors: _Floats
    own: float
    step = STEP

    def __call__(self, rows: slice) -> Arrays:
        weights = self.pairs(np.arange(rows.start, rows.stop))
        mean = average_neighbors(self.vectors, self.pairs.ids[rows], weights).mean
        mean += np.float32(self.own) * self.vectors[rows]
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), np.float32(1e-12))
        return {"vectors": mean}


def _list_inputs(
    network: nn.Module,
    structure: ListStructure,
    width: int,
    vectors: _Floats,
    more: _Floats | None = None,
) -> ListInputs:
    """Gather the first ``width`` neighbours of lists; ``more`` are further features (n, width, m)."""
    if isinstance(network, PairScorer):
        return _Features(structure, width)
    return _FeaturesAndSimilarities(structure, width, vectors, more)


@dataclass(frozen=True)
class _Features:
    structure: ListStructure
    width: int

    def __call__(self, rows: _Rows) -> tuple[Tensor, ...]:
        return (torch.from_numpy(list_features(self.structure, rows, self.width)),)


@dataclass(frozen=True)
class _FeaturesAndSimilarities:
    structure: ListStructure
    width: int
    vectors: _Floats
    more: _Floats | None

    def __call__(self, rows: _Rows) -> tuple[Tensor, ...]:
        features = list_features(self.structure, rows, self.width)
        if self.more is not None:
            features = np.concatenate((features, self.more[rows]), axis=-1)
        ids = self.structure.ids[rows, : self.width]
        within = _similarity_within(self.vectors, self.structure, ids)
        return torch.from_numpy(features), within, torch.from_numpy(ids >= 0)


@dataclass(frozen=True)
class _Edges:
    """Inputs of edges; ``read`` are the best neighbours (n, r), ``tokens`` describe them."""

    structure: ListStructure
    vectors: _Floats
    ids: _Ids
    values: tuple[_Floats, _Floats]
    read: _Ids
    tokens: _Floats

    def __call__(self, source: _Rows, target: _Rows) -> tuple[Tensor, ...]:
        ends = np.stack((source, target), axis=1)
        near_ends = self.read[ends]
        within = _similarity_within(self.vectors, self.structure, near_ends.reshape(len(ends), -1))
        odds = _edge_odds(self.ids, self.values, source, target)
        return (
            torch.from_numpy(odds),
            torch.from_numpy(self.tokens[ends]),
            within,
            torch.from_numpy(near_ends >= 0),
        )


def _similarity_within(vectors: _Floats, structure: ListStructure, ids: _Ids) -> Tensor:
    """Normalised scores / 10 (b, t, t) between the faces ``ids`` (b, t); 0 where an id is -1."""
    similarity = torch.empty((*ids.shape, ids.shape[1]))

    def compare(rows: slice) -> None:
        x = torch.from_numpy(vectors[ids[rows]])
        torch.bmm(x, x.mT, out=similarity[rows])
        normalize_within(structure, ids[rows], similarity[rows].numpy())

    in_blocks(len(ids), CACHED, compare)
    return similarity


def _log_odds(probability: _Floats) -> _Floats:
    """Log-odds, bounded to +-`MOST_ODDS`."""
    odds: _Floats = np.clip(logit(probability), -MOST_ODDS, MOST_ODDS)
    return odds


def _edge_odds(ids: _Ids, values: tuple[_Floats, ...], source: _Rows, target: _Rows) -> _Floats:
    """Log-odds / 10 (b, 4) of a and S in both directions.

    If only one end lists the other, its value is used for both directions; if neither does, the lowest.
    """
    found = []
    for value in values:
        ways = []
        for i, j in ((source, target), (target, source)):
            column = columns_in_lists(ids, i, j)
            odds = _log_odds(value[i, np.maximum(column, 0)])
            ways.append(np.where(column >= 0, odds, np.float32(np.nan)))
        one, two = ways
        found += [np.where(np.isnan(one), two, one), np.where(np.isnan(two), one, two)]
    return np.nan_to_num(np.stack(found, axis=1) * 0.1, nan=-0.1 * MOST_ODDS).astype(np.float32)
