"""The loss of the C-GCN: each face with its least similar genuine and its most similar impostor pair.

With unit vectors z, a = 0.9, and for every anchor its positive p (same identity, least similar) and its
negative q (another identity, most similar)::

    triplet   mean of max(0, z.q - z.p + 2a - 1)
    margin    mean of max(0, z.q - (1 - a)) + mean of max(0, a - z.p)

Source: PSE-GCN (Li et al., 2024) and the code of NSR-FC. Corrected: the code selects p and q by the
product of cosine and mask, so that a face without another image of its identity gets an impostor as its
positive, and a face with only negative cosines to impostors gets a face of its own identity as its
negative. Here faces are masked before the selection: a face without another image is its own positive
(cosine 1, no loss), and a face without impostors does not contribute to the terms of q.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["cgcn_loss", "hardest_pairs", "margin_loss", "triplet_loss"]

_MARGIN = 0.9


def cgcn_loss(z: Tensor, identity: Tensor, a: float = _MARGIN) -> Tensor:
    """Sum of triplet and margin loss, every face being an anchor.

    Parameters
    ----------
    z : Tensor, shape (n, w) or (b, n, w)
        Unit vectors. Faces are compared within a batch item.
    identity : Tensor of int, shape (n,) or (b, n)
        -1 for padding, which is never an anchor, a positive or a negative.
    a : float
        Target cosine of the positive; 1 - a for the negative.

    Returns
    -------
    Tensor
        A scalar.
    """
    z = z.float()
    cosine = z @ z.mT
    positive, negative = hardest_pairs(cosine.detach(), identity)
    to_positive = cosine.gather(-1, positive[..., None]).squeeze(-1)
    to_negative = cosine.gather(-1, negative.clamp(min=0)[..., None]).squeeze(-1)
    to_negative = to_negative.masked_fill(negative < 0, -torch.inf)
    anchors = identity >= 0
    to_positive, to_negative = to_positive[anchors], to_negative[anchors]
    return triplet_loss(to_positive, to_negative, a) + margin_loss(to_positive, to_negative, a)


def hardest_pairs(cosine: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """Find the least similar face of the same identity and the most similar face of another one.

    Parameters
    ----------
    cosine : Tensor, shape (..., n, n)
    identity : Tensor of int, shape (..., n)
        -1 for padding.

    Returns
    -------
    positive : Tensor of int64, shape (..., n)
        The face itself if it has no other image.
    negative : Tensor of int64, shape (..., n)
        -1 if there is no impostor. Both are undefined for padding.
    """
    genuine = identity[..., :, None] == identity[..., None, :]
    impostor = ~genuine & (identity >= 0)[..., None, :]
    positive = cosine.masked_fill(~genuine, torch.inf).argmin(-1)
    negative = cosine.masked_fill(~impostor, -torch.inf).argmax(-1)
    return positive, negative.masked_fill(~impostor.any(-1), -1)


def triplet_loss(to_positive: Tensor, to_negative: Tensor, a: float = _MARGIN) -> Tensor:
    """Mean of max(0, z.q - z.p + 2a - 1).

    Parameters
    ----------
    to_positive, to_negative : Tensor, shape (n,)
        Cosines z.p and z.q of the anchors; z.q = -inf where there is no negative.
    a : float
        As in :func:`cgcn_loss`.
    """
    return functional.relu(to_negative - to_positive + (2 * a - 1)).mean()


def margin_loss(to_positive: Tensor, to_negative: Tensor, a: float = _MARGIN) -> Tensor:
    """Mean of max(0, z.q - (1 - a)) plus mean of max(0, a - z.p).

    Parameters
    ----------
    to_positive, to_negative, a
        As in :func:`triplet_loss`.
    """
    return functional.relu(to_negative - (1 - a)).mean() + functional.relu(a - to_positive).mean()
