"""The networks one after another, each on what the ones before it give.

    C-GCN -> refined embeddings, neighbours anew -> pair network -> LCENet -> density edges -> PCENet

After each the validation people are clustered with it and without it. A step that does harm is left out,
and what comes after learns without it. At the end the chain is cut behind the step with which they were
clustered best. So every step is used that leads to the best clusters, even one that shows its worth only
in those after it, as a better graph does.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph, rebuild_neighbor_graph
from nsrfc.model.calibration import UNCHANGED, Calibration, fit_calibration
from nsrfc.model.settings import NetworkName, Step
from nsrfc.networks.structure.lists import StructureRefinement
from nsrfc.progress import Progress
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.steps import EdgeJudge, Faces, list_probability, listed_cosines, padded, refine
from nsrfc.training.checkpoint import CheckpointFolder, state_of
from nsrfc.training.config import LoopSettings, TrainingConfig
from nsrfc.training.loop import Epoch, Report, Task, fit, seed_of
from nsrfc.training.tasks import People, edge_task, list_task, refinement_tasks
from nsrfc.training.thresholds import Clusters, Judged, best_clusters, precision_steps

__all__ = ["Course", "Labelled"]

_logger = logging.getLogger(__name__)

_START = "embeddings"

_Floats = npt.NDArray[np.float32]
_Identities = npt.NDArray[np.int64]

Labelled = tuple[_Floats, _Identities]
"""Unit vectors (n, d) and identities (n,)."""


class _Sides(NamedTuple):
    """The sets of faces that teach, and those that validate."""

    learning: list[People]
    judging: list[People]


@dataclass
class Course:
    """A training of all networks, and what came out of it so far.

    Attributes
    ----------
    config : TrainingConfig
    checkpoints : CheckpointFolder
    device : torch.device
    build : callable
        Makes a network, by name and by whether it reads refined vectors.
    known : mapping of name to Module
        Networks that are there already and are not trained again.
    wanted : tuple of str
        Names of the networks to be trained.
    given : mapping of step to bool, optional
        Steps that are used, whatever the validation people say; without it they decide.
    starting : bool
        Whether networks start from weights that are worth keeping: what is learned moves them half the
        way, and one that learns nothing better stays as it was built.
    progress : Progress
    report : callable, optional
        Told of every epoch.
    networks : dict of name to Module
        Those trained or known.
    used : dict of step to bool
        Whether a step earned its place: the names of
        :data:`nsrfc.model.settings.STEPS`.
    measured : dict of str to Clusters
        How well the validation people are clustered: ``embeddings``, and with each step tried.
    best : Clusters
        With all steps that are used.
    calibration : (float, float)
        Of the density edges, with all steps that are used; unchanged where these are given.
    precision : list of (float, float)
        Precision and the threshold that reaches it, with all steps that are used; see
        :func:`nsrfc.training.thresholds.precision_steps`.
    curves : dict of str to list of Epoch
    """

    config: TrainingConfig
    checkpoints: CheckpointFolder
    device: torch.device
    build: Callable[[NetworkName, bool], nn.Module]
    known: Mapping[NetworkName, nn.Module]
    wanted: tuple[NetworkName, ...]
    given: Mapping[Step, bool] | None
    starting: bool = False
    progress: Progress = field(default_factory=Progress)
    report: Report | None = None
    networks: dict[NetworkName, nn.Module] = field(default_factory=dict)
    used: dict[Step, bool] = field(default_factory=dict)
    measured: dict[str, Clusters] = field(default_factory=dict)
    best: Clusters = field(init=False)
    calibration: Calibration = field(init=False)
    precision: list[tuple[float, float]] = field(init=False)
    curves: dict[str, list[Epoch]] = field(default_factory=dict)
    _calibrations: dict[str, Calibration] = field(default_factory=dict)
    _precision: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def run(self, train: Sequence[Labelled], validation: Sequence[Labelled]) -> None:
        """Train every network that is wanted.

        Parameters
        ----------
        train, validation : sequence of (ndarray of float32, shape (n, d); ndarray of int64, shape (n,))
            Unit vectors and identities of both groups: one set of faces in each, or several, whose
            dimensions may differ if the networks read structure. Each set is a graph of its own, so
            that the validation people are strangers as those will be that are clustered later.
        """
        sides = _Sides(*(list(itertools.starmap(self._people, side)) for side in (train, validation)))
        self._measure(_START, sides.judging)
        sides = self._refine(sides)
        sides = self._judge_lists("pairs", sides)
        sides = self._judge_lists("lcenet", sides)
        self._judge_edges(sides)
        self._cut()

    def _refine(self, sides: _Sides) -> _Sides:
        """Train the C-GCN; return both groups with refined vectors, if these are used."""
        settings = self.config.cgcn

        def tasks(network: nn.Module) -> Iterator[Task]:
            return refinement_tasks(network, *sides, settings, self._search, self._seed("cgcn"))

        network = self._trained("cgcn", tasks, settings.loop)
        if network is None:
            return sides
        Z = [self._refined(network, people) for people in sides.judging]
        rescored = [_rescored(people, z) for people, z in zip(sides.judging, Z, strict=True)]
        rebuilt = [self._rebuilt(people, z) for people, z in zip(sides.judging, Z, strict=True)]
        self._accept("refine", rescored)
        self._accept("rebuild", rebuilt)
        whitened = self._whitened(network, sides.judging)
        if whitened is not None:
            self.used["rebuild"], rebuilt = True, whitened
        self.used["refine"] |= self.used["rebuild"]
        if not self.used["refine"]:
            return sides
        move = self._rebuilt if self.used["rebuild"] else _rescored
        learning = [
            move(people, self._refined(network, people, whiten=whitened is not None))
            for people in sides.learning
        ]
        return _Sides(learning, rebuilt if self.used["rebuild"] else rescored)

    def _whitened(self, network: nn.Module, judging: list[People]) -> list[People] | None:
        """Return the validation people refined with whitening, if it is of use.

        It stands beside the steps before it, not on top of them, so no harm is forgiven.
        """
        if not isinstance(network, StructureRefinement):
            return None
        whitened = [
            self._rebuilt(people, self._refined(network, people, whiten=True)) for people in judging
        ]
        return whitened if self._accept("whiten", whitened, slack=0) else None

    def _judge_lists(self, name: NetworkName, sides: _Sides) -> _Sides:
        """Train a network of lists; return both groups with what it finds, if that is used."""
        settings = self.config.pairs if name == "pairs" else self.config.lcenet

        def tasks(network: nn.Module) -> Iterator[Task]:
            yield list_task(name, network, *sides, settings, self._seed(name))

        network = self._trained(name, tasks, settings.loop)
        if network is None:
            return sides

        def judged(people: People, progress: Progress | None = None) -> People:
            found = list_probability(network, people.faces, progress=progress, name=name)
            return _with(people, name, found)

        judging = [judged(people) for people in sides.judging]
        if not self._accept("pairs" if name == "pairs" else "density", judging):
            return sides
        return _Sides([judged(people, self.progress) for people in sides.learning], judging)

    def _judge_edges(self, sides: _Sides) -> None:
        """Train PCENet."""
        settings = self.config.pcenet

        def tasks(network: nn.Module) -> Iterator[Task]:
            yield edge_task(network, *sides, settings, self._seed("pcenet"))

        network = self._trained("pcenet", tasks, settings.loop)
        if network is None:
            return

        def connectivity(people: People) -> EdgeList:
            edges = people.faces.density_graph().density_edges
            probability = EdgeJudge(network, people.faces, veto=settings.veto)(edges)
            return EdgeList(edges.source, edges.target, probability)

        self._accept("connect", sides.judging, [connectivity(people) for people in sides.judging])

    def _trained(
        self,
        name: NetworkName,
        tasks: Callable[[nn.Module], Iterator[Task]],
        settings: LoopSettings,
    ) -> nn.Module | None:
        """Return a network, trained if it is wanted, and None if it is neither wanted nor known."""
        if name in self.wanted:
            with torch.random.fork_rng():
                torch.manual_seed(self._seed(name))
                network = self.build(name, self.used.get("refine", False)).to(self.device)
            for task in tasks(network):
                built = (state_of(task.network), self._score(task)) if self.starting else None
                self.curves[task.name] = fit(
                    task,
                    settings,
                    self.checkpoints,
                    seed=self.config.seed,
                    interval=self.config.checkpoint_seconds,
                    progress=self.progress,
                    report=self.report,
                )
                if built is not None:
                    before, score = built
                    better = score < max(epoch.score for epoch in self.curves[task.name])
                    learned = state_of(task.network)
                    task.network.load_state_dict(_halfway(before, learned) if better else before)
            network.eval()
            self.networks[name] = network
        elif name in self.known:
            self.networks[name] = self.known[name].to(self.device).eval()
        return self.networks.get(name)

    def _accept(
        self,
        step: Step,
        judging: list[People],
        connectivity: list[EdgeList] | None = None,
        slack: float | None = None,
    ) -> bool:
        """Whether the steps to come are to learn on what this one gives: unless it does harm."""
        before = self.measured[self._last() or _START].quality
        found = self._measure(step, judging, connectivity)
        slack = self.config.slack if slack is None else slack
        if self.given is None:
            self.used[step] = found.quality >= before - slack
        else:
            self.used[step] = self.given.get(step, False)
        _logger.info(
            "%-8s validation people are clustered with F %.4f, without it %.4f%s",
            *(step, found.quality, before, "" if self.used[step] else ": left out"),
        )
        return self.used[step]

    def _measure(
        self, step: str, judging: list[People], connectivity: list[EdgeList] | None = None
    ) -> Clusters:
        """Find out how well the validation people are clustered."""
        given: Sequence[EdgeList | None] = connectivity or [None] * len(judging)
        sets = [
            Judged(people.faces, people.identity, edges, self.config.groups)
            for people, edges in zip(judging, given, strict=True)
        ]
        found = UNCHANGED
        if self.given is None:
            found = fit_calibration([(each.density.score, each.same) for each in sets])
        self._calibrations[step] = found
        sets = [each.calibrated(found) for each in sets]
        best = self.measured[step] = best_clusters(*sets)
        self._precision[step] = precision_steps(best.tau, *sets)
        return best

    def _last(self) -> Step | None:
        """Return the last step that is used."""
        return next((step for step in reversed(self.used) if self.used[step]), None)

    def _cut(self) -> None:
        """Leave out what comes behind the best step; of equals the first is enough."""
        if self.given is None:
            chain = [None, *(step for step, used in self.used.items() if used)]
            best = max(chain, key=lambda step: self.measured[step or _START].quality)
            for step in chain[chain.index(best) + 1 :]:
                assert step is not None
                self.used[step] = False
                _logger.info("%-8s adds nothing and is left out", step)
        last = self._last() or _START
        self.best = self.measured[last]
        self.calibration = self._calibrations[last]
        self.precision = self._precision[last]

    def _people(self, X: _Floats, identity: _Identities) -> People:
        faces = self._faces(X, self._search(X))
        if not self.config.rerank:
            return People(faces, identity, faces.ids)
        again = rerank(NeighborGraph(faces.ids, faces.similarities), X=X, progress=self.progress)
        return People(faces, identity, again.ids)

    def _rebuilt(self, people: People, Z: _Floats) -> People:
        """Search the graph anew with refined vectors."""
        graph = self._search(Z, people.faces.ids)
        return replace(people, faces=self._faces(Z, graph, refined=True))

    def _faces(self, X: _Floats, graph: NeighborGraph, *, refined: bool = False) -> Faces:
        config = self.config
        lists = padded(graph, config.k)
        return Faces(X, *lists, refined, mutual=config.mutual, weighted=config.weighted)

    def _refined(self, network: nn.Module, people: People, *, whiten: bool = False) -> _Floats:
        vectors = people.faces.vectors
        return refine(network, vectors, people.graph, people.lists, self._search, whiten=whiten)

    def _search(self, X: _Floats, before: npt.NDArray[np.int32] | None = None) -> NeighborGraph:
        config = self.config
        if before is not None and config.family == "structure":
            return rebuild_neighbor_graph(X, before, progress=self.progress)
        return build_neighbor_graph(
            X,
            config.k,
            method=config.search,
            device=str(self.device),
            seed=config.seed,
            progress=self.progress,
        )

    @staticmethod
    def _score(task: Task) -> float:
        task.network.eval()
        with torch.no_grad():
            return task.score()

    def _seed(self, name: str) -> int:
        return seed_of(self.config.seed, name)


def _halfway(before: dict[str, Tensor], learned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean of the weights before and after training further.

    People who teach have fewer photos, or fewer look-alikes, than those to be clustered. On these the
    mean does better than what was learned (Wortsman et al., Robust fine-tuning of zero-shot models,
    CVPR 2022).
    """
    return {
        name: torch.lerp(before[name], value, 0.5) if value.is_floating_point() else value
        for name, value in learned.items()
    }


def _rescored(people: People, Z: _Floats) -> People:
    """Keep the lists as they were, with the cosines of refined vectors."""
    cosines = listed_cosines(Z, people.faces.ids)
    faces = replace(people.faces, vectors=Z, similarities=cosines, refined=True)
    return replace(people, faces=faces)


def _with(people: People, name: str, probability: _Floats) -> People:
    """Add what the pair network or LCENet found."""
    if name == "pairs":
        return replace(people, faces=replace(people.faces, pair=probability))
    return replace(people, faces=replace(people.faces, same=probability))
