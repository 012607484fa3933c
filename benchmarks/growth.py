"""The picture of growth: seconds over faces, both on logarithmic scales."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.report.picture import TRUTH, require_matplotlib
from nsrfc.storage.outputs import atomic_path

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

    every, stages = tables.series(record), f"{tables.STAGED[tables.OURS]}: "
    methods = {title: every[title] for title in tables.TITLES.values() if title in every}
    parts = {name.removeprefix(stages): every[name] for name in every if name.startswith(stages)}
    with rc_context(STYLE), atomic_path(path) as temporary:
        figure = Figure(figsize=(15, 5.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw(left, "Methods", methods)
        _draw(right, "Stages of the label-free clusterer", parts)
        for axes in (left, right):
            sizes = tables.sizes(record)
            axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
            axes.minorticks_off()
        figure.savefig(temporary, dpi=100, format="png")


def _draw(axes: Axes, title: str, series: tables.Series) -> None:
    """Draw a curve for each name, beside lines of growth as n and as its square."""
    for name, seconds in series.items():
        points = sorted((n, taken) for n, taken in seconds.items() if taken > 0)
        ours = name == tables.TITLES[tables.OURS]
        if points:
            label = re.sub("[*`]", "", name)
            axes.plot(*zip(*points, strict=True), marker="o", lw=3 if ours else 1.5, label=label)
    axes.set(xscale="log", yscale="log", xlabel="faces", ylabel="seconds")
    axes.set_title(title, loc="left")
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for power, style in ((1, ":"), (2, "--")):
        ends = bottom, bottom * (high / low) ** power
        label = "growth as n" if power == 1 else "growth as n squared"
        axes.plot((low, high), ends, color=TRUTH, lw=1, ls=style, zorder=0, label=label)
    axes.set(xlim=(low, high), ylim=(bottom, top))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=10)
