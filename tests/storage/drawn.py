"""Random embeddings, and a place for files, which tests of storage share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

thorough = settings(max_examples=60, deadline=None)  # disks may be slow
Array = npt.NDArray[Any]
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 9))
FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@st.composite
def vectors(draw: st.DrawFn) -> Array:
    """Draw finite rows that are not zero."""
    drawn: Array = draw(
        hnp.arrays(draw(FLOATS), draw(SIZES), elements=st.floats(-100, 100, width=16), fill=st.nothing())
    )
    drawn[~drawn.any(axis=1), 0] = 1
    return drawn


@st.composite
def vectors_with_ids(draw: st.DrawFn) -> tuple[Array, Array | None]:
    """Draw embeddings, with or without names of the faces."""
    drawn = draw(vectors())
    n = len(drawn)
    ids = draw(
        st.one_of(
            st.none(),
            st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n),
            st.lists(NAMES, min_size=n, max_size=n),
        )
    )
    return drawn, None if ids is None else np.array(ids)


def in_folder(use: Callable[[Path], None]) -> None:
    """Call ``use`` with a fresh folder, which hypothesis cannot get from ``tmp_path``."""
    with tempfile.TemporaryDirectory() as folder:
        use(Path(folder))
