"""Train the model that ships with the package: one model for every embedder.

    python -m recipes.universal -o FOLDER
    python -m recipes.universal -o FOLDER --weights MODEL    # only measures thresholds
    python -m recipes.universal -o FOLDER --settle MODEL     # only calibrates it anew

Networks that read neighbour structure do not depend on the coordinates of an embedder, but they do
depend on the kind of faces in their training set. They are therefore trained on many generated sets
(:mod:`nsrfc.synthetic`) that vary in everything embedders and collections vary in: dimension, spectrum,
noise, common mean, look-alikes, sub-modes, image quality, faces per identity from one to a thousand,
number of faces from eight up, wrong labels. No real face is read. The validation sets are drawn from the
presets, which are calibrated on real faces: as they are, with the geometry of embedders whose faces all
lie in a narrow cone, and as small libraries.

An interrupted command resumes when it is given again. Everything random follows from the seeds.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn

from nsrfc.config import ClusterConfig
from nsrfc.knn.copies import canonical_rows
from nsrfc.methods.base import Run
from nsrfc.methods.registry import load_networks
from nsrfc.model.bundle import NSRFC, load_model
from nsrfc.model.settings import UNCHANGED, NetworkName
from nsrfc.records import NeighborGraph
from nsrfc.runtime import find_device
from nsrfc.storage.runs import check_folder
from nsrfc.synthetic import PRESETS, FaceDistribution, generate
from nsrfc.training.calibration import fit_calibration
from nsrfc.training.checkpoint import CheckpointFolder
from nsrfc.training.config import TrainingConfig
from nsrfc.training.curves import CurveLog
from nsrfc.training.networks import outline
from nsrfc.training.result import (
    CHECKPOINTS,
    steps_given,
    trained_model,
    training_versions,
    write_result,
)
from nsrfc.training.sample import labelled_sample
from nsrfc.training.thresholds import TOLERANCE, ScoredSet, precision_steps
from nsrfc.training.trainer import LabelledFaces, Trainer

__all__ = ["GeneratedSet", "draw_set", "main", "settle", "train_universal"]

TRAINED: tuple[NetworkName, ...] = ("cgcn", "pairs")
"""Networks that are trained. LCENet and PCENet, trained after these, did not improve the validation
score in the trainings before (commit 358081f), and a run without them takes half the time."""

SCORED = 40
"""Nearest neighbours that the networks score when they serve, which takes half the time. They are
trained on whole lists. Trained on the nearest 40 alone, validation F was 89.5 in place of 88.4, as most
of these sets are small libraries, but people of many photos were split: F_P 93.8 in place of 95.4 on
20,000 faces of the preset ms1m."""

TRAINING_SETS, SMALL_SETS = 90, 360
"""Number of training sets, and of small ones beside them."""

FIRST_VALIDATION_SEED = 1_000_000
"""Seed of the first validation set."""

VALIDATION_FACES, VALIDATION_DIMENSIONS = 6_000, (128, 512)
"""There is one validation set of this size for every preset and each of these dimensions, and one for
every preset in a narrow cone."""

VALIDATION_LIBRARIES = (
    *((2, 25), (4, 25), (8, 25), (20, 25), (60, 25)),
    *((20, 3), (60, 3), (200, 3), (200, 2)),
    *((10, 1), (100, 1)),
)
"""Small libraries of so many identities, with so many photos each on average, validate as well: one for
every preset, in and out of a cone. Among strangers nobody may be joined."""

NARROW: dict[str, Any] = {"spectrum_decay": 1.9, "noise_decay": 1.9, "common_mean": 0.7, "fading": 0.4}
"""A few directions hold most of the variance, and faces share most of their length."""

FEW_FACES, MIN_FACES, USUAL_FACES, MAX_FACES = 8, 500, 4_000, 40_000
"""Sizes of the training sets: small ones are between the first two numbers, five in six of the others
between the next two, and the rest between the last two."""

CROWDS, CROWD, FIRST_CROWD_SEED = ("lfw", "lowres"), 3, 2_000_000
"""Probabilities are calibrated on the validation sets, and on sets of these presets so many times
larger: there half of the density edges lead to impostors, as many identities have one photo."""

DIMENSIONS = 64, 1024

THRESHOLDS = np.arange(1, 20) / 20
"""Of density edges. The default is the highest whose mean F on the validation sets is within `TOLERANCE`
of the best, as joining two people is worse than splitting one."""

_BASES = {"wild": 0.25, "lfw": 0.3, "lowres": 0.15, "ms1m": 0.3}

_logger = logging.getLogger(__name__)


class GeneratedSet(NamedTuple):
    """Parameters of a generated set.

    Attributes
    ----------
    distribution : FaceDistribution
    faces : int
    dimension : int
    """

    distribution: FaceDistribution
    faces: int
    dimension: int


def draw_set(seed: int, small: bool = False) -> GeneratedSet:
    """Draw the distribution, the size and the dimension of a set of faces.

    Every parameter of a preset is changed by a random factor or offset. Half of the sets also get
    families of other sizes: up to hundreds of people who resemble each other, as people of one descent,
    age and sex do to an embedder that was trained on few of them. A third are in a narrow cone, more or
    less.

    Parameters
    ----------
    seed : int
    small : bool
        Whether the set has fewer than `MIN_FACES` faces, of which one identity may have most; or, one in
        three, few photos of every identity and up to three times as many faces.
    """
    rng = np.random.default_rng([77, seed])

    def between(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def about(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    base = PRESETS[str(rng.choice(list(_BASES), p=list(_BASES.values())))]
    distribution = replace(
        base,
        spectrum_knee=base.spectrum_knee * about(0.7, 1.5),
        spectrum_decay=base.spectrum_decay * between(0.85, 1.15),
        noise_decay=base.noise_decay * between(0.2, 1.2),
        family_size=base.family_size * about(0.6, 1.6),
        kin=base.kin * between(0.6, 1.3),
        kin_concentration=base.kin_concentration * about(0.5, 2),
        mode_share=base.mode_share * between(0.6, 1.4),
        quality=base.quality + between(-0.25, 0.35),
        quality_identity=base.quality_identity * between(0.6, 1.4),
        quality_image=base.quality_image * between(0.7, 1.3),
        quality_tail=base.quality_tail * about(0.8, 2),
        conditions=round(about(20, 300)),
        poor_common=min(0.9, base.poor_common * about(0.4, 2)),
        wrong=between(0, 0.03),
    )
    if rng.random() < 0.5:
        distribution = replace(
            distribution,
            family_size=about(3, 200),
            kin=between(0.05, 0.4),
            kin_concentration=about(1, 20),
        )
    sizes = rng.choice(3, p=[0.5, 0.25, 0.25])
    if sizes == 1:
        distribution = replace(
            distribution,
            tail_share=1.0,
            tail_exponent=between(0.7, 1.8),
            max_size=round(about(20, 1000)),
        )
    elif sizes == 2:
        mean = about(2, 100)
        distribution = replace(
            distribution,
            body_size=mean,
            body_spread=mean * between(0.1, 0.6),
            tail_share=between(0, 0.3),
            tail_exponent=between(0.7, 1.5),
            max_size=max(4, round(mean * between(1.5, 4))),
        )
    large = rng.random() < 1 / 6
    faces = round(about(USUAL_FACES, MAX_FACES) if large else about(MIN_FACES, USUAL_FACES))
    if rng.random() < 1 / 3:
        distribution = replace(
            distribution,
            spectrum_decay=distribution.spectrum_decay * between(1, 1.7),
            noise_decay=distribution.noise_decay * between(1, 1.7),
            common_mean=between(0, 0.85),
            fading=between(0, 0.7),
            quality=distribution.quality + between(0, 0.8),
        )
    if small and rng.random() < 1 / 3:
        faces = round(about(FEW_FACES, 3 * MIN_FACES))
        mean = between(1.3, 5)
        distribution = replace(
            distribution, body_size=mean, body_spread=mean * between(0, 0.5), tail_share=0, max_size=12
        )
    elif small:
        faces = round(about(FEW_FACES, MIN_FACES))
        distribution = replace(
            distribution,
            body_size=about(2, 40),
            tail_share=between(0, 1),
            tail_exponent=between(0.5, 1.5),
            max_size=max(4, round(faces * between(0.1, 0.7))),
        )
    return GeneratedSet(distribution, faces, round(about(*DIMENSIONS)))


def validation_sets(faces: int = VALIDATION_FACES) -> list[GeneratedSet]:
    """List the validation sets: the presets, in several dimensions, narrow, and as small libraries."""
    presets = [PRESETS[name] for name in _BASES]
    narrow = [replace(distribution, **NARROW) for distribution in presets]
    least = VALIDATION_DIMENSIONS[0]
    large = [
        GeneratedSet(distribution, faces, dimension)
        for distribution in presets
        for dimension in VALIDATION_DIMENSIONS
    ]
    small = [
        GeneratedSet(
            replace(
                distribution,
                body_size=photos,
                body_spread=photos / 3 if photos > 1 else 0,
                tail_share=0,
                max_size=100,
                wrong=distribution.wrong if photos > 1 else 0,
            ),
            identities * photos,
            least,
        )
        for identities, photos in VALIDATION_LIBRARIES
        if identities * photos <= faces
        for distribution in (*presets, *narrow)
    ]
    return [*large, *(GeneratedSet(distribution, faces, least) for distribution in narrow), *small]


def train_universal(
    output: Path,
    *,
    training_sets: int = TRAINING_SETS,
    small_sets: int = SMALL_SETS,
    faces: int = VALIDATION_FACES,
    config: TrainingConfig | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
) -> None:
    """Train the model and write it.

    Parameters
    ----------
    output : Path
        Folder for the model, its card, the curves and the record.
    training_sets : int
        Number of training sets, at least two.
    small_sets : int
        Number of small training sets beside them.
    faces : int
        Faces in a validation set, at most.
    config : TrainingConfig, optional
        The preset ``universal`` by default.
    weights : path-like or str, optional
        Model whose networks are used as they are; only steps and thresholds are measured.
    device : str
        "auto", "cpu", "cuda", ...

    Raises
    ------
    InputError
        If ``output`` cannot be used.
    """
    check_folder(output)
    config = config or TrainingConfig.load("universal")
    place = find_device(device)
    for name in TRAINED:
        outline(config, name, None)
    training = [draw_set(seed) for seed in range(training_sets)]
    training += [draw_set(seed, small=True) for seed in range(training_sets, training_sets + small_sets)]
    drawn = training, validation_sets(faces)
    data = {
        "faces": "generated (recipes.universal), none of them real",
        "sets that teach": len(training),
        "sets that validate": len(drawn[1]),
        "faces that teach": sum(one.faces for one in drawn[0]),
        "faces that validate": sum(one.faces for one in drawn[1]),
        "dimensions": f"{DIMENSIONS[0]} to {DIMENSIONS[1]}",
    }
    run: dict[str, Any] = {"config": config.model_dump(mode="json"), "data": data}
    known: dict[NetworkName, nn.Module] = {}
    if weights is not None:
        first = load_model(weights)
        known = {name: first.network(name) for name in first.settings.networks}
        run["weights"] = first.fingerprints()
    state = run | {"versions": training_versions()}
    with CheckpointFolder.held(output / CHECKPOINTS, state) as checkpoints:
        report = CurveLog(output / "tensorboard")
        trainer = Trainer(
            config=config,
            dimension=None,
            checkpoints=checkpoints,
            device=place,
            known=known,
            wanted=() if known else TRAINED,
            given=steps_given(config),
            report=report,
        )
        labelled_sets = [] if known else list(_labelled(drawn[0], 0))
        trainer.train(labelled_sets, list(_labelled(drawn[1], FIRST_VALIDATION_SEED)))
        report.close()
        model = trained_model(trainer, None, data)
        settle(model, faces, device)
        write_result(output, model, trainer, run)


def settle(model: NSRFC, faces: int = VALIDATION_FACES, device: str = "auto") -> None:
    """Limit what a model scores, calibrate it so, and measure its threshold and precisions.

    ``faces`` are those of a validation set, at most.
    """
    model.settings = model.settings.model_copy(update={"scored": SCORED})
    narrow = [replace(PRESETS[name], **NARROW) for name in CROWDS]
    crowds = [
        GeneratedSet(distribution, CROWD * faces, dimension)
        for name, cone in zip(CROWDS, narrow, strict=True)
        for distribution, dimension in (
            *((PRESETS[name], dimension) for dimension in VALIDATION_DIMENSIONS),
            (cone, VALIDATION_DIMENSIONS[0]),
        )
    ]
    run = Run(device=device)
    validation = [
        _scored(model, run, *each) for each in _labelled(validation_sets(faces), FIRST_VALIDATION_SEED)
    ]
    large = [_scored(model, run, *each).evidence for each in _labelled(crowds, FIRST_CROWD_SEED)]
    calibration = fit_calibration([*(each.evidence for each in validation), *large])
    validation = [each.calibrated(calibration) for each in validation]
    quality = np.array(
        [np.mean([each.quality(0, connect) for each in validation]) for connect in THRESHOLDS]
    )
    connect = float(THRESHOLDS[quality >= quality.max() - TOLERANCE][-1])
    _logger.info("connect  %.2f, validation F %.4f", connect, quality[connect == THRESHOLDS][0])
    precision = _from(connect, precision_steps(0, *validation))
    changes = {"connect": connect, "precision": precision, "calibration": calibration}
    model.settings = model.settings.model_copy(update=changes)


def _from(connect: float, steps: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the steps of precision from the default threshold up.

    Most validation sets are precise at any threshold. Whoever asks for a precision must not get a lower
    threshold than whoever asks for nothing.
    """
    reached = [precision for precision, at in steps if at <= connect]
    return (max(reached, default=0.0), connect), *(step for step in steps if step[1] > connect)


def _scored(
    model: NSRFC, run: Run, X: npt.NDArray[np.float32], identities: npt.NDArray[np.int64]
) -> ScoredSet:
    """Score the density edges of some faces as in inference, but do not calibrate them."""
    method = load_networks(model, ClusterConfig(), X.shape[1], run).with_settings(calibration=UNCHANGED)
    sample = labelled_sample(method, X, identities, run)
    lists = NeighborGraph(sample.near.ids, sample.near.similarities)
    near = method.neighborhood(sample.near.faces, lists, run)
    density = method.density_graph(near, method.affinity(near, run), run)
    scores = method.edge_scorer(near, density, run)(np.arange(len(density.density_edges)))
    return ScoredSet(method, replace(sample, near=near), density, scores)


def _labelled(sets: list[GeneratedSet], first_seed: int) -> Iterator[LabelledFaces]:
    """Yield generated sets: distinct unit vectors in canonical order, and identities."""
    for seed, (distribution, faces, dimension) in enumerate(sets, first_seed):
        found = generate(faces, distribution, dimension=dimension, seed=seed)
        rows = canonical_rows(found.embeddings)[0]
        yield found.embeddings[rows], found.identities[rows]


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the model")
    parser.add_argument("--sets", type=int, default=TRAINING_SETS, help="number of training sets")
    parser.add_argument(
        "--weights", metavar="MODEL", help="use its networks; only measure steps and thresholds"
    )
    parser.add_argument(
        "--settle", metavar="MODEL", help="keep its networks and steps; only calibrate it anew"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.settle is not None:
        check_folder(arguments.output)
        model = load_model(arguments.settle)
        settle(model)
        model.save_pretrained(arguments.output)
        return
    train_universal(
        arguments.output,
        training_sets=arguments.sets,
        weights=arguments.weights,
        device=arguments.device,
    )


if __name__ == "__main__":
    main()
