"""``nsrfc cluster`` by several processes: the same results, and options that contradict each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsrfc.storage.runs import UNFINISHED, read_run
from nsrfc.synthetic import generate

from ..commands import refused, run_json


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with faces, and the run `alone` of one process."""
    folder: Path = tmp_path_factory.mktemp("faces")
    np.save(folder / "faces.npy", generate(1_200, "wild", dimension=24, seed=2).embeddings)
    run_json("cluster", folder / "faces.npy", "-o", folder / "alone", "--model", "none")
    return folder


def same(here: Path, output: Path) -> bool:
    names = "labels.npy", "clusters.parquet"
    return all((output / name).read_bytes() == (here / "alone" / name).read_bytes() for name in names)


def test_several_processes_write_what_one_writes(here: Path, tmp_path: Path) -> None:
    arguments = "--model", "none", "--workers", "2"
    run_json("cluster", here / "faces.npy", "-o", tmp_path / "people", *arguments)
    assert same(here, tmp_path / "people")
    assert not (tmp_path / "people" / UNFINISHED).exists()


def test_parts_of_an_array_write_one_result(here: Path, tmp_path: Path) -> None:
    output = tmp_path / "people"
    arguments = "cluster", here / "faces.npy", "-o", output, "--model", "none", "--shard"
    first = run_json(*arguments, "2/2")
    assert same(here, output)
    assert (output / "stages").is_dir(), "others may still read it"
    second = run_json(*arguments, "1/2")
    assert second == first == read_run(output), "who comes later finds it written"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--address", "auto"], "--executor ray"),
        (["--gpus", "1"], "--executor ray"),
        (["--shard", "1/2", "--workers", "2"], "--shard is for job arrays"),
        (["--shard", "1/2", "--executor", "ray"], "--shard is for job arrays"),
        (["--shard", "3/2"], "is no part of 2"),
        (["--shard", "two"], "as 3/16"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: list[str], words: str, here: Path, tmp_path: Path
) -> None:
    assert words in refused("cluster", here / "faces.npy", "-o", tmp_path / "people", *options)
    assert not (tmp_path / "people").exists()
