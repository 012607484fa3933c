"""Proposing neighbours by products of blocks of vectors on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nsrfc.errors import MemoryPlanError
from nsrfc.knn.exact import single_rounding
from nsrfc.runtime import find_device

__all__ = ["Products", "products_on"]

BLOCK_BYTES = 2**30
"""Memory of the products on the device at a time."""

COLUMNS = 2**16
"""Columns of products computed at a time."""

GROUP = 64
"""Adjacent products of which only the maximum is considered first."""

ROUNDING = 2.0**-8
"""Error bound of a product of unit vectors in float16: 2^-11 for each factor and for the result, and the
rest for partial sums. (In bfloat16, equally fast, it would be eight times as large.)"""

_Vectors = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]


class Products:
    """Finds the largest products of some vectors with all rows on the device.

    The w largest products of a vector are in the w groups of `GROUP` columns with the largest maxima:
    each product is read once, for the maximum of its group, and only a few groups are sorted.

    Memory on the device: 6 n d bytes and about three times `BLOCK_BYTES`.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    device : torch.device

    Raises
    ------
    MemoryPlanError
        If they do not fit the device.
    """

    widening = 2
    """Proposed faces for each face of a list."""

    def __init__(self, vectors: _Vectors, device: torch.device) -> None:
        self._made_of = vectors, device
        with _fitting(vectors):
            self._vectors = torch.tensor(vectors, device=device)

    def __reduce__(self) -> tuple[type[Products], tuple[_Vectors, torch.device]]:
        # Another process copies the vectors to its own device.
        return Products, self._made_of

    @cached_property
    def _halved(self) -> Tensor:
        return self._vectors.to(torch.float16)

    def largest(self, asked: _Vectors, width: int, *, halved: bool) -> tuple[_Vectors, _Rows]:
        """Propose rows, see :meth:`nsrfc.knn.exact.Products.largest`.

        Products in float16 err by less than `ROUNDING`.

        Raises
        ------
        MemoryPlanError
            If they do not fit the device.
        """
        with _fitting(self._vectors), _full_precision():
            matrix = self._halved if halved else self._vectors
            chosen = torch.from_numpy(asked).to(matrix)
            step = max(1, BLOCK_BYTES // (COLUMNS * matrix.element_size()))
            found = [_largest(matrix, part, width) for part in chosen.split(step)]
            products, candidates = (torch.cat(parts) for parts in zip(*found, strict=True))
            rounding = ROUNDING if halved else single_rounding(asked.shape[1])
            return products[:, -1].float().cpu().numpy() + np.float32(rounding), candidates.cpu().numpy()


def products_on(vectors: _Vectors, device: str) -> Products | None:
    """Return the products of vectors (n, d) on a GPU, given by name; None for the CPU.

    Raises
    ------
    InputError
        If there is no such device.
    MemoryPlanError
        If they do not fit it.
    """
    place = find_device(device)
    return None if place.type == "cpu" else Products(vectors, place)


def _largest(matrix: Tensor, asked: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Largest products (q, width) of some vectors with all rows, descending, and their rows."""
    best = torch.empty((len(asked), 0), dtype=matrix.dtype, device=matrix.device)
    columns = torch.empty((len(asked), 0), dtype=torch.int64, device=matrix.device)
    for start in range(0, len(matrix), COLUMNS):
        products, among = _largest_of_block(asked @ matrix[start : start + COLUMNS].T, width)
        best, columns = torch.cat((best, products), 1), torch.cat((columns, among + start), 1)
        best, order = best.topk(min(width, best.shape[1]), dim=1)
        columns = columns.gather(1, order)
    return best, columns


def _largest_of_block(products: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Largest products (q, <= width) of each row and their columns, in any order."""
    q, n = products.shape
    if n % GROUP or n // GROUP <= width:
        largest, columns = products.topk(min(width, n), dim=1, sorted=False)
        return largest, columns
    groups = products.view(q, -1, GROUP)
    _, chosen = groups.amax(dim=2).topk(width, dim=1, sorted=False)
    among = groups.gather(1, chosen[..., None].expand(-1, -1, GROUP)).flatten(1)
    largest, place = among.topk(width, dim=1, sorted=False)
    return largest, chosen.gather(1, place // GROUP) * GROUP + place % GROUP


@contextmanager
def _full_precision() -> Iterator[None]:
    """Multiply float32 in full precision, even if torch is set to use a lower one."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


@contextmanager
def _fitting(vectors: _Vectors | Tensor) -> Iterator[None]:
    n, d = vectors.shape
    try:
        yield
    except torch.OutOfMemoryError as error:
        gib = (6 * n * d + 3 * BLOCK_BYTES) / 2**30
        raise MemoryPlanError(
            f"Comparing {n:,} faces of dimension {d} takes {gib:.0f} GiB on the GPU, more than is free: "
            f"choose the approximate search or the CPU."
        ) from error
