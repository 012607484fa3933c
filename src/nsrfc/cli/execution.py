"""Options that say where the tasks of a run are carried out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nsrfc.execution.base import Executor

__all__ = ["Address", "ExecutorName", "ExecutorOption", "Gpus", "ShardOption", "Workers", "executing"]

MOST_WORKERS = 65_536


class ExecutorName(StrEnum):
    """What runs tasks."""

    LOCAL = "local"
    RAY = "ray"


ExecutorOption = Annotated[
    ExecutorName,
    typer.Option("--executor", help="local: processes of this machine; ray: a Ray cluster."),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1, max=MOST_WORKERS, help="Tasks at a time; 1 with local: this process does everything."
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="With --executor ray: auto, or such as ray://head:10001; Ray is started here by default.",
        show_default=False,
    ),
]
Gpus = Annotated[
    float, typer.Option(min=0, help="With --executor ray: GPUs, or the share of one, for each task.")
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="i/n",
        help="This process is one of n of a job array, which run the same command on a shared folder.",
        show_default=False,
    ),
]


@contextmanager
def executing(
    name: ExecutorName, workers: int, address: str | None, gpus: float, shard: str | None
) -> Iterator[Executor | None]:
    """Yield the executor that options describe; None if this process does everything.

    Raises
    ------
    InputError
        If options contradict each other, or what they name is not there.
    """
    from nsrfc.errors import InputError

    if name is not ExecutorName.RAY and (address is not None or gpus):
        raise InputError("--address and --gpus are for --executor ray: leave them out, or add it.")
    if shard is not None and (name is ExecutorName.RAY or workers > 1):
        raise InputError(
            "--shard is for job arrays without an engine: leave out --executor and --workers."
        )
    executor = _made(name, workers, address, gpus, shard)
    try:
        yield executor
    finally:
        if executor is not None:
            executor.close()


def _made(
    name: ExecutorName, workers: int, address: str | None, gpus: float, shard: str | None
) -> Executor | None:
    if shard is not None:
        from nsrfc.execution.shards import ShardExecutor

        return ShardExecutor.named(shard)
    if name is ExecutorName.RAY:
        from nsrfc.execution.ray import RayExecutor

        return RayExecutor(workers, address, gpus)
    if workers > 1:
        from nsrfc.execution.local import LocalExecutor

        return LocalExecutor(workers)
    return None
