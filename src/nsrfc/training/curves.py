"""Learning curves: a line per epoch in the log, TensorBoard if it is installed, and a picture."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nsrfc.storage.outputs import atomic_path
from nsrfc.training.loop import Epoch

__all__ = ["CurveLog", "draw_curves"]

_logger = logging.getLogger(__name__)


class CurveLog:
    """Logs every epoch of the training loop.

    Parameters
    ----------
    folder : Path, optional
        Folder for TensorBoard events, one run per network.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def __call__(self, name: str, number: int, epochs: int, epoch: Epoch) -> None:
        """Report epoch ``number``, counted from 1, of at most ``epochs``."""
        _logger.info(
            "%-8s epoch %d of %d   loss %.4f   validation %.4f",
            *(name, number, epochs, epoch.loss, epoch.score),
        )
        if (writer := self._writer(name, number)) is not None:
            for kind, value in asdict(epoch).items():
                writer.add_scalar(kind, value, number)
            writer.flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            if writer is not None:
                writer.close()

    def _writer(self, name: str, number: int) -> Any:  # noqa: ANN401
        if name not in self._writers:
            self._writers[name] = None
            if self._folder is not None and (writer := _summary_writer()) is not None:
                # After an interruption some epochs may be repeated: hide the older ones.
                self._writers[name] = writer(str(self._folder / name), purge_step=number)
        return self._writers[name]


def draw_curves(path: Path, curves: Mapping[str, Sequence[Epoch]]) -> bool:
    """Plot loss and validation score of every network, if matplotlib is installed.

    Parameters
    ----------
    path : Path
        A ``.png`` file; written whole or not at all.
    curves : mapping of str to sequence of Epoch

    Returns
    -------
    bool
        Whether matplotlib is installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(3.2 * max(1, len(curves)), 4.8), layout="constrained")
    grid = figure.subplots(2, max(1, len(curves)), squeeze=False, sharex="col")
    for (name, epochs), (above, below) in zip(curves.items(), grid.T, strict=False):
        numbers = range(1, len(epochs) + 1)
        above.plot(numbers, [epoch.loss for epoch in epochs], marker=".")
        below.plot(numbers, [epoch.score for epoch in epochs], marker=".", color="tab:green")
        above.set_title(name)
        below.set_xlabel("epoch")
    grid[0, 0].set_ylabel("training loss")
    grid[1, 0].set_ylabel("validation ranking")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
    return True


def _summary_writer() -> Any:  # noqa: ANN401
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter
