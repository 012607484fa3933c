"""Faces that are clustered, to whose clusters new ones are assigned; and the folder they are saved in.

| file             | content                                                                   |
|------------------|---------------------------------------------------------------------------|
| `clusterer.json` | version of the format, settings, device, method, name of the model        |
| `vectors.npy`    | float32 (g, d): the faces as unit vectors, without bad rows               |
| `labels.npy`     | int64 (n,)                                                                |
| `confidence.npy` | float32 (n,)                                                              |
| `model/`         | the model, if it is not the one that ships with the package               |
| `SHA256SUMS`     | checksums of all of these, as ``sha256sum --check`` reads them            |

A folder of ``nsrfc cluster`` will do as well: what is missing there is read from the embeddings and the
model that its `run.json` names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from nsrfc import __version__
from nsrfc.chunks import read_rows
from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.knn.copies import distinct_faces
from nsrfc.methods.base import Method, Run
from nsrfc.methods.placement import Placement
from nsrfc.methods.registry import load_method
from nsrfc.records import BAD_ROW, Clustering, ScorePrior
from nsrfc.storage.arrays import open_npy
from nsrfc.storage.embeddings import read_embeddings
from nsrfc.storage.files import PathLike, kind_of, reading
from nsrfc.storage.fingerprints import fingerprint
from nsrfc.storage.outputs import atomic_folder, check_sums, write_sums
from nsrfc.storage.runs import RECORD as RUN
from nsrfc.storage.runs import TABLE, read_labels, read_run
from nsrfc.storage.tables import read_scalar_column
from nsrfc.vectors import normalize_good

if TYPE_CHECKING:
    from nsrfc.model.bundle import NSRFC

__all__ = ["KnownFaces"]

RECORD, VECTORS, LABELS, CONFIDENCE, MODEL = (
    "clusterer.json",
    "vectors.npy",
    "labels.npy",
    "confidence.npy",
    "model",
)
FORMAT, VERSION = "nsrfc clusterer", 1


@dataclass(frozen=True)
class KnownFaces:
    """Faces and their clusters, with everything that assigns new faces to them.

    Attributes
    ----------
    vectors : ndarray of float32, shape (g, d)
        Unit vectors of all rows but bad ones that were left out.
    found : Clustering
        The clusters of all rows (n,). ``found.method`` says which model is needed.
    model : NSRFC, path-like, str or None
        As in :func:`nsrfc.cluster`.
    config : ClusterConfig
    run : Run
        Device and precision.
    names : sequence of str, optional
        Names of the d columns, as scikit-learn keeps them.
    """

    vectors: npt.NDArray[np.float32]
    found: Clustering
    model: NSRFC | str | Path | None
    config: ClusterConfig
    run: Run
    names: Sequence[str] | None = None

    def method(self) -> Method:
        """Load the method that found the clusters.

        Raises
        ------
        InputError
            If the model is gone, or has other weights or settings than the one that found them.
        """
        # The lengths of the embeddings are gone: what they said of the embedder was kept.
        prior = ScorePrior.of(self.found.method["embedder"])
        method = load_method(self.model, self.config, self.vectors.shape[1], self.run, prior)
        if _as_json(method.record()) != _as_json(self.found.method):
            named = "The rules are" if self.model is None else f"The model {_named(self.model)} is"
            raise InputError(
                f"{named} not what found these clusters, as weights or settings differ from "
                f"those recorded: install or give what was used then, or cluster again."
            )
        return method

    def placement(self) -> Placement:
        """Return what assigns new faces to the clusters; errors are those of :meth:`method`."""
        faces = distinct_faces(self.vectors)
        labels = self.found.labels[self.found.labels != BAD_ROW]
        return self.method().placement(faces.vectors, labels[faces.rows], self.run)

    def save(self, folder: PathLike) -> None:
        """Write everything into a folder, whole or not at all.

        Raises
        ------
        InputError
            As :meth:`method`, and if the folder cannot be written, or holds other files.
        """
        self.method()
        own = self.model is not None and self.model != _universal()
        record = {
            "format": FORMAT,
            "version": VERSION,
            "nsrfc": __version__,
            "model": MODEL if own else self.model,
            "config": self.config.model_dump(),
            "device": self.run.device,
            "dtype": self.run.dtype,
            "method": _as_json(self.found.method),
            "warning": self.found.warning,
            "names": None if self.names is None else list(self.names),
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            VECTORS: self.vectors,
            LABELS: self.found.labels,
            CONFIDENCE: self.found.confidence,
        }
        with atomic_folder(folder, RECORD) as temporary:
            for name, array in arrays.items():
                np.save(temporary / name, array, allow_pickle=False)
            if own:
                _loaded(self.model).save_pretrained(temporary / MODEL)
            text = json.dumps(record, indent=2) + "\n"
            (temporary / RECORD).write_text(text, encoding="utf-8")
            write_sums(temporary)

    @classmethod
    def load(
        cls,
        folder: PathLike,
        *,
        faces: PathLike | None = None,
        model: str | None = None,
        device: str | None = None,
    ) -> Self:
        """Read a folder that :meth:`save` or ``nsrfc cluster`` wrote.

        Parameters
        ----------
        folder : path-like
        faces : path-like, optional
            For a folder of ``nsrfc cluster``: the embeddings, if they are no longer where it says.
        model : str, optional
            The same for the model.
        device : str, optional
            Where the model runs; by default that of the saved clusterer, else "auto".

        Raises
        ------
        InputError
            If there is no such folder; it is damaged, of another version, or was changed; its model or
            its embeddings are gone or no longer the same; or one of the arguments has no effect.
        """
        folder = Path(folder)
        if kind_of(folder / RECORD) == "file":
            if faces is not None or model is not None:
                raise InputError(
                    f"{folder} is a saved clusterer, which holds its faces and its model: "
                    f"leave out the other faces or model."
                )
            found = cls._saved(folder, device)
        elif kind_of(folder / RUN) == "file":
            found = cls._clustered(folder, faces, model, device)
        else:
            raise InputError(
                f"{folder} holds neither a saved clusterer nor a finished run: give a folder "
                f"written by FaceClusterer.save or nsrfc cluster."
            )
        found.method()
        return found

    @classmethod
    def _saved(cls, folder: Path, device: str | None) -> Self:
        with reading(folder / RECORD):
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            kept = record["format"], record["version"]
        if kept != (FORMAT, VERSION):
            raise InputError(
                f"{folder / RECORD} is of version {kept[1]} of its format, and this nsrfc reads "
                f"version {VERSION}: read it with nsrfc {record.get('nsrfc')}, or fit and save again."
            )
        check_sums(folder)
        vectors, labels, confidence = (
            read_rows(open_npy(folder / name), slice(None)) for name in (VECTORS, LABELS, CONFIDENCE)
        )
        with reading(folder / RECORD):
            return cls(
                vectors,
                Clustering(labels, confidence, record["method"], record["warning"]),
                _loaded(folder / MODEL) if record["model"] == MODEL else record["model"],
                ClusterConfig.of(**record["config"]),
                Run(device or record["device"], record["dtype"]),
                record["names"],
            )

    @classmethod
    def _clustered(
        cls, folder: Path, faces: PathLike | None, model: str | None, device: str | None
    ) -> Self:
        labels, record = read_labels(folder), read_run(folder)
        if record is None or record.get("command") != "cluster":
            raise InputError(
                f"{folder} holds no whole run of nsrfc cluster: give such a folder, or cluster again."
            )
        with reading(folder / RUN):
            given = record["input"]
            path = Path(given["path"] if faces is None else faces)
            same = path.suffix == Path(given["path"]).suffix
            key, id_key = (given.get(name) if same else None for name in ("key", "id"))
            config = ClusterConfig.of(**record["config"])
            run = Run(device or "auto", record.get("dtype", "float32"))
            method, warning, used = record["method"], record["warning"], record["model"]
        if kind_of(path) not in ("file", "folder"):
            raise InputError(
                f"The faces that were clustered in {folder} are not at {path}: name their file "
                f"(--faces), or call from the folder in which they were clustered."
            )
        skip = config.on_bad_rows == "skip"
        vectors = read_embeddings(
            path, key=key, dimension=given["shape"][1], id_key=id_key, bad_rows=skip
        ).vectors
        unit = normalize_good(vectors, str(path), skip=skip)[0]
        if fingerprint(vectors) != given["sha256"]:
            raise InputError(
                f"{path} does not hold the faces that were clustered in {folder}, as its content "
                f"differs: name their file (--faces), or cluster again."
            )
        confidence = read_scalar_column(folder / TABLE, "confidence", (), "id").astype(np.float32)
        found = Clustering(labels, confidence, method, warning)
        return cls(unit, found, used if model is None else model, config, run)


def _as_json(record: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return a record as it is read from a file: lists in the place of tuples."""
    return json.loads(json.dumps(dict(record)))


def _universal() -> str:
    from nsrfc.model.settings import UNIVERSAL

    return UNIVERSAL


def _loaded(model: NSRFC | str | Path | None) -> NSRFC:
    from nsrfc.model.bundle import load_model

    assert model is not None
    return load_model(model)


def _named(model: NSRFC | str | Path) -> str:
    return str(model) if isinstance(model, str | Path) else "given"
