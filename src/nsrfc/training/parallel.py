"""Training on the processes that torchrun started: each computes the gradient of a part of every batch.

::

    torchrun --standalone --nproc-per-node 2 -m nsrfc train faces.npy identities.npy -o model

Gradients are summed (gloo on CPUs, nccl on GPUs), so that all processes take the same steps as one
would, but for rounding. The first process keeps the checkpoints and writes the model. Without torchrun
everything here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

__all__ = ["agreed", "count", "first", "joined", "part", "sum_gradients", "summed"]

Value = TypeVar("Value")


@contextmanager
def joined() -> Iterator[None]:
    """Join the other processes, if torchrun started any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def first() -> bool:
    """Whether this process keeps the files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def part() -> slice:
    """Return the part of a batch that this process takes."""
    return slice(distributed.get_rank(), None, count()) if distributed.is_initialized() else slice(None)


def agreed(value: Value) -> Value:
    """Return the value of the first process."""
    if not distributed.is_initialized():
        return value
    held = [value]
    distributed.broadcast_object_list(held)
    return held[0]


def summed(value: Tensor) -> Tensor:
    """Return the sum of a number over all processes, without its gradient."""
    if not distributed.is_initialized():
        return value
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total


def sum_gradients(network: nn.Module) -> None:
    """Give every process the sum of all gradients."""
    if not distributed.is_initialized():
        return
    for weight in network.parameters():
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        distributed.all_reduce(weight.grad)
