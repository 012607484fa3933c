"""The published protocol on MS-Celeb-1M: learn on one part, cluster others, score them.

Every result lies in a folder of its own with a record of what it was made of. Where that is the same
again the result is taken as it is, so that a run which was stopped goes on where it was.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc import __version__
from nsrfc.config import ClusterConfig
from nsrfc.methods.base import Run
from nsrfc.methods.rules import Rules
from nsrfc.ms1m.files import DIMENSION, NEIGHBORS, Part
from nsrfc.pipeline import cluster
from nsrfc.progress import Progress
from nsrfc.resources.clustering import check_plan, plan
from nsrfc.resources.plan import Plan
from nsrfc.storage.files import reading
from nsrfc.storage.runs import UNFINISHED, read_run, versions, write_json, write_run

if TYPE_CHECKING:
    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import ModelSettings
    from nsrfc.training.config import TrainingConfig

__all__ = ["Benchmark", "check_memory", "learn", "most_settings", "plan_part"]

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
    """Train a model on a part, or take the one in the folder if it was trained so.

    Parameters
    ----------
    part : Part
        Its neighbours are not used: people are held out, and both groups are searched by themselves.
    config : TrainingConfig
    folder : Path
        For the model, and for the work on it: an interrupted training goes on.
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
    """Say what a model is by its content: settings, and fingerprints of its networks."""
    settings = model.settings
    return {
        "settings": settings.model_dump(mode="json"),
        "networks": model.fingerprints(),
    }


def most_settings(config: TrainingConfig) -> ModelSettings:
    """Return the settings of the model that takes most, of those that a training may end with."""
    from nsrfc.model.settings import NETWORKS, STEPS
    from nsrfc.training.networks import model_settings

    return model_settings(config, DIMENSION, NETWORKS, dict.fromkeys(STEPS, True))


def plan_part(part: Part, model: ModelSettings | None) -> Plan:
    """Expect what clustering a part takes; ``model`` is None without one."""
    return plan(
        len(part.vectors),
        DIMENSION,
        CONFIG,
        given_k=_given_k(part, model),
        model=model,
    )


def check_memory(part: Part, model: ModelSettings | None, limit: int | None) -> None:
    """Refuse a part that is expected to need more than ``limit`` bytes.

    Raises
    ------
    MemoryPlanError
        With what would fit.
    """
    planned = plan_part(part, model)
    check_plan(planned, CONFIG, limit, given_k=_given_k(part, model), model=model)


@dataclass(frozen=True)
class Benchmark:
    """Test parts clustered in one way, each into a folder of its own.

    Parameters
    ----------
    folder : Path
        Holds the folders, which are named like the parts.
    model : NSRFC or None
        None: by neighbour structure alone.
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
        """Return the record of an earlier run on the same files in the same way, if there is one."""
        found = read_run(self.folder / part.name)
        return found if found is not None and found.get("made_of") == self._made_of(part) else None

    def cluster(self, part: Part, progress: Progress) -> dict[str, Any]:
        """Cluster a part, and write labels and record into its folder, all or none.

        Identities are not read. With a model, results of its stages are kept in the folder.

        Returns
        -------
        dict
            The record.

        Raises
        ------
        InputError
            If the neighbours are not those of the features, the model is for another dimension, or
            the folder cannot be written.
        """
        started = time.perf_counter()
        folder = self.folder / part.name
        graph = part.read_neighbors() if _given(part, self.settings) else None
        cache = folder / (UNFINISHED if self.model is None else "stages")
        run = Run(self.device, self.dtype, cache, progress)
        found = cluster(part.vectors, self.model, CONFIG, graph=graph, run=run)
        record = {
            "command": "ms1m",
            "made_of": self._made_of(part),
            "config": CONFIG.model_dump(),
            "method": dict(found.method),
            "input": str(part.files.features),
            "knn": None if graph is None else str(part.files.knn),
            "versions": versions(),
            "plan": plan_part(part, self.settings).as_dict(),
            "seconds": progress.seconds | {"total": time.perf_counter() - started},
        }
        return write_run(folder, found, record)

    def _made_of(self, part: Part) -> dict[str, Any]:
        return {
            "nsrfc": __version__,
            "files": {"features": part.features_md5, "knn": part.knn_md5},
            "model": None if self.model is None else _contents(self.model) | {"dtype": self.dtype},
        }


def _given(part: Part, model: ModelSettings | None) -> bool:
    """Whether the neighbours of a part are known, and enough of them."""
    return part.knn_md5 is not None and (Rules.k if model is None else model.k) <= NEIGHBORS


def _given_k(part: Part, model: ModelSettings | None) -> int | None:
    """Length of the lists of a part, if they are known and long enough."""
    return NEIGHBORS if _given(part, model) else None
