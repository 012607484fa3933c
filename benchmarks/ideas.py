"""Print what each idea of the label-free clusterer is worth, and what others that were tried do.

    python -m benchmarks.ideas [--shared DIR] [--sets NAME ...]

F_P / F_B of the clusterer with one idea taken out or replaced, on real faces (where DIR/data is there)
and generated ones, and how well scores rank the best neighbours with statistics of impostor pairs for
all faces or for each. Labels are read for scoring only, but in the rows of best components. About ten
minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from nsrfc import pipeline
from nsrfc.chunks import ROWS, chunks, sample_faces
from nsrfc.graph import density_graph
from nsrfc.graph.reranking import rerank
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods import rules
from nsrfc.methods.rules import Rules
from nsrfc.metrics import evaluate
from nsrfc.model.settings import ClusterComparison
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines
from nsrfc.training.thresholds import ranking_quality

from .clustering import GENERATED, REAL, SHARED, Faces, Floats, Labels, generated, real

SETS = ("celeba_wild_dev", "lfw", "lfw_dlib", "ms1m")
FIRST, SECOND = Rules.refinements


@dataclass(frozen=True)
class Variant:
    """The rules with other settings, and functions of theirs, by name, that others take the place of."""

    method: Rules = field(default_factory=Rules)
    replaced: Mapping[str, Any] = field(default_factory=dict)


def edge_score(source: Any, target: Any, score: Floats, top: Any) -> Floats:  # noqa: ANN401
    """Scores of edges as they are, whatever the ends' best neighbours."""
    del source, target, top
    return score


def all_compared(X: Floats, around: Labels, **kept: Any) -> NeighborGraph:  # noqa: ANN401
    """Neighbours among all faces, not among the neighbours of neighbours."""
    return build_neighbor_graph(X, around.shape[1], method="exact", **kept)


VARIANTS = {
    "the clusterer": Variant(),
    "no whitening": Variant(Rules(whitening=(0,))),
    "whitened whatever the doubt": Variant(Rules(whitening=(0.5,))),
    "no refinement": Variant(Rules(refinements=((1, 0.0),))),
    "one refinement": Variant(Rules(refinements=(FIRST,))),
    "three refinements": Variant(Rules(refinements=(FIRST, SECOND, SECOND))),
    "graphs rebuilt by comparing all": Variant(replaced={"rebuild_neighbor_graph": all_compared}),
    "cosine of means, not linkage": Variant(
        replaced={"linkage": lambda graph, around: graph.similarities}
    ),
    "scores of edges, not local scores": Variant(replaced={"local_score": edge_score}),
    "no similarity edges": Variant(Rules(margin=math.inf)),
    "plain components, clusters not compared": Variant(
        Rules(cluster_comparison=ClusterComparison(minimum=0, minimum_score=0))
    ),
    "clusters compared by normalised similarity alone": Variant(
        Rules(cluster_comparison=ClusterComparison(minimum_score=0))
    ),
    "large clusters not reunited": Variant(
        Rules(cluster_comparison=ClusterComparison(unlinked_minimum=1))
    ),
}


def clustered(faces: Faces, variant: Variant) -> Labels:
    """Cluster by a variant of the rules."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(pipeline, "load_method", return_value=variant.method))
        for name, function in variant.replaced.items():
            stack.enter_context(mock.patch.object(rules, name, function))
            if hasattr(density_graph, name):
                stack.enter_context(mock.patch.object(density_graph, name, function))
        return pipeline.cluster(faces.X, None).labels


def best_components(faces: Faces) -> dict[str, Labels]:
    """Components at the threshold of highest F_P, on two similarities of the 80 nearest."""
    graph = build_neighbor_graph(faces.X, 80)
    graphs = {
        "best components: cosine": graph,
        "best components: k-reciprocal Jaccard": rerank(graph, X=faces.X),
    }
    return {
        name: baselines.best_threshold_components(graph, faces.identities)[0]
        for name, graph in graphs.items()
    }


def ranked_best_neighbors(faces: Faces) -> dict[str, float]:
    """How well the score of the best neighbour tells genuine from impostor pairs, over all faces.

    With one scale, and with the median and the lower deviation of each face's cosines to a sample.
    """
    sample = faces.X[sample_faces(len(faces.X))]
    low, center = (np.empty(len(faces.X)) for _ in range(2))
    for part in chunks(len(faces.X), ROWS):
        found = np.quantile(faces.X[part] @ sample.T, (0.1587, 0.5), axis=1)
        low[part], center[part] = found
    graph = build_neighbor_graph(faces.X, 80)

    def quality(score: Floats) -> float:
        best = score[:, 1:].argmax(axis=1)[:, None] + 1
        listed = np.take_along_axis(graph.ids, best, axis=1)[:, 0]
        genuine = faces.identities[listed] == faces.identities
        return ranking_quality(np.take_along_axis(score, best, axis=1)[:, 0], genuine)

    def by(scale: npt.NDArray[np.float64]) -> Floats:
        own = (graph.similarities - center[:, None]) / scale[:, None]
        other = (graph.similarities - center[graph.ids]) / scale[graph.ids]
        both: Floats = ((own + other) / 2).astype(np.float32)
        return both

    return {
        "one mean, one deviation": quality(graph.similarities),
        "a mean of its own for each face": quality(by(np.ones_like(low))),
        "a mean and a deviation of its own": quality(by(center - low)),
    }


def main() -> None:
    """Run every variant on every set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--sets", nargs="+", choices=(*REAL, *GENERATED), default=SETS)
    arguments = parser.parse_args()
    paths = {name: arguments.shared / "data" / f"{name}.npz" for name in arguments.sets if name in REAL}
    sets = [faces for path in paths.values() if path.exists() for faces in real(path)]
    sets += [faces for preset in arguments.sets if preset in GENERATED for faces in generated(preset)]

    rows: dict[str, list[str]] = {}
    for faces in sets:
        found = {name: clustered(faces, variant) for name, variant in VARIANTS.items()}
        found |= best_components(faces)
        for name, labels in found.items():
            quality = evaluate(faces.identities, labels)
            cell = f"{100 * quality.pairwise.f:.1f} / {100 * quality.bcubed.f:.1f}"
            rows.setdefault(name, []).append(cell)
    ranked = [ranked_best_neighbors(faces) for faces in sets]
    print("| area under the ROC curve in % |", " | ".join(faces.name for faces in sets), "|")
    print("| --- |", " | ".join("---:" for _ in sets), "|")
    for name in ranked[0] if ranked else ():
        print(f"| {name} |", " | ".join(f"{100 * found[name]:.2f}" for found in ranked), "|")
    print("\n| F_P / F_B in % |", " | ".join(faces.name for faces in sets), "|")
    print("| --- |", " | ".join("---:" for _ in sets), "|")
    for name, cells in rows.items():
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
