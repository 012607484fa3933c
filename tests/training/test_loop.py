"""The training loop on a small network: schedule, early stopping, resumption, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from nsrfc.errors import InputError, NsrfcError
from nsrfc.training.checkpoint import CheckpointFolder
from nsrfc.training.config import LoopSettings, TrainingConfig
from nsrfc.training.loop import fit, learning_rate

SETTINGS = LoopSettings(
    epochs=6,
    patience=6,
    batch=16,
    optimizer="adamw",
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.01,
    schedule="cosine",
    drops=(),
    warm_up=0.1,
    clip=1.0,
)


Change = Callable[[dict[str, Tensor], dict[str, Any]], None]
"""Of the tensors and the progress of a checkpoint, in place."""


class StoppedError(Exception):
    """Stands for a power cut."""


class Regression:
    """Learn the sum of numbers, with dropout, so that random numbers matter."""

    name = "sum"
    steps = 5

    def __init__(self, stop: Callable[[int], bool] = lambda taken: False, scale: float = 1.0) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1)
        )
        self.stop, self.scale, self.taken = stop, scale, 0

    def batch(self, epoch: int, step: int) -> Tensor:
        self.taken += 1
        if self.stop(self.taken):
            raise StoppedError
        rng = np.random.default_rng([epoch, step])
        return torch.from_numpy(rng.normal(size=(16, 4)).astype(np.float32))

    def loss(self, batch: Tensor) -> Tensor:
        return functional.mse_loss(self.network(batch)[:, 0], self.scale * batch.sum(1))

    def score(self) -> float:
        probe = torch.eye(4)
        return -float(functional.mse_loss(self.network(probe)[:, 0], probe.sum(1)).detach())


def weights(task: Regression) -> dict[str, Tensor]:
    return task.network.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_stopped_anywhere_it_ends_with_the_same_weights(tmp_path: Path, optimizer: str) -> None:
    settings = SETTINGS.model_copy(update={"optimizer": optimizer})
    whole = Regression()
    curve = fit(whole, settings, CheckpointFolder(tmp_path / "whole", {}), seed=3)
    folder = tmp_path / "stopped"
    rounds = 0
    while True:
        stopped = Regression(stop=lambda taken: taken == 4)
        rounds += 1
        try:
            again = fit(stopped, settings, CheckpointFolder(folder, {}), seed=3, interval=0)
            break
        except StoppedError:
            continue
    assert rounds > 5
    assert again == curve
    assert weights(stopped).keys() == weights(whole).keys()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(stopped)[name]), name


def test_random_numbers_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    task = Regression()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(task, SETTINGS, CheckpointFolder(tmp_path, {}), seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_weights_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    task = Regression()
    curve = fit(task, SETTINGS, CheckpointFolder(tmp_path, {}), seed=0)
    assert not task.network.training
    assert task.score() == max(epoch.score for epoch in curve)


def test_training_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    task = Regression()
    task.score = lambda: 0.5  # type: ignore[method-assign]
    settings = SETTINGS.model_copy(update={"patience": 2})
    curve = fit(task, settings, CheckpointFolder(tmp_path, {}), seed=0)
    assert len(curve) == 3, "the first epoch is the best, two more are tried"


def test_a_loss_that_is_no_number_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NsrfcError, match=r"sum diverged in epoch 1 .* lower its learning_rate"):
        fit(Regression(scale=float("inf")), SETTINGS, CheckpointFolder(tmp_path, {}), seed=0)


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path, {"seed": 1, "input": "abc"})
    CheckpointFolder(tmp_path, {"seed": 1, "input": "abc"})
    with pytest.raises(InputError, match="differs in seed"):
        CheckpointFolder(tmp_path, {"seed": 2, "input": "abc"})


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, {})
    (tmp_path / "sum.safetensors").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"sum\.safetensors cannot be read"):
        fit(Regression(), SETTINGS, folder, seed=0)


def test_any_flipped_bit_of_a_checkpoint_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    folder, rng = CheckpointFolder(tmp_path, {}), np.random.default_rng(0)
    fit(Regression(), SETTINGS, folder, seed=0)
    path, expected = tmp_path / "sum.safetensors", folder.read("sum")
    assert expected is not None
    content, refused = path.read_bytes(), 0
    for at in rng.integers(len(content), size=100):
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            found = folder.read("sum")
        except InputError as error:
            refused += str(path) in str(error)
        else:
            assert found is not None
            assert found.place == expected.place
            assert found.tensors.keys() == expected.tensors.keys()
            assert all(
                torch.equal(found.tensors[name], expected.tensors[name]) for name in found.tensors
            )
    assert refused > 90


def without(name: str) -> Change:
    def change(tensors: dict[str, Tensor], place: dict[str, Any]) -> None:
        del (place if name in place else tensors)[name]

    return change


def with_place(**values: object) -> Change:
    return lambda tensors, place: place.update(values)


def with_tensor(name: str, value: Tensor) -> Change:
    return lambda tensors, place: tensors.update({name: value})


ROW = {"loss": 1.0, "score": -1.0, "rate": 0.1}
MEANINGLESS: dict[str, Change] = {
    "no step": without("step"),
    "an unknown entry": with_place(speed=3),
    "a step in words": with_place(step="seven"),
    "a step that is true": with_place(step=True),
    "a step before the first": with_place(step=-1, history=[]),
    "a step beyond the last": with_place(step=10**9),
    "a loss that is a list": with_place(loss=[]),
    "no list of epochs": with_place(history=3),
    "too few epochs": with_place(history=[]),
    "an epoch without a score": with_place(history=[{"loss": 1.0, "rate": 0.1}]),
    "an epoch with a score in words": with_place(history=[{**ROW, "score": "good"}]),
    "finished in words": with_place(finished="yes"),
    "finished without an epoch": with_place(finished=True, step=0, history=[]),
    "no weights": without("network/0.weight"),
    "no best weights": without("best/0.weight"),
    "weights of another shape": with_tensor("network/0.weight", torch.zeros(3)),
    "best weights of another shape": with_tensor("best/0.weight", torch.zeros(3)),
    "best weights of another type": with_tensor("best/0.weight", torch.zeros(8, 4, dtype=torch.int32)),
    "an unknown group": with_tensor("worst/0.weight", torch.zeros(3)),
    "no moment": without("optimizer/0.exp_avg"),
    "a moment of another shape": with_tensor("optimizer/0.exp_avg", torch.zeros(3)),
    "a moment of no parameter": with_tensor("optimizer/99.exp_avg", torch.zeros(3)),
    "a moment without a number": with_tensor("optimizer/x.exp_avg", torch.zeros(3)),
}


@pytest.mark.parametrize("change", MEANINGLESS.values(), ids=MEANINGLESS.keys())
def test_a_checkpoint_with_a_valid_checksum_but_no_meaning_is_refused(
    tmp_path: Path, change: Change
) -> None:
    folder = CheckpointFolder(tmp_path, {})
    with pytest.raises(StoppedError):
        fit(Regression(lambda taken: taken == 8), SETTINGS, folder, seed=0, interval=0)
    found = folder.read("sum")
    assert found is not None
    assert (found.place["step"], len(found.place["history"])) == (7, 1)
    change(found.tensors, found.place)
    folder.write("sum", found)
    with pytest.raises(InputError, match=r"sum\.safetensors cannot be read, it is damaged: delete the"):
        fit(Regression(), SETTINGS, folder, seed=0)


def test_a_flipped_bit_of_the_record_is_not_taken_for_another_training(tmp_path: Path) -> None:
    CheckpointFolder(tmp_path, {"seed": 1})
    record = tmp_path / "run.json"
    record.write_text(record.read_text().replace('"seed": 1', '"seed": 3'))
    with pytest.raises(InputError, match=r"run\.json cannot be read, it is damaged: delete the folder"):
        CheckpointFolder(tmp_path, {"seed": 3})


def test_an_unfinished_training_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, {"seed": 1})
    curve = fit(Regression(), SETTINGS, folder, seed=1)
    (tmp_path / "run.json").write_text('{"seed": 1}')
    path = tmp_path / "sum.safetensors"
    with safe_open(path, framework="pt") as file:
        place = file.metadata()["place"]
    save_file(load_file(path), path, {"place": place})
    assert fit(Regression(), SETTINGS, CheckpointFolder(tmp_path, {"seed": 1}), seed=1) == curve


def test_what_a_kill_left_of_a_training_that_had_ended_is_removed(tmp_path: Path) -> None:
    with CheckpointFolder.held(tmp_path / "kept", {"seed": 1}) as folder:
        fit(Regression(), SETTINGS, folder, seed=1)
        checkpoint = (tmp_path / "kept" / "sum.safetensors").read_bytes()
    left = tmp_path / "left"
    left.mkdir()
    for name in ("sum.safetensors", ".sum.0123abcd.safetensors", ".run.0123abcd.json"):
        (left / name).write_bytes(checkpoint)
    folder = CheckpointFolder(left, {"seed": 2})
    assert folder.read("sum") is None
    assert [path.name for path in left.iterdir()] == ["run.json"]


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate(SETTINGS, step, 100) for step in range(100)]
    assert max(rates) == pytest.approx(0.01)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[0] < 0.002
    assert rates[-1] < 1e-4


def test_published_drops() -> None:
    loop = TrainingConfig.load("paper").cgcn.loop
    rates = [learning_rate(loop, epoch * 10, 100) for epoch in range(10)]
    assert rates == pytest.approx([1e-2] * 4 + [1e-3] * 2 + [1e-4] * 2 + [1e-5] * 2)
