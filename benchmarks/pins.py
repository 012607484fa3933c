"""Print fingerprints of the clusters of ten generated sets by three methods, and compare them.

    python -m benchmarks.pins [--json FILE] [--against FILE]

For a change of the code that must not change a label: run it before, with ``--json``, and after, with
``--against``, on one machine with the same libraries. It exits with 1 if labels differ. Confidence is
compared to the last bit: where it alone differs, sums were formed in another order, as another processor
or library does as well. About two minutes on two cores.

The methods are the rules, the model of the package, and published networks with random weights, whose
clusters mean nothing but repeat.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

import nsrfc
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.settings import UNIVERSAL, ModelSettings
from nsrfc.records import Clustering
from nsrfc.storage.files import existing_file, reading
from nsrfc.storage.runs import write_json
from nsrfc.synthetic import generate

from .tables import table

Floats = npt.NDArray[np.float32]

GENERATED = (
    ("wild", 1500, 256),
    ("lfw", 1500, 128),
    ("lowres", 1200, 256),
    ("ms1m", 2000, 256),
    ("wild", 300, 256),
    ("lfw", 60, 64),
    ("ms1m", 1500, 512),
    ("lowres", 600, 64),
    ("wild", 4500, 128),
)
"""Preset, faces and dimension of each set; its place, counted from 1, is the seed."""

COPIED, COPIES = ("lowres", 600, 64), 100
"""The set to which copies of faces are added, and their number; its rows are scaled to length 3."""

NOISE = 600, 32
"""Faces and dimension of the set of pure Gaussian noise."""

HEAD = ["set", "method", "clusters", "labels", "with confidence", "before"]

WIDTHS = {"hidden": 64, "heads": 4}
"""Of the published networks: small ones, for the sake of time."""


@dataclass(frozen=True)
class Pin:
    """Clusters in short: their number, and the first digits of two SHA-256.

    Attributes
    ----------
    clusters : int
    labels, with_confidence : str
        Of the labels, and of labels and confidence.
    """

    clusters: int
    labels: str
    with_confidence: str

    @classmethod
    def of(cls, found: Clustering) -> Pin:
        """Shorten a clustering."""
        labels = found.labels.tobytes()
        digests = [
            hashlib.sha256(it).hexdigest() for it in (labels, labels + found.confidence.tobytes())
        ]
        return cls(int(found.labels.max()) + 1, *(digest[:12] for digest in digests))

    def beside(self, before: Pin | None) -> str:
        """Say how this compares with what it was before."""
        if before is None:
            return "-"
        if self.labels != before.labels:
            return f"LABELS DIFFER, {before.clusters} clusters"
        return "equal" if self == before else "confidence differs"


def main() -> None:
    """Cluster, print, write, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the fingerprints there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with what stands there")
    arguments = parser.parse_args()
    try:
        before = {} if arguments.against is None else read(arguments.against)
    except nsrfc.InputError as error:
        parser.error(str(error))

    print(table(HEAD, [], words=2))
    now: dict[str, Pin] = {}
    for name, X in sets():
        for method, model in methods(X.shape[1]).items():
            key = f"{name}, {method}"
            pin = now[key] = Pin.of(nsrfc.cluster(X, model))
            cells = map(str, asdict(pin).values())
            print(
                f"| {name} | {method} | {' | '.join(cells)} | {pin.beside(before.get(key))} |",
                flush=True,
            )
    if arguments.json is not None:
        write_json(arguments.json, {key: asdict(pin) for key, pin in now.items()})
    if arguments.against is not None:
        both = now.keys() & before.keys()
        differing = sum(now[key].labels != before[key].labels for key in both)
        print(f"\nLabels of {differing} of {len(both)} differ.")
        if missing := sorted(before.keys() - now.keys()):
            print(f"Not run any more: {'; '.join(missing)}.")
        raise SystemExit(differing > 0)


def read(path: Path) -> dict[str, Pin]:
    """Read what an earlier run wrote.

    Raises
    ------
    InputError
        If there is no such file, or it is another kind of file.
    """
    with reading(existing_file(path)):
        return {key: Pin(**pin) for key, pin in json.loads(path.read_text(encoding="utf-8")).items()}


def sets() -> Iterator[tuple[str, Floats]]:
    """Yield sets of faces by name."""
    rng = np.random.default_rng(5)
    for seed, drawn in enumerate(GENERATED, 1):
        preset, n, d = drawn
        X = generate(n, preset, dimension=d, seed=seed).embeddings
        if drawn == COPIED:
            rows = np.concatenate((np.arange(n), rng.integers(n, size=COPIES)))
            yield f"{preset} {len(rows)} x {d}, {COPIES} of them copies", X[rows] * 3
        else:
            yield f"{preset} {n} x {d}", X
    yield "noise {} x {}".format(*NOISE), rng.standard_normal(NOISE).astype(np.float32)


def methods(dimension: int) -> dict[str, NSRFC | None]:
    """Return the models by name; None are the rules."""
    return {"rules": None, "universal": load_model(UNIVERSAL), "published": published(dimension)}


def published(dimension: int) -> NSRFC:
    """Make published networks with random weights, of which all are used, with the published rules."""
    torch.manual_seed(0)
    settings = ModelSettings(
        family="coordinates",
        dimension=dimension,
        k=20,
        rerank=True,
        networks={
            "cgcn": {},
            "pairs": {**WIDTHS},
            "lcenet": {"layers": 1, **WIDTHS},
            "pcenet": {"layers": 1, **WIDTHS, "classifier_hidden": 64},
        },
        used={"refine": True, "rebuild": False, "pairs": True, "density": True, "connect": True},
        unrefined=("lcenet", "pcenet"),
        mutual="published",
        veto=False,
    )
    return NSRFC(settings).eval()


if __name__ == "__main__":
    main()
