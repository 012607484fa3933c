"""The published protocol on MS-Celeb-1M: train on one part, cluster the others, score them.

Every result is in its own folder, with a record of everything it depends on. If the record matches, the
result is used again, so that an interrupted run resumes.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc import __version__
from nsrfc.chunks import check_unchanged
from nsrfc.config import ClusterConfig
from nsrfc.methods.base import Run
from nsrfc.methods.rules import Rules
from nsrfc.ms1m.files import DIMENSION, NEIGHBORS, Part
from nsrfc.pipeline import cluster
from nsrfc.progress import Progress
from nsrfc.resources.clustering import fitted, plan
from nsrfc.resources.machine import check_disk
from nsrfc.resources.plan import Plan
from nsrfc.storage.files import reading
from nsrfc.storage.locks import locked_output
from nsrfc.storage.runs import UNFINISHED, read_run, versions, write_json, write_run

if TYPE_CHECKING:
    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import ModelSettings
    from nsrfc.training.config import TrainingConfig

__all__ = [
    "Benchmark",
    "check_training_memory",
    "learn",
    "most_settings",
    "plan_part",
]

ORIGIN = "origin.json"
CONFIG = ClusterConfig()


def learn(
    part: Part,
    config: TrainingConfig,
    folder: Path,
    *,
    device: str = "auto",
    progress: Progress | None = None,
) -> NSRFC:
    """Train a model on a part, or return the one in the folder if its record matches.

    Parameters
    ----------
    part : Part
        Its neighbours are not used: training and validation identities are searched separately.
    config : TrainingConfig
    folder : Path
        Folder for the model and for checkpoints, from which an interrupted training resumes.
    device : str
        "auto", "cpu", "cuda", ...
    progress : Progress, optional

    Returns
    -------
    NSRFC

    Raises
    ------
    InputError
        As :func:`nsrfc.train`, and if the folder holds a damaged model.
    """
    from nsrfc.model.bundle import load_model
    from nsrfc.training.api import train

    made_of = {
        "nsrfc": __version__,
        "files": {"features": part.features_md5, "labels": part.labels_md5},
        "config": config.model_dump(mode="json"),
    }
    origin = folder / ORIGIN
    if origin.is_file():
        kept = load_model(folder)
        with reading(origin):
            found = json.loads(origin.read_text(encoding="utf-8"))
        if found == made_of | {"model": _contents(kept)}:
            return kept
    model = train(part.vectors, part.identities, config, folder, progress, device=device)
    write_json(origin, made_of | {"model": _contents(model)})
    return model


def _contents(model: NSRFC) -> dict[str, Any]:
    """Describe a model by its content: settings, and fingerprints of its networks."""
    settings = model.settings
    return {
        "settings": settings.model_dump(mode="json"),
        "networks": model.fingerprints(),
    }


def most_settings(config: TrainingConfig) -> ModelSettings:
    """Return the settings of the most expensive model that a training may result in."""
    from nsrfc.model.settings import NETWORKS, STEPS
    from nsrfc.training.networks import model_settings

    return model_settings(config, DIMENSION, NETWORKS, dict.fromkeys(STEPS, True))


def plan_part(part: Part, model: ModelSettings | None, limit: int | None, folder: Path) -> Plan:
    """Plan a part; refuse it if it is expected to need more than ``limit`` bytes, or than the disk has.

    Parameters
    ----------
    part : Part
    model : ModelSettings or None
        None: the rules.
    limit : int, optional
    folder : Path
        As of :class:`Benchmark`.

    Returns
    -------
    Plan
        Of a run in memory, or with arrays in files if that would not fit.

    Raises
    ------
    MemoryPlanError
        With the sizes that would fit.
    InputError
        If the disk has too little space for the results of stages.
    """
    given_k = _given_k(part, model)
    planned = plan(len(part.vectors), DIMENSION, CONFIG, given_k=given_k, model=model)
    planned = fitted(planned, CONFIG, limit, given_k=given_k, model=model)
    check_disk(folder / part.name / UNFINISHED, planned.disk_bytes, "--output")
    return planned


def check_training_memory(part: Part, config: TrainingConfig, limit: int | None) -> None:
    """Refuse a training on a part that is expected to need more than ``limit`` bytes.

    Raises
    ------
    MemoryPlanError
        With the number of faces that would fit.
    """
    from nsrfc.resources.training import check_training_plan, plan_training

    check_training_plan(plan_training(len(part.vectors), DIMENSION, config), config, limit)


@dataclass(frozen=True)
class Benchmark:
    """Clusters test parts, each into its own folder.

    Parameters
    ----------
    folder : Path
        Parent of the folders, which are named like the parts.
    model : NSRFC or None
        None: rules without learned weights.
    device, dtype : str
        As :class:`nsrfc.methods.base.Run`.
    """

    folder: Path
    model: NSRFC | None
    device: str = "auto"
    dtype: str = "float32"

    @property
    def settings(self) -> ModelSettings | None:
        """Settings of the model, if there is one."""
        return None if self.model is None else self.model.settings

    def kept(self, part: Part) -> dict[str, Any] | None:
        """Return the record of an earlier run on the same files with the same method, or None."""
        found = read_run(self.folder / part.name)
        return found if found is not None and found.get("made_of") == self._made_of(part) else None

    def cluster(self, part: Part, planned: Plan, progress: Progress) -> dict[str, Any]:
        """Cluster a part as planned, and write labels and record into its folder, all or none.

        Identities are not read. Results of stages are kept in the folder until the part is done, and an
        interrupted run resumes from them.

        Returns
        -------
        dict
            The record. Its seconds are those of this run; ``resumed`` says whether another was cut off.

        Raises
        ------
        InputError
            If the neighbours are not those of the features, the features were changed since they were
            read, the model is for another dimension, or the folder cannot be written.
        """
        started = time.perf_counter()
        folder = self.folder / part.name
        graph = part.read_neighbors() if _given(part, self.settings) else None
        resumed = (folder / UNFINISHED).exists()
        run = Run(self.device, self.dtype, folder / UNFINISHED, progress, mapped=planned.mapped)
        with locked_output(folder):
            found = cluster(part.vectors, self.model, CONFIG, graph=graph, run=run)
            check_unchanged(part.vectors)
            record = {
                "command": "ms1m",
                "made_of": self._made_of(part),
                "config": CONFIG.model_dump(),
                "method": dict(found.method),
                "input": str(part.files.features),
                "knn": None if graph is None else str(part.files.knn),
                "versions": versions(),
                "plan": planned.as_dict(),
                "seconds": progress.seconds | {"total": time.perf_counter() - started},
                "resumed": resumed,
            }
            return write_run(folder, found, record)

    def _made_of(self, part: Part) -> dict[str, Any]:
        return {
            "nsrfc": __version__,
            "files": {"features": part.features_md5, "knn": part.knn_md5},
            "model": None if self.model is None else _contents(self.model) | {"dtype": self.dtype},
        }


def _given(part: Part, model: ModelSettings | None) -> bool:
    """Whether a part has neighbours, and enough of them."""
    return part.knn_md5 is not None and (Rules.k if model is None else model.k) <= NEIGHBORS


def _given_k(part: Part, model: ModelSettings | None) -> int | None:
    """Length of the lists of a part, if it has them and they are long enough."""
    return NEIGHBORS if _given(part, model) else None
