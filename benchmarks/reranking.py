"""Microseconds of re-ranking per face and core, on generated faces of about 68 per identity.

Run ``python -m benchmarks.reranking --faces 50000 --neighbors 80``. It measures processor time, which
other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numba

from nsrfc.data.synthetic import generate
from nsrfc.graph import build_neighbor_graph, k_reciprocal_sets, rerank


def main() -> None:
    """Build a neighbour graph once, re-rank it several times, print the best time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=50_000)
    parser.add_argument("--neighbors", type=int, default=80)
    parser.add_argument("--threads", type=int, default=numba.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    numba.set_num_threads(arguments.threads)

    X = generate(arguments.faces, "ms1m").embeddings
    graph = build_neighbor_graph(X, arguments.neighbors)
    runs: dict[str, Callable[[], object]] = {
        "k_reciprocal_sets": lambda: k_reciprocal_sets(graph),
        "rerank": lambda: rerank(graph),
        "rerank, ties by X": lambda: rerank(graph, X=X),
    }
    print(f"{graph.n} faces, k = {graph.k}, {arguments.threads} thread(s)")
    for name, run in runs.items():
        run()
        seconds = []
        for _ in range(arguments.repeats):
            started = time.process_time()
            run()
            seconds.append(time.process_time() - started)
        microseconds = min(seconds) / graph.n * 1e6
        print(f"{name:20} {microseconds:6.1f} microseconds per face and core")


if __name__ == "__main__":
    main()
