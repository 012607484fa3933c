"""The picture of a comparison: scores of each method, sizes of its clusters, and a map of faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import OptionalDependencyError
from nsrfc.report.comparison import OURS, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "require_matplotlib"]

INK, TRUTH, LINK, FAINT = "#222222", "#8a8a8a", "#a8a8a8", "#d4d4d4"
COLORS = ("#d1495b", "#2e6f95", "#e0a030", "#5b8e55", "#8a63a8", "#6d5a4c")
MARKERS = "oDs^vP"
MAP_IDENTITIES = 36
MAP_FACES = 900


def require_matplotlib() -> None:
    """Refuse where matplotlib is not installed.

    Raises
    ------
    OptionalDependencyError
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise OptionalDependencyError("matplotlib", "plot") from None


def draw(
    path: Path,
    X: npt.NDArray[np.float32],
    identities: npt.NDArray[np.int64],
    results: Sequence[Result],
) -> None:
    """Draw a comparison into a PNG file.

    Parameters
    ----------
    path : Path
        Written directly; give a temporary path for atomic writing.
    X : ndarray of float32, shape (n, d)
        Unit vectors.
    identities : ndarray of int64, shape (n,)
        True identity of each face.
    results : sequence of Result
        What :func:`nsrfc.report.comparison.compare` returns.

    Raises
    ------
    OptionalDependencyError
        If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ours = next(result for result in results if result.method == OURS)
    style: dict[Any, Any] = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
    with rc_context(style):
        figure = Figure(figsize=(17, 6.4), layout="constrained")
        score, sizes, faces = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
        _draw_scores(score, results)
        _draw_sizes(sizes, identities, results)
        _draw_map(faces, X, identities, ours.labels)
        figure.suptitle(
            f"{len(X):,} generated faces of {ours.scores.n_identities:,} identities: nsrfc found "
            f"{ours.scores.n_clusters:,} clusters, pairwise F {100 * ours.scores.pairwise.f:.1f} %",
            fontsize=15,
            fontweight="bold",
            color=INK,
        )
        figure.savefig(path, dpi=110)


def _draw_scores(axes: Axes, results: Sequence[Result]) -> None:
    """Pairwise precision against recall, over curves of equal F."""
    points = 100 * np.array([result.scores.pairwise[:2] for result in results])
    low = max(0, 10 * int((points.min() - 4) / 10))
    _draw_equal_f(axes, low)
    for result, (precision, recall), color, marker in zip(results, points, COLORS, MARKERS, strict=True):
        axes.scatter(
            recall, precision, s=170 if result.method == OURS else 90, color=color, marker=marker,
            edgecolors="white", linewidths=1.2, zorder=3,
            label=f"{result.method}  {100 * result.scores.pairwise.f:.1f}",
        )  # fmt: skip
    axes.set(xlim=(low, 101), ylim=(low, 101))
    axes.set(xlabel="pairwise recall, %", ylabel="pairwise precision, %")
    axes.locator_params(integer=True, nbins=6)
    axes.set_title("Pairwise precision and recall", loc="left")
    legend = axes.legend(loc="lower left", frameon=True, edgecolor="none", title="F, %")
    legend.set_alignment("left")


def _draw_equal_f(axes: Axes, low: int) -> None:
    """Curves of equal F between ``low`` and 100 %."""
    for f in range(low, 100, 5 if low >= 50 else 10):
        recall = np.linspace(f / (2 - f / 100), 100, 200)[1:]
        precision = f * recall / (2 * recall - f)
        shown = (precision <= 100) & (precision >= low) & (recall >= low)
        if shown.any():
            axes.plot(recall[shown], precision[shown], color=FAINT, lw=1, zorder=1)
            end = (recall[shown][-1], precision[shown][-1])
            axes.annotate(
                f"F {f}", end, xytext=(3, 0), textcoords="offset points", va="center",
                color=TRUTH, fontsize=9, annotation_clip=False,
            )  # fmt: skip


def _draw_sizes(axes: Axes, identities: npt.NDArray[np.int64], results: Sequence[Result]) -> None:
    """Share of faces by cluster size, of the true identities and of each method."""
    from matplotlib.ticker import LogLocator, NullLocator

    for result, color in reversed(list(zip(results, COLORS, strict=True))):
        ours = result.method == OURS
        axes.plot(
            *_size_curve(result.labels), color=color, lw=2.6 if ours else 1.3,
            alpha=1 if ours else 0.8, label=result.method, zorder=3 if ours else 2,
        )  # fmt: skip
    axes.plot(*_size_curve(identities), color=INK, lw=2, ls=(0, (4, 2)), label="truth", zorder=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="faces in the cluster", ylabel="share of faces in clusters up to this size")
    axes.set_ylim(0, 1.02)
    axes.set_title("Cluster sizes", loc="left")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, loc="upper left")


def _size_curve(
    labels: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of faces in clusters of size s or less, as a step function; unclustered faces count as 1."""
    sizes = np.bincount(labels[labels >= 0])
    alone = np.ones(np.count_nonzero(labels < 0), np.int64)
    sizes = np.sort(np.concatenate([sizes[sizes > 0], alone]))
    share = np.cumsum(sizes) / sizes.sum()
    x = np.repeat(sizes, 2).astype(np.float64)
    return x, np.concatenate([[0.0], np.repeat(share, 2)[:-1]])


def _draw_map(
    axes: Axes,
    X: npt.NDArray[np.float32],
    identities: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
) -> None:
    """Map the embeddings of some identities; crosses are faces outside their identity's main cluster."""
    import matplotlib
    from sklearn.manifold import TSNE

    faces = _some_identities(identities)
    if len(faces) > 3:
        place = TSNE(
            perplexity=min(30, (len(faces) - 1) / 3), init="pca", random_state=0, metric="cosine"
        ).fit_transform(X[faces])
    else:
        place = np.c_[np.arange(len(faces)), np.zeros(len(faces))]
    person = np.unique(identities[faces], return_inverse=True)[1]
    right = _with_most(person, labels[faces])
    palette = matplotlib.colormaps["tab20"](np.linspace(0, 1, 20))
    color = palette[person % 20]
    _draw_links(axes, place, labels[faces])
    x, y = place.T
    axes.scatter(x[right], y[right], c=color[right], s=16, linewidths=0, zorder=2)
    axes.scatter(
        x[~right], y[~right], c=color[~right], s=34, marker="x", linewidths=1.6, zorder=3,
        label=f"not in the main cluster of their identity: {np.sum(~right)} of {len(faces):,} faces",
    )  # fmt: skip
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"{len(np.unique(person))} of the identities (colours) and their clusters (lines)", loc="left"
    )
    if not right.all():
        axes.legend(loc="lower left", frameon=False, bbox_to_anchor=(0, -0.06))


def _draw_links(axes: Axes, place: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> None:
    """Connect each face to the centre of its cluster."""
    from matplotlib.collections import LineCollection

    cluster, size = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    middle = np.zeros((len(size), 2))
    np.add.at(middle, cluster, place)
    middle /= size[:, None]
    ends = np.stack([place, middle[cluster]], axis=1)[labels >= 0]
    axes.add_collection(LineCollection(list(ends), colors=LINK, linewidths=0.7, zorder=1))


def _some_identities(identities: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Rows of the first identities with at least five faces, or of the largest if none has."""
    size = np.bincount(identities)
    chosen = np.flatnonzero(size >= min(5, size.max()))[:MAP_IDENTITIES]
    return np.flatnonzero(np.isin(identities, chosen))[:MAP_FACES]


def _with_most(person: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether a face is in the cluster that holds most faces of its identity."""
    clusters, cluster = np.unique(labels, return_inverse=True)
    count = np.zeros((person.max() + 1, len(clusters)), np.int64)
    np.add.at(count, (person, cluster), labels >= 0)
    main: npt.NDArray[np.bool_] = (count.argmax(axis=1)[person] == cluster) & (labels >= 0)
    return main
