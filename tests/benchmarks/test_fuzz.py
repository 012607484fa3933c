"""Damaged files are read or refused, and what became of them is counted."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz, mutants

pytest.importorskip("resource", reason="limits of a process are those of Unix")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak memory of a file is told by Linux"
)

ROOT = Path(__file__).parents[2]
MUTANTS = 500


def run(*arguments: str | int | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.fuzz", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_reader_reads_or_refuses_damaged_files(tmp_path: Path) -> None:
    done = run("--mutants", MUTANTS, "--record", tmp_path / "counts.json")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads((tmp_path / "counts.json").read_text())["readers"]
    assert counts.keys() == mutants.READERS.keys()
    for tally in counts.values():
        assert tally["done"] == tally["values"] + tally["refused"] == MUTANTS
        assert tally["refused"] > MUTANTS / 10
        assert tally["peak"] < fuzz.ROOM


def test_a_run_continues_after_what_is_recorded(tmp_path: Path) -> None:
    record = tmp_path / "counts.json"
    command = "--readers", "bin", "meta", "--record", record
    run("--mutants", "20", *command)
    first = json.loads(record.read_text())
    run("--mutants", "30", *command)
    run("--mutants", "30", "--readers", "bin", "meta", "--record", tmp_path / "whole.json")
    kept, whole = (json.loads(path.read_text()) for path in (record, tmp_path / "whole.json"))
    for name in ("bin", "meta"):
        assert first["readers"][name]["done"] == 20
        for count in ("done", "values", "refused", "faults"):
            assert kept["readers"][name][count] == whole["readers"][name][count]


def test_mutants_depend_only_on_seed_and_number(tmp_path: Path) -> None:
    def damaged(name: str, mutant: int) -> bytes:
        folder = tmp_path / name
        if not folder.exists():
            folder.mkdir()
            mutants.READERS[name].make(folder)
        content = (folder / mutants.READERS[name].files[0]).read_bytes()
        return mutants.mutated(content, [content], np.random.default_rng([0, mutant]))

    for name in ("npy", "npz", "parquet", "settings"):
        several = [damaged(name, mutant) for mutant in range(20)]
        assert len(set(several)) > 15
        assert several[7] == damaged(name, 7)


def test_an_archive_whose_array_lost_all_its_bytes_is_damaged_further() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("empty.npy", b"")
    for seed in range(200):
        mutants.mutated(packed.getvalue(), [packed.getvalue()], np.random.default_rng(seed))


def test_other_outcomes_are_faults(tmp_path: Path) -> None:
    def stuck(folder: Path) -> object:
        raise KeyError(folder.name)

    reader = mutants.Reader(lambda folder: None, stuck, ())
    (tmp_path / "mutant").mkdir()
    outcome, _, _ = fuzz.tried(reader, tmp_path / "mutant", tmp_path / "kept")
    assert outcome.startswith("KeyError at ")
    assert (tmp_path / "kept").exists()
