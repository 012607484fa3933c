"""Files of other programs that are damaged: read, or refused in one sentence, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.mutants import mutated
from nsrfc.bridges.programs import reader
from nsrfc.bridges.record import Asked
from nsrfc.bridges.xmp import Region, read_regions, with_regions
from nsrfc.errors import InputError

from .test_libraries import copied
from .test_xmp import DARKTABLE, DIGIKAM

DATA = Path(__file__).parent / "data"
MUTANTS = 60


@pytest.mark.parametrize(
    ("program", "file"),
    [
        ("deepface", "deepface_0.0.103.npz"),
        ("deepface", "deepface_0.0.103.db"),
        ("insightface", "insightface_2.1.db"),
        ("arrow", "lancedb_0.40.0.arrow"),
        ("arrow", "datasets_5.2.0/data-00000-of-00002.arrow"),
        ("fiftyone", "fiftyone_1.22.1.json"),
        ("photoprism", "photoprism_mariadb_10.11.sql"),
    ],
)
def test_programs(program: str, file: str, tmp_path: Path) -> None:
    read_damaged(program, (DATA / file).read_bytes(), tmp_path / Path(file).name)


@pytest.mark.parametrize("form", ["text", "binary"])
def test_pgvector(form: str, tmp_path: Path) -> None:
    vectors = json.loads((DATA / "pgvector_0.5.1.json").read_text())
    content = "".join(f"{row}\t{vector['text']}\n" for row, vector in enumerate(vectors)).encode()
    if form == "binary":
        content = copied([[b"id", bytes.fromhex(vector["binary"])] for vector in vectors])
    read_damaged("pgvector", content, tmp_path / "faces.copy")


def read_damaged(program: str, content: bytes, path: Path) -> None:
    for mutant in range(MUTANTS):
        path.write_bytes(mutated(content, [content], np.random.default_rng([0, mutant])))
        try:
            faces = list(reader(program)(Asked(str(path))))
        except InputError:
            continue
        assert all(face.embedding.ndim == 1 and np.isfinite(face.embedding).all() for face in faces)


@pytest.mark.parametrize("content", [DIGIKAM, DARKTABLE])
def test_sidecars(content: bytes) -> None:
    region = Region("Anna", (0.1, 0.2, 0.3, 0.5))
    for mutant in range(MUTANTS):
        damaged = mutated(content, [content], np.random.default_rng([0, mutant]))
        try:
            found = read_regions(with_regions(damaged, [region], 400, 300))
        except InputError:
            continue
        assert "Anna" in [each.name for each in found]
