"""What the last run found, kept so that step 4 can be taken again in a moment.

A run writes a folder in `artifacts/`:

| file              | content                                                                     |
|-------------------|-----------------------------------------------------------------------------|
| `run.json`        | the method and its settings, statistics of scores                           |
| `faces.npy`       | int64 (n,): the faces that were clustered                                    |
| `scene.npy`       | int64 (n,): the scene of each, 0..g-1                                        |
| `given.npy`       | float32 (g, d): a unit vector for each scene, as given                       |
| `compared.npy`    | float32 (g, w): the same as step 4 compares them                             |
| `nearest.npy`     | int32 (g, k): neighbours by cosine                                           |
| `cosine.npy`      | float32 (g, k): of these                                                     |
| `edges.npz`       | density edges with score and probability, and similarity edges               |
| `clusters.npy`    | int64 (n,): the id of each face's cluster at the end of the run              |
| `added.npz`       | neighbours of faces that were added since; made anew where it is missing     |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError
from nsrfc.graph.connectivity import group_sums
from nsrfc.graph.scores import ScoreModel, impostor_scores
from nsrfc.knn.rebuilt import listed_cosines
from nsrfc.methods.base import Method, Run
from nsrfc.methods.registry import load_method, recorded_method
from nsrfc.pipeline import Evidence
from nsrfc.records import DensityGraph, EdgeList, ImpostorScores, Neighborhood, ScorePrior
from nsrfc.storage.arrays import open_npy, read_npz_array, write_npy, write_npz
from nsrfc.storage.files import reading
from nsrfc.storage.outputs import atomic_folder

__all__ = ["Kept", "keep"]

RECORD = "run.json"
_FACES, _SCENE, _CLUSTERS = "faces.npy", "scene.npy", "clusters.npy"
_GIVEN, _COMPARED, _NEAREST, _COSINE = "given.npy", "compared.npy", "nearest.npy", "cosine.npy"
_EDGES = "edges.npz"

_Rows = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Kept:
    """The evidence of a run, as it is on disk.

    Attributes
    ----------
    folder : Path
    record : mapping
        Method, model, settings and statistics.
    faces : ndarray of int64, shape (n,)
        The faces that were clustered, ascending.
    scene : ndarray of int64, shape (n,)
        The scene of each.
    near : Neighborhood
        Of the scenes; its lists are those of the embeddings as given.
    density : DensityGraph
        Of the scenes; only its edges.
    probability : ndarray of float32, shape (m,)
        Of the density edges.
    """

    folder: Path
    record: Mapping[str, Any]
    faces: _Rows
    scene: _Rows
    near: Neighborhood
    density: DensityGraph
    probability: _Floats

    @property
    def clusters(self) -> _Rows:
        """The id (n,) of each face's cluster at the end of the run."""
        found: _Rows = np.array(open_npy(self.folder / _CLUSTERS))
        return found

    def keep_clusters(self, ids: _Rows) -> None:
        """Write the ids (n,) of the clusters: the last file of a run."""
        write_npy(self.folder / _CLUSTERS, ids)

    @property
    def given_impostors(self) -> ImpostorScores:
        """Impostor score statistics of the embeddings as given."""
        return ImpostorScores(**self.record["given_impostors"])

    @property
    def method(self) -> Method:
        """The method, without its networks: enough for step 4."""
        return recorded_method(self.record["method"])

    def erase(self, scenes: _Rows) -> None:
        """Overwrite the vectors of some scenes by zeros."""
        if len(scenes):
            for name in (_GIVEN, _COMPARED):
                vectors = np.array(open_npy(self.folder / name))
                vectors[scenes] = 0
                write_npy(self.folder / name, vectors)

    def whole_method(self, run: Run) -> Method:
        """Load the method with its networks.

        Raises
        ------
        InputError
            If the model is gone, or was changed since.
        """
        config = ClusterConfig.of(**self.record["config"])
        prior = ScorePrior.of(self.record["method"]["embedder"])
        method = load_method(self.record["model"], config, self.near.faces.shape[1], run, prior)
        if json.loads(json.dumps(dict(method.record()))) != self.record["method"]:
            raise InputError(
                f"The model {self.record['model']} is not what found the clusters of this library, as "
                f"weights or settings differ: cluster again, with nsrfc library cluster."
            )
        return method

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :func:`keep` wrote; large arrays stay on disk until they are used.

        Raises
        ------
        InputError
            If it is missing or damaged.
        """
        with reading(folder / RECORD):
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            impostors = [ImpostorScores(**each) for each in record["impostors"] or ()]
            model = record["score_model"] and ScoreModel(**record["score_model"])
        given, compared = open_npy(folder / _GIVEN), open_npy(folder / _COMPARED)
        with reading(folder / _EDGES):
            edges = {name: read_npz_array(folder / _EDGES, name) for name in _EDGE_ARRAYS}
            density = EdgeList(edges["source"], edges["target"], edges["score"])
            similar = EdgeList(edges["similar_source"], edges["similar_target"], edges["similar_score"])
        near = Neighborhood(
            given,
            compared,
            open_npy(folder / _NEAREST),
            open_npy(folder / _COSINE),
            open_npy(folder / _NEAREST),
            refined=record["refined"],
            impostors=(impostors[0], impostors[1]) if impostors else None,
            score_model=model,
            identical=record["identical"],
        )
        graph = DensityGraph(np.empty(0), density, similar, record["threshold"])
        rows = np.array(open_npy(folder / _FACES)), np.array(open_npy(folder / _SCENE))
        return cls(folder, record, *rows, near, graph, edges["probability"])


_EDGE_ARRAYS = (
    "source",
    "target",
    "score",
    "probability",
    "similar_source",
    "similar_target",
    "similar_score",
)


def keep(folder: Path, faces: _Rows, X: _Floats, evidence: Evidence, record: Mapping[str, Any]) -> Kept:
    """Write the evidence of a run into a folder, whole or not at all.

    Parameters
    ----------
    folder : Path
    faces : ndarray of int64, shape (n,)
        The faces that were clustered.
    X : ndarray of float32, shape (n, d)
        Their embeddings as given, unit vectors: a method may overwrite its own.
    evidence : Evidence
        Its rows are these faces, none of which was left out.
    record : mapping
        Model and settings, as JSON values.
    """
    near, density, method = evidence.near, evidence.density, evidence.method
    given = _scene_vectors(X, evidence.faces.place)
    edges, similar = density.density_edges, density.similarity_edges
    statistics = {
        "method": dict(method.record()),
        "impostors": near.impostors and [vars(each) for each in near.impostors],
        "given_impostors": vars(impostor_scores(given, method.seed, method.prior)),
        "score_model": near.score_model and vars(near.score_model),
        "identical": near.identical,
        "refined": near.refined,
        "threshold": float(density.threshold),
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        _FACES: faces,
        _SCENE: evidence.faces.place,
        _GIVEN: given,
        _COMPARED: near.vectors,
        _NEAREST: near.nearest,
        _COSINE: listed_cosines(given, near.nearest),
    }
    with atomic_folder(folder, RECORD) as temporary:
        for name, array in arrays.items():
            np.save(temporary / name, array, allow_pickle=False)
        values = (
            edges.source,
            edges.target,
            edges.score,
            evidence.scorer(np.arange(len(edges))),
            similar.source,
            similar.target,
            similar.score,
        )
        write_npz(temporary / _EDGES, dict(zip(_EDGE_ARRAYS, values, strict=True)))
        text = json.dumps({**record, **statistics}, indent=2) + "\n"
        (temporary / RECORD).write_text(text, encoding="utf-8")
    return Kept.load(folder)


def _scene_vectors(X: _Floats, scene: _Rows) -> _Floats:
    """Average the faces (n, d) of each scene: unit vectors (g, d), one face as it is."""
    vectors, several = group_sums(X, scene), np.bincount(scene) > 1
    vectors[several] /= np.linalg.norm(vectors[several], axis=1, keepdims=True)
    return vectors
