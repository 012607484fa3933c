"""Print what the universal model is worth: one set of weights for every embedder and dimension.

    python -m benchmarks.universal [--part NAME ...] [--sets NAME ...] [--infomap NAME ...]
                                   [--labelled PEOPLE ...] [--model NAME] [--shared DIR] [--json FILE]

Parts, the first by default:

    table        F of the model, of the rules without one, and of Infomap at its best threshold
    small        the same for libraries of a few people, beside the best of three methods for each
    cards        the same with and without the card of the embedder, down to one person and one photo
    reliability  predicted probability beside the share that is the same person, on real faces
    confidence   confidence of wrong clusters beside that of right ones, in libraries of a few people
    precision    precision and recall of pairs for several values of the knob ``precision``
    things       things that are not faces, from the data that scikit-learn brings
    trained      the model beside networks trained on that very embedding
    fine-tuning  F over the number of labelled people from whom the model learned further

Labels score, and choose the threshold of Infomap; they teach in the last two parts alone. Real faces are
taken from DIR/data; without them their rows are left out. ``fine-tuning`` learns from up to 100,000
faces, and from fewer with ``--labelled 0 50 200``.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.preprocessing import StandardScaler

import nsrfc
from nsrfc.config import ClusterConfig
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.knn.copies import distinct_faces
from nsrfc.methods.base import Run
from nsrfc.methods.registry import load_networks
from nsrfc.metrics import evaluate
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.records import Clustering
from nsrfc.research import baselines
from nsrfc.storage.runs import write_json
from nsrfc.synthetic import FaceDistribution, generate
from nsrfc.vectors import normalize

from .clustering import (
    GENERATED,
    REAL,
    SHARED,
    Faces,
    Floats,
    Labels,
    Record,
    cell,
    infomap,
    library_versions,
    line,
    real,
)

SEEDS = 7, 8
"""Of the generated faces that teach, and of those that are clustered."""

EMBEDDER = "ov256"
"""The one that is taken where one must do: to the other, few faces of celeba_lowres tell anything."""

BINS = (0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1)

PRECISIONS = (0.95, 0.97, 0.98, 0.99)

LABELLED = (0, 50, 200, 1000, 5000)
"""Numbers of labelled people."""

PHOTOS = 20
"""Photos of a labelled person, at most."""

FACES_PER_PERSON = 70
"""Generated faces of the preset ms1m for every labelled person: so many that none lacks two photos."""

LIBRARIES = ("celeba_wild_dev", "lfw", "lfw_dlib")
"""Sets with enough people who have ten photos or more."""

PEOPLE = (2, 4, 8, 20, 60)
"""Numbers of people in a library."""

PHOTOS_IN_LIBRARY = 10

CARDS = {"dlib128": "dlib", "mfn128": "mobilefacenet"}
"""Embedders of the sets that there is a card of."""

KINDS = "pairwise", "bcubed"
"""Scores of the small libraries."""

SMALLEST = ((1, 3), (1, 10), (2, 1), (2, 3), (4, 1), (4, 3), (8, 3), (20, 3))
"""Numbers of people, and of photos of each, in the libraries that are smaller than those above."""

VERDICTS = "right", "merged", "fragment"
"""What a cluster may be."""

MAIN = 0.8
"""Minimum share of a cluster's main identity, below which the cluster counts as merged."""

ALBUM = 400
"""Faces of a generated album."""

UNLABELLED_FACES = 10_000
"""Generated faces that are clustered after fine-tuning."""


def table(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print F_P / F_B on every set."""
    header("faces of", "faces", "identities", "Infomap, tuned", "rules", "universal")
    records = []
    for name, faces in faces_of(arguments.sets, arguments.shared):
        results = {
            "Infomap": tuned(faces) if name in arguments.infomap else {"skipped": "not asked for"},
            "rules": scored(faces, nsrfc.cluster(faces.X, None).labels),
            "universal": scored(faces, nsrfc.cluster(faces.X, model).labels),
        }
        records.append(row(faces, results))
    return records


def small(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print F_P for libraries drawn from the people with ten photos or more: mean and lowest."""
    header("libraries of", "identities", "best method, tuned for each", "rules", "universal")
    records = []
    for name, faces in faces_of(arguments.sets, arguments.shared):
        if name not in LIBRARIES:
            continue
        for people in PEOPLE:
            drawn = [library(faces, people, seed) for seed in range(arguments.draws)]
            found = {
                "peer": [best_peer(each) for each in drawn],
                "rules": [f_p(each, nsrfc.cluster(each.X, None).labels) for each in drawn],
                "universal": [f_p(each, nsrfc.cluster(each.X, model).labels) for each in drawn],
            }
            cells = [f"{100 * np.mean(each):.1f} ({100 * min(each):.1f})" for each in found.values()]
            print(line([faces.name, f"{people}", *cells]), flush=True)
            records.append({"set": faces.name, "people": people, "f_p": found})
    return records


def cards(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print mean F_P / F_B of small libraries with and without the card of the embedder."""
    header("libraries of", "people", "photos", "rules", "with card", "universal", "with card")
    records = []
    for name, faces in faces_of(arguments.sets, arguments.shared):
        card = CARDS.get(faces.name.split()[-1])
        if name not in LIBRARIES or card is None:
            continue
        for people, photos in (*SMALLEST, *((people, None) for people in PEOPLE[:-1])):
            drawn = [library(faces, people, seed, photos) for seed in range(arguments.draws)]
            found = {
                f"{kind}, {embedder}": [
                    scored(each, nsrfc.cluster(each.X, used, ClusterConfig(embedder=embedder)).labels)
                    for each in drawn
                ]
                for kind, used in (("rules", None), ("universal", model))
                for embedder in ("none", card)
            }
            cells = [
                " / ".join(f"{100 * np.mean([each[kind]['f'] for each in of]):.1f}" for kind in KINDS)
                for of in found.values()
            ]
            print(line([faces.name, f"{people}", f"{photos or 'all'}", *cells]), flush=True)
            records.append({"set": faces.name, "people": people, "photos": photos, "results": found})
    return records


def library(faces: Faces, people: int, seed: int, most: int | None = None) -> Faces:
    """Draw the photos of some of the people who have ten or more, at most so many of each."""
    identities, photos = np.unique(faces.identities, return_counts=True)
    rng = np.random.default_rng([people, seed])
    chosen = rng.choice(identities[photos >= PHOTOS_IN_LIBRARY], people, replace=False)
    rows = np.flatnonzero(np.isin(faces.identities, chosen))
    if most is not None:
        rows = np.concatenate(
            [rng.permutation(rows[faces.identities[rows] == i])[:most] for i in chosen]
        )
    return Faces(faces.name, faces.X[rows], faces.identities[rows])


def best_peer(faces: Faces) -> float:
    """F_P of components, HDBSCAN or Infomap, whichever is best with its best setting by the labels."""
    graph = build_neighbor_graph(faces.X)
    low, high = (float(np.quantile(graph.similarities[:, 1:], share)) for share in (0.02, 0.98))
    labels = [
        baselines.best_threshold_components(graph, faces.identities)[0],
        *(baselines.hdbscan(graph, size) for size in (2, 3, 5, 8)),
        *(baselines.infomap(graph, float(at)) for at in np.linspace(low, high, 16)),
    ]
    return max(f_p(faces, each) for each in labels)


def f_p(faces: Faces, labels: Labels) -> float:
    """Pairwise F."""
    return evaluate(faces.identities, labels).pairwise.f


def reliability(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print for each bin of probability the mean predicted and the share that is the same person."""
    records = []
    for _, faces in faces_of([name for name in arguments.sets if name in REAL], arguments.shared):
        for kind, (probability, same) in pair_probabilities(model, faces).items():
            curve = reliability_curve(probability, same)
            records.append({"set": faces.name, "pairs": kind, **curve})
    for kind in dict.fromkeys(record["pairs"] for record in records):
        columns = [record for record in records if record["pairs"] == kind]
        print(f"{kind}: predicted / the same person, in %\n")
        header("probability", *(column["set"] for column in columns))
        for place, (low, high) in enumerate(itertools.pairwise(BINS)):
            found = [column["bins"][place] for column in columns]
            cells = [
                f"{100 * one['predicted']:.1f} / {100 * one['same']:.1f}" if one["count"] else "-"
                for one in found
            ]
            print(line([f"{low:g} to {high:g}", *cells]))
        errors = [f"{100 * column['error']:.1f}" for column in columns]
        print(line(["mean error (ECE)", *errors]), end="\n\n", flush=True)
    return records


def confidence(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print medians of confidence over the clusters of libraries and albums: how many / median."""
    header("libraries of", *VERDICTS, "all wrong ones", "libraries warned about")
    records = []
    for name, libraries in libraries_and_albums(arguments):
        found = [nsrfc.cluster(faces.X, model) for faces in libraries]
        kinds = np.concatenate(
            [cluster_kinds(faces, each.labels) for faces, each in zip(libraries, found, strict=True)]
        )
        sure = np.concatenate([cluster_confidence(each) for each in found])
        columns = [*((kinds == kind) for kind in VERDICTS), kinds != VERDICTS[0]]
        medians = [(int(of.sum()), float(np.median(sure[of])) if of.any() else None) for of in columns]
        warned = sum(each.warning is not None for each in found)
        cells = [f"{count:,} / {'-' if at is None else f'{at:.2f}'}" for count, at in medians]
        print(line([name, *cells, f"{warned} of {len(found)}"]), flush=True)
        records.append({"set": name, "clusters": medians, "warned": warned, "of": len(found)})
    return records


def libraries_and_albums(arguments: argparse.Namespace) -> Iterator[tuple[str, list[Faces]]]:
    """Yield libraries of every size in `PEOPLE`, drawn from real people, and generated albums."""
    for name, faces in faces_of(arguments.sets, arguments.shared):
        if name in LIBRARIES:
            drawn = itertools.product(PEOPLE, range(arguments.draws))
            yield faces.name, [library(faces, people, seed) for people, seed in drawn]
    for share in (0.0, 0.2, 0.4, 0.6):
        name = f"generated album, main person {100 * share:.0f} %"
        yield name, [album(ALBUM, share, seed) for seed in range(arguments.draws)]


def album(n: int, share: float, seed: int) -> Faces:
    """Generate an album: a main person who has some share of the photos, and guests with one to five."""
    usual = FaceDistribution(wrong=0)
    main = round(share * n)
    one = generate(
        2 * n, replace(usual, body_size=n, body_spread=1, tail_share=0, max_size=n), seed=seed
    )
    guests = generate(40 * n, usual, seed=seed + 1000)
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(one.identities == np.bincount(one.identities).argmax())[:main]]
    photos = 0
    for person in np.unique(guests.identities):
        if photos >= n - main:
            break
        rows.append(np.flatnonzero(guests.identities == person)[: rng.integers(1, 6)])
        photos += len(rows[-1])
    X = np.concatenate([one.embeddings[rows[0]], *(guests.embeddings[of] for of in rows[1:])])
    return Faces("album", X, np.repeat(np.arange(len(rows)), [len(of) for of in rows]))


def cluster_kinds(faces: Faces, labels: Labels) -> npt.NDArray[np.str_]:
    """Say of each cluster (c,) whether it is right, merged or a fragment.

    Merged: less than `MAIN` of its faces are of its main identity. Fragment: of those that are not
    merged, one with less than half of the faces of its main identity.
    """
    _, identity = np.unique(faces.identities, return_inverse=True)
    count = np.zeros((labels.max() + 1, identity.max() + 1), np.int64)
    np.add.at(count, (labels, identity), 1)
    most = count.max(axis=1)
    merged = most < MAIN * count.sum(axis=1)
    fragment = 2 * most < count.sum(axis=0)[count.argmax(axis=1)]
    right, other, part = VERDICTS
    return np.where(merged, other, np.where(fragment, part, right))


def cluster_confidence(found: Clustering) -> Floats:
    """Median confidence (c,) of the faces of each cluster."""
    order = np.lexsort((found.confidence, found.labels))
    ends = np.cumsum(np.bincount(found.labels))
    return np.array([np.median(part) for part in np.split(found.confidence[order], ends[:-1])])


def precision(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print pairwise precision / recall for each wanted precision."""
    header("faces of", *(f"at least {100 * wanted:g}" for wanted in PRECISIONS))
    records = []
    for _, faces in faces_of(arguments.sets, arguments.shared):
        # Only the threshold differs: the networks run once, and what they found is kept.
        with tempfile.TemporaryDirectory(prefix="nsrfc-") as cache:
            run = Run(cache=Path(cache))
            results = {f"{wanted:g}": asked(model, faces, wanted, run) for wanted in PRECISIONS}
        cells = [
            f"{100 * pairs['precision']:.1f} / {100 * pairs['recall']:.1f}" if pairs else "-"
            for pairs in (result.get("pairwise") for result in results.values())
        ]
        print(line([faces.name, *cells]), flush=True)
        records.append({"set": faces.name, "results": results})
    return records


def asked(model: NSRFC, faces: Faces, wanted: float, run: Run) -> Record:
    """Score the model where a precision is asked for; training may never have reached it."""
    try:
        found = nsrfc.cluster(faces.X, model, ClusterConfig(precision=wanted), run=run)
    except nsrfc.InputError as error:
        return {"skipped": str(error)}
    return scored(faces, found.labels)


def things(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print F_P / F_B on things that are not faces; k-means is told the number of kinds."""
    del arguments
    header("things", "items", "kinds", "k-means, told", "rules", "universal")
    records = []
    for items in builtin_data():
        results = {
            "k-means": scored(items, baselines.kmeans(items.X, len(np.unique(items.identities)))),
            "rules": scored(items, nsrfc.cluster(items.X, None).labels),
            "universal": scored(items, nsrfc.cluster(items.X, model).labels),
        }
        records.append(row(items, results))
    return records


def trained(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print F_P / F_B of the model beside networks that learned from the same embedder."""
    del arguments
    header("faces of", "faces", "identities", "rules", "universal", "trained on this embedder")
    known, unknown = (generated("ms1m", GENERATED["ms1m"], seed) for seed in SEEDS)
    own = nsrfc.train(known.X, known.identities)
    results = {
        "rules": scored(unknown, nsrfc.cluster(unknown.X, None).labels),
        "universal": scored(unknown, nsrfc.cluster(unknown.X, model).labels),
        "trained": scored(unknown, nsrfc.cluster(unknown.X, own).labels),
    }
    return [row(unknown, results)]


def fine_tuning(model: NSRFC, arguments: argparse.Namespace) -> list[Record]:
    """Print F_P / F_B after learning further from more and more labelled people."""
    header("labelled people of", "clustered", *(f"{count:,}" for count in arguments.labelled))
    records = []
    for known, unknown in labelled_and_unknown(arguments.shared, max(arguments.labelled)):
        counts = arguments.labelled
        results = {f"{count}": fine_tuned(model, known, count, unknown) for count in counts}
        print(line([known.name, unknown.name, *map(cell, results.values())]), flush=True)
        records.append({"labelled": known.name, "set": unknown.name, "results": results})
    return records


def fine_tuned(model: NSRFC, known: Faces, count: int, unknown: Faces) -> Record:
    """Learn further from some of the known people, cluster the unknown ones, and score."""
    rows = labelled(known.identities, count)
    if rows is None:
        return {"skipped": "there are fewer people"}
    if count:
        model = nsrfc.train(known.X[rows], known.identities[rows], start=model)
    found = scored(unknown, nsrfc.cluster(unknown.X, model).labels)
    return {"labelled_faces": len(rows), **found}


PARTS: dict[str, Callable[[NSRFC, argparse.Namespace], list[Record]]] = {
    "table": table,
    "small": small,
    "cards": cards,
    "reliability": reliability,
    "confidence": confidence,
    "precision": precision,
    "things": things,
    "trained": trained,
    "fine-tuning": fine_tuning,
}


def faces_of(names: Sequence[str], shared: Path) -> Iterator[tuple[str, Faces]]:
    """Yield the faces of every embedder under the name of their set; sets not there are left out."""
    for name in names:
        if name in GENERATED:
            yield name, generated(name, GENERATED[name], SEEDS[1])
            continue
        path = shared / "data" / f"{name}.npz"
        for faces in real(path) if path.is_file() else []:
            if name != "celeba_lowres" or faces.name.endswith(EMBEDDER):
                yield name, faces


def generated(preset: str, n: int, seed: int) -> Faces:
    """Draw faces of a preset."""
    faces = generate(n, preset, seed=seed)
    return Faces(f'generated "{preset}"', faces.embeddings, faces.identities)


def builtin_data() -> Iterator[Faces]:
    """Yield unit vectors of things and their kinds: pixels centred, measurements standardised."""
    for name, load, spread in (
        ("digits", load_digits, False),
        ("wine", load_wine, True),
        ("breast cancer", load_breast_cancer, True),
        ("iris", load_iris, True),
    ):
        X, kinds = load(return_X_y=True)
        yield Faces(name, normalize(StandardScaler(with_std=spread).fit_transform(X)), kinds)


def pair_probabilities(model: NSRFC, faces: Faces) -> dict[str, tuple[Floats, npt.NDArray[np.bool_]]]:
    """Probabilities, by who gave them, and whether it is the same person.

    The pair network and LCENet score all listed pairs, where the model uses them. A density edge has the
    calibrated probability, whether or not a run would have skipped it.
    """
    distinct, run = distinct_faces(faces.X), Run()
    identities = faces.identities[distinct.rows]
    method = load_networks(model, ClusterConfig(), distinct.vectors.shape[1], run)
    near = method.neighborhood(distinct.vectors, None, run)
    affinity = method.affinity(near, run)
    graph = method.density_graph(near, affinity, run)
    ids = near.ids[:, 1 : affinity.shape[1]]
    listed, same = ids >= 0, identities[ids] == identities[:, None]
    found = {}
    if method.settings.uses("pairs"):
        found["Pair network, listed pairs"] = affinity[:, 1:][listed], same[listed]
    if method.settings.uses("density") and graph.genuine_probability is not None:
        found["LCENet, listed pairs"] = graph.genuine_probability[:, 1:][listed], same[listed]
    edges = graph.density_edges
    probability = method.edge_scorer(near, graph, run)(np.arange(len(edges)))
    found["Density edges"] = probability, identities[edges.source] == identities[edges.target]
    return found


def reliability_curve(probability: Floats, same: npt.NDArray[np.bool_]) -> Record:
    """Compare probabilities with what is true, in bins.

    Parameters
    ----------
    probability : ndarray of float32, shape (m,)
    same : ndarray of bool, shape (m,)

    Returns
    -------
    dict
        ``bins``, for each its number of pairs and the means of both, and ``error``, the expected
        calibration error: the mean over all pairs of how far the two means of their bin are apart
        (Guo et al., On calibration of modern neural networks, ICML 2017, equation 3).
    """
    place = np.digitize(probability, BINS[1:-1])
    bins = []
    for one in range(len(BINS) - 1):
        inside = place == one
        count = int(inside.sum())
        means = (float(of[inside].mean()) if count else 0.0 for of in (probability, same))
        bins.append({"count": count, **dict(zip(("predicted", "same"), means, strict=True))})
    apart = [one["count"] * abs(one["predicted"] - one["same"]) for one in bins]
    return {"bins": bins, "error": sum(apart) / max(1, len(probability))}


def labelled_and_unknown(shared: Path, people: int) -> Iterator[tuple[Faces, Faces]]:
    """Yield faces whose people may be labelled, and faces of others to be clustered."""
    known, unknown = max(1000, people * FACES_PER_PERSON), UNLABELLED_FACES
    yield generated("ms1m", known, SEEDS[0]), generated("ms1m", unknown, SEEDS[1])
    found = [
        faces
        for _, faces in faces_of(("lfw", "celeba_wild_dev"), shared)
        if faces.name.endswith(EMBEDDER)
    ]
    if len(found) == 2:
        yield found[0], found[1]


def labelled(identities: Labels, count: int) -> npt.NDArray[np.int64] | None:
    """Rows of some people with two photos or more, the first of each; None if there are too few.

    More people are always the same ones and others.
    """
    people, person, photos = np.unique(identities, return_inverse=True, return_counts=True)
    several = np.flatnonzero(photos > 1)
    if len(several) < count:
        return None
    chosen = np.zeros(len(people), bool)
    chosen[np.random.default_rng(0).permutation(several)[:count]] = True
    order = np.argsort(person, kind="stable")
    number = np.empty(len(person), np.int64)
    number[order] = np.arange(len(person)) - np.repeat(np.cumsum(photos) - photos, photos)
    return np.flatnonzero(chosen[person] & (number < PHOTOS))


def tuned(faces: Faces) -> Record:
    """Score Infomap at its best threshold by the labels."""
    try:
        setting, labels = infomap(faces, build_neighbor_graph(faces.X))
    except nsrfc.OptionalDependencyError as error:
        return {"skipped": str(error)}
    return {"setting": setting, **scored(faces, labels)}


def scored(faces: Faces, labels: Labels) -> Record:
    """Compare labels with the identities."""
    return evaluate(faces.identities, labels).as_dict()


def header(first: str, *others: str) -> None:
    """Print the head of a table."""
    print(line([first, *others]))
    print(line(["---", *["---:"] * len(others)]), flush=True)


def row(faces: Faces, results: dict[str, Record]) -> Record:
    """Print F_P / F_B of every method on a set."""
    n, people = len(faces.X), len(np.unique(faces.identities))
    print(line([faces.name, f"{n:,}", f"{people:,}", *map(cell, results.values())]), flush=True)
    return {"set": faces.name, "faces": n, "people": people, "results": results}


def main() -> None:
    """Print the parts asked for, then which sets are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [*REAL, *GENERATED]
    quick = [name for name in names if name != "celeba_lowres"]
    parser.add_argument("--part", nargs="+", choices=PARTS, default=["table"], help="what to print")
    parser.add_argument("--sets", nargs="+", choices=names, default=names, help="rows to print")
    parser.add_argument(
        "--infomap",
        nargs="*",
        choices=names,
        default=quick,
        help="sets for Infomap; not celeba_lowres by default, which takes it long",
    )
    parser.add_argument(
        "--labelled", nargs="+", type=int, default=LABELLED, help="people for fine-tuning"
    )
    parser.add_argument(
        "--draws", type=int, default=20, help="libraries of each size, for small and confidence"
    )
    parser.add_argument("--model", default="universal", help="its name or folder")
    parser.add_argument("--shared", type=Path, default=SHARED, metavar="DIR", help="real faces")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    arguments = parser.parse_args()
    try:
        model = load_model(arguments.model)
    except nsrfc.InputError as error:
        parser.error(str(error))

    parts = {}
    for part in arguments.part:
        print(f"\n## {part}\n")
        parts[part] = PARTS[part](model, arguments)
    paths = [arguments.shared / "data" / f"{name}.npz" for name in arguments.sets if name in REAL]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        print(f"\nNot there, and left out: {', '.join(missing)}")
    if arguments.json:
        settings = model.settings.model_dump(mode="json")
        about = {"model": arguments.model, "settings": settings, "versions": library_versions()}
        write_json(arguments.json, {**about, "parts": parts, "missing": missing})


if __name__ == "__main__":
    main()
