"""Trains the networks one after the other, each on the results of those before it.

    C-GCN -> refined embeddings, rebuilt graph -> pair network -> LCENet -> density edges -> PCENet

After each, the validation identities are clustered with and without it, by the function that clusters in
inference. A step that lowers the validation score is left out, and later networks are trained without
it. At the end, all steps after the one with the best score are left out. A step can therefore be used
even if it only helps the steps after it, as a better graph does.
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

from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.registry import method_class
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import UNCHANGED, Calibration, NetworkName, Step
from nsrfc.progress import Progress
from nsrfc.training.calibration import fit_calibration
from nsrfc.training.checkpoint import CheckpointFolder, state_of
from nsrfc.training.config import LoopSettings, TrainingConfig
from nsrfc.training.loop import Epoch, Report, Task, fit, seed_of
from nsrfc.training.networks import model_settings, new_network
from nsrfc.training.sample import Sample, labelled_sample
from nsrfc.training.tasks import edge_task, list_task, refinement_tasks
from nsrfc.training.thresholds import Clusters, ScoredSet, best_clusters, precision_steps

__all__ = ["LabelledFaces", "Trainer"]

_logger = logging.getLogger(__name__)

_START = "embeddings"

_Floats = npt.NDArray[np.float32]
_Identities = npt.NDArray[np.int64]

LabelledFaces = tuple[_Floats, _Identities]
"""Unit vectors (n, d) and identities (n,)."""


class _Sides(NamedTuple):
    """The training sets and the validation sets."""

    training: list[Sample]
    validation: list[Sample]


@dataclass
class Trainer:
    """Trains all networks, and holds the results.

    Attributes
    ----------
    config : TrainingConfig
    dimension : int or None
        Embedding dimension; None: any, only for networks on structure.
    checkpoints : CheckpointFolder
    device : torch.device
    known : mapping of name to Module
        Networks that are given and not trained.
    wanted : tuple of str
        Names of the networks to be trained.
    given : mapping of step to bool, optional
        Whether each step is used; by default validation decides.
    start : NSRFC, optional
        Model whose weights training starts from. The result is the mean of the weights before and after
        training, or the weights before if the validation score does not improve.
    progress : Progress
    report : callable, optional
        Called after every epoch.
    networks : dict of name to Module
        The networks trained or known so far.
    used : dict of step to bool
        Whether validation improved with the step; keys as in :data:`nsrfc.model.settings.STEPS`.
    measured : dict of str to Clusters
        Best clustering of the validation identities by ``embeddings`` alone, and with each step tried.
    best : Clusters
        Best clustering with all steps that are used.
    calibration : (float, float, float)
        Of the density edges, with all steps that are used; `UNCHANGED` if the steps are given.
    precision : list of (float, float)
        Precision and the threshold that reaches it, with all steps that are used; see
        :func:`nsrfc.training.thresholds.precision_steps`.
    curves : dict of str to list of Epoch
    """

    config: TrainingConfig
    dimension: int | None
    checkpoints: CheckpointFolder
    device: torch.device
    known: Mapping[NetworkName, nn.Module]
    wanted: tuple[NetworkName, ...]
    given: Mapping[Step, bool] | None
    start: NSRFC | None = None
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

    def train(self, training: Sequence[LabelledFaces], validation: Sequence[LabelledFaces]) -> None:
        """Train the networks.

        Parameters
        ----------
        training, validation : sequence of (ndarray of float32, (n, d); ndarray of int64, (n,))
            Unit vectors and identities: one training set and one validation set, or several of each,
            whose dimensions may differ for networks on structure. Each set has its own graph, as in
            inference.
        """
        sides = _Sides(*(list(itertools.starmap(self._sample, side)) for side in (training, validation)))
        self._measure(_START, sides.validation)
        sides = self._train_refinement(sides)
        sides = self._train_on_lists("pairs", sides)
        sides = self._train_on_lists("lcenet", sides)
        self._train_on_edges(sides)
        self._cut()

    @property
    def _run(self) -> Run:
        return Run(device=str(self.device), progress=self.progress)

    def _method(self, beside: Mapping[NetworkName, nn.Module] | None = None) -> NetworkMethod:
        """Return the method with the networks so far, and those in ``beside``."""
        networks = {**self.networks, **(beside or {})}
        settings = model_settings(self.config, self.dimension, networks, self.used, tau=0.0)
        return method_class(self.config.family)(
            settings, networks, search=self.config.search, seed=self.config.seed
        )

    def _sample(self, X: _Floats, identity: _Identities) -> Sample:
        return labelled_sample(self._method(), X, identity, self._run)

    def _train_refinement(self, sides: _Sides) -> _Sides:
        """Train the C-GCN; return all sets with refined vectors, if these are used."""
        settings = self.config.cgcn

        def tasks(network: nn.Module) -> Iterator[Task]:
            method = self._method({"cgcn": network})
            return refinement_tasks(method, *sides, settings, self._run, self._seed("cgcn"))

        network = self._trained("cgcn", tasks, settings.loop)
        if network is None:
            return sides
        method, run = self._method(), self._run

        def refined(sample: Sample, *, rebuild: bool, whiten: bool = False) -> Sample:
            near = sample.near
            vectors = method.refined(near, run, whiten=whiten, lists=sample.lists)
            moved = method.rebuilt(near, vectors, run) if rebuild else method.rescored(near, vectors)
            return replace(sample, near=moved)

        rescored = [refined(sample, rebuild=False) for sample in sides.validation]
        rebuilt = [refined(sample, rebuild=True) for sample in sides.validation]
        self._accept("refine", rescored)
        self._accept("rebuild", rebuilt)
        if method.whitens:
            whitened = [refined(sample, rebuild=True, whiten=True) for sample in sides.validation]
            # Whitening is an alternative to the steps before it, not built on them: it has no slack.
            if self._accept("whiten", whitened, slack=0):
                self.used["rebuild"], rebuilt = True, whitened
        self.used["refine"] |= self.used["rebuild"]
        if not self.used["refine"]:
            return sides
        rebuild, whiten = self.used["rebuild"], self.used.get("whiten", False)
        training = [refined(sample, rebuild=rebuild, whiten=whiten) for sample in sides.training]
        return _Sides(training, rebuilt if rebuild else rescored)

    def _train_on_lists(self, name: NetworkName, sides: _Sides) -> _Sides:
        """Train a network on lists; return all sets with its results, if these are used."""
        settings = self.config.pairs if name == "pairs" else self.config.lcenet

        def tasks(network: nn.Module) -> Iterator[Task]:
            method = self._method({name: network})
            yield list_task(name, method, network, *sides, settings, self._seed(name))

        network = self._trained(name, tasks, settings.loop)
        if network is None:
            return sides
        method = self._method()

        def scored(sample: Sample, run: Run) -> Sample:
            found = method.list_scores(network, sample.near, run, sample.affinity, name)
            return (
                replace(sample, pair=found)
                if name == "pairs"
                else replace(sample, list_probability=found)
            )

        quiet = replace(self._run, progress=Progress())
        validation = [scored(sample, quiet) for sample in sides.validation]
        if not self._accept("pairs" if name == "pairs" else "density", validation):
            return sides
        return _Sides([scored(sample, self._run) for sample in sides.training], validation)

    def _train_on_edges(self, sides: _Sides) -> None:
        """Train PCENet."""
        settings = self.config.pcenet

        def tasks(network: nn.Module) -> Iterator[Task]:
            method = self._method({"pcenet": network})
            yield edge_task(method, *sides, settings, self._seed("pcenet"))

        network = self._trained("pcenet", tasks, settings.loop)
        if network is None:
            return
        method = self._method()

        def probability(sample: Sample) -> _Floats:
            near, affinity, genuine = sample.near, sample.affinity, sample.genuine_probability
            edges = method.graph_of(near, affinity, genuine).density_edges
            return method.edge_scores("pcenet", near, affinity, genuine, self._run)(edges)

        scores = [probability(sample) for sample in sides.validation]
        self._accept("connect", sides.validation, scores)

    def _trained(
        self,
        name: NetworkName,
        tasks: Callable[[nn.Module], Iterator[Task]],
        settings: LoopSettings,
    ) -> nn.Module | None:
        """Return a network, trained if it is wanted; None if it is neither wanted nor known."""
        if name in self.wanted:
            with torch.random.fork_rng():
                torch.manual_seed(self._seed(name))
                refined = self.used.get("refine", False)
                network = new_network(self.config, name, self.dimension, refined, self.start)
                network = network.to(self.device)
            for task in tasks(network):
                built = (state_of(task.network), self._score(task)) if self.start is not None else None
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
        validation: list[Sample],
        scores: list[_Floats] | None = None,
        slack: float | None = None,
    ) -> bool:
        """Whether later steps are trained on the results of this one: unless it lowers the score."""
        before = self.measured[self._last() or _START].quality
        found = self._measure(step, validation, scores)
        slack = self.config.slack if slack is None else slack
        if self.given is None:
            self.used[step] = found.quality >= before - slack
        else:
            self.used[step] = self.given.get(step, False)
        _logger.info(
            "%-8s validation F %.4f, without it %.4f%s",
            *(step, found.quality, before, "" if self.used[step] else ": left out"),
        )
        return self.used[step]

    def _measure(
        self, step: str, validation: list[Sample], scores: list[_Floats] | None = None
    ) -> Clusters:
        """Measure how well the validation identities are clustered with a step.

        ``scores`` are those of the density edges by PCENet; a_ij p_ij by default.
        """
        method, sets = self._method(), []
        for number, sample in enumerate(validation):
            graph = method.graph_of(sample.near, sample.affinity, sample.genuine_probability)
            known = graph.density_edges.score if scores is None else scores[number]
            sets.append(ScoredSet(method, sample, graph, known))
        found = UNCHANGED
        if self.given is None:
            found = fit_calibration([each.evidence for each in sets])
        self._calibrations[step] = found
        sets = [each.calibrated(found) for each in sets]
        best = self.measured[step] = best_clusters(*sets)
        self._precision[step] = precision_steps(best.tau, *sets)
        return best

    def _last(self) -> Step | None:
        """Return the last step that is used."""
        return next((step for step in reversed(self.used) if self.used[step]), None)

    def _cut(self) -> None:
        """Leave out all steps after the best one, the first among equals."""
        if self.given is None:
            chain = [None, *(step for step, used in self.used.items() if used)]
            best = max(chain, key=lambda step: self.measured[step or _START].quality)
            for step in chain[chain.index(best) + 1 :]:
                assert step is not None
                self.used[step] = False
                _logger.info("%-8s does not improve validation F: left out", step)
        last = self._last() or _START
        self.best = self.measured[last]
        self.calibration = self._calibrations[last]
        self.precision = self._precision[last]

    @staticmethod
    def _score(task: Task) -> float:
        task.network.eval()
        with torch.no_grad():
            return task.score()

    def _seed(self, name: str) -> int:
        return seed_of(self.config.seed, name)


def _halfway(before: dict[str, Tensor], learned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average the weights before and after fine-tuning.

    Training identities often have fewer photos, or fewer look-alikes, than the faces to be clustered. On
    these the average is better than the fine-tuned weights (Wortsman et al., Robust fine-tuning of
    zero-shot models, CVPR 2022).
    """
    return {
        name: torch.lerp(before[name], value, 0.5) if value.is_floating_point() else value
        for name, value in learned.items()
    }
