"""Proposing neighbours by products in bfloat16, on processors that multiply in it.

Such a processor (AVX-512 BF16, AMX) multiplies several times as fast as in float32. What it proposes is
compared exactly, and where rounding could have missed a neighbour, float32 proposes again: see
:func:`nsrfc.knn.exact.exact_lists`.
"""

from __future__ import annotations

from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nsrfc.chunks import chunks
from nsrfc.knn.exact import largest_products, single_rounding
from nsrfc.runtime import alone, at_once, compiled, parts

__all__ = ["Bfloat16Products"]

COLUMNS = 1024
"""Columns of products computed at a time, so that they stay in the cache; size of the sample, too."""

GROUP = 64
"""Adjacent products of which only the maximum is considered first."""

_Vectors = npt.NDArray[np.float32]
_Rows = npt.NDArray[np.int64]
_Ids = npt.NDArray[np.int32]
_Keys = npt.NDArray[np.int16]

_HIGHEST = np.int16(np.iinfo(np.int16).max)


class Bfloat16Products:
    """Finds the largest products of some rows with all rows, on the processor.

    A sample of the products of a row tells about how large the largest are: those below are read once,
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
    def rounding(self) -> float:
        """Bound of the error of a product: of both vectors, of the result, and of the sum in float32."""
        n, d = self._vectors.shape
        error = 0.0
        for part in chunks(n):
            lost = self._rounded[part].float() - torch.from_numpy(self._vectors[part])
            error = max(error, float(lost.norm(dim=1).max()))
        return error * (2 + error) + 2.0**-8 + single_rounding(d)

    @cached_property
    def _sample(self) -> Tensor:
        return self._rounded[:: -(-len(self._vectors) // COLUMNS)].contiguous()

    def largest(self, rows: _Rows, width: int, *, halved: bool) -> tuple[_Vectors, _Rows]:
        """Find the rows with the largest products.

        Parameters
        ----------
        rows : ndarray of int64, shape (q,)
        width : int
            Number of products per row, at most n.
        halved : bool
            Whether to multiply in bfloat16, with an error below `rounding`, instead of float32.

        Returns
        -------
        products : ndarray of float32, shape (q, width)
            Descending.
        candidates : ndarray of int64, shape (q, width)
            -1 if the sample misled: no other row has a product above the one beside it.
        """
        if not halved:
            return largest_products(self._vectors, rows, width)
        matrix, sample = self._rounded, self._sample
        products = np.empty((len(rows), width), np.float32)
        candidates = np.empty((len(rows), width), np.int64)
        asked = matrix[torch.from_numpy(rows)]
        with alone("torch"):
            at_once(
                partial(_largest, matrix, sample, asked[part], products[part], candidates[part])
                for part in parts(len(rows))
            )
        return products, candidates


def _largest(
    matrix: Tensor, sample: Tensor, asked: Tensor, products: _Vectors, candidates: _Rows
) -> None:
    """Write the largest products (q, width) of vectors ``asked`` (q, d) with all rows of a matrix."""
    q, width = products.shape
    room = 2 * width + COLUMNS
    keys, columns = np.empty((q, room), np.int16), np.full((q, room), -1, np.int32)
    expected = width * len(sample) / len(matrix)
    product = torch.empty((q, COLUMNS), dtype=torch.bfloat16)
    least = _below_largest(_bits(asked, sample, product).numpy(), round(expected + 3 * expected**0.5))
    held = np.zeros(q, np.int64)
    for part in chunks(len(matrix), COLUMNS):
        bits = _bits(asked, matrix[part], product)
        whole = bits.shape[1] // GROUP
        largest = np.full((q, whole + 1), _HIGHEST)
        largest[:, :whole] = bits[:, : whole * GROUP].unflatten(1, (whole, GROUP)).amax(dim=2)
        _collect(bits.numpy(), largest, part.start, width, keys, columns, held, least)
    _finish(width, keys, columns, held, least)
    order = np.argsort(-keys[:, :width].astype(np.int32), axis=1, kind="stable")
    products[:] = _as_float(np.take_along_axis(keys[:, :width], order, axis=1))
    candidates[:] = np.take_along_axis(columns[:, :width], order, axis=1)


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
def _finish(width: int, keys: _Keys, columns: _Ids, held: _Rows, least: _Keys) -> None:
    """Leave the ``width`` largest keys in front; fewer are followed by the bound of the rest."""
    for r in range(len(keys)):
        if held[r] > width:
            _keep_largest(keys[r], columns[r], held[r], width)
        for c in range(held[r], width):
            keys[r, c], columns[r, c] = least[r], -1


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
