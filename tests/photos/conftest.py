"""Weights for drawn faces, and pictures that others publish."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def drawn_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a detector and an embedder for drawn faces."""
    from tests.photos.networks import registry

    return registry(tmp_path_factory.mktemp("models") / "drawn")


@pytest.fixture(scope="session")
def insightface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of InsightFace's wheel, which is not installed: code of the reference, and a picture."""
    wheel = os.environ.get("NSRFC_INSIGHTFACE", "")
    if not Path(wheel).is_file():
        pytest.skip(
            "NSRFC_INSIGHTFACE names no wheel: pip download --no-deps insightface==2.1, as .ci/run does"
        )
    folder = tmp_path_factory.mktemp("insightface")
    with zipfile.ZipFile(io.BytesIO(Path(wheel).read_bytes())) as archive:
        archive.extractall(folder)
    return folder / "insightface"
