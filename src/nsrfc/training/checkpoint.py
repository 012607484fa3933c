"""Checkpoints on disk, from which an interrupted training resumes.

One folder per run holds two kinds of files, each written whole or not at all:

    run.json                 everything the run depends on; a different run refuses the folder
    <network>.safetensors    weights, optimiser state and progress of a network

Each holds its own SHA-256, which earlier versions did not write, and a damaged one is refused. A folder
without `run.json` holds what a kill left of a training that had ended: its checkpoints are removed. A
checkpoint is a flat mapping of tensors and one JSON text. Nothing is pickled. It does not need the state
of random number generators, because randomness in a step depends only on (seed, step).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from nsrfc.errors import InputError
from nsrfc.model.bundle import record_fingerprint, tensors_fingerprint
from nsrfc.storage.files import reading
from nsrfc.storage.locks import clear, locked
from nsrfc.storage.outputs import atomic_path, remove_temporaries
from nsrfc.storage.runs import write_json

__all__ = [
    "Checkpoint",
    "CheckpointFolder",
    "check_state",
    "flatten_optimizer",
    "restore_optimizer",
    "state_of",
]

_RUN = "run.json"
_PLACE = "place"
_SHA256 = "sha256"

_STEP = "step"
_SGD, _ADAM = ("momentum_buffer",), (_STEP, "exp_avg", "exp_avg_sq")
"""What optimisers keep of a parameter: the number of its steps, and tensors of its shape."""


class Checkpoint(NamedTuple):
    """Tensors by name, and the progress of training."""

    tensors: dict[str, Tensor]
    place: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    run : mapping
        Everything the result depends on, as JSON values: settings and fingerprints of the data.

    Raises
    ------
    InputError
        If the folder holds the checkpoints of another run, or is damaged.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self.folder = folder
        record, expected = folder / _RUN, json.loads(json.dumps(run))
        remove_temporaries(folder)
        if not record.exists():
            for path in folder.glob("*.safetensors"):
                path.unlink()
            write_json(record, expected | {_SHA256: record_fingerprint(expected)})
            return
        with self._reading(record):
            found = json.loads(record.read_text(encoding="utf-8"))
            _check(found.pop(_SHA256, None), record_fingerprint(found))
        if found != expected:
            changed = ", ".join(
                name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)
            )
            raise InputError(
                f"{folder} holds an unfinished training that differs in {changed}: "
                f"run its command again to finish it, or delete the folder."
            )

    @classmethod
    @contextmanager
    def held(cls, folder: Path, run: Mapping[str, Any]) -> Iterator[Self]:
        """Lock a folder for one training, and delete it after success.

        Parameters are those of the class.

        Raises
        ------
        InputError
            As for the class, and if the folder is in use by another training.
        """
        with locked(folder, "training"):
            checkpoints = cls(folder, run)
            yield checkpoints
            # A kill from here on leaves checkpoints that no training takes for its own.
            (folder / _RUN).unlink(missing_ok=True)
            clear(folder)
        with suppress(OSError):
            folder.rmdir()

    def read(self, name: str) -> Checkpoint | None:
        """Return the latest checkpoint of a network, if there is one."""
        from safetensors import safe_open

        path = self._path(name)
        if not path.exists():
            return None
        with self._reading(path), safe_open(path, framework="pt") as file:
            about = file.metadata()
            tensors = {key: file.get_tensor(key) for key in sorted(file.keys())}
            _check(about.get(_SHA256), tensors_fingerprint(tensors, about[_PLACE]))
            return Checkpoint(tensors, json.loads(about[_PLACE]))

    def write(self, name: str, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint of a network."""
        from safetensors.torch import save_file

        with atomic_path(self._path(name)) as temporary:
            given = sorted(checkpoint.tensors.items())
            tensors = {key: value.detach().cpu().contiguous() for key, value in given}
            place = json.dumps(checkpoint.place)
            about = {_PLACE: place, _SHA256: tensors_fingerprint(tensors, place)}
            save_file(tensors, temporary, about)

    @contextmanager
    def restoring(self, name: str) -> Iterator[None]:
        """Turn any error of using a checkpoint of a network into an `InputError` that names its file."""
        with self._reading(self._path(name)):
            yield

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        """Turn errors of reading into an `InputError` that says how to fix a damaged folder."""
        with reading(path):
            try:
                yield
            except OSError:
                raise
            except Exception as error:
                # Decoders raise many types, as in `reading`.
                raise InputError(
                    f"{path} cannot be read, it is damaged: delete the folder {self.folder} to begin "
                    f"the training anew."
                ) from error


def _check(recorded: str | None, found: str) -> None:
    """Compare a checksum; None is that of an earlier version."""
    if recorded not in (None, found):
        raise ValueError(f"its checksum is {found}, not {recorded}")


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimiser as tensors, named by parameter number and kind."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{kind}": torch.as_tensor(value)
        for number, kinds in state.items()
        for kind, value in kinds.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load the state that :func:`flatten_optimizer` returned into an optimiser of the same kind.

    Raises
    ------
    ValueError
        If it is of another kind, or of other parameters.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, kind = name.partition(".")
        state.setdefault(int(number), {})[kind] = value
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kinds = _SGD if isinstance(optimizer, torch.optim.SGD) else _ADAM
    for at, found in state.items():
        shapes = {kind: value.shape for kind, value in found.items()}
        of = parameters[at].shape if 0 <= at < len(parameters) else None
        if shapes != {kind: torch.Size() if kind == _STEP else of for kind in kinds}:
            raise ValueError(f"the state of parameter {at} is {shapes}")
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def check_state(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Refuse weights and buffers that are not those of a network.

    Raises
    ------
    ValueError
        If a name, shape or type differs.
    """
    wanted = {name: (value.shape, value.dtype) for name, value in network.state_dict().items()}
    if {name: (value.shape, value.dtype) for name, value in tensors.items()} != wanted:
        raise ValueError("its weights are of another network")


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights and buffers of a network, on the CPU."""
    return {name: value.detach().to("cpu", copy=True) for name, value in network.state_dict().items()}
