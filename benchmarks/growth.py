"""The picture of growth: seconds over faces, both on logarithmic scales."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.data.files import atomic_path
from nsrfc.report.picture import FAINT, require_matplotlib

from . import tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

STYLE: dict[Any, Any] = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}


def draw(path: Path, record: tables.Record) -> None:
    """Draw methods on the left and stages of the label-free clusterer on the right, into a PNG file.

    Parameters
    ----------
    path : Path
        Written whole or not at all.
    record : dict
        What ``python -m benchmarks --json`` wrote.

    Raises
    ------
    OptionalDependencyError
        If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    every = tables.series(record)
    stages = f"{tables.STAGED[tables.OURS]}: "
    whole = {title.strip("*"): every[title] for title in tables.TITLES.values() if title in every}
    parts = {name.removeprefix(stages): every[name] for name in every if name.startswith(stages)}
    with rc_context(STYLE), atomic_path(path) as temporary:
        figure = Figure(figsize=(14, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw(left, "Methods", whole)
        _draw(right, "Stages of the label-free clusterer", parts)
        figure.savefig(temporary, dpi=100, format="png")


def _draw(axes: Axes, title: str, series: tables.Series) -> None:
    """Draw a curve for each name, beside lines of growth as n and as its square."""
    for name, seconds in series.items():
        points = sorted((n, taken) for n, taken in seconds.items() if taken > 0)
        first = name == next(iter(series))
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", lw=2.6 if first else 1.4, label=name)
    axes.set(xscale="log", yscale="log", xlabel="faces", ylabel="seconds")
    axes.set_title(title, loc="left")
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for power in (1, 2):
        ends = (bottom, bottom * (high / low) ** power)
        axes.plot((low, high), ends, color=FAINT, lw=1, ls=":" if power == 1 else "--", zorder=0,
                  label="as n" if power == 1 else "as n squared")  # fmt: skip
    axes.set(xlim=(low, high), ylim=(bottom, top))
    axes.legend(frameon=False, fontsize=9)
