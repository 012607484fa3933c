"""The faces that a command reads, and how its record describes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsrfc.progress import Progress
    from nsrfc.storage.embeddings import Embeddings

__all__ = ["read_faces"]


def read_faces(
    path: Path,
    key: str | None,
    dimension: int | None,
    id_key: str | None,
    skip_bad: bool,
    progress: Progress,
) -> tuple[Embeddings, dict[str, Any]]:
    """Read embeddings, and describe them with a fingerprint of their content.

    Raises
    ------
    InputError
        As :func:`nsrfc.storage.embeddings.read_embeddings`.
    """
    from nsrfc.storage.embeddings import read_embeddings
    from nsrfc.storage.fingerprints import fingerprint

    with progress.stage("reading", 1) as advance:
        faces = read_embeddings(path, key=key, dimension=dimension, id_key=id_key, bad_rows=skip_bad)
        advance(1)
    with progress.stage("fingerprint", 1) as advance:
        sha256 = fingerprint(faces.vectors)
        advance(1)
    return faces, {
        "path": str(path),
        "key": key,
        "id": id_key,
        "shape": list(faces.vectors.shape),
        "dtype": str(faces.vectors.dtype),
        "sha256": sha256,
    }
