"""Clusters of a library follow from the faces that are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsrfc.library.library import Library
from nsrfc.synthetic import generate


def test_forgotten_faces_connect_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsrfc.library.clusters.SMALL", 0)
    X = generate(300, "wild", seed=2).embeddings
    library = Library.create(tmp_path / "family")
    library.add(X[:250])
    library.cluster(None)
    library.add(X[250:])
    library.forget(np.arange(0, 250, 3))

    decision, _ = library.found.decision()

    assert not set(decision.faces.tolist()) & set(range(0, 250, 3))
    for ends in (decision.edges.source, decision.edges.target):
        assert (decision.of_units[ends] >= 0).all()
