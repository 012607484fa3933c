"""How far clusters can be trusted: a confidence for every face, and a warning about the whole set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc.records import EdgeList
from nsrfc.runtime import compiled

__all__ = ["FEW_FACES", "MOST_DOUBT", "confidence", "doubt_in_words"]

_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
_Labels = npt.NDArray[np.int64]

MOST_DOUBT = 1 / 6
"""Share of doubtful edges above which a set is beyond what can be known: all validation sets of the
universal model with more of them have an F below 0.75."""

DOUBTFUL = 0.25, 0.75
"""Probabilities between which an edge is doubtful."""

FEW_FACES = 10
"""With fewer faces the statistics of their similarities are mostly prior."""


def confidence(labels: _Labels, density: EdgeList, similar: EdgeList) -> _Floats:
    """Probability that a face is in the right company: of one identity, and of all of it.

    Two faces of a cluster are a genuine pair with the probability p_ij of the weakest edge between them,
    on the path whose weakest edge is strongest (1 if no path connects them: then the similarity of two
    large clusters joined them). A cluster C is the whole of an identity unless an edge that leaves it is
    genuine after all. A face i of it therefore has the confidence::

        mean of p_ij over j in C, j != i   x   1 - highest probability of a density edge out of C

    Density edges lead to denser faces, so that a fragment doubts itself, and not the cluster that it
    would belong to.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Clusters 0..c-1.
    density, similar : EdgeList
        Density edges and similarity edges, with the probability in [0, 1] that both ends are one
        identity as score.

    Returns
    -------
    ndarray of float32, shape (n,)
        1 for a single face without an edge.

    Notes
    -----
    m log m time for m edges; 32 n + 20 m bytes.
    """
    size, cut = np.bincount(labels), labels[density.source] != labels[density.target]
    whole = np.ones(len(size))
    np.minimum.at(whole, labels[density.source[cut]], 1.0 - density.score[cut])
    edges = density + similar
    order = np.argsort(-edges.score, kind="stable")
    parent, joined = np.arange(len(labels)), np.ones(len(labels), np.int64)
    own, wrong = np.zeros(len(labels)), np.zeros(len(labels))
    _expect_wrong(edges.source, edges.target, edges.score, order, labels, parent, joined, own, wrong)
    others = np.maximum(size - 1, 1)
    sure: _Floats = ((1 - wrong / others[labels]) * whole[labels]).astype(np.float32)
    return sure.clip(0, 1)


@compiled()
def _expect_wrong(
    source: npt.NDArray[np.int32],
    target: npt.NDArray[np.int32],
    probability: _Floats,
    order: _Labels,
    labels: _Labels,
    parent: _Labels,
    size: _Labels,
    own: _Doubles,
    wrong: _Doubles,
) -> None:
    """Expect a number (n,) of faces of other identities in the cluster of each face.

    Edges are followed by descending probability (Kruskal's algorithm): one that joins two trees is the
    weakest on the strongest path between any face of the one and any of the other. What all faces of a
    tree have in common is kept at its root (``own``), so that the work does not grow with the tree.
    """
    for edge in order:
        a, b = source[edge], target[edge]
        if labels[a] != labels[b]:
            continue
        # Trees stay shallow, as the smaller is hung below the larger.
        while parent[a] != a:
            a = parent[a]
        while parent[b] != b:
            b = parent[b]
        if a == b:
            continue
        if size[a] < size[b]:
            a, b = b, a
        doubt = 1.0 - probability[edge]
        own[a] += size[b] * doubt
        own[b] += size[a] * doubt - own[a]
        parent[b] = a
        size[a] += size[b]
    for face in range(len(labels)):
        above = face
        wrong[face] = own[face]
        while parent[above] != above:
            above = parent[above]
            wrong[face] += own[above]


def doubt_in_words(n: int, probability: _Floats) -> str | None:
    """Say in a sentence that a set is beyond what can be known, and what the user can do.

    Parameters
    ----------
    n : int
        Number of distinct faces.
    probability : ndarray of float32, shape (m,)
        Probability that both ends of a density edge are one identity.

    Returns
    -------
    str or None
        None if nothing speaks against the clusters as a whole.
    """
    if n < FEW_FACES:
        return (
            f"There are only {n} different faces, too few to learn from them which similarity means the "
            f"same person: check the clusters by hand, or add photos of other people."
        )
    low, high = DOUBTFUL
    doubtful = np.count_nonzero((probability > low) & (probability < high)) / max(1, len(probability))
    if doubtful <= MOST_DOUBT:
        return None
    return (
        f"For {100 * doubtful:.0f} % of the faces it is in doubt whether their best match is the same "
        f"person, so that many clusters will be wrong: take sharper faces or more photos of a person, "
        f"ask for a higher precision, or check clusters of low confidence by hand."
    )
