"""The training loop of all networks.

It trains a :class:`Task`. The loop handles steps, optimiser, schedule, validation, early stopping and
checkpoints, and is independent of the data.

A run that is interrupted anywhere, even killed, and started again ends with the same weights as one that
was not: the batch and random numbers of a step depend only on (seed, step), and a checkpoint holds the
rest.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter
from torch import Tensor, nn

from nsrfc.errors import NsrfcError
from nsrfc.progress import Progress
from nsrfc.training import parallel
from nsrfc.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    check_state,
    flatten_optimizer,
    restore_optimizer,
    state_of,
)
from nsrfc.training.config import LoopSettings

__all__ = ["Epoch", "Task", "fit", "learning_rate", "seed_of"]

Report = Callable[[str, int, int, "Epoch"], None]
"""Called after every epoch: name of the network, number of the epoch from 1, number of epochs, its
row."""


class Task(Protocol):
    """A network with its training and validation data.

    Attributes
    ----------
    name : str
        Name of the network, as in settings and files.
    network : Module
    steps : int
        Steps per epoch.
    """

    name: str
    network: nn.Module
    steps: int

    def batch(self, epoch: int, step: int) -> Any:  # noqa: ANN401
        """Gather a batch, a deterministic function of its arguments."""

    def loss(self, batch: Any) -> Tensor:  # noqa: ANN401
        """Return the loss, a scalar."""

    def score(self) -> float:
        """Return the validation score, higher is better; the network is in evaluation mode."""


@dataclass(frozen=True)
class Epoch:
    """One row of the learning curve.

    Attributes
    ----------
    loss : float
        Mean over the epoch's steps.
    score : float
        Validation score after the epoch.
    rate : float
        Learning rate of its last step.
    """

    loss: float
    score: float
    rate: float


@dataclass
class _Place:
    """Progress of training, stored in a checkpoint besides tensors."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    step: int = 0
    loss: float = 0.0  # sum over the steps of the current epoch
    history: list[Epoch] = field(default_factory=list)
    finished: bool = False

    @classmethod
    def of(cls, found: Mapping[str, Any], steps: int, total: int) -> Self:
        """Check what a checkpoint says of a training of ``total`` steps, ``steps`` in an epoch."""
        # Read as JSON, as only there strict types take a mapping for a record.
        place = TypeAdapter(cls).validate_json(json.dumps(found), strict=True)
        known = 0 <= place.step <= total and len(place.history) == place.step // steps
        if not known or (place.finished and not place.history):
            raise ValueError(f"step {place.step} does not go with {len(place.history)} epochs")
        return place

    @property
    def best(self) -> int:
        """Epoch with the best score, the first of equals."""
        return int(np.argmax([epoch.score for epoch in self.history]))


def fit(
    task: Task,
    settings: LoopSettings,
    checkpoints: CheckpointFolder,
    *,
    seed: int,
    interval: float = 60.0,
    progress: Progress | None = None,
    report: Report | None = None,
) -> list[Epoch]:
    """Train a network, from its latest checkpoint if there is one.

    Afterwards the network has the weights of the best validation score.

    Parameters
    ----------
    task : Task
        With its network on the device to be used.
    settings : LoopSettings
    checkpoints : CheckpointFolder
    seed : int
    interval : float
        Seconds between checkpoints.
    progress : Progress, optional
        Reports a stage with the task's name, counted in steps.
    report : callable, optional
        Called after every epoch.

    Returns
    -------
    list of Epoch
        The learning curve.

    Raises
    ------
    InputError
        If the checkpoint is damaged, or of another network.
    NsrfcError
        If the loss becomes infinite or NaN.
    """
    run = _Run(task, settings, checkpoints, seed, report or _ignore)
    if not run.place.finished:
        with (progress or Progress()).stage(task.name, run.total) as advance:
            advance(run.place.step)
            saved = time.monotonic()
            while run.goes_on():
                run.take_step()
                advance(1)
                if time.monotonic() - saved >= interval:
                    run.save()
                    saved = time.monotonic()
        run.finish()
    task.network.load_state_dict(run.best)
    task.network.eval()
    return run.place.history


class _Run:
    """State of a training between steps."""

    def __init__(
        self,
        task: Task,
        settings: LoopSettings,
        checkpoints: CheckpointFolder,
        seed: int,
        report: Report,
    ) -> None:
        self.task, self.settings, self.checkpoints = task, settings, checkpoints
        self.seed, self.report = seed, report
        self.total = settings.epochs * task.steps
        self.device = next(task.network.parameters()).device
        self.optimizer = _optimizer(task.network, settings)
        self.place = _Place()
        self.best = state_of(task.network)
        if (found := parallel.agreed(checkpoints.read(task.name))) is not None:
            with checkpoints.restoring(task.name):
                self._restore(found)

    def goes_on(self) -> bool:
        """Whether there are steps left and patience is not exhausted."""
        epochs = len(self.place.history)
        patient = not epochs or epochs - 1 - self.place.best < self.settings.patience
        return self.place.step < self.total and patient

    def take_step(self) -> None:
        """Take a step, and validate if it ends an epoch."""
        task, settings, place = self.task, self.settings, self.place
        epoch, step = divmod(place.step, task.steps)
        rate = learning_rate(settings, place.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        task.network.train()
        with torch.random.fork_rng():
            self._draw_from(seed_of(self.seed, task.name, epoch, step))
            with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
                loss = task.loss(task.batch(epoch, step))
            self.optimizer.zero_grad()
            loss.backward()
            parallel.sum_gradients(task.network)
            nn.utils.clip_grad_norm_(task.network.parameters(), settings.clip)
            self.optimizer.step()
        place.loss += float(parallel.summed(loss.detach()))
        place.step += 1
        if step + 1 == task.steps:
            self._end_epoch(rate)

    def _draw_from(self, seed: int) -> None:
        # Without CUDA, torch.manual_seed would queue a call for CUDA, with its stack, at every step.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def save(self) -> None:
        """Write everything that the next step depends on."""
        tensors = {
            "network": state_of(self.task.network),
            "best": self.best,
            "optimizer": flatten_optimizer(self.optimizer),
        }
        self._write(tensors)

    def finish(self) -> None:
        """Write the result."""
        self.place.finished = True
        self._write({"best": self.best})

    def _end_epoch(self, rate: float) -> None:
        task, place = self.task, self.place
        loss = place.loss / task.steps
        if not math.isfinite(loss):
            raise NsrfcError(
                f"The training of {task.name} diverged in epoch {len(place.history) + 1} "
                f"(loss {loss}): lower its learning_rate."
            )
        task.network.eval()
        with torch.no_grad():
            score = task.score()
        ended = Epoch(loss, score, rate)
        place.history.append(ended)
        place.loss = 0.0
        if place.best == len(place.history) - 1:
            self.best = state_of(task.network)
        self.report(task.name, len(place.history), self.settings.epochs, ended)

    def _write(self, groups: dict[str, dict[str, Tensor]]) -> None:
        tensors = {
            f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()
        }
        self.checkpoints.write(self.task.name, Checkpoint(tensors, asdict(self.place)))

    def _restore(self, found: Checkpoint) -> None:
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
        for key, value in found.tensors.items():
            group, _, name = key.partition("/")
            groups[group][name] = value
        self.place = _Place.of(found.place, self.task.steps, self.total)
        check_state(self.task.network, groups["best"])
        self.best = groups["best"]
        if not self.place.finished:
            self.task.network.load_state_dict(groups["network"])
            restore_optimizer(self.optimizer, groups["optimizer"])


def learning_rate(settings: LoopSettings, step: int, total: int) -> float:
    """Return the learning rate of a step: a linear warm-up, then according to the schedule.

    Parameters
    ----------
    settings : LoopSettings
    step, total : int
        Number of the step, from 0, and number of all steps.
    """
    warm_up = round(settings.warm_up * total)
    if step < warm_up:
        return settings.learning_rate * (step + 1) / (warm_up + 1)
    done = (step - warm_up) / (total - warm_up)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
    drops = sum(step >= share * total for share in settings.drops)
    return settings.learning_rate * 0.1**drops


def seed_of(seed: int, *place: str | int) -> int:
    """Derive the seed of a part of the training from that of the run."""
    words = [int.from_bytes(part.encode(), "big") if isinstance(part, str) else part for part in place]
    # As an int, as numpy 1 shifts no uint64 by an int.
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0]) >> 1


def _ignore(name: str, number: int, epochs: int, epoch: Epoch) -> None:
    del name, number, epochs, epoch


def _optimizer(network: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay
        )
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), lr=rate, weight_decay=decay)
