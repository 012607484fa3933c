"""Approximate neighbours beside exact ones: seconds, and the share of true neighbours in the lists.

    python -m benchmarks.search [--faces COUNT ...] [--preset ms1m] [--dimension 256] [--seeds SEED ...]
                                [--crowded COUNT]

Faces are generated, in random order. Truth is an exact search for a sample. Neighbours of the same
identity are counted apart: only they can join a face to its cluster.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from nsrfc.chunks import sample_faces
from nsrfc.knn import cells
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.exact import exact_lists
from nsrfc.synthetic import PRESETS, generate
from nsrfc.vectors import normalize

K, SAMPLE = 80, 1000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="ms1m")
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the search")
    parser.add_argument(
        "--crowded", type=int, help="from so many faces on, neighbours of all neighbours are searched"
    )
    given = parser.parse_args()
    if given.crowded is not None:
        cells.CROWDED = given.crowded
    print(
        "| faces | seed | s | processor s | recall | of the same identity |\n|---|---|---|---|---|---|"
    )
    for n in given.faces:
        made = generate(n, given.preset, dimension=given.dimension, seed=1)
        order = np.random.default_rng(1).permutation(n)
        X, person = normalize(made.embeddings[order]), made.identities[order]
        del made
        rows = sample_faces(n, 1, SAMPLE)
        true = exact_lists(X, rows, K)[0]
        same = person[true] == person[rows, None]
        for seed in given.seeds:
            clock, processor = time.perf_counter(), time.process_time()
            found = build_neighbor_graph(X, K, method="approximate", seed=seed).ids[rows]
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            held = (true[:, 1:, None] == found[:, None, 1:]).any(axis=2)
            shares = held.mean(), held[same[:, 1:]].mean()
            print(f"| {n:,} | {seed} | {clock:.1f} | {processor:.1f} |", end="")
            print("".join(f" {100 * share:.1f} |" for share in shares), flush=True)


if __name__ == "__main__":
    main()
