"""The training API: from labelled faces to a model."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from nsrfc.config import ClusterConfig, check_config
from nsrfc.errors import InputError
from nsrfc.identities import identity_array, is_known, unknown_in_words
from nsrfc.knn.copies import canonical_rows
from nsrfc.model.bundle import FILES, NSRFC, load_model, tensors_fingerprint
from nsrfc.model.settings import NETWORKS, NetworkName
from nsrfc.progress import Progress
from nsrfc.runtime import find_device, fork_safe
from nsrfc.storage.files import PathLike
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.locks import locked_output
from nsrfc.storage.runs import check_folder
from nsrfc.training import parallel
from nsrfc.training.checkpoint import CheckpointFolder
from nsrfc.training.config import TrainingConfig
from nsrfc.training.curves import CurveLog
from nsrfc.training.networks import new_network, outline
from nsrfc.training.result import (
    CHECKPOINTS,
    CURVES,
    RECORD,
    earlier_networks,
    started_from,
    steps_given,
    trained_model,
    training_versions,
    write_result,
)
from nsrfc.training.split import Split, split_identities
from nsrfc.training.trainer import Trainer
from nsrfc.vectors import normalize_good, skipped_in_words

__all__ = ["train"]

_logger = logging.getLogger(__name__)

_Floats = npt.NDArray[np.float32]
_Identities = npt.NDArray[np.int64]


@fork_safe()
def train(
    X: npt.ArrayLike,
    identities: npt.ArrayLike,
    config: TrainingConfig | None = None,
    output: PathLike | None = None,
    progress: Progress | None = None,
    *,
    only: NetworkName | None = None,
    start: NSRFC | str | Path | None = None,
    device: str = "auto",
    on_bad_rows: Literal["error", "skip"] = "error",
) -> NSRFC:
    """Train the networks on labelled faces.

    Most identities are for training. The others are for validation: they decide when training stops,
    which thresholds are chosen and which steps are used.

    Parameters
    ----------
    X : array-like of float, shape (n, d)
        As for :func:`nsrfc.cluster`.
    identities : array-like of int or str, shape (n,)
        Those with one photo are useful, too. Faces of unknown identity (-1, empty, null) are left out.
    config : TrainingConfig, optional
        The preset "default" by default.
    output : path-like, optional
        Folder for the model, the curves and the record. An interrupted training resumes when it is
        started again with the same arguments.
    progress : Progress, optional
    only : {"cgcn", "pairs", "lcenet", "pcenet"}, optional
        Train only this network and use it; those before it are taken from the model in ``output``.
    start : NSRFC, path-like or str, optional
        Model whose weights training starts from, such as "universal". Its family and networks replace
        those of ``config``, and a network whose validation score does not improve is left unchanged. Its
        steps, thresholds and C-GCN are kept too, unless ``only`` is given or it has no other network.
    device : str
        "auto", "cpu", "cuda", ...
    on_bad_rows : {"error", "skip"}
        As in :class:`nsrfc.ClusterConfig`.

    Returns
    -------
    NSRFC
        In evaluation mode, on the CPU. If trained there, it depends only on the arguments, not on the
        order of the rows or on interruptions.

    Raises
    ------
    InputError
        If faces or identities are invalid, do not match or are too few, a network cannot be made from
        ``config``, or ``output`` cannot be used or is in use.
    """
    with parallel.joined():
        return _train(X, identities, config, output, progress, only, start, (device, on_bad_rows))


def _train(
    X: npt.ArrayLike,
    identities: npt.ArrayLike,
    config: TrainingConfig | None,
    output: PathLike | None,
    progress: Progress | None,
    only: NetworkName | None,
    start: NSRFC | str | Path | None,
    how: tuple[str, Literal["error", "skip"]],
) -> NSRFC:
    device, on_bad_rows = how
    first = None if start is None else load_model(start)
    config, place = _settings(config, only, first), find_device(device)
    faces, identity = _distinct(X, identities, on_bad_rows)
    dimension, wanted = faces.shape[1], _wanted(only, first)
    for name in wanted:
        outline(config, name, dimension)
    kept = first.settings if first is not None and only is None else None
    known = _known(config, dimension, wanted, output, only, first)
    split = split_identities(identity, config.validation, config.seed)
    data = _facts(faces, identity, split)
    run: dict[str, Any] = {"config": config.model_dump(mode="json"), "only": only, "data": data}
    if first is not None:
        run["start"] = first.fingerprints()
    state = run | _beside(known, first)
    if not parallel.first():
        output = None
    with (
        _folder(output) as folder,
        CheckpointFolder.held(folder / CHECKPOINTS, state) as checkpoints,
    ):
        report = CurveLog(None if output is None else folder / "tensorboard")
        given = steps_given(config, only, kept)
        trainer = Trainer(config, dimension, checkpoints, place, known, wanted, given, first)
        trainer.progress, trainer.report = progress or trainer.progress, report
        trainer.train(*([(faces[rows], identity[rows])] for rows in (split.train, split.validation)))
        report.close()
        model = trained_model(trainer, dimension, data, kept)
        if output is not None:
            write_result(folder, model, trainer, run)
    return model


def _beside(known: Mapping[NetworkName, nn.Module], start: NSRFC | None) -> dict[str, Any]:
    """Return what checkpoints depend on beside the settings and the data, as JSON values."""
    found: dict[str, Any] = {"versions": training_versions()}
    if known:
        found["known"] = {name: tensors_fingerprint(known[name].state_dict()) for name in known}
    if start is not None:
        found["settings of start"] = start.settings.model_dump(mode="json")
    return found


def _settings(
    config: TrainingConfig | None, only: NetworkName | None, start: NSRFC | None
) -> TrainingConfig:
    """Return the settings of a training, overridden by those of the model to start from."""
    if only is not None and only not in NETWORKS:
        raise InputError(f"There is no network {only!r}: take one of {', '.join(NETWORKS)}.")
    config = TrainingConfig.load() if config is None else config
    check_config(config, TrainingConfig)
    return config if start is None else started_from(config, start)


def _known(
    config: TrainingConfig,
    dimension: int,
    wanted: tuple[NetworkName, ...],
    output: PathLike | None,
    only: NetworkName | None,
    start: NSRFC | None,
) -> Mapping[NetworkName, nn.Module]:
    """Return the networks that are not trained: from the model in ``output``, or from ``start``."""
    if start is None or only is not None:
        return {} if output is None else earlier_networks(Path(output), only)
    return {
        name: new_network(config, name, dimension, refined=False, start=start)
        for name in start.settings.networks
        if name not in wanted
    }


def _facts(faces: _Floats, identity: _Identities, split: Split) -> dict[str, Any]:
    """Return facts about the training data."""
    return {
        "embeddings": fingerprint(faces),
        "identities": fingerprint(identity),
        "faces": len(faces),
        "dimension": faces.shape[1],
        "people": len(np.unique(identity)),
        "validation_people": len(np.unique(identity[split.validation])),
        "validation_faces": len(split.validation),
    }


def _distinct(
    X: npt.ArrayLike, identities: npt.ArrayLike, on_bad_rows: str
) -> tuple[_Floats, _Identities]:
    """Return the distinct faces of known identity in canonical order, and their identities as numbers.

    Copies labelled with several identities count for the first of them.
    """
    skip = ClusterConfig.of(on_bad_rows=on_bad_rows).on_bad_rows == "skip"
    unit, good = normalize_good(X, skip=skip)
    named = identity_array(identities)
    if named.shape != good.shape:
        raise InputError(
            f"There are {len(good)} faces and identities of shape {named.shape}: give one per face."
        )
    known = is_known(named)
    for left_out in (skipped_in_words(good), unknown_in_words(known)):
        if left_out is not None:
            _logger.warning(left_out)
    unit = unit[known[good]]
    identity = np.unique(named[good & known], return_inverse=True)[1]
    faces, place = canonical_rows(unit)
    of_faces = np.full(len(faces), np.iinfo(np.int64).max)
    np.minimum.at(of_faces, place, identity)
    return unit[faces], of_faces


def _wanted(only: NetworkName | None, start: NSRFC | None) -> tuple[NetworkName, ...]:
    """Return the networks to be trained: all of them, or those of the model to start from."""
    if only is not None:
        return (only,)
    if start is None:
        return NETWORKS
    # Trained on identities with few photos, a C-GCN would expect few, so that of ``start`` is kept.
    has = tuple(name for name in NETWORKS if name in start.settings.networks)
    return tuple(name for name in has if name != "cgcn") or has


@contextmanager
def _folder(output: PathLike | None) -> Iterator[Path]:
    """Hold the folder for the model, or a temporary one."""
    if output is not None:
        check_folder(output, (*FILES, CURVES, RECORD))
        with locked_output(Path(output), "training"):
            yield Path(output)
    else:
        with tempfile.TemporaryDirectory(prefix="nsrfc-") as folder:
            yield Path(folder)
