"""The clusters of a library: found by runs, kept up to date with later faces and words."""

from __future__ import annotations

import shutil

import numpy as np
import numpy.typing as npt

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.library.added import Added, added_since, placed
from nsrfc.library.consistency import constraints
from nsrfc.library.decision import Decision, decide
from nsrfc.library.evidence import Kept, keep
from nsrfc.library.identity import lineage, living_ids
from nsrfc.library.journal import Journal
from nsrfc.library.store import ARTIFACTS, Store
from nsrfc.library.upkeep import erase
from nsrfc.methods.base import Run
from nsrfc.pipeline import gather_evidence
from nsrfc.records import UNCLUSTERED
from nsrfc.storage.files import writing
from nsrfc.vectors import normalize

__all__ = ["Clusters"]

_Faces = npt.NDArray[np.int64]

SMALL = 2_000
"""Up to so many faces, all are clustered again when some are added: it takes seconds, and statistics of
few faces are better with every one more."""


class Clusters:
    """What the machine found; nothing here is a word of a human, and all of it can be found again.

    Parameters
    ----------
    store : Store
    journal : Journal
    """

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store, self._journal = store, journal
        self._decision: tuple[object, Decision, _Faces] | None = None
        self._current: tuple[object, _Faces, _Faces] | None = None
        self._added: tuple[object, Added | None] | None = None
        self._kept: tuple[object, Kept] | None = None

    def current(self, run: Run | None = None) -> tuple[_Faces, _Faces]:
        """Return faces (n,) and ids (n,) of their clusters, -1 before the first run.

        They are found again if anything has changed since they were last asked for.
        """
        key = self._store.key()
        if self._current is None or self._current[0] != key:
            self._current = key, *self._found(key, run)
        return self._current[1:]

    def _found(self, key: tuple[int, ...], run: Run | None) -> tuple[_Faces, _Faces]:
        if self._store.last_run() is None:
            faces = self._store.faces()
            return faces, np.full(len(faces), UNCLUSTERED, np.int64)
        kept = self._store.kept_clustering(key)
        if kept is not None:
            return kept
        decision, ids = self.decision(run)
        return decision.faces, ids

    def decision(self, run: Run | None = None) -> tuple[Decision, _Faces]:
        """Return how clusters follow from the last run, later faces and what was said; and their ids.

        Raises
        ------
        InputError
            If there was no run yet.
        """
        key = self._store.key()
        if self._decision is None or self._decision[0] != key:
            kept = self.kept()
            added = self.added(run)
            known = constraints(self._journal.state, self._store.facts())
            decision = decide(kept, added, self._store.faces(), known, run or Run())
            before = np.full(len(decision.faces), UNCLUSTERED, np.int64)
            old = np.isin(decision.faces, kept.faces, assume_unique=True)
            before[old] = kept.clusters[np.searchsorted(kept.faces, decision.faces[old])]
            ids = self._ids(before, decision, int(kept.record["run"]))
            self._store.keep_clustering(key, decision.faces, ids)
            self._decision = key, decision, ids
        return self._decision[1:]

    def kept(self) -> Kept:
        """Return the evidence of the last run.

        Raises
        ------
        InputError
            If there was no run yet, or its evidence is damaged.
        """
        number = self._store.needed_run()
        # Forgetting writes some of its files anew.
        key = number, self._store.key()[-1]
        if self._kept is None or self._kept[0] != key:
            self._kept = key, Kept.load(self._store.run_folder(number))
        return self._kept[1]

    def added(self, run: Run | None = None) -> Added | None:
        """Return the faces that were added since the last run; None if there are none."""
        kept = self.kept()
        faces = np.setdiff1d(self._store.faces(), kept.faces, assume_unique=True)
        if not len(faces):
            return None
        key = kept.folder, len(faces), int(faces[-1])
        if self._added is None or self._added[0] != key:
            unit = normalize(self._store.vectors(faces))
            self._added = key, added_since(kept, faces, unit, run or Run())
        return self._added[1]

    def placed(
        self, X: npt.NDArray[np.float32], run: Run | None = None
    ) -> tuple[_Faces, npt.NDArray[np.float32]]:
        """Return for unit vectors (m, d) the cluster (m,), -1 = none, and how probable it is (m,)."""
        kept, added = self.kept(), self.added(run)
        decision, ids = self.decision(run)
        best, probability = placed(kept, added, X, run or Run())
        of_units = np.full(len(decision.vectors), UNCLUSTERED, np.int64)
        of_units[decision.unit] = ids
        g = len(kept.near.faces)
        cluster = of_units[np.where(best >= g, best + decision.scenes - g, best)]
        return np.where(probability >= decision.threshold, cluster, UNCLUSTERED), probability

    def find(self, model: str | None, config: ClusterConfig, run: Run | None) -> None:
        """Cluster all faces anew; the caller keeps other writers away.

        Raises
        ------
        InputError
            If there are no faces; or as :func:`nsrfc.cluster`.
        """
        faces, before = self.current(run)
        if not len(faces):
            raise InputError(f"{self._store.folder} holds no faces yet: add some with nsrfc add.")
        run = run or Run()
        number = (self._store.last_run() or 0) + 1
        folder = self._store.run_folder(number)
        X = self._store.vectors(faces)
        evidence = gather_evidence(X, model, config, run=run)
        record = {"run": number, "model": model, "config": config.model_dump()}
        with writing(folder.parent):
            shutil.rmtree(folder, ignore_errors=True)
        kept = keep(folder, faces, normalize(X), evidence, record)
        known = constraints(self._journal.state, self._store.facts())
        decision = decide(kept, None, faces, known, run)
        # Clusters that a word or later faces will found have a series of their own.
        ids = self._ids(before, decision, -number)
        kept.keep_clusters(ids)
        # From here on the run counts.
        self._store.add_run(number, record, lineage(before, ids))
        self._decision = self._current = self._added = self._kept = None
        self.tidy()

    def refresh(self, run: Run | None) -> None:
        """Take in faces that the last run did not see: by a new run if they are many, or all are few."""
        if self._store.last_run() is None:
            return
        kept, n = self.kept(), self._store.n
        if not len(np.setdiff1d(self._store.faces(), kept.faces, assume_unique=True)):
            return
        if n <= SMALL or n - len(kept.faces) > len(kept.faces):
            self.find(kept.record["model"], ClusterConfig.of(**kept.record["config"]), run)
        else:
            self.current(run)

    def erase(self) -> None:
        """Remove what is still on disk of forgotten faces; the caller keeps other writers away."""
        number = self._store.last_run()
        erase(self._store, None if number is None else self._store.run_folder(number))
        self._added = self._kept = None

    def tidy(self) -> None:
        """Remove what runs left that do not count, or no longer do."""
        last = self._store.last_run()
        for path in (self._store.folder / ARTIFACTS).glob("*run-*"):
            if last is None or path != self._store.run_folder(last):
                shutil.rmtree(path, ignore_errors=True)

    def _ids(self, before: _Faces, decision: Decision, series: int) -> _Faces:
        def new_ids(founders: _Faces) -> _Faces:
            return self._store.cluster_ids(series, founders)

        return living_ids(before, decision.labels, decision.faces, new_ids)
