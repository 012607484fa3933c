"""Print how generated faces compare with real ones, as markdown.

    python -m benchmarks.calibration [FILE.npz ...] [--presets NAME ...] [--seeds COUNT]

Each file holds embedders' unit vectors (n, d) by name and ``identity`` (n,); its name says which
preset it is compared with. Without arguments the files of ../shared/data are taken. Where there is
no file, the generated faces are measured alone. Generated columns are means over the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import pairwise
from nsrfc.records import NeighborGraph
from nsrfc.research.baselines import best_by_labels, best_threshold_components, hdbscan, infomap
from nsrfc.synthetic import generate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Measures = dict[str, Floats]

SHARED = Path(__file__).parents[2] / "shared" / "data"
PRESET_OF = {"celeba_wild_dev": "wild", "lfw": "lfw", "celeba_lowres": "lowres"}
SIZE = {"wild": 2137, "lfw": 13233, "lowres": 29024, "ms1m": 20000}
NEAREST, SHORT, SAMPLE, PAIRS = 80, 20, 3000, 2_000_000
INFOMAP_THRESHOLDS = np.arange(0.35, 0.85, 0.05)
# Stated for the larger set that celeba_wild_dev is a part of: 6,294 faces, 299 identities, ov256.
WILD_SOURCE: Measures = {
    "faces": np.array([6294.0]),
    "identities": np.array([299.0]),
    "same identity, cosine, 5/25/50/75/95 %": np.array([0.351, 0.514, 0.617, 0.705, 0.812]),
    "best other identity, cosine, 5/50/95/99 %": np.array([0.309, 0.380, 0.508, 0.795]),
    "nearest neighbour right, %": np.array([95.7]),
    "components, best threshold, F_P": np.array([90.3]),
    "HDBSCAN, best of 2, 3, 5, F_P": np.array([92.2]),
    "Infomap, best threshold, F_P": np.array([94.4]),
}


def measure(X: npt.NDArray[np.float32], identities: Ints) -> Measures:
    """Measure what decides how hard faces (n, d) with identities (n,) are to cluster."""
    graph = build_neighbor_graph(X, NEAREST + 1)
    ids, similarities = graph.ids[:, 1:], graph.similarities[:, 1:]
    same = identities[ids] == identities[:, None]
    other = np.where(same, -2, similarities).max(axis=1)
    sizes = np.unique(identities, return_counts=True)[1]
    several = sizes[np.unique(identities, return_inverse=True)[1]] > 1
    listed = same.sum(axis=1)
    own = np.where(same, similarities, 0).sum(axis=1)[listed > 2] / listed[listed > 2]
    return {
        "faces": np.array([len(X)], float),
        "identities": np.array([len(sizes)], float),
        "faces per identity, 5/25/50/75/95 %": quantiles(sizes, 5, 25, 50, 75, 95),
        "same identity, cosine, 5/25/50/75/95 %": quantiles(similarities[same], 5, 25, 50, 75, 95),
        "the same, mean of a face, 5/25/50/75/95 %": quantiles(own, 5, 25, 50, 75, 95),
        "best other identity, cosine, 5/50/95/99 %": quantiles(other[other > -2], 5, 50, 95, 99),
        **impostors(X, identities),
        "nearest neighbour right, %": np.array([100 * same[several, 0].mean()]),
        **neighborhoods(ids[:, :SHORT], same[:, :SHORT]),
        **clusterings(graph, identities),
    }


def impostors(X: npt.NDArray[np.float32], identities: Ints) -> Measures:
    """Measure the upper tail of the scores of impostors: a random sample of pairs.

    Cosines are counted from their median, in units of median - 16 % quantile: this is the null
    distribution that a clusterer may rely on; a normal distribution has 2.34 and 3.11.
    """
    pairs = np.random.default_rng(0).integers(len(X), size=(PAIRS, 2))
    pairs = pairs[identities[pairs[:, 0]] != identities[pairs[:, 1]]]
    parts = np.array_split(pairs, 1 + len(pairs) // 100_000)
    cosine = np.concatenate([(X[part[:, 0]] * X[part[:, 1]]).sum(axis=1) for part in parts])
    low, middle, *high = quantiles(cosine, 16, 50, 99, 99.9)
    return {"pairs of strangers, standardised, 99/99.9 %": (np.array(high) - middle) / (middle - low)}


def neighborhoods(ids: npt.NDArray[np.int32], same: npt.NDArray[np.bool_]) -> Measures:
    """Measure shared neighbours of listed pairs, over a sample of the faces, and hubness."""
    from scipy.sparse import csr_array

    n, k = ids.shape
    lists = csr_array((np.ones(n * k), ids.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    rows = np.random.default_rng(0).choice(n, min(n, SAMPLE), replace=False)
    shared = (lists[rows] @ lists.T).tocsr()[np.arange(len(rows)).repeat(k), ids[rows].ravel()]
    shared = np.asarray(shared).ravel()
    jaccard, true = shared / (2 * k - shared), same[rows].ravel()
    occurrence = np.bincount(ids.ravel(), minlength=n)
    deviation = (occurrence - occurrence.mean()) / occurrence.std()
    return {
        f"Jaccard of {k} nearest, true pairs, 5/25/50/75/95 %": quantiles(
            jaccard[true], 5, 25, 50, 75, 95
        ),
        f"Jaccard of {k} nearest, false pairs, 50/75/95/99 %": quantiles(jaccard[~true], 50, 75, 95, 99),
        f"skewness of {k}-occurrence": np.array([(deviation**3).mean()]),
    }


def clusterings(graph: NeighborGraph, identities: Ints) -> Measures:
    """Score what clusters well-known methods find, in % pairwise F."""
    density = {m: pairwise(identities, hdbscan(graph, m)).f for m in (2, 3, 5)}
    maps = ((threshold, infomap(graph, threshold)) for threshold in INFOMAP_THRESHOLDS)
    components = pairwise(identities, best_threshold_components(graph, identities)[0]).f
    scores = {
        "components, best threshold, F_P": components,
        "HDBSCAN, min_cluster_size 3, F_P": density[3],
        "HDBSCAN, best of 2, 3, 5, F_P": max(density.values()),
        "Infomap, best threshold, F_P": best_by_labels(maps, identities).f,
    }
    return {name: np.array([100 * score]) for name, score in scores.items()}


def quantiles(values: npt.NDArray[np.generic], *percent: float) -> Floats:
    """Return the quantiles of the values, percent by percent."""
    return np.quantile(values.astype(np.float64), np.array(percent) / 100)


def generated(preset: str, n: int, seeds: Iterable[int]) -> Measures:
    """Measure generated faces, mean over the seeds."""
    runs = []
    for seed in seeds:
        faces = generate(n, preset, seed=seed)
        runs.append(measure(faces.embeddings, faces.identities))
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}


def real(path: Path) -> dict[str, Measures]:
    """Measure every embedder's vectors in a file."""
    columns = {}
    with np.load(path, allow_pickle=False) as arrays:
        identities = arrays["identity"].astype(np.int64)
        for name in sorted(set(arrays.files) - {"identity"}, reverse=True):
            X = arrays[name].astype(np.float32)
            X /= np.linalg.norm(X, axis=1, keepdims=True)
            columns[f"{path.stem} {name}"] = measure(X, identities)
    return columns


def table(columns: dict[str, Measures]) -> str:
    """Lay columns of measures out as markdown."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for name in names:
        cells = [text(name, column[name]) if name in column else "" for column in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def text(name: str, values: Floats) -> str:
    """Write the values of a cell."""
    if name.startswith("faces per"):
        return " / ".join(f"{value:.0f}" for value in values)
    if len(values) > 1:
        return " / ".join(f"{value:.3f}" for value in values)
    return f"{values[0]:,.0f}" if name in ("faces", "identities") else f"{values[0]:.1f}"


def main() -> None:
    """Print a table for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="real faces (.npz)")
    parser.add_argument("--seeds", type=int, default=3, help="generated sets per column")
    parser.add_argument("--presets", nargs="+", choices=SIZE, default=SIZE, help="tables to print")
    arguments = parser.parse_args()
    files = arguments.files or [SHARED / f"{stem}.npz" for stem in PRESET_OF]
    seeds = range(arguments.seeds)
    for preset in arguments.presets:
        n = SIZE[preset]
        columns: dict[str, Measures] = {}
        for path in files:
            if PRESET_OF.get(path.stem) == preset and path.is_file():
                columns |= real(path)
        columns[f'generated "{preset}"'] = generated(preset, n, seeds)
        if preset == "wild":
            columns["wild source ov256, as stated"] = WILD_SOURCE
            columns['generated "wild", size of the source'] = generated(preset, 6294, seeds)
        print(f"## {preset}\n\n{table(columns)}\n", flush=True)


if __name__ == "__main__":
    main()
