"""Print what each idea of the label-free clusterer is worth, and what others that were tried do.

    python -m benchmarks.ideas [--shared DIR] [--sets NAME ...]

F_P / F_B of the clusterer with one idea taken out or replaced, on real faces (where DIR/data is there)
and generated ones. Labels are read for scoring only, but in the rows of best components. About ten
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

from nsrfc import pipeline
from nsrfc.chunks import sample_faces
from nsrfc.graph import density_graph
from nsrfc.graph.components import connected_components
from nsrfc.graph.reranking import rerank
from nsrfc.graph.scores import ImpostorScores, impostor_scores, normalized_scores
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods import rules
from nsrfc.methods.rules import Rules
from nsrfc.metrics import evaluate
from nsrfc.records import NeighborGraph
from nsrfc.research import baselines

from .clustering import GENERATED, REAL, SHARED, Faces, Floats, Labels, generated, real

SETS = ("celeba_wild_dev", "lfw", "ms1m")
FIRST, SECOND = Rules.refinements


@dataclass(frozen=True)
class Variant:
    """The rules with other settings, and functions of theirs, by name, that others take the place of."""

    method: Rules = field(default_factory=Rules)
    replaced: Mapping[str, Any] = field(default_factory=dict)


def one_scale(
    similarities: Floats,
    ids: Any,  # noqa: ANN401
    own: ImpostorScores,
    listed: ImpostorScores,
) -> Floats:
    """Similarities on the mean scale of all faces, instead of that of the two at hand."""
    del ids, own
    scaled: Floats = (similarities - listed.center.mean()) / listed.deviation.mean()
    return scaled


def edge_score(source: Any, target: Any, score: Floats, top: Any) -> Floats:  # noqa: ANN401
    """Scores of edges as they are, whatever the ends' best neighbours."""
    del source, target, top
    return score


def all_compared(X: Floats, around: Labels, **kept: Any) -> NeighborGraph:  # noqa: ANN401
    """Neighbours among all faces, not among the neighbours of neighbours."""
    return build_neighbor_graph(X, around.shape[1], method="exact", **kept)


VARIANTS = {
    "the clusterer": Variant(),
    "one scale for all faces": Variant(replaced={"normalized_scores": one_scale}),
    "no whitening": Variant(Rules(whitening=(0,))),
    "whitened whatever the doubt": Variant(Rules(whitening=(0.5,))),
    "no refinement": Variant(Rules(refinements=((1, 0.0),))),
    "one refinement": Variant(Rules(refinements=(FIRST,))),
    "three refinements": Variant(Rules(refinements=(FIRST, SECOND, SECOND))),
    "graphs rebuilt by comparing all": Variant(replaced={"rebuild_neighbor_graph": all_compared}),
    "cosine of means, not linkage": Variant(
        replaced={"linkage": lambda graph, around: graph.similarities}
    ),
    "strength of edges, not local strength": Variant(replaced={"local_score": edge_score}),
    "no similarity edges": Variant(Rules(margin=math.inf)),
    "plain components, groups not compared": Variant(
        replaced={"join_cohesive": lambda X, edges, impostor: connected_components(len(X), edges)}
    ),
    "large groups not reunited": Variant(
        replaced={"join_alike_groups": lambda X, labels, ids, impostor: labels}
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


def scores(X: Floats, graph: NeighborGraph) -> Floats:
    """Normalised scores (n, k) of listed neighbours."""
    impostors = impostor_scores(X, X[sample_faces(len(X))])
    return normalized_scores(graph.similarities, graph.ids, impostors, impostors)


def best_components(faces: Faces) -> dict[str, Labels]:
    """Components at the threshold of highest F_P, on three similarities of the 80 nearest."""
    graph = build_neighbor_graph(faces.X, 80)
    score = scores(faces.X, graph)
    score[:, 0] = np.inf
    order = np.argsort(-score, axis=1, kind="stable")
    ranked = np.take_along_axis(score, order, axis=1)
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
        found = {name: clustered(faces, variant) for name, variant in VARIANTS.items()}
        found |= best_components(faces)
        for name, labels in found.items():
            quality = evaluate(faces.identities, labels)
            cell = f"{100 * quality.pairwise.f:.1f} / {100 * quality.bcubed.f:.1f}"
            rows.setdefault(name, []).append(cell)
    print("| F_P / F_B in % |", " | ".join(faces.name for faces in sets), "|")
    print("| --- |", " | ".join("---:" for _ in sets), "|")
    for name, cells in rows.items():
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
