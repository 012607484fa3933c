"""Print how well faces are clustered without labels, beside well-known methods tuned with them.

    python -m benchmarks.clustering [--shared DIR] [--json FILE] [--sets NAME ...]

Only ``FaceClusterer()`` with its defaults (nsrfc), and with ``model=None`` (rules), see no label.
k-means is told the number of people, and the others have the setting of highest pairwise F on these very
faces. All but k-means and HAC read the same 80 nearest neighbours. Real faces are taken from DIR/data;
without them, or without infomap, the rest is run. About ten minutes on two idle cores; HAC takes up to 9
GB of memory.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc import FaceClusterer
from nsrfc.errors import InputError, OptionalDependencyError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import evaluate
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines
from nsrfc.storage.runs import versions, write_json
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Setting = dict[str, float]
Record = dict[str, Any]

SHARED = Path(os.environ.get("NSRFC_SHARED", Path(__file__).parents[2] / "shared"))
REAL = ("celeba_wild_dev", "lfw", "lfw_dlib", "celeba_lowres")
GENERATED = {"wild": 6_000, "ms1m": 20_000}
OURS, RULES = "nsrfc", "rules"


@dataclass(frozen=True)
class Faces:
    """A set of faces (n, d) with identities (n,)."""

    name: str
    X: Floats
    identities: Labels


def real(path: Path) -> list[Faces]:
    """Read every embedder's vectors in a file."""
    with np.load(path, allow_pickle=False) as arrays:
        identities = arrays["identity"].astype(np.int64)
        names = sorted(set(arrays.files) - {"identity"}, reverse=True)
        return [Faces(f"{path.stem} {name}", normalize(arrays[name]), identities) for name in names]


def generated(preset: str) -> list[Faces]:
    """Draw the faces of a preset."""
    faces = generate(GENERATED[preset], preset, seed=0)
    return [Faces(f'generated "{preset}"', faces.embeddings, faces.identities)]


def kmeans(faces: Faces, _: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by k-means at the true number of people."""
    people = len(np.unique(faces.identities))
    return {"clusters": people}, baselines.kmeans(faces.X, people)


def dbscan(faces: Faces, graph: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by DBSCAN at its best cosine and the better of two numbers of close faces.

    With two close faces it finds the components of the cut graph, whose best cut is known.
    """
    _, cut = baselines.best_threshold_components(graph, faces.identities)
    pairs = baselines.best_by_labels([(cut, baselines.dbscan(graph, cut, 2))], faces.identities)
    fours = best_cosine(lambda at: baselines.dbscan(graph, at, 4), faces.identities)
    samples, best = (2, pairs) if pairs.f >= fours.f else (4, fours)
    return {"cosine": best.setting, "min_samples": samples}, best.labels


def hdbscan(faces: Faces, graph: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by HDBSCAN at its best smallest cluster."""
    runs = ((size, baselines.hdbscan(graph, size)) for size in (2, 3, 5))
    best = baselines.best_by_labels(runs, faces.identities)
    return {"min_cluster_size": best.setting}, best.labels


def components(faces: Faces, graph: NeighborGraph) -> tuple[Setting, Labels]:
    """Cut the neighbour graph at the best of all cosines."""
    labels, threshold = baselines.best_threshold_components(graph, faces.identities)
    return {"cosine": threshold}, labels


def linkage(faces: Faces, _: NeighborGraph) -> tuple[Setting, Labels]:
    """Cut average linkage at the best of all mean cosines."""
    labels, threshold = baselines.best_average_linkage(faces.X, faces.identities)
    return {"cosine": threshold}, labels


def infomap(faces: Faces, graph: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by Infomap on the edges above the best cosine."""
    best = best_cosine(lambda at: baselines.infomap(graph, at), faces.identities)
    return {"cosine": best.setting}, best.labels


def chinese_whispers(faces: Faces, graph: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by chinese whispers on the edges above the best cosine."""
    best = best_cosine(lambda at: baselines.chinese_whispers(graph, at), faces.identities)
    return {"cosine": best.setting}, best.labels


def ours(faces: Faces, _: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by this package: no setting, no label, a neighbour search of its own."""
    labels: Labels = FaceClusterer().fit_predict(faces.X)
    return {}, labels


def rules(faces: Faces, _: NeighborGraph) -> tuple[Setting, Labels]:
    """Cluster by this package without learned weights."""
    labels: Labels = FaceClusterer(model=None).fit_predict(faces.X)
    return {}, labels


METHODS: dict[str, Callable[[Faces, NeighborGraph], tuple[Setting, Labels]]] = {
    "k-means": kmeans,
    "DBSCAN": dbscan,
    "HDBSCAN": hdbscan,
    "components": components,
    "HAC": linkage,
    "Infomap": infomap,
    "chinese whispers": chinese_whispers,
    OURS: ours,
    RULES: rules,
}


def best_cosine(labels_at: Callable[[float], Labels], identities: Labels) -> baselines.Best[float]:
    """Try thresholds 0.05 apart, then 0.01 apart around the best."""

    def best_of(thresholds: npt.NDArray[np.floating]) -> baselines.Best[float]:
        tried = [round(float(at), 2) for at in thresholds]
        return baselines.best_by_labels(((at, labels_at(at)) for at in tried), identities)

    coarse = best_of(np.arange(0.30, 0.98, 0.05))
    return best_of(coarse.setting + np.arange(-0.04, 0.045, 0.01))


def compare(faces: Faces, methods: Iterable[str] = METHODS) -> Record:
    """Run and score methods on a set; seconds hold all settings tried."""
    started = time.perf_counter()
    graph = build_neighbor_graph(faces.X)
    search_seconds = time.perf_counter() - started
    results: dict[str, Record] = {}
    for name in methods:
        started = time.perf_counter()
        try:
            setting, labels = METHODS[name](faces, graph)
        except (InputError, OptionalDependencyError) as error:
            results[name] = {"skipped": str(error)}
            continue
        results[name] = {
            "setting": setting,
            "tuned_with_labels": name not in (OURS, RULES),
            "seconds": time.perf_counter() - started,
            **evaluate(faces.identities, labels).as_dict(),
        }
    return {
        "set": faces.name,
        "faces": len(faces.X),
        "dimension": faces.X.shape[1],
        "people": len(np.unique(faces.identities)),
        "search_seconds": search_seconds,
        "results": results,
    }


def line(cells: Iterable[str]) -> str:
    """Lay out a line of a markdown table."""
    return f"| {' | '.join(cells)} |"


def cell(result: Record) -> str:
    """Write pairwise and BCubed F of a method."""
    if "skipped" in result:
        return "-"
    return f"{100 * result['pairwise']['f']:.1f} / {100 * result['bcubed']['f']:.1f}"


def library_versions() -> dict[str, str]:
    """Return the versions that decide results, infomap's included where it is installed."""
    try:
        return versions() | {"infomap": metadata.version("infomap")}
    except metadata.PackageNotFoundError:
        return versions()


def main() -> None:
    """Print a row for each set, then why cells or sets are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [*REAL, *GENERATED]
    parser.add_argument("--shared", type=Path, default=SHARED, metavar="DIR", help="real faces")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument("--sets", nargs="+", choices=names, default=names, help="rows to print")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=[*METHODS], help="columns to print"
    )
    arguments = parser.parse_args()

    FaceClusterer().fit(generate(500, "wild").embeddings)  # compiles, so that no row is charged for it
    print("F_P / F_B in %; all but nsrfc and its rules are tuned with the labels\n")
    print(line(["faces of", "faces", "identities", *arguments.methods]))
    print(line(["---", *["---:"] * (2 + len(arguments.methods))]))
    records: list[Record] = []
    missing: dict[str, str] = {}
    for name in arguments.sets:
        path = arguments.shared / "data" / f"{name}.npz"
        if name in REAL and not path.is_file():
            missing[name] = f"{path} is not there"
            continue
        for faces in real(path) if name in REAL else generated(name):
            record = compare(faces, arguments.methods)
            records.append(record)
            cells = [cell(result) for result in record["results"].values()]
            counts = [f"{record['faces']:,}", f"{record['people']:,}"]
            print(line([faces.name, *counts, *cells]), flush=True)
            for method, result in record["results"].items():
                if "skipped" in result:
                    missing[f"{faces.name}, {method}"] = result["skipped"]
    if missing:
        print("\nNot run:\n")
    for what, reason in missing.items():
        print(f"- {what}: {reason}")
    if arguments.json:
        write_json(
            arguments.json,
            {
                "versions": library_versions(),
                "cores": os.cpu_count(),
                "sets": records,
                "missing": missing,
            },
        )


if __name__ == "__main__":
    main()
