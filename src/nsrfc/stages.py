"""The stages of a run with a model: each network on the faces, its result kept and found again.

The faces are distinct and in canonical order, so that no result depends on the order of the rows and one
kept by an earlier run serves every order. A stage takes what is known of the faces and returns more.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from nsrfc.chunks import BATCH
from nsrfc.config import ClusterConfig
from nsrfc.device import find_device
from nsrfc.errors import InputError
from nsrfc.graph.cohesion import join_alike_groups, join_doubtful
from nsrfc.graph.connect import Connected, connect
from nsrfc.graph.density_graph import DensityGraph
from nsrfc.graph.reranking import rerank
from nsrfc.graph.score_normalization import stranger_similarity
from nsrfc.knn.build import build_neighbor_graph, rebuild_neighbor_graph
from nsrfc.model.bundle import NSRFC
from nsrfc.model.calibration import calibrated
from nsrfc.model.settings import NetworkName
from nsrfc.progress import Progress
from nsrfc.records import EdgeList, NeighborGraph
from nsrfc.rowstore import RowStore
from nsrfc.steps import (
    EdgeJudge,
    Faces,
    join_groups,
    list_probability,
    listed_cosines,
    padded,
    refine,
)
from nsrfc.storage.artifacts import Arrays, Artifacts, key_of
from nsrfc.vectors import normalize

__all__ = ["DTYPES", "Known", "Stages"]

_Floats = npt.NDArray[np.float32]

DTYPES = ("float32", "bfloat16")
"""Numbers that the networks reckon in; with bfloat16, what torch's autocast does not keep in float32."""

DOUBTFUL = 0.4
"""Share of the threshold from which on an edge may join two large groups, if these are alike."""


@dataclass(frozen=True)
class Known:
    """What is known of the faces, the neighbours (n, k) that were found first, and the key of it all."""

    faces: Faces
    nearest: npt.NDArray[np.int32]
    key: str


@dataclass
class Stages:
    """A model on one set of faces.

    Parameters
    ----------
    model : NSRFC
        Never changed: where it stands on another device, or is in training, a copy is taken.
    X : ndarray of float32, shape (n, d)
        Distinct unit vectors in canonical order.
    config : ClusterConfig
        ``search`` and ``seed`` are read; k is the model's.
    device : str
        As :func:`nsrfc.device.find_device`.
    dtype : {"float32", "bfloat16"}
    artifacts : Artifacts
    progress : Progress
    batch : int
        Lists or edges that a network judges at a time.

    Raises
    ------
    InputError
        If the model is for another dimension, or there is no such device or dtype.
    """

    model: NSRFC
    X: _Floats
    config: ClusterConfig
    device: str = "auto"
    dtype: str = "float32"
    artifacts: Artifacts = field(default_factory=Artifacts)
    progress: Progress = field(default_factory=Progress)
    batch: int = BATCH

    def __post_init__(self) -> None:
        self.model.check_dimension(self.X.shape[1])
        if self.dtype not in DTYPES:
            raise InputError(f"dtype must be {' or '.join(DTYPES)}, got {self.dtype!r}.")
        self.place = find_device(self.device)
        self.settings = self.model.settings
        elsewhere = any(w.device.type != self.place.type for w in self.model.parameters())
        if elsewhere or self.model.training:
            self.model = copy.deepcopy(self.model).to(self.place).eval()

    def refine(self, graph: NeighborGraph | None = None) -> Known:
        """Find neighbours, refine the embeddings, and find neighbours anew.

        Parameters
        ----------
        graph : NeighborGraph, optional
            The neighbours by cosine, where they are known already.
        """
        near, key = self._nearest(graph)
        if not self.settings.uses("refine"):
            return Known(self._faces(self.X, near.ids, near.similarities), near.ids, key)
        Z, key = self._refined(near, key)
        if not self.settings.uses("rebuild"):
            faces = self._faces(Z, near.ids, listed_cosines(Z, near.ids), refined=True)
            return Known(faces, near.ids, key)
        rebuilt, key = self._searched(Z, key, near.ids)
        faces = self._faces(Z, rebuilt.ids, rebuilt.similarities, refined=True)
        return Known(faces, near.ids, key)

    def refined_vectors(self, graph: NeighborGraph | None = None) -> _Floats:
        """Return what the C-GCN makes of the embeddings, used or not; arguments as :meth:`refine`."""
        return self._refined(*self._nearest(graph))[0]

    def pairs(self, known: Known, *, always: bool = False) -> Known:
        """Add a_ij by the pair network, if it is used."""
        if not (always or self.settings.uses("pairs")):
            return known
        pair, key = self._listed("pairs", known)
        return Known(replace(known.faces, pair=pair), known.nearest, key)

    def density(self, known: Known) -> Known:
        """Add S_ij by LCENet, if it is used."""
        if not self.settings.uses("density"):
            return known
        same, key = self._listed("lcenet", known)
        return Known(replace(known.faces, same=same), known.nearest, key)

    def connect(self, known: Known, graph: DensityGraph, threshold: float) -> Connected:
        """Join what belongs together; PCENet, if it is used, judges the density edges that matter.

        Without it the probability of a density edge is its strength a_ij p_ij. Both are calibrated.
        """
        certain, edges, n = graph.similarity_edges, graph.density_edges, len(self.X)
        calibration = self.settings.calibration
        if not self.settings.uses("connect"):
            strength = calibrated(edges.score, calibration)
            return connect(n, certain, edges, lambda chosen: strength[chosen], threshold)
        faces = self._read_by("pcenet", known.faces)
        network = self.model.network("pcenet")
        rules = self.settings.model_dump(include={"mutual", "weighted", "veto"})
        key = key_of("edges", {"of": known.key, **rules, **self._made_with("pcenet")})
        found = self.artifacts.find("edges", key)
        # Edges that other thresholds spared are judged when a run first asks for them.
        judged = np.full(len(edges), np.nan, np.float32) if found is None else found["probability"]
        ask = EdgeJudge(network, faces, self.settings.veto, self.batch)
        with self.progress.stage("edges", len(edges)) as advance:

            def judge(chosen: npt.NDArray[np.int64]) -> _Floats:
                new = chosen[np.isnan(judged[chosen])]
                if len(new):
                    with self._precision():
                        part = EdgeList(edges.source[new], edges.target[new], edges.score[new])
                        judged[new] = ask(part)
                    self.artifacts.keep("edges", key, {"probability": judged})
                advance(len(chosen))
                return calibrated(judged[chosen], calibration)

            connected = connect(n, certain, edges, judge, threshold)
            advance(connected.spared)
        return connected

    def compare_groups(
        self, known: Known, graph: DensityGraph, connected: Connected, threshold: float
    ) -> npt.NDArray[np.int64]:
        """Labels (g,) where edges that would join groups unlike each other are left out.

        Edges that were spared, as surer ones join their ends, stay out of it. Those in doubt, down to
        the share `DOUBTFUL` of the threshold, join large groups that are alike. Large groups as alike
        as the faces within them are joined at the end, as in the rules: parts of somebody with more
        images than a list is long.
        """
        edges = graph.density_edges
        judged = EdgeList(edges.source, edges.target, connected.probability)
        kept = graph.similarity_edges + judged.where(judged.score >= threshold)
        doubtful = judged.where((judged.score < threshold) & (judged.score >= DOUBTFUL * threshold))
        with self.progress.stage("groups", len(self.X)) as advance:
            seed = self.config.seed
            refined = known.faces.vectors
            strangers = stranger_similarity(refined, seed), stranger_similarity(self.X, seed)
            labels = join_groups(known.faces, kept, strangers[0])
            labels = join_doubtful(refined, self.X, labels, doubtful, strangers)
            labels = join_alike_groups(self.X, labels, known.nearest, strangers[1])
            advance(len(self.X))
        return labels

    def _nearest(self, given: NeighborGraph | None) -> tuple[NeighborGraph, str]:
        """Return the neighbours of the embeddings in lists of the model's length, and their key."""
        data = key_of("embeddings", {"sha256": self.artifacts.fingerprint(self.X)})
        if given is None:
            return self._searched(self.X, data)
        k = self.settings.k
        lists = NeighborGraph(given.ids[:, :k], given.similarities[:, :k])
        content = [self.artifacts.fingerprint(lists.ids), self.artifacts.fingerprint(lists.similarities)]
        return NeighborGraph(*padded(lists, k)), key_of("neighbours", {"of": data, "given": content})

    def _searched(
        self, vectors: _Floats, of: str, before: npt.NDArray[np.int32] | None = None
    ) -> tuple[NeighborGraph, str]:
        """Return the neighbours of vectors in lists of the model's length, and their key."""
        settings = {"k": self.settings.k, "search": self.config.search, "seed": self.config.seed}
        key = key_of("neighbours", {"of": of, **settings})

        graph = self._search(vectors, before, self.artifacts.pieces("neighbours", key))
        return NeighborGraph(*padded(graph, self.settings.k)), key

    def _search(
        self,
        vectors: _Floats,
        before: npt.NDArray[np.int32] | None = None,
        pieces: RowStore | None = None,
    ) -> NeighborGraph:
        if before is not None and self.settings.family == "structure":
            return rebuild_neighbor_graph(vectors, before, progress=self.progress, pieces=pieces)
        return build_neighbor_graph(
            vectors,
            self.settings.k,
            method=self.config.search,
            device=self.device,
            seed=self.config.seed,
            progress=self.progress,
            pieces=pieces,
        )

    def _refined(self, graph: NeighborGraph, of: str) -> tuple[_Floats, str]:
        """Return the refined embeddings, and their key."""
        whiten = self.settings.uses("whiten")
        again = {"rerank": self.settings.rerank, "search": self.config.search, "seed": self.config.seed}
        key = key_of("refined", {"of": of, "whiten": whiten, **again, **self._made_with("cgcn")})

        def make() -> Arrays:
            lists = graph.ids
            if self.settings.rerank:
                lists = rerank(graph, X=self.X, progress=self.progress).ids
            network = self.model.network("cgcn")
            with self.progress.stage("refinement", len(self.X)) as advance, self._precision():
                Z = refine(network, self.X, graph, lists, self._search, whiten=whiten)
                advance(len(self.X))
            # bfloat16 meets unit length to a thousandth only, and a search wants it better.
            return {"vectors": Z if self.dtype == "float32" else normalize(Z)}

        return self.artifacts.get("refined", key, make)["vectors"], key

    def _listed(self, name: NetworkName, known: Known) -> tuple[_Floats, str]:
        """Return what a network makes of the lists, and its key."""
        key = key_of(name, {"of": known.key, **self._made_with(name)})

        network, faces = self.model.network(name), self._read_by(name, known.faces)
        with self._precision():
            found = list_probability(
                network,
                faces,
                batch=self.batch,
                progress=self.progress,
                name=name,
                pieces=self.artifacts.pieces(name, key),
            )
        return found, key

    def _faces(
        self,
        vectors: _Floats,
        ids: npt.NDArray[np.int32],
        similarities: _Floats,
        *,
        refined: bool = False,
    ) -> Faces:
        rules = self.settings.mutual, self.settings.weighted
        return Faces(vectors, ids, similarities, refined, mutual=rules[0], weighted=rules[1])

    def _read_by(self, name: NetworkName, faces: Faces) -> Faces:
        return replace(faces, vectors=self.X) if name in self.settings.unrefined else faces

    @contextmanager
    def _precision(self) -> Iterator[None]:
        lower = self.dtype == "bfloat16"
        with torch.autocast(self.place.type, torch.bfloat16, enabled=lower):
            yield

    def _made_with(self, name: NetworkName) -> dict[str, object]:
        """Return what a network's result depends on beside the faces."""
        if self.artifacts.folder is None:
            return {}
        return {
            "network": self.model.fingerprint(name),
            "unrefined": name in self.settings.unrefined,
            "device": self.place.type,
            "dtype": self.dtype,
        }
