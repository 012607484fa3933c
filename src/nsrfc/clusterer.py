"""FaceClusterer: the scikit-learn interface to :func:`nsrfc.cluster`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from nsrfc.config import ClusterConfig
from nsrfc.methods.base import Run
from nsrfc.pipeline import cluster
from nsrfc.records import BAD_ROW, Clustering
from nsrfc.runtime import fork_safe
from nsrfc.vectors import as_matrix, normalize_good

if TYPE_CHECKING:
    from pathlib import Path

    from nsrfc.known import KnownFaces
    from nsrfc.methods.placement import Placement
    from nsrfc.model.bundle import NSRFC

__all__ = ["FaceClusterer"]


class FaceClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Cluster faces by identity.

    Parameters
    ----------
    model : NSRFC, path-like, str or None, default="universal"
        "universal" is the model that ships with the package and works with every embedder. Otherwise a
        model from :func:`nsrfc.train`, its folder, or its id on the hub. None: rules without learned
        weights, which take a fraction of the time.
    embedder : str or path-like, default="auto"
        What made the embeddings: the name of an embedder card, such as "dlib", or the path of a card of
        your own. What is known of an embedder helps where faces are few; many outvote it. "auto": the
        card that these embeddings clearly fit, if there is one; "none": no card.
    threshold : float, optional
        With a model: minimum probability at which a density edge joins two faces. The default was
        chosen on validation identities.
    precision : float, optional
        With a model, instead of ``threshold``: minimum pairwise precision, as measured on validation
        identities.
    device : str, default="auto"
        Where the model and an exact search run: "auto", "cpu", "cuda", ...
    dtype : {"float32", "bfloat16"}, default="float32"
        Floating-point precision of the model.
    cache : path-like, optional
        Folder for intermediate results: an interrupted run resumes from them. With a model, another run
        on the same faces, for example with another threshold, takes seconds.
    k : int, optional
        Without a model: neighbours per face, the face itself included; 80 by default, clamped to the
        number of faces. A model has its own k.
    search : {"auto", "exact", "approximate"}, default="auto"
        How neighbours are found; "auto" is exact up to 100,000 faces.
    min_cluster_size : int, default=1
        Faces in smaller clusters get the label -1.
    seed : int, default=0
        Seed of random samples and of the approximate search.
    on_bad_rows : {"error", "skip"}, default="error"
        What is done with rows that are missing, zero, NaN or infinite, as of failed detections: "error"
        names them; "skip" leaves them out, and they get the label -2. The other faces are clustered as
        if these rows were not there.

    Attributes
    ----------
    labels_ : ndarray of int64, shape (n,)
        0..c-1 in order of first appearance; -1 only with ``min_cluster_size`` above 1, -2 only with
        ``on_bad_rows="skip"``.
    confidence_ : ndarray of float32, shape (n,)
        Probability that the cluster of each face is right: of one identity, and no fragment of it. 0 for
        rows that were left out.
    warning_ : str or None
        What is in doubt if these faces are beyond what can be known, and what can be done.
    n_features_in_ : int
        Embedding dimension.

    Examples
    --------
    >>> from nsrfc import FaceClusterer
    >>> from nsrfc.synthetic import generate
    >>> faces = generate(500, "wild", seed=0)
    >>> FaceClusterer().fit_predict(faces.embeddings).shape
    (500,)
    """

    def __init__(
        self,
        *,
        model: NSRFC | str | Path | None = "universal",
        embedder: str | Path = "auto",
        threshold: float | None = None,
        precision: float | None = None,
        device: str = "auto",
        dtype: str = "float32",
        cache: str | Path | None = None,
        k: int | None = None,
        search: str = "auto",
        min_cluster_size: int = 1,
        seed: int = 0,
        on_bad_rows: str = "error",
    ) -> None:
        self.model = model
        self.embedder = embedder
        self.threshold = threshold
        self.precision = precision
        self.device = device
        self.dtype = dtype
        self.cache = cache
        self.k = k
        self.search = search
        self.min_cluster_size = min_cluster_size
        self.seed = seed
        self.on_bad_rows = on_bad_rows

    def fit(self, X: npt.ArrayLike, y: object = None) -> FaceClusterer:
        """Cluster faces.

        Parameters
        ----------
        X : array-like of float, shape (n, d)
            Embeddings; need not be normalised. Also a column of vectors, a tensor, and other forms that
            :func:`nsrfc.vectors.as_matrix` reads.
        y : ignored
            Only for compatibility with scikit-learn; labels are never read.

        Returns
        -------
        FaceClusterer
            Itself.

        Raises
        ------
        InputError
            If a parameter or a row of ``X`` is invalid, or the model or the embedder card is for another
            dimension.
        """
        config = ClusterConfig.of(
            k=self.k,
            search=self.search,
            min_cluster_size=self.min_cluster_size,
            seed=self.seed,
            embedder=self.embedder,
            threshold=self.threshold,
            precision=self.precision,
            on_bad_rows=self.on_bad_rows,
        )
        vectors = self._vectors(X, reset=True)
        run = Run(device=self.device, dtype=self.dtype, cache=self.cache)
        found = cluster(vectors, self.model, config, run=run)
        self.labels_ = found.labels
        self.confidence_ = found.confidence
        self.warning_ = found.warning
        self._placed: list[Placement] = []  # filled by the first prediction
        unit = normalize_good(vectors, skip=self._skip)[0]
        self._fitted = unit, found.method, self.model, config, replace(run, cache=None)
        return self

    @fork_safe()
    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Assign new faces to the clusters, by the method that found them.

        Each face is assigned independently of the other new ones. The first call takes longer, because
        it computes statistics of the fitted faces.

        Parameters
        ----------
        X : array-like of float, shape (m, d)

        Returns
        -------
        ndarray of int64, shape (m,)
            Labels from `fit`, or -1 for a face that fits no cluster; -2 for a bad row, with
            ``on_bad_rows="skip"``.

        Raises
        ------
        InputError
            If a row is zero, NaN or infinite, except with ``on_bad_rows="skip"``, or the model has been
            changed or removed since `fit`.
        """
        check_is_fitted(self)
        unit, good = normalize_good(self._vectors(X, reset=False), skip=self._skip)
        labels = np.full(len(good), BAD_ROW, np.int64)
        if good.any():
            labels[good] = self._placement(unit)
        return labels

    def save(self, folder: str | Path) -> None:
        """Write what `predict` needs into a folder, whole or not at all, without pickle.

        It holds the fitted faces as unit vectors, labels, confidence, settings, and the model if it is
        not "universal", of which only the fingerprint is kept.

        Parameters
        ----------
        folder : path-like
            Made if missing; a clusterer that was saved in it is replaced.

        Raises
        ------
        InputError
            If the folder holds other files or cannot be written, or the model has been changed or
            removed since `fit`.
        """
        check_is_fitted(self)
        self._known.save(folder)

    @classmethod
    def load(
        cls, folder: str | Path, *, faces: str | Path | None = None, device: str | None = None
    ) -> FaceClusterer:
        """Read a fitted clusterer, whose predictions are those of the one that was saved.

        Parameters
        ----------
        folder : path-like
            Written by `save`, or by ``nsrfc cluster``.
        faces : path-like, optional
            Only for a folder of ``nsrfc cluster``, which does not hold the embeddings: their file, if
            it is no longer where it was.
        device : str, optional
            Where the model runs; by default that of the saved clusterer, else "auto".

        Returns
        -------
        FaceClusterer
            With the parameters of the fit, but no cache.

        Raises
        ------
        InputError
            If there is no such folder, it is damaged or of another version, or the model or the
            embeddings are not those of the fit.
        """
        from nsrfc.known import KnownFaces

        known = KnownFaces.load(folder, faces=faces, device=device)
        settings = known.config.model_dump(exclude={"tau"})
        run = known.run
        clusterer = cls(model=known.model, device=run.device, dtype=run.dtype, **settings)
        clusterer.labels_ = known.found.labels
        clusterer.confidence_ = known.found.confidence
        clusterer.warning_ = known.found.warning
        clusterer.n_features_in_ = known.vectors.shape[1]
        if known.names is not None:
            clusterer.feature_names_in_ = np.array(known.names, dtype=object)
        clusterer._placed = []
        clusterer._fitted = known.vectors, known.found.method, known.model, known.config, run
        return clusterer

    def __getstate__(self) -> dict[str, Any]:
        # What places faces holds functions, and is made again where it is needed.
        state: dict[str, Any] = super().__getstate__()
        return state | ({"_placed": []} if "_placed" in state else {})

    @property
    def _known(self) -> KnownFaces:
        from nsrfc.known import KnownFaces

        vectors, method, model, config, run = self._fitted
        found = Clustering(self.labels_, self.confidence_, method, self.warning_)
        names = getattr(self, "feature_names_in_", None)
        return KnownFaces(vectors, found, model, config, run, None if names is None else list(names))

    @property
    def _placement(self) -> Placement:
        if not self._placed:
            self._placed.append(self._known.placement())
        return self._placed[0]

    @property
    def _skip(self) -> bool:
        return self.on_bad_rows == "skip"

    def _vectors(self, X: npt.ArrayLike, *, reset: bool) -> npt.NDArray[np.floating]:
        """Check shape and dtype as scikit-learn does; `normalize_good` reports bad rows."""
        floats = [np.float32, np.float64, np.float16]
        vectors: npt.NDArray[np.floating] = validate_data(
            self,
            as_matrix(X, missing=self._skip),
            reset=reset,
            dtype=floats,
            ensure_all_finite=False,
        )
        return vectors
