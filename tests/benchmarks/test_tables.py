"""The benchmark of speed: it runs as shown, fills its page, and counts work as torch does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import gpu, page
from benchmarks.measure import StageClock, run
from benchmarks.processes import Failure, in_own_process
from nsrfc.cli import app
from nsrfc.errors import InputError
from nsrfc.synthetic import generate

SIZE = 300
STAGES = ("neighbours", "scores", "whitening", "refinement", "density", "clusters", "others")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file that a small benchmark wrote."""
    pytest.importorskip("matplotlib")
    file = tmp_path_factory.mktemp("benchmark") / "figures.json"
    options = ["--sizes", str(SIZE), "--methods", "nsrfc", "HAC", "--limit", "300"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--json", str(file)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nsrfc, label-free" in done.stdout
    return file


@pytest.fixture(scope="module")
def record(figures: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figures.read_text())
    return found


def test_every_method_is_measured(record: dict[str, Any]) -> None:
    assert all(rate > 0 for rate in record["machine"]["rates"].values())
    runs = {entry["method"]: entry for entry in record["runs"]}
    assert list(runs) == ["nsrfc", "HAC"]
    for entry in runs.values():
        assert entry["faces"] == SIZE
        assert entry["seconds"] > 0
        assert entry["processor_seconds"] > 0
        assert 0 < entry["pairwise_f"] <= 1
        assert 0 < entry["bcubed_f"] <= 1
        assert entry["peak_bytes"] >= entry["before_bytes"] > 0
        parts = sum(stage["seconds"] for stage in entry["stages"].values())
        assert parts == pytest.approx(entry["seconds"])
    assert tuple(runs["nsrfc"]["stages"]) == STAGES
    assert runs["nsrfc"]["planned_bytes"] > 0


def test_the_page_is_made_of_the_figures(
    record: dict[str, Any], figures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "performance.md"
    monkeypatch.setattr(sys, "argv", ["page", str(figures), "--page", str(target)])
    page.main()
    text = target.read_text()
    assert record["machine"]["processor"] in text
    assert text.count(f"### {SIZE} faces") == 2
    for stage in STAGES:
        assert f"\n| label-free | {stage} | " in text
    assert "\n| average linkage (scipy) | cosine 0.4 | " in text
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")

    # What people write stays, and filling twice changes nothing more.
    target.write_text(text.replace("## Growth", "## Growth\n\nSlow, as we see it."))
    before = target.read_text()
    page.write(target, record)
    assert target.read_text() == before


def test_growth_is_the_slope_from_size_to_size(record: dict[str, Any]) -> None:
    small = record["runs"]
    large = [
        entry
        | {"faces": 2 * SIZE, "seconds": 4 * entry["seconds"]}
        | {"stages": {name: s | {"seconds": 2 * s["seconds"]} for name, s in entry["stages"].items()}}
        for entry in small
    ]
    failed = {"method": "Infomap", "faces": 2 * SIZE, "note": "did not finish in 5 s"}
    shown = page.blocks(record | {"runs": [*small, *large, failed]})
    assert "| **nsrfc, label-free** | 2.00 |" in shown["growth"]
    for stage in STAGES:
        assert f"| label-free: {stage} | 1.00 |" in shown["growth"]
    assert "Infomap" not in shown["growth"]
    assert "| Infomap | cosine 0.36 | did not finish in 5 s |" in shown["methods"]


def test_a_page_without_a_place_is_refused(record: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "performance.md"
    target.write_text("# Performance\n")
    with pytest.raises(InputError, match="has no place for machine"):
        page.write(target, record)
    assert target.read_text() == "# Performance\n"
    assert list(tmp_path.iterdir()) == [target]


def test_large_runs_are_shown_from_their_records(record: dict[str, Any], tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", generate(120, dimension=16).embeddings)
    output = str(tmp_path / "people")
    words = ["cluster", str(tmp_path / "X.npy"), "-o", output, "--model", "none", "--k", "20"]
    assert CliRunner().invoke(app, words).exit_code == 0
    made = tmp_path / "people" / "run.json"
    known = json.loads(made.read_text())
    page.write(tmp_path / "page.md", record, {made: known})
    text = (tmp_path / "page.md").read_text()
    assert "### 120 faces, label-free" in text
    assert f"\nnsrfc {' '.join(words)}\n" in text
    default = known | {"model": "universal", "config": known["config"] | {"k": None}}
    page.write(tmp_path / "other.md", record, {made: default})
    assert f"\nnsrfc {' '.join(words[:4])}\n" in (tmp_path / "other.md").read_text()
    for stage in ("reading", *STAGES[:4], "**all**", "planned"):
        assert f"\n| {stage} | " in text.partition("## Large runs")[2]
    assert "MiB planned; 16 dimensions, 20 neighbours, search exact." in text


def test_a_process_gives_its_result_or_says_why_not() -> None:
    assert in_own_process(partial(partial, abs), -3) == 3
    late = in_own_process(partial(partial, time.sleep), 600, limit=0.1)
    assert late == Failure("did not finish in 0 s")
    assert in_own_process(partial(partial, os._exit), 5) == Failure("failed (exit code 5)")
    refused = in_own_process(partial(partial, generate), 0)
    assert isinstance(refused, Failure)
    assert refused.note.startswith("n must be an integer from 1 up")


def test_a_stage_inside_another_counts_once() -> None:
    def action(clock: StageClock) -> None:
        with clock.stage("outer", 1), clock.stage("inner", 1):
            time.sleep(0.01)

    found = run(action)
    assert list(found.stages) == ["inner", "outer", "others"]
    assert found.stages["inner"].seconds >= 0.01
    assert found.stages["others"].seconds >= 0


def test_networks_work_as_much_as_torch_counts() -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks import network_work as work
    from benchmarks.work import Work
    from nsrfc.knn.build import build_neighbor_graph
    from nsrfc.methods.networks import NetworkMethod
    from nsrfc.methods.registry import method_class
    from nsrfc.model.settings import NETWORKS, Family, ModelSettings, NetworkName
    from nsrfc.networks.published.adjacency import SparseAdjacency
    from nsrfc.networks.published.cgcn import CGCN
    from nsrfc.networks.published.lcenet import LCENet
    from nsrfc.networks.published.pairnet import PairNetwork
    from nsrfc.networks.published.pcenet import PCENet
    from nsrfc.networks.structure import StructureEdges, StructureLists, StructurePairs
    from nsrfc.records import Neighborhood

    n, d, k = 60, 16, 50
    X = generate(n, dimension=d).embeddings
    graph = build_neighbor_graph(X, k)
    near = Neighborhood(X, X, graph.ids, graph.similarities, graph.ids)
    affinity, rows = np.maximum(graph.similarities, 0), np.arange(n)

    def counted(action: Callable[[], object]) -> float:
        # The plain form of attention is made of products, which torch counts.
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            action()
        return float(counter.get_total_flops()) / n

    def applied(network: Any, gather: Any, *chosen: Any) -> object:  # noqa: ANN401
        return network(*gather(*chosen))

    def method_of(family: Family, **networks: Any) -> NetworkMethod:  # noqa: ANN401
        named: dict[NetworkName, Any] = {
            name: networks[name].eval() for name in NETWORKS if name in networks
        }
        settings = ModelSettings(family=family, dimension=d, k=k, networks={name: {} for name in named})
        return method_class(family)(settings, named)

    published = method_of(
        "coordinates",
        pairs=PairNetwork(d, hidden=64),
        lcenet=LCENet(d, k, hidden=64),
        pcenet=PCENet(d, k, hidden=64, classifier_hidden=64),
    )
    structure = method_of(
        "structure", pairs=StructurePairs(), lcenet=StructureLists(), pcenet=StructureEdges()
    )
    works: list[tuple[NetworkMethod, dict[NetworkName, Callable[[Any], Work]]]] = [
        (
            published,
            {
                "pairs": lambda network: work.pair_network(network, k),
                "lcenet": work.lcenet,
                "pcenet": work.pcenet,
            },
        ),
        (
            structure,
            {
                "pairs": lambda network: work.structure_lists(network, k, d),
                "lcenet": lambda network: work.structure_lists(network, k, d),
                "pcenet": lambda network: work.structure_edges(network, d),
            },
        ),
    ]
    for method, expected in works:
        between = method.edge_inputs(near, affinity, affinity)
        for name, count in expected.items():
            network: Any = method.networks[name]
            if name == "pcenet":
                found = counted(partial(applied, network, between, rows, rows[::-1]))
            else:
                gather = method.list_inputs(network, near, affinity)
                found = counted(partial(applied, network, gather, rows))
            allowed = 0.01 if name == "pcenet" else 1e-3
            assert found == pytest.approx(count(network).flop, rel=allowed), type(network).__name__

    convolution = CGCN(d).eval()
    adjacency = SparseAdjacency.from_lists(torch.from_numpy(graph.ids))
    found = counted(lambda: convolution(torch.from_numpy(X), adjacency, adjacency))
    assert found == pytest.approx(work.linear_layers(convolution, 1).flop)


def test_the_gpu_benchmark_says_where_it_cannot_run() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match="There is no CUDA here"):
        gpu.describe_chip()
