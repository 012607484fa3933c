"""Adding faces to a library, beside clustering all of them again.

    python -m benchmarks.adding --faces 100000 --batch 1000 --batches 20

Prints the seconds of a full run and of each batch, their ratio, the lists that were made or changed, and
how far the clusters agree with those of a full run of all faces at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from nsrfc import Library, cluster
from nsrfc.metrics import pairwise
from nsrfc.synthetic import PRESETS, generate


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=100_000, help="before any is added")
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="wild")
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--model", default="universal", help="none: rules")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = None if given.model == "none" else given.model
    total = given.faces + given.batch * given.batches
    made = generate(total, given.preset, dimension=given.dimension, seed=given.seed)
    order = np.random.default_rng(given.seed).permutation(total)
    X, identities = made.embeddings[order], made.identities[order]
    with tempfile.TemporaryDirectory() as folder:
        library = Library.create(Path(folder) / "library")
        library.add(X[: given.faces])
        started = time.perf_counter()
        library.cluster(model)
        full = time.perf_counter() - started
        print(f"full run of {given.faces:,} faces: {full:.1f} s")
        for number in range(given.batches):
            first = given.faces + number * given.batch
            started = time.perf_counter()
            library.add(X[first : first + given.batch])
            seconds = time.perf_counter() - started
            added = library.found.added()
            assert added is not None
            print(
                f"batch {number + 1}: {seconds:.2f} s, {100 * seconds / full:.1f} % of a full run, "
                f"{added.touched:,} lists made or changed",
                flush=True,
            )
        grown = library.clusters
        started = time.perf_counter()
        library = Library.open(library.folder)
        print(f"opened in {1000 * (time.perf_counter() - started):.0f} ms")
    whole = cluster(X, model).labels
    for name, one, other in (
        ("clusters after adding, against a full run", whole, grown),
        ("the same, faces of the first run only", whole[: given.faces], grown[: given.faces]),
        ("clusters after adding, against identities", identities, grown),
        ("a full run, against identities", identities, whole),
    ):
        print(f"{name}: F {100 * pairwise(one, other).f:.2f}")


if __name__ == "__main__":
    main()
