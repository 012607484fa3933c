"""Print what each idea of the label-free clusterer is worth, and what others that were tried do.

    python -m benchmarks.ideas [--shared DIR] [--sets NAME ...]

F_P / F_B of the clusterer with one idea taken out or replaced, on real faces (where DIR/data is there)
and generated ones. Labels are read for scoring only, but in the rows of best components. About ten
minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from nsrfc import pipeline
from nsrfc.chunks import sample_faces
from nsrfc.graph.components import connected_components
from nsrfc.graph.reranking import rerank
from nsrfc.graph.score_normalization import ImpostorScores, impostor_scores, normalized_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.metrics import evaluate
from nsrfc.networks.structure import edges
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines

from .clustering import GENERATED, REAL, SHARED, Faces, Floats, Labels, generated, real

SETS = ("celeba_wild_dev", "lfw", "ms1m")
FIRST, SECOND = pipeline.REFINEMENTS


def one_scale(
    ids: Any,  # noqa: ANN401
    similarities: Floats,
    background: ImpostorScores,
    rows: slice,
) -> Floats:
    """Similarities on the mean scale of all faces, instead of that of the two at hand."""
    del ids, rows
    scaled: Floats = (similarities - background.center.mean()) / background.deviation.mean()
    return scaled


def edge_strength(source: Any, target: Any, strength: Floats, top: Any) -> Floats:  # noqa: ANN401
    """Strengths of edges as they are, whatever the ends' best neighbours."""
    del source, target, top
    return strength


def all_compared(X: Floats, around: Labels, **kept: Any) -> NeighborGraph:  # noqa: ANN401
    """Neighbours among all faces, not among the neighbours of neighbours."""
    return build_neighbor_graph(X, around.shape[1], method="exact", **kept)


VARIANTS: dict[str, dict[str, Any]] = {
    "the clusterer": {},
    "one scale for all faces": {"normalized_scores": one_scale},
    "no whitening": {"WHITENING": (0,)},
    "whitened whatever the doubt": {"WHITENING": (0.5,)},
    "no refinement": {"REFINEMENTS": ((1, 0.0),)},
    "one refinement": {"REFINEMENTS": (FIRST,)},
    "three refinements": {"REFINEMENTS": (FIRST, SECOND, SECOND)},
    "graphs rebuilt by comparing all": {"rebuild_neighbor_graph": all_compared},
    "cosine of means, not linkage": {"linkage": lambda graph, around: graph.similarities},
    "strength of edges, not local strength": {"local_score": edge_strength},
    "no similarity edges": {"SIMILARITY_MARGIN": math.inf},
    "plain components, groups not compared": {
        "join_cohesive": lambda X, edges, stranger: connected_components(len(X), edges),
    },
    "large groups not reunited": {"join_alike_groups": lambda X, labels, ids, stranger: labels},
}


def variant(faces: Faces, patches: dict[str, Any]) -> Labels:
    """Cluster with some functions or constants of the pipeline replaced."""
    with ExitStack() as stack:
        for name, value in patches.items():
            stack.enter_context(mock.patch.object(pipeline, name, value))
            if hasattr(edges, name):
                stack.enter_context(mock.patch.object(edges, name, value))
        return pipeline.cluster(faces.X).labels


def strengths(X: Floats, graph: NeighborGraph) -> tuple[Floats, ImpostorScores]:
    """Standardised similarities (n, k) of listed neighbours."""
    background = impostor_scores(X, X[sample_faces(len(X))])
    return normalized_scores(graph.similarities, graph.ids, background, background), background


def best_components(faces: Faces) -> dict[str, Labels]:
    """Components at the threshold of highest F_P, on three similarities of the 80 nearest."""
    graph = build_neighbor_graph(faces.X, 80)
    strength, _ = strengths(faces.X, graph)
    strength[:, 0] = np.inf
    order = np.argsort(-strength, axis=1, kind="stable")
    ranked = np.take_along_axis(strength, order, axis=1)
    ranked[:, 0] = ranked[:, 1]
    graphs = {
        "best components: cosine": graph,
        "best components: strength": NeighborGraph(np.take_along_axis(graph.ids, order, axis=1), ranked),
        "best components: k-reciprocal Jaccard": rerank(graph, X=faces.X),
    }
    return {
        name: baselines.best_threshold_components(graph, faces.identities)[0]
        for name, graph in graphs.items()
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
        found = {name: variant(faces, patches) for name, patches in VARIANTS.items()}
        found |= best_components(faces)
        for name, labels in found.items():
            scores = evaluate(faces.identities, labels)
            cell = f"{100 * scores.pairwise.f:.1f} / {100 * scores.bcubed.f:.1f}"
            rows.setdefault(name, []).append(cell)
    print("| F_P / F_B in % |", " | ".join(faces.name for faces in sets), "|")
    print("| --- |", " | ".join("---:" for _ in sets), "|")
    for name, cells in rows.items():
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
