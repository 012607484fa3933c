"""Faces that are said not to be a person leave that person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsrfc.library.library import Library
from nsrfc.synthetic import generate


@pytest.mark.parametrize("which", [0, -1])
def test_rejected_faces_are_in_another_cluster(tmp_path: Path, which: int) -> None:
    """Also the lowest face, which the cluster was first known by."""
    library = Library.create(tmp_path / "library")
    library.add(generate(300, "wild", seed=3, dimension=32).embeddings)
    library.cluster(model=None)
    group = library.groups()[0]
    face = int(group.faces[which])
    who = library.name(group.id, "Anna")

    library.reject([face], who)

    assert face not in library.group("Anna").faces
    assert library.group("Anna").cluster == group.cluster
    own = library.clusters[np.flatnonzero(library.faces == face)[0]]
    assert own != group.cluster
    assert face in library.group(f"c{own}").faces
