"""Union-find: which group each face belongs to while groups are being joined.

A group is a tree of faces; ``parent`` holds the face above each, and the root is above itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["root", "roots"]


@njit(cache=True, nogil=True)
def roots(parent: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Root (n,) of every face's tree."""
    found = np.empty_like(parent)
    for face in range(len(parent)):
        found[face] = root(parent, face)
    return found


@njit(cache=True, nogil=True)
def root(parent: npt.NDArray[np.int64], face: int) -> int:
    """Root of a face's tree, halving the path to it on the way."""
    while parent[face] != face:
        parent[face] = parent[parent[face]]
        face = parent[face]
    return face
