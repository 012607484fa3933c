"""Proposing neighbours by products in bfloat16, on processors that multiply in it.

Such a processor (AVX-512 BF16, AMX) multiplies several times as fast as in float32. What it proposes is
compared exactly, and where rounding could have missed a neighbour, float32 proposes again: see
:func:`nsrfc.knn.exact.exact_lists`.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nsrfc.chunks import chunks
from nsrfc.knn.exact import largest_products, single_rounding
from nsrfc.runtime import compiled, in_blocks

__all__ = ["Bfloat16Products"]

COLUMNS = 1024
"""Columns of products computed at a time, so that they stay in the cache; size of the sample, too."""

ROWS = 512
"""Rows of products that a core computes at a time."""

GROUP = 64
"""Adjacent products of which only the maximum is considered first."""

_Vectors = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]
_Ids = npt.NDArray[np.int32]
_Keys = npt.NDArray[np.int16]

_OF_PRODUCT = 2.0**-8
"""Bound of the rounding of a product of unit vectors to bfloat16."""

_HIGHEST = np.int16(np.iinfo(np.int16).max)


class Bfloat16Products:
    """Finds the largest products of some vectors with all rows, on the processor.

    A sample of the products of a vector tells about how large the largest are. The others are read once,
    for the maximum of their group. Memory: 2 n d bytes.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Unit vectors.
    """

    widening = 2
    """Proposed faces for each face of a list."""

    def __init__(self, vectors: _Vectors) -> None:
        self._vectors = vectors

    def __reduce__(self) -> tuple[type[Bfloat16Products], tuple[_Vectors]]:
        return Bfloat16Products, (self._vectors,)

    @cached_property
    def _rounded(self) -> Tensor:
        rounded = torch.empty(self._vectors.shape, dtype=torch.bfloat16)
        for part in chunks(len(rounded)):
            rounded[part] = torch.from_numpy(self._vectors[part])
        return rounded

    @cached_property
    def _lost(self) -> float:
        """Maximum length of what rounding took from a row."""
        every = chunks(len(self._vectors))
        return float(
            max(_lengths_lost(self._vectors[each], self._rounded[each]).max() for each in every)
        )

    @cached_property
    def _sample(self) -> Tensor:
        return self._rounded[:: -(-len(self._vectors) // COLUMNS)].contiguous()

    def largest(self, asked: _Vectors, width: int, *, halved: bool) -> tuple[_Vectors, _Rows]:
        """Propose rows, see :meth:`nsrfc.knn.exact.Products.largest`; none where the sample misled."""
        if not halved:
            return largest_products(self._vectors, asked, width)
        matrix, sample, lost = self._rounded, self._sample, self._lost
        bound = np.empty(len(asked), np.float32)
        candidates = np.empty((len(asked), width), np.int64)

        def propose(part: slice) -> None:
            vectors = torch.from_numpy(asked[part]).to(torch.bfloat16)
            least = _largest(matrix, sample, vectors, candidates[part])
            own = _lengths_lost(asked[part], vectors)
            rounding = own + lost * (1 + own) + _OF_PRODUCT + single_rounding(asked.shape[1])
            bound[part] = least + rounding

        in_blocks(len(asked), ROWS, propose)
        return bound, candidates


def _lengths_lost(vectors: _Vectors, rounded: Tensor) -> _Vectors:
    """Return the length (m,) of what rounding took from vectors (m, d)."""
    lost: _Vectors = (torch.from_numpy(vectors) - rounded.float()).norm(dim=1).numpy()
    return lost


def _largest(matrix: Tensor, sample: Tensor, asked: Tensor, candidates: _Rows) -> _Vectors:
    """Write the rows of a matrix with the largest products; return the largest of the others (q,)."""
    q, width = candidates.shape
    room = 2 * width + COLUMNS
    keys, columns = np.empty((q, room), np.int16), np.empty((q, room), np.int32)
    product = torch.empty((q, COLUMNS), dtype=torch.bfloat16)
    expected = width * len(sample) / len(matrix)
    likely = round(expected + 3 * expected**0.5)
    least = _below_largest(_bits(asked, sample, product).numpy(), likely)
    held = np.zeros(q, np.int64)
    for part in chunks(len(matrix), COLUMNS):
        bits = _bits(asked, matrix[part], product)
        whole = bits.shape[1] // GROUP
        largest = np.full((q, whole + 1), _HIGHEST)
        largest[:, :whole] = bits[:, : whole * GROUP].unflatten(1, (whole, GROUP)).amax(dim=2)
        _collect(bits.numpy(), largest, part.start, width, keys, columns, held, least)
    _propose(keys, columns, held, least, candidates)
    return _as_float(least)


def _bits(asked: Tensor, matrix: Tensor, product: Tensor) -> Tensor:
    """Write the products (q, m) to ``product``, and return them as int16 of the same bits.

    As numbers, products that are not negative have the same order; :func:`_key` gives the others theirs.
    """
    return torch.mm(asked, matrix.T, out=product[:, : len(matrix)]).view(torch.int16)


@compiled()
def _key(bits: int) -> int:
    """Turn the bits of a bfloat16 into a number of the same order, or back."""
    return bits if bits >= 0 else bits ^ 0x7FFF


@compiled()
def _below_largest(bits: _Keys, count: int) -> _Keys:
    """Return the largest number (q,) that ``count`` keys of a row exceed, or the lowest number."""
    least = np.full(len(bits), -0x8000, np.int16)
    keys = np.empty(bits.shape[1], np.int16)
    for r in range(len(bits)):
        if count < len(keys):
            for c in range(len(keys)):
                keys[c] = _key(bits[r, c])
            least[r] = _largest_reached(keys, len(keys), count) - 1
    return least


@compiled()
def _largest_reached(keys: _Keys, held: int, count: int) -> int:
    """Return the largest number that ``count`` of the keys held reach."""
    low, high = -0x8000, 0x7FFF
    while low < high:
        middle = (low + high + 1) >> 1
        reached = 0
        for c in range(held):
            reached += keys[c] >= middle
        low, high = (middle, high) if reached >= count else (low, middle - 1)
    return low


@compiled()
def _collect(
    bits: _Keys,
    largest: _Keys,
    first: int,
    width: int,
    keys: _Keys,
    columns: _Ids,
    held: _Rows,
    least: _Keys,
) -> None:
    """Collect the keys above ``least`` (q,) of a block (q, c), whose columns start at ``first``.

    ``largest`` are the maxima of groups of columns. So far, ``held`` (q,) keys are in ``keys``; of twice
    as many as wanted, only the ``width`` largest stay.
    """
    count = bits.shape[1]
    for r in range(len(bits)):
        if held[r] >= 2 * width:
            least[r] = _keep_largest(keys[r], columns[r], held[r], width)
            held[r] = width
        bound, number = least[r], held[r]
        for group in range(largest.shape[1]):
            if bound >= 0 and largest[r, group] <= bound:
                continue
            for c in range(group * GROUP, min((group + 1) * GROUP, count)):
                key = _key(bits[r, c])
                if key > bound:
                    keys[r, number], columns[r, number] = key, first + c
                    number += 1
        held[r] = number


@compiled()
def _propose(keys: _Keys, columns: _Ids, held: _Rows, least: _Keys, candidates: _Rows) -> None:
    """Write the columns of the largest keys held, and raise ``least`` to what is left out."""
    width = candidates.shape[1]
    for r in range(len(keys)):
        if held[r] > width:
            least[r] = _keep_largest(keys[r], columns[r], held[r], width)
        for c in range(width):
            candidates[r, c] = columns[r, c] if c < held[r] else -1


@compiled()
def _keep_largest(keys: _Keys, columns: _Ids, held: int, width: int) -> int:
    """Move the ``width`` largest of the keys held to the front; return the least of them."""
    least: int = _largest_reached(keys, held, width)
    above = 0
    for c in range(held):
        above += keys[c] > least
    equal, kept = width - above, 0
    for c in range(held):
        if keys[c] > least or (keys[c] == least and equal > 0):
            equal -= keys[c] == least
            keys[kept], columns[kept] = keys[c], columns[c]
            kept += 1
    return least


def _as_float(keys: _Keys) -> _Vectors:
    bits = np.where(keys >= 0, keys, keys ^ 0x7FFF)
    found: _Vectors = (bits.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return found
