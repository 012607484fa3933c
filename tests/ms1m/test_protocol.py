"""The benchmark on MS-Celeb-1M, from the user's side, on generated faces in exactly its layout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nsrfc.cli import app
from nsrfc.metrics import evaluate
from nsrfc.ms1m.files import PUBLISHED, TESTS, TRAIN, PublishedPart, read_part
from nsrfc.ms1m.published import ROWS
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.identities import read_identities
from nsrfc.storage.neighbors import read_neighbors
from nsrfc.storage.runs import read_labels

from ..commands import refused, run

FACES = 3000
TINY = """\
k: 12
cgcn: {network: {hidden: 8}, loop: {epochs: 1}}
pairs: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 1}}
lcenet: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 1}}
pcenet: {network: {reach: 4, width: 8, heads: 2, hidden: 8}, loop: {epochs: 1}}
"""


def table(*args: str | Path) -> tuple[dict[str, Any], str]:
    """Run the command, which must succeed, in this process; return its JSON and its stderr."""
    result = CliRunner().invoke(app, ["ms1m", *map(str, args), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


def real_command(*args: str | Path) -> tuple[dict[str, Any], str]:
    """Do the same by the real command in its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "nsrfc", "ms1m", *map(str, args), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate a benchmark, with neighbours of one part."""
    folder = tmp_path_factory.mktemp("ms1m") / "data"
    run("generate", "--layout", "ms1m", "--preset", "wild", "--faces", str(FACES), "-o", folder)
    run(
        "knn", folder / "features" / "part1_test.bin", "--dimension", "256",
        "--layout", "reference", "-o", folder / "knns" / "part1_test" / "faiss_k_80.npz",
    )  # fmt: skip
    return folder


@pytest.fixture
def data(generated: Path, tmp_path: Path) -> Path:
    """Copy the benchmark, to be spoilt."""
    return Path(shutil.copytree(generated, tmp_path / "data"))


def vectors_of(folder: Path, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(read_embeddings(folder / "features" / f"{name}.bin", dimension=256).vectors)


def test_generated_parts_are_those_of_the_benchmark(generated: Path) -> None:
    assert sorted(path.name for path in (generated / "features").iterdir()) == [
        "part0_train.bin", "part1_test.bin", "part3_test.bin", "part5_test.bin", "part7_test.bin",
        "part9_test.bin",
    ]  # fmt: skip
    vectors = {name: vectors_of(generated, name) for name in PUBLISHED}
    largest = vectors["part9_test"]
    assert len(vectors[TRAIN]) + len(largest) == FACES
    for name in TESTS:
        n = len(vectors[name])
        tenths = int(name[4])
        assert abs(n - tenths * FACES / 10) < 50, "whole people go to a tenth"
        np.testing.assert_array_equal(vectors[name], largest[:n])
    for name in PUBLISHED:
        identities = read_identities(generated / "labels" / f"{name}.meta", n=len(vectors[name]))
        assert set(identities) == set(range(identities.max() + 1))
    together = np.concatenate([vectors[TRAIN], largest])
    assert len(np.unique(together, axis=0)) == FACES, "train and test share no face"
    graph = np.load(generated / "knns" / "part1_test" / "faiss_k_80.npz", allow_pickle=False)["data"]
    assert graph.shape == (len(vectors["part1_test"]), 2, 80)


def test_the_table_without_a_model(generated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = (generated, "--model", "none", "--parts", "3,1", "-o", out)
    record, said = real_command(*args)
    assert json.loads((out / "ms1m.json").read_text()) == record
    assert list(record["parts"]) == ["part1_test", "part3_test"]
    assert said.count("is not the published file") == 2
    assert said.count("Expected: ") == 2
    for name, part in record["parts"].items():
        labels = read_labels(out / name)
        identities = read_identities(generated / "labels" / f"{name}.meta")
        assert part["scores"]["pairwise"]["f"] == evaluate(identities, labels).pairwise.f > 0.7
    paper = next(row for row in record["published"] if row["method"] == "NSR-FC")
    assert paper["scores"] == {"part1_test": [95.06, 93.71], "part3_test": [93.78, 92.27]}
    assert "assets/result.png" in paper["source"]
    one, three = (json.loads((out / name / "run.json").read_text()) for name in record["parts"])
    assert one["knn"] == str(generated / "knns" / "part1_test" / "faiss_k_80.npz")
    assert three["knn"] is None

    shown = run("ms1m", *args)
    scores = record["parts"]["part1_test"]["scores"]
    ours = f"{100 * scores['pairwise']['f']:.2f}/{100 * scores['bcubed']['f']:.2f}"
    assert "95.06/93.71" in shown
    assert ours in shown
    assert "cannot be compared" in shown
    assert max(map(len, shown.splitlines()[:-2])) <= 80


def test_what_is_done_is_not_done_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    args = (data, "--model", "none", "--parts", "1,3", "-o", out)
    knn = data / "knns" / "part3_test" / "faiss_k_80.npz"
    n = len(vectors_of(data, "part3_test"))
    knn.parent.mkdir()
    np.savez(knn, data=np.full((n, 2, 80), n, np.float32))
    assert "ids that are not whole numbers" in refused("ms1m", *args), "found when its part is reached"
    first = (out / "part1_test" / "run.json").read_bytes()
    assert list(json.loads((out / "ms1m.json").read_text())["parts"]) == ["part1_test"]
    knn.unlink()
    _, said = table(*args)
    assert said.count("Expected: ") == 1
    assert (out / "part1_test" / "run.json").read_bytes() == first

    np.save(out / "part1_test" / "labels.npy", np.zeros(3, np.int64))
    last = (out / "part3_test" / "run.json").read_bytes()
    record, said = table(*args)
    assert said.count("Expected: ") == 1
    assert "part3_test: F_P" in said
    assert len(read_labels(out / "part1_test")) == record["parts"]["part1_test"]["faces"]
    assert (out / "part3_test" / "run.json").read_bytes() == last

    features = data / "features" / "part3_test.bin"
    features.write_bytes(vectors_of(data, "part3_test")[::-1].tobytes())
    _, said = table(*args)
    assert said.count("Expected: ") == 1
    assert (out / "part3_test" / "run.json").read_bytes() != last


def test_a_part_that_was_killed_goes_on(generated: Path, tmp_path: Path) -> None:
    args = [str(generated), "--model", "none", "--parts", "1,9", "--json", "-o"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    words = [sys.executable, "-m", "nsrfc", "ms1m", *args, str(killed)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(killed.glob("part9_test/.unfinished/*")):
            assert process.poll() is None
        process.kill()
    assert list(json.loads((killed / "ms1m.json").read_text())["parts"]) == ["part1_test"]
    assert not (killed / "part9_test" / "run.json").exists()
    record, said = table(*args[:-1], "-o", killed)
    assert "clustered before" in said
    assert "since it was interrupted" in said
    assert [part["resumed"] for part in record["parts"].values()] == [False, True]
    table(*args[:-1], "-o", whole)
    for name in record["parts"]:
        np.testing.assert_array_equal(read_labels(killed / name), read_labels(whole / name))
        assert not (killed / name / ".unfinished").exists()


def test_a_model_is_learned_on_part0_and_kept_or_given(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    config = tmp_path / "tiny.yaml"
    config.write_text(TINY)
    out = tmp_path / "out"
    args = (data, "--config", config, "--parts", "1", "-o", out)
    record, _ = table(*args)
    assert record["model"] == str(out / "model")
    assert record["parts"]["part1_test"]["scores"]["bcubed"]["f"] > 0.6
    made_of = json.loads((out / "part1_test" / "run.json").read_text())["made_of"]
    assert made_of["model"]["settings"]["k"] == 12
    assert not {"stages", ".unfinished"} & {path.name for path in (out / "part1_test").iterdir()}
    training = out / "model" / "training.json"
    first = training.read_bytes()
    assert json.loads(first)["data"]["faces"] == len(vectors_of(data, TRAIN))

    again, said = table(*args)
    assert again["parts"] == record["parts"]
    assert training.read_bytes() == first, "the model is kept"
    assert "clustered before" in said
    given, _ = table(data, "--model", out / "model", "--parts", "1", "-o", tmp_path / "given")
    assert given["parts"]["part1_test"]["scores"] == record["parts"]["part1_test"]["scores"]

    labels = data / "labels" / f"{TRAIN}.meta"
    labels.write_text("0\n" * len(vectors_of(data, TRAIN)))
    assert "at least 4 identities" in refused("ms1m", *args), "a model of other labels is not taken"


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def test_files_that_do_not_fit_are_refused_in_a_sentence(data: Path, tmp_path: Path) -> None:
    features, labels = (
        data / "features" / "part3_test.bin",
        data / "labels" / "part3_test.meta",
    )
    knn = data / "knns" / "part1_test" / "faiss_k_80.npz"
    whole = {path: path.read_bytes() for path in (features, labels, knn)}
    n = len(whole[features]) // 1024
    out = tmp_path / "out"

    def message(*args: str) -> str:
        found = refused("ms1m", data, "--model", "none", "-o", out, *args)
        for path, content in whole.items():
            path.write_bytes(content)
        assert not out.exists()
        return found

    cut(features, 100)
    found = message()
    assert str(features) in found
    assert "cut short" in found
    cut(features, 1024)
    found = message()
    assert f"has {n - 1} faces" in found
    assert f"{labels} has {n} lines" in found
    labels.write_text(whole[labels].decode() + "7\n")
    assert f"has {n + 1} lines" in message()
    labels.unlink()
    assert f"There is no file {labels}" in message()
    features.unlink()
    assert f"There is no file {features}" in message()
    features.write_bytes(b"\0" * 1024 + whole[features][1024:])
    assert "row 0" in message()
    labels.write_bytes(b"one\n" + whole[labels])
    assert "line 1 is 'one'" in message()
    cut(knn, 100)
    assert f"{knn} cannot be read" in message()
    graph = np.load(knn, allow_pickle=False)["data"]
    np.savez(knn, data=graph[:-1])
    assert f"'data' of shape {graph[:-1].shape}" in message()
    np.savez(knn, other=graph)
    assert "no array 'data'" in message()
    assert "features/part1_test.bin is not the published file" in message("--strict")
    assert "GiB are allowed" in message("--max-memory", "10MiB")


def test_a_training_that_needs_more_memory_is_refused_before_it_starts(
    data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    n = len(vectors_of(data, TRAIN))
    out = tmp_path / "out"
    found = refused("ms1m", data, "--parts", "1", "--max-memory", "10MiB", "-o", out)
    assert f"{n} faces" in found
    assert "GiB are allowed" in found
    assert not out.exists()


def test_other_arguments_are_refused_in_a_sentence(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no part2_test; choose among 1" in refused("ms1m", data, "--parts", "1,2", "-o", out)
    assert "leave them out with --model" in refused(
        "ms1m", data, "--model", "none", "--preset", "paper", "-o", out
    )
    assert "no part of the benchmark" in refused("ms1m", tmp_path, "-o", out)
    assert "There is no folder" in refused("ms1m", data, "--model", tmp_path / "absent", "-o", out)
    for path in (data / "features", data / "labels"):
        for file in path.glob(f"{TRAIN}.*"):
            file.unlink()
    assert "no part0_train to train on" in refused("ms1m", data, "-o", out)
    for path in (data / "features", data / "labels"):
        for file in path.glob("*_test.*"):
            file.rename(file.with_stem("part2_test"))
    assert "no part of the benchmark" in refused("ms1m", data, "--model", "none", "-o", out)
    assert not out.exists()


def test_generating_a_benchmark_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    for words, args in (
        ("leave out", ["--dimension", "128"]),
        ("leave out", ["--identities", str(tmp_path / "ids.meta")]),
        ("too few identities", ["--faces", "100"]),
    ):
        result = CliRunner().invoke(
            app, ["generate", "--layout", "ms1m", "-o", str(tmp_path / "data"), *args]
        )
        assert result.exit_code == 2
        assert words in result.stderr
    assert not list(tmp_path.iterdir())


def test_published_files_are_known_by_sizes_and_checksums(generated: Path) -> None:
    part = read_part(generated, "part1_test")
    n, people = len(part.vectors), part.n_identities
    assert part.difference(PublishedPart(n, people)) is None
    same = PublishedPart(n, people, part.features_md5, part.knn_md5)
    assert part.difference(same) is None
    assert replace(part, knn_md5=None).difference(same) is None, "neighbours may be absent"
    for published, words in (
        (replace(same, faces=n + 1), f"{n} faces instead of {n + 1}"),
        (replace(same, n_identities=people + 1), f"{people} identities instead of {people + 1}"),
        (replace(same, features_md5="0" * 32), f"md5 sum is {part.features_md5} instead of 000"),
        (replace(same, knn_md5="0" * 32), f"md5 sum is {part.knn_md5} instead of 000"),
    ):
        assert words in (part.difference(published) or "")
    graph = part.read_neighbors()
    assert graph is not None
    np.testing.assert_array_equal(graph.ids, read_neighbors(part.files.knn).ids)


def test_published_rows() -> None:
    rows = {row.method: row for row in ROWS}
    assert len(rows) == len(ROWS)
    for row in ROWS:
        assert set(row.scores) == set(TESTS)
        assert row.source
        values = [value for pair in row.scores.values() for value in pair if value is not None]
        assert all(0 < value < 100 for value in values)
    assert rows["LCE-PCENet"].scores["part9_test"] == (87.35, 87.28)
    assert rows["FC-ESER"].scores["part1_test"] == (95.28, None)
    assert rows["FC-ES"].scores["part1_test"] == (None, None)
