"""A report on a library as one HTML file, to be sent around: counts, doubtful places, and why.

The file makes no request and runs no code, which its content security policy states as well: styles and
pictures are part of it. Whatever a human wrote is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nsrfc.graph.confidence import confidence
from nsrfc.library.decision import Decision
from nsrfc.library.explain import Explanation
from nsrfc.library.questions import Question
from nsrfc.storage.files import PathLike
from nsrfc.storage.outputs import atomic_path

if TYPE_CHECKING:
    from nsrfc.library.library import Group

__all__ = ["Overview", "Place", "doubtful", "write_overview"]

_Rows = npt.NDArray[np.int64]

SHOWN = 8
"""Faces shown of a place."""

_FORMATS = ((b"\xff\xd8\xff", "jpeg"), (b"RIFF", "webp"), (b"\x89PNG", "png"))
"""First bytes of the pictures that are shown."""

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .1rem .8rem .1rem 0; text-align: left; }
td.n { text-align: right; } section { border-top: 1px solid #ccc; padding: .6rem 0; }
figure { display: inline-block; margin: 0 .4rem 0 0; text-align: center; font-size: 12px; }
img, .none { width: 72px; height: 72px; object-fit: cover; background: #eee; display: block; }
pre { white-space: pre-wrap; background: #f6f6f6; padding: .5rem; font-size: 13px; }
svg { display: block; margin: .4rem 0; font-size: 12px; } .yes { fill: #2a7; } .no { fill: #c53; }
"""


@dataclass(frozen=True)
class Place:
    """A group that is in doubt.

    Attributes
    ----------
    group : Group
    sure : float
        Mean confidence of its faces, see :func:`nsrfc.graph.confidence.confidence`.
    faces : list of int
        Its least sure faces.
    """

    group: Group
    sure: float
    faces: list[int]


@dataclass(frozen=True)
class Overview:
    """What a report shows.

    Attributes
    ----------
    title : str
    counts : mapping of str to int
    places : sequence of Place
        The least sure first.
    doubts : sequence of (Question, Explanation)
        Pairs of faces that are in question.
    names : mapping of str to str
        Names of groups, by their ids.
    thumbnail : callable
        Returns the picture of a face, or None.
    """

    title: str
    counts: Mapping[str, int]
    places: Sequence[Place]
    doubts: Sequence[tuple[Question, Explanation]]
    names: Mapping[str, str]
    thumbnail: Callable[[int], bytes | None]


def doubtful(decision: Decision, ids: _Rows, groups: Sequence[Group], limit: int) -> list[Place]:
    """Return the groups that are least sure, without hidden ones and faces alone.

    Parameters
    ----------
    decision : Decision
    ids : ndarray of int64, shape (n,)
        Id of the cluster of each face.
    groups : sequence of Group
    limit : int
        Maximum number of places.
    """
    cluster = decision.of_units
    # Units without faces are clusters of their own, which no edge reaches.
    gone = np.flatnonzero(cluster < 0)
    cluster[gone] = len(np.unique(ids)) + np.arange(len(gone))
    density = decision.kind == 0
    edges = decision.edges
    sure = confidence(cluster, edges.where(density), edges.where(~density))[decision.unit]
    mean = np.bincount(decision.labels, weights=sure) / np.bincount(decision.labels)
    label = dict(zip(ids.tolist(), decision.labels.tolist(), strict=True))
    shown = [
        group for group in groups if not group.hidden and group.cluster in label and len(group.faces) > 1
    ]
    shown.sort(key=lambda group: float(mean[label[group.cluster]]))
    places = []
    for group in shown[: max(limit, 0)]:
        own = sure[np.searchsorted(decision.faces, group.faces)]
        least = group.faces[np.argsort(own, kind="stable")[:SHOWN]]
        places.append(Place(group, float(mean[label[group.cluster]]), least.tolist()))
    return places


def write_overview(path: PathLike, overview: Overview) -> None:
    """Write a report, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(_page(overview), encoding="utf-8")


def _page(overview: Overview) -> str:
    rows = "".join(
        f'<tr><th>{escape(name)}<td class="n">{count:,}' for name, count in overview.counts.items()
    )
    doubts = "".join(_doubt(overview, *doubt) for doubt in overview.doubts)
    places = "".join(_place(overview, place) for place in overview.places)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    title = escape(overview.title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{title}</h1>\n<table>{rows}</table>\n"
        f"<h2>Pairs in question</h2>\n{doubts or '<p>None.</p>'}\n"
        f"<h2>Groups, the least sure first</h2>\n{places or '<p>None.</p>'}\n</body></html>\n"
    )


def _place(overview: Overview, place: Place) -> str:
    group = place.group
    faces = "".join(_figure(overview, face) for face in place.faces)
    told = f"{len(group.faces):,} faces, {len(group.confirmed):,} confirmed, confidence {place.sure:.2f}"
    return f"<section><h3>{_called(overview, group.id)}</h3><p>{told}</p>{faces}</section>\n"


def _doubt(overview: Overview, question: Question, explanation: Explanation) -> str:
    one, other = (_called(overview, group) for group in question.groups)
    head = f"Is {one} one person?" if one == other else f"Are {one} and {other} one person?"
    faces = "".join(_figure(overview, face) for face in (question.a, question.b))
    return (
        f"<section><h3>{head}</h3>{faces}{_waterfall(question)}{_measured(explanation)}"
        f"<pre>{escape(explanation.in_words())}</pre></section>\n"
    )


def _called(overview: Overview, group: str) -> str:
    name = overview.names.get(group)
    return escape(group if name is None else f"{name} ({group})")


def _figure(overview: Overview, face: int) -> str:
    return f"<figure>{_picture(overview.thumbnail(face))}<figcaption>{face}</figcaption></figure>"


def _picture(image: bytes | None) -> str:
    for start, name in _FORMATS:
        if image is not None and image.startswith(start):
            return f'<img alt="" src="data:image/{name};base64,{b64encode(image).decode()}">'
    return '<span class="none"></span>'


_WIDE, _HIGH, _MIDDLE, _REACH = 560, 20, 330, 10.0
"""Size of a chart and of its rows, where 0 is, and the largest log-odds that are shown."""


def _waterfall(question: Question) -> str:
    """Draw how the log-odds that a pair is one person add up."""
    edge, similarity = question.odds
    total = edge + similarity
    bars = (
        ("strongest edge", 0.0, edge, f"{edge:+.1f}"),
        ("normalised similarity", edge, total, f"{similarity:+.1f}"),
        ("log-odds of one person", 0.0, total, f"{total:+.1f}, probability {question.probability:.2f}"),
    )
    return _chart(bars)


def _measured(explanation: Explanation) -> str:
    """Draw what was measured at the edge that decides."""
    step = explanation.weakest
    if step is None:
        return ""
    bars = [(f"cosine of {step.a} and {step.b}", 0.0, _REACH * step.cosine, f"{step.cosine:.3f}")]
    if step.probability is not None:
        bars.append(("probability", 0.0, _REACH * step.probability, f"{step.probability:.3g}"))
    for face, other, rank in zip((step.a, step.b), (step.b, step.a), step.ranks, strict=True):
        if rank is not None:
            bars.append((f"rank of {other} for {face}", 0.0, _REACH / rank, f"{rank}"))
    bars.append(("shared neighbours", 0.0, _REACH * min(1.0, step.shared / 80), f"{step.shared}"))
    return _chart(bars)


def _chart(bars: Sequence[tuple[str, float, float, str]]) -> str:
    """Draw bars from one value to another, each with a title and a text."""
    scale = (_WIDE - _MIDDLE) / 2 / _REACH
    words = round(_MIDDLE + scale * _REACH) + 6
    drawn = []
    for row, (title, start, end, text) in enumerate(bars):
        ends = [min(max(value, -_REACH), _REACH) for value in (start, end)]
        left, wide = _MIDDLE + scale * min(ends), max(1.0, scale * abs(ends[1] - ends[0]))
        kind, low = "yes" if end >= start else "no", (row + 1) * _HIGH - 6
        drawn.append(
            f'<text x="0" y="{low}">{escape(title)}</text>'
            f'<rect class="{kind}" x="{left:.1f}" y="{row * _HIGH + 3}" width="{wide:.1f}" '
            f'height="{_HIGH - 6}"/><text x="{words}" y="{low}">{escape(text)}</text>'
        )
    high = _HIGH * len(bars)
    axis = f'<line x1="{_MIDDLE}" x2="{_MIDDLE}" y1="0" y2="{high}" stroke="#888"/>'
    return f'<svg width="{_WIDE + 120}" height="{high}" role="img">{axis}{"".join(drawn)}</svg>'
