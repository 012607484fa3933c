"""Print what a C-GCN costs and gives in its two forms: a subgraph for each face, one pass for all.

    python -m benchmarks.subgraphs [--form pieces|subgraphs] [--epochs 10] [--teach 3000] [--faces 3000]

A C-GCN of the family "coordinates" learns from generated faces, on connected pieces of the graph or on
the published subgraphs, then refines other people's faces in both forms, with the same weights and the
same re-ranked lists. Everything runs on one thread, so that processor seconds hold work only: about 150
of them, and 300 more for an epoch on subgraphs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import nsrfc
from nsrfc.chunks import chunks
from nsrfc.config import ClusterConfig
from nsrfc.graph.subgraphs import Subgraphs, local_adjacency, subgraphs
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.methods.base import Run
from nsrfc.methods.networks import NetworkMethod
from nsrfc.methods.registry import load_networks
from nsrfc.metrics import pairwise
from nsrfc.networks.published.adjacency import DenseAdjacency
from nsrfc.records import Neighborhood
from nsrfc.research.baselines import best_threshold_components
from nsrfc.synthetic import generate
from nsrfc.training.config import TrainingConfig

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

PRESET, DIMENSION = "ms1m", 256
SEEDS = 7, 8
"""Of the generated faces that teach, and of those that are refined."""

NEAREST = 20
"""Neighbours that are looked at; most people have more faces."""

BATCH = 8
"""Subgraphs at a time, padded to the widest of them, or faces that a piece grows from."""

WARM_UP_FACES = 100
"""Refined first, so that no compilation is counted."""


@dataclass(frozen=True)
class Listed:
    """Unit vectors (n, d) with their neighbours by cosine, and the re-ranked lists (n, k)."""

    near: Neighborhood
    lists: npt.NDArray[np.int32]

    @classmethod
    def of(cls, X: Floats, method: NetworkMethod) -> Listed:
        """Search and re-rank neighbours."""
        near = method.nearest(X, None, Run())
        return cls(near, method.convolved_lists(near, Run()))


def trained(form: str, faces: int, epochs: int) -> NetworkMethod:
    """Train a C-GCN with the settings of the preset "paper", but for form and epochs."""
    known = generate(faces, PRESET, dimension=DIMENSION, seed=SEEDS[0])
    loop = {"epochs": epochs, "patience": epochs, "batch": BATCH}
    changes = {"validation": 0.2, "cgcn": {"form": form, "piece": 512, "loop": loop}}
    config = TrainingConfig.load("paper", changes=changes)
    model = nsrfc.train(known.embeddings, known.identities, config, only="cgcn", device="cpu")
    return load_networks(model, ClusterConfig(), DIMENSION, Run(device="cpu"))


def in_one_pass(method: NetworkMethod, listed: Listed) -> Floats:
    """Refine all faces over sparse lists, shape (n, 2 d)."""
    return method.refined(listed.near, Run(), whiten=False, lists=listed.lists)


def by_subgraphs(network: nn.Module, listed: Listed) -> Floats:
    """Refine each face in its subgraph, of which its row alone is kept, shape (n, 2 d)."""
    kept = []
    for cut in cuts(listed):
        x = listed.near.vectors[cut.nodes]
        x[cut.nodes < 0] = 0
        local, pairs = (DenseAdjacency(torch.from_numpy(part)) for part in (cut.adjacency, cut.mask))
        with torch.no_grad():
            refined = network(torch.from_numpy(x), local, pairs).numpy()
        kept.append(refined[np.arange(len(x)), cut.center])
    return np.concatenate(kept)


def cuts(listed: Listed) -> Iterator[Subgraphs]:
    """Cut out the subgraph of every face, `BATCH` of them at a time."""
    local = local_adjacency(listed.near.ids, listed.near.similarities)
    for part in chunks(len(listed.lists), BATCH):
        yield subgraphs(listed.lists, local, np.arange(part.start, part.stop))


def timed(refined: Callable[[], Floats]) -> tuple[Floats, float]:
    """Refined vectors, and the processor seconds that a face took."""
    started = time.process_time()
    Z = refined()
    return Z, (time.process_time() - started) / len(Z)


def row(name: str, Z: Floats, identities: Labels, seconds: float | None = None) -> str:
    """Lay out cost and quality of vectors."""
    graph = build_neighbor_graph(Z)
    labels, _ = best_threshold_components(graph, identities)
    near = graph.ids[:, 1 : NEAREST + 1]
    same = np.mean(identities[near] == identities[:, None])
    cost = "" if seconds is None else f"{1000 * seconds:.2f}"
    return f"| {name} | {cost} | {100 * pairwise(identities, labels).f:.2f} | {100 * same:.2f} |"


def main() -> None:
    """Train, refine in both forms, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    forms = "pieces", "subgraphs"
    parser.add_argument("--form", choices=forms, default=forms[0], help="what training works on")
    parser.add_argument("--epochs", type=int, default=10, metavar="COUNT", help="of training")
    parser.add_argument("--teach", type=int, default=3_000, metavar="COUNT", help="faces to learn from")
    parser.add_argument("--faces", type=int, default=3_000, metavar="COUNT", help="faces to refine")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    numba.config.NUMBA_NUM_THREADS = 1

    method = trained(arguments.form, arguments.teach, arguments.epochs)
    network = method.networks["cgcn"]
    unknown = generate(arguments.faces, PRESET, dimension=DIMENSION, seed=SEEDS[1])
    listed = Listed.of(unknown.embeddings, method)
    by_subgraphs(network, Listed.of(unknown.embeddings[:WARM_UP_FACES].copy(), method))
    cut, cut_seconds = timed(lambda: by_subgraphs(network, listed))
    passed, pass_seconds = timed(lambda: in_one_pass(method, listed))

    print(f"| | processor ms a face | F_P, best cosine | same person among {NEAREST} nearest |")
    print("| --- | ---: | ---: | ---: |")
    print(row("embeddings", unknown.embeddings, unknown.identities))
    print(row("a subgraph for each face", cut, unknown.identities, cut_seconds))
    print(row("one pass for all faces", passed, unknown.identities, pass_seconds))
    nodes = [part.nodes for part in cuts(listed)]
    faces = sum(np.count_nonzero(part >= 0) for part in nodes) / len(cut)
    places = sum(part.size for part in nodes) / len(cut)
    cosine = np.einsum("nd,nd->n", passed, cut)
    print(f"\nRatio of processor seconds: {cut_seconds / pass_seconds:.0f}.")
    print(f"Faces in a subgraph: {faces:.0f}, with padding {places:.0f}.")
    print(f"Cosine between both forms of a face: mean {cosine.mean():.4f}, least {cosine.min():.4f}.")


if __name__ == "__main__":
    main()
