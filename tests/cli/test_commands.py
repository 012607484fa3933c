"""The command, from the user's side: results, JSON, refusals, and what is left in the folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

import nsrfc
from nsrfc.cli import app
from nsrfc.cli.console import ConsoleProgress
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.records import Clustering
from nsrfc.resources.clustering import plan
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.identities import read_identities
from nsrfc.storage.neighbors import read_neighbors
from nsrfc.storage.runs import read_labels, write_run
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

from ..commands import refused, run, run_json

HEAVY = {"torch", "sklearn", "faiss", "numba", "scipy", "pyarrow", "matplotlib", "numpy"}


def command(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the real command in its own process."""
    return subprocess.run(
        [sys.executable, "-m", "nsrfc", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
    )


def vectors_of(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(read_embeddings(path).vectors)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate 1000 faces with their identities."""
    path = tmp_path_factory.mktemp("faces") / "faces.npz"
    run("generate", "-n", "1000", "--preset", "wild", "-o", path)
    return path


@pytest.fixture(scope="module")
def clusters(faces: Path) -> Path:
    """Cluster them into a folder."""
    folder = faces.parent / "clusters"
    run("cluster", faces, "-o", folder)
    return folder


@pytest.mark.parametrize("args", [("--help",), ("cluster", "--help"), ("demo", "--help")])
def test_help_imports_no_heavy_library(args: tuple[str, ...]) -> None:
    code = (
        "import sys, nsrfc.cli\n"
        "try: nsrfc.cli.app(sys.argv[1:])\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    assert "Usage" in shown.stdout
    assert not HEAVY & set(shown.stderr.split())


def test_version() -> None:
    shown = command("--version")
    assert shown.stdout == f"nsrfc {nsrfc.__version__}\n"


def test_from_generated_faces_to_scores_through_the_real_command(tmp_path: Path) -> None:
    made = command("generate", "-n", "1000", "--preset", "wild", "-o", "faces.npz", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    found = command("cluster", "faces.npz", "-o", "out", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stderr.startswith("Expected: ")
    said = found.stderr.splitlines()
    assert len(said) == 2, "no progress where stderr is no terminal"
    assert "density edges were skipped" in said[1]
    assert json.loads(found.stdout)["result"]["faces"] == 1000
    scored = command("evaluate", "out", "faces.npz", "--json", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["pairwise"]["f"] > 0.8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.npz", "out"]


def test_cluster_leaves_a_whole_run(faces: Path, clusters: Path) -> None:
    assert sorted(path.name for path in clusters.iterdir()) == [
        "clusters.parquet",
        "labels.npy",
        "run.json",
    ]
    labels = np.load(clusters / "labels.npy", allow_pickle=False)
    table = pq.read_table(clusters / "clusters.parquet")
    record = json.loads((clusters / "run.json").read_text())
    assert labels.dtype == np.int64
    assert table.column_names == ["row", "label", "confidence"]
    assert table["row"].to_pylist() == list(range(1000))
    assert np.array_equal(table["label"], labels)
    assert 0 <= min(table["confidence"].to_pylist()) <= max(table["confidence"].to_pylist()) <= 1
    assert record["config"] == {
        **{"k": None, "search": "auto", "embedder": "auto", "min_cluster_size": 1, "seed": 0},
        "on_bad_rows": "error",
        **{"threshold": None, "tau": None, "precision": None},
    }
    assert record["model"] == "universal"
    assert record["method"]["name"] == "structure"
    assert record["method"]["settings"]["k"] == 80
    assert set(record["method"]["networks"]) == set(record["method"]["settings"]["networks"])
    assert record["versions"]["nsrfc"] == nsrfc.__version__
    assert {"python", "numpy", "faiss"} <= record["versions"].keys()
    assert record["input"]["sha256"] == fingerprint(vectors_of(faces))
    assert {"reading", "neighbours", "total"} <= record["seconds"].keys()
    assert record["peak_bytes"] is None or record["peak_bytes"] > 10_000_000
    assert record["result"]["people"] == labels.max() + 1
    assert record["result"]["singletons"] == np.sum(np.bincount(labels) == 1)
    assert record["result"]["largest"] == np.bincount(labels).max()


def test_the_record_tells_what_really_ran(tmp_path: Path, faces: Path) -> None:
    record = run_json("cluster", faces, "--model", "none", "--k", "20", "-o", tmp_path / "rules")
    assert (record["model"], record["method"]["name"]) == (None, "rules")
    assert (record["method"]["settings"]["k"], record["config"]["k"]) == (20, 20)
    record = run_json("cluster", faces, "--threshold", "0.7", "-o", tmp_path / "sure")
    assert (record["method"]["settings"]["connect"], record["config"]["threshold"]) == (0.7, 0.7)


SHARES = ("--threshold", "0.5"), ("--tau", "0.5"), ("--precision", "0.9")


def test_settings_without_effect_are_refused_and_nothing_is_written(tmp_path: Path, faces: Path) -> None:
    out = tmp_path / "out"
    assert "k would have no effect, as a model brings its own" in refused(
        "cluster", faces, "--k", "20", "-o", out
    )
    for option, value in SHARES:
        name = option.removeprefix("--")
        line = refused("cluster", faces, "--model", "none", option, value, "-o", out)
        assert f"{name} would have no effect" in line
        assert "the rules, has no such setting" in line
    assert "decide the same" in refused("cluster", faces, *SHARES[0], *SHARES[2], "-o", out)
    assert "leave it out" in refused("plan", faces, "--k", "20")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("faces_of_a_library", [8, 60, 300])
def test_thresholds_work_however_few_the_faces(tmp_path: Path, faces_of_a_library: int) -> None:
    few = tmp_path / "few.npz"
    run("generate", "-n", str(faces_of_a_library), "--preset", "lfw", "--seed", "2", "-o", few)
    found = [
        run_json("cluster", few, "--threshold", value, "-o", tmp_path / "out")["result"]["people"]
        for value in ("0.001", "1")
    ]
    assert found[0] < found[1] <= faces_of_a_library


@pytest.mark.parametrize("option", [option for option, _ in SHARES])
@pytest.mark.parametrize("value", ["-0.1", "2", "much"])
def test_thresholds_are_shares(tmp_path: Path, faces: Path, option: str, value: str) -> None:
    result = CliRunner().invoke(app, ["cluster", str(faces), "-o", str(tmp_path / "out"), option, value])
    assert result.exit_code == 2
    assert option in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_disk_without_room_is_told_before_the_work(
    tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    message = refused("cluster", faces, "-o", tmp_path / "out", "--cache", tmp_path / "kept")
    assert f"{tmp_path / 'kept'} has 0.00 GiB left" in message
    assert "make room" in message
    assert not list(tmp_path.iterdir())


def test_the_table_names_the_faces_where_the_input_does(tmp_path: Path, faces: Path) -> None:
    names = np.array([f"photo-{row}" for row in range(1000)])
    np.savez(tmp_path / "named.npz", embedding=vectors_of(faces), id=names)
    run("cluster", tmp_path / "named.npz", "-o", tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "clusters.parquet")
    assert table.column_names == ["id", "label", "confidence"]
    assert table["id"].to_pylist() == names.tolist()


def test_cluster_reads_the_reference_layout(tmp_path: Path, faces: Path) -> None:
    vectors = vectors_of(faces)
    vectors.astype("<f4").tofile(tmp_path / "faces.bin")
    run("cluster", tmp_path / "faces.bin", "--dimension", "256", "-o", tmp_path / "bin")
    run("cluster", faces, "-o", tmp_path / "npz")
    assert np.array_equal(read_labels(tmp_path / "bin"), read_labels(tmp_path / "npz"))


def test_min_cluster_size_is_told_in_the_summary(tmp_path: Path, faces: Path) -> None:
    shown = run("cluster", faces, "--min-cluster-size", "5", "-o", tmp_path)
    labels = read_labels(tmp_path)
    assert "clusters" in shown
    assert "in smaller clusters" in shown
    assert np.bincount(labels[labels >= 0]).min() >= 5


def test_a_graph_or_an_index_may_be_brought(tmp_path: Path, faces: Path, clusters: Path) -> None:
    expected = read_labels(clusters)
    run("knn", faces, "-o", tmp_path / "graph.npz")
    run("cluster", faces, "--knn", tmp_path / "graph.npz", "-o", tmp_path / "knn")
    index = faiss.IndexFlatIP(256)
    index.add(normalize(vectors_of(faces)))
    faiss.write_index(index, str(tmp_path / "faces.index"))
    run("cluster", faces, "--index", tmp_path / "faces.index", "-o", tmp_path / "index")
    assert np.array_equal(read_labels(tmp_path / "knn"), expected)
    assert np.array_equal(read_labels(tmp_path / "index"), expected)


def test_a_new_run_replaces_the_old_and_leaves_other_files(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    run("cluster", faces, "-o", tmp_path)
    first = (tmp_path / "run.json").read_bytes()
    run("cluster", faces, "--min-cluster-size", "5", "-o", tmp_path)
    assert (tmp_path / "run.json").read_bytes() != first
    assert (read_labels(tmp_path) == -1).any()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "clusters.parquet",
        "labels.npy",
        "notes.txt",
        "run.json",
    ]


def test_a_run_that_cannot_be_written_leaves_nothing_or_the_old_one(tmp_path: Path) -> None:
    whole = Clustering(np.zeros(3, np.int64), np.ones(3, np.float32))
    torn = Clustering(np.zeros(3, np.int64), np.ones(2, np.float32))
    with pytest.raises(Exception, match="length"):
        write_run(tmp_path / "new" / "folder", torn, {})
    assert not (tmp_path / "new").exists()
    write_run(tmp_path, whole, {"run": 1})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Exception, match="length"):
        write_run(tmp_path, torn, {"run": 2})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_cluster_announces_and_refuses_too_much_memory(tmp_path: Path, faces: Path) -> None:
    message = refused("cluster", faces, "--max-memory", "10MiB", "-o", tmp_path / "out")
    assert "GiB" in message
    assert not (tmp_path / "out").exists()
    run("cluster", faces, "--max-memory", "8GiB", "-o", tmp_path / "out")


def test_with_little_memory_arrays_are_in_files_and_labels_are_the_same(tmp_path: Path) -> None:
    faces = tmp_path / "faces.npy"
    run("generate", "-n", "6000", "--preset", "wild", "-o", faces, "--identities", tmp_path / "ids.npy")
    whole = run_json("cluster", faces, "--model", "none", "-o", tmp_path / "whole")
    planned = plan(6000, 256)
    assert planned.in_files().peak_bytes < planned.peak_bytes
    little = ("--max-memory", str(planned.peak_bytes - 1))
    record = run_json("cluster", faces, "--model", "none", *little, "-o", tmp_path / "little")
    assert (whole["plan"]["mapped"], record["plan"]["mapped"]) == (False, True)
    assert record["sha256"]["labels.npy"] == whole["sha256"]["labels.npy"]
    assert not (tmp_path / "little" / ".unfinished").exists()


def test_a_search_that_was_killed_goes_on(tmp_path: Path) -> None:
    faces, killed, whole = (tmp_path / name for name in ("faces.npy", "killed.npz", "whole.npz"))
    run("generate", "-n", "9000", "--preset", "wild", "-o", faces, "--identities", tmp_path / "ids.npy")
    words = ["knn", str(faces), "--search", "approximate"]
    stages = tmp_path / "killed.npz.unfinished"
    command_line = [sys.executable, "-m", "nsrfc", *words, "-o", str(killed)]
    with subprocess.Popen(command_line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(stages.glob("before-*/done.json")):
            assert process.poll() is None
        process.kill()
    assert not killed.exists()
    kept = {path.name for path in stages.iterdir() if path.is_dir()}
    assert kept, "what was found remains"
    run(*words, "-o", killed)
    run(*words, "-o", whole)
    assert killed.read_bytes() == whole.read_bytes()
    assert not stages.exists()


def test_evaluate_shows_scores_and_the_worst_errors(tmp_path: Path) -> None:
    np.save(tmp_path / "true.npy", np.array([7, 7, 7, 8, 8, 9, 9, 9, 9]))
    np.save(tmp_path / "found.npy", np.array([0, 0, 0, 0, 0, 1, 1, 2, 2]))
    shown = run("evaluate", tmp_path / "found.npy", tmp_path / "true.npy")
    for words in ("precision", "BCubed", "NMI", "Worst merges", "Worst splits", "7 (3), 8 (2)"):
        assert words in shown
    record = run_json("evaluate", tmp_path / "found.npy", tmp_path / "true.npy", "--top", "1")
    assert record["pairwise"]["recall"] == pytest.approx(6 / 10)
    assert record["worst_merges"][0]["wrong_pairs"] == 6
    assert record["worst_splits"][0]["identity"] == 9


def test_evaluate_shows_names_as_they_are_and_short(tmp_path: Path) -> None:
    np.save(tmp_path / "true.npy", np.array(["[/bold]"] * 2 + ["b\n\x1b[31m"] + ["c" * 900] * 2))
    np.save(tmp_path / "found.npy", np.array([0, 0, 0, 1, 2]))
    shown = run("evaluate", tmp_path / "found.npy", tmp_path / "true.npy")
    assert "[/bold] (2), b\\n\\x1b[31m (1)" in shown
    assert f"{'c' * 17}..." in shown
    assert "\x1b" not in shown


def test_evaluate_refuses_labels_changed_since_the_run(tmp_path: Path, faces: Path) -> None:
    run("cluster", faces, "-o", tmp_path)
    np.save(tmp_path / "labels.npy", np.zeros(1000, np.int64))
    assert "labels.npy" in refused("evaluate", tmp_path, faces)


def test_knn_and_rerank_write_graphs(tmp_path: Path, faces: Path) -> None:
    record = run_json("knn", faces, "-k", "20", "-o", tmp_path / "graph.npz")
    assert (record["faces"], record["k"], record["method"]) == (1000, 20, "exact")
    graph = read_neighbors(tmp_path / "graph.npz")
    assert np.array_equal(graph.ids, build_neighbor_graph(normalize(vectors_of(faces)), 20).ids)
    run("rerank", tmp_path / "graph.npz", "-o", tmp_path / "new.npz", "--layout", "reference")
    assert read_neighbors(tmp_path / "new.npz").ids.shape == (1000, 20)
    assert run_json("rerank", tmp_path / "graph.npz", "-k", "9", "-o", tmp_path / "9.npz")["k"] == 9


def test_generate_repeats_itself_and_writes_two_files_where_one_cannot_hold_both(
    tmp_path: Path, faces: Path
) -> None:
    record = run_json(
        "generate", "-n", "1000", "--preset", "wild",
        "-o", tmp_path / "faces.npy", "--identities", tmp_path / "ids.meta",
    )  # fmt: skip
    assert record["faces"] == 1000
    assert np.array_equal(np.load(tmp_path / "faces.npy"), vectors_of(faces))
    assert np.array_equal(read_identities(tmp_path / "ids.meta"), read_identities(faces))


def test_plan_of_a_shape_and_of_a_file(faces: Path) -> None:
    shown = run("plan", "-n", "584013", "--dimension", "256")
    for words in ("memory kept", "while it runs", "disk", "time", "neighbours", "in all", "at most"):
        assert words in shown
    record = run_json("plan", faces)
    assert record["disk_bytes"] == sum(stage["disk_bytes"] for stage in record["stages"]) > 0
    assert (record["n"], record["dimension"], record["method"]) == (1000, 256, "exact")
    assert record["peak_bytes"] == run_json("plan", "-n", "1000", "--dimension", "256")["peak_bytes"]


def test_demo_scores_the_methods_and_draws_a_picture(tmp_path: Path) -> None:
    shown = command("demo", "--faces", "120", "-o", tmp_path / "demo")
    assert shown.returncode == 0, shown.stderr
    for name in ("nsrfc", "threshold", "DBSCAN", "HDBSCAN", "k-means", "saw no label"):
        assert name in shown.stdout
    record = json.loads((tmp_path / "demo" / "demo.json").read_text())
    assert [result["method"] for result in record["results"] if not result["needs_labels"]] == [
        "nsrfc",
        "nsrfc, rules",
    ]
    picture = (tmp_path / "demo" / "demo.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(list((tmp_path / "demo").iterdir())) == 2


def test_the_picture_shows_every_method(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    from nsrfc.report.comparison import compare
    from nsrfc.report.picture import draw

    faces = generate(80, "wild", dimension=16, seed=0)
    results = compare(faces.embeddings, faces.identities)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw(tmp_path / "demo.svg", faces.embeddings, faces.identities, results)
    shown = (tmp_path / "demo.svg").read_text(encoding="utf-8")
    for result in results:
        assert shown.count(f">{result.method}") >= 2, "a point and a curve"


def test_demo_without_matplotlib_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import nsrfc.cli; nsrfc.cli.app(['demo', '-o', 'demo'])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 2
    assert "nsrfc[plot]" in shown.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no SIGINT to one process")
def test_an_interrupt_ends_in_one_line(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "nsrfc", "demo", "-n", "50000", "-o", "demo"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Expected: ")
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest == "Interrupted.\n"
    assert not list(tmp_path.iterdir())


def test_progress_shows_rate_on_a_terminal_and_nothing_elsewhere() -> None:
    shown = StringIO()
    progress = ConsoleProgress(Console(file=shown, force_terminal=True, width=100))
    with progress.stage("outer", 10) as advance, progress.stage("inner", 5) as inner:
        advance(10)
        inner(5)
    with progress.stage("next", 3) as advance:
        advance(3)
    text = shown.getvalue()
    assert all(name in text for name in ("outer", "inner", "next", "0/10"))
    assert set(progress.seconds) == {"outer", "inner", "next"}
    quiet = StringIO()
    with progress.stage("faces read", 0) as advance:
        advance(1234)
    assert "1,234" in shown.getvalue()
    progress = ConsoleProgress(Console(file=quiet))
    with progress.stage("outer", 10) as advance:
        advance(10)
    assert quiet.getvalue() == ""
    assert set(progress.seconds) == {"outer"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_appears_where_stderr_is_a_terminal(tmp_path: Path, faces: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "nsrfc", "cluster", faces, "-o", tmp_path / "out", "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 65536):
                shown += block
        except OSError:  # how Linux reports that the other end is closed
            pass
        assert process.stdout is not None
        record = json.loads(process.stdout.read())
    os.close(ours)
    assert process.returncode == 0
    assert b"neighbours" in shown
    assert record["result"]["faces"] == 1000


def save(path: Path, array: object) -> Path:
    np.save(path, np.asarray(array), allow_pickle=True)
    return path


BAD_FACES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nan": (np.array([[1, 2], [np.nan, 1], [3, 4]], np.float32), ("row 1", "NaN")),
    "zero": (np.array([[1, 2], [3, 1], [0, 0]], np.float32), ("row 2", "zeros")),
    "integers": (np.ones((3, 2), np.int32), ("int32", "astype")),
    "one-dimensional": (np.ones(3, np.float32), ("shape (3,)", "reshape")),
    "empty": (np.ones((0, 2), np.float32), ("empty",)),
    "objects": (np.array([{"a": 1}, None]), ("objects",)),
}


@pytest.mark.parametrize("case", BAD_FACES)
@pytest.mark.parametrize("name", ["cluster", "knn"])
def test_bad_embeddings_are_refused_and_nothing_is_written(tmp_path: Path, case: str, name: str) -> None:
    array, words = BAD_FACES[case]
    path = save(tmp_path / "bad.npy", array)
    message = refused(name, path, "-o", tmp_path / "out.npz")
    assert "bad.npy" in message
    assert all(word in message for word in words)
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.npy"]


def test_other_bad_arguments_are_refused_in_one_sentence(
    tmp_path: Path, faces: Path, clusters: Path
) -> None:
    out = tmp_path / "out"
    text = tmp_path / "text.txt"
    text.write_text("not an index")
    (tmp_path / "ids.meta").write_text("1\ntwo\n3\n")
    np.save(tmp_path / "many.npy", np.zeros(1001, np.int64))
    (tmp_path / "cut.bin").write_bytes(b"x" * 1001)
    run("generate", "-n", "30", "-o", tmp_path / "few.npz")
    graph, index = tmp_path / "graph.npz", tmp_path / "few.index"
    run("knn", tmp_path / "few.npz", "-o", graph)
    faiss.write_index(faiss.IndexFlatIP(256), str(index))
    before = sorted(tmp_path.iterdir())
    for words, args in [
        ("There is no file", ("cluster", tmp_path / "absent.npy", "-o", out)),
        ("suffix", ("cluster", text, "-o", out)),
        ("'nothing'", ("cluster", faces, "--key", "nothing", "-o", out)),
        ("dimension", ("cluster", faces, "--dimension", "3", "-o", out)),
        ("dimension", ("cluster", tmp_path / "cut.bin", "-o", out)),
        ("cut short", ("cluster", tmp_path / "cut.bin", "--dimension", "256", "-o", out)),
        ("amount of memory", ("cluster", faces, "--max-memory", "lots", "-o", out)),
        ("is a file", ("cluster", faces, "-o", text)),
        ("is a file", ("cluster", faces, "-o", text / "below")),
        ("is a file", ("demo", "-n", "60", "-o", text)),
        ("30 faces", ("cluster", faces, "--knn", graph, "-o", out)),
        ("text.txt", ("cluster", faces, "--index", text, "-o", out)),
        ("There is no file", ("cluster", faces, "--index", tmp_path / "absent", "-o", out)),
        ("one of them", ("cluster", faces, "--knn", graph, "--index", index, "-o", out)),
        ("neither", ("rerank", faces, "-o", tmp_path / "new.npz")),
        ("suffix", ("knn", faces, "-o", tmp_path / "graph.npy")),
        ("line 2 is 'two'", ("evaluate", clusters, tmp_path / "ids.meta")),
        ("more labels than faces", ("evaluate", clusters, tmp_path / "many.npy")),
        ("no finished run", ("evaluate", tmp_path, faces)),
        ("There is no file", ("evaluate", tmp_path / "absent", faces)),
        ("--identities", ("generate", "-n", "5", "-o", tmp_path / "new.npy")),
        ("no preset 'easy'", ("generate", "--preset", "easy", "-o", tmp_path / "new.npz")),
        ("suffix", ("generate", "-o", tmp_path / "new.csv")),
        ("-n and --dimension", ("plan", "-n", "5")),
        ("-n and --dimension", ("plan", faces, "-n", "5")),
    ]:
        assert words in refused(*args), args
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("args", [("--k", "0"), ("--search", "fast"), ("--seed", "-1"), ("--wrong",)])
def test_arguments_out_of_range_are_refused(tmp_path: Path, faces: Path, args: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, ["cluster", str(faces), "-o", str(tmp_path / "out"), *args])
    assert result.exit_code == 2
    assert args[0] in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_faces(tmp_path: Path, n: int) -> None:
    path = save(tmp_path / "few.npy", np.eye(n, 4, dtype=np.float32))
    run("cluster", path, "-o", tmp_path / "out")
    assert len(read_labels(tmp_path / "out")) == n


def test_real_faces_are_found(shared: Path, tmp_path: Path) -> None:
    lfw = shared / "data" / "lfw.npz"
    run("cluster", lfw, "--key", "ov256", "-o", tmp_path)
    scores = run_json("evaluate", tmp_path, lfw, "--key", "identity")
    assert scores["pairwise"]["f"] > 0.95
    assert scores["bcubed"]["f"] > 0.95
