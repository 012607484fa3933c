"""The settings of a model, as stored in ``config.json``; does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nsrfc.config import Count, Dimension, Neighbors, Number, Share
from nsrfc.errors import InputError
from nsrfc.records import Mutual

__all__ = [
    "NETWORKS",
    "STEPS",
    "UNCHANGED",
    "UNIVERSAL",
    "Calibration",
    "ClusterComparison",
    "Family",
    "Hyperparameters",
    "ModelSettings",
    "NetworkName",
    "Step",
]

UNIVERSAL = "universal"
"""Name of the shipped model, for every embedder (:mod:`recipes.universal`)."""

NetworkName = Literal["cgcn", "pairs", "lcenet", "pcenet"]
NETWORKS: tuple[NetworkName, ...] = ("cgcn", "pairs", "lcenet", "pcenet")
"""The networks in the order of the method."""

Step = Literal["refine", "rebuild", "whiten", "pairs", "density", "connect"]
STEPS: Mapping[Step, NetworkName] = {
    "refine": "cgcn",
    "rebuild": "cgcn",
    "whiten": "cgcn",
    "pairs": "pairs",
    "density": "lcenet",
    "connect": "pcenet",
}
"""The learned steps in order, and the network that each needs."""

Calibration = tuple[Number, Number, Number]
"""Weights of the networks and of the score model, and offset, of calibrated log-odds; see
:func:`nsrfc.methods.networks.calibrated`."""

UNCHANGED: Calibration = (1.0, 0.0, 0.0)

Family = Literal["structure", "coordinates"]

# bool first: pydantic 2.7 writes false as 0.0 where numbers come before it.
Hyperparameters = dict[str, bool | int | float | Annotated[list[Number], Field(max_length=100)]]
"""Arguments of a network, whose class checks their ranges."""


class ClusterComparison(BaseModel):
    """When two clusters are similar enough to be joined.

    r is their normalised similarity (:class:`nsrfc.graph.connectivity.ClusterTest`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: Share = 0.6
    """Minimum r at which an edge may join two clusters of at least two faces each."""

    refined_minimum: Share = 0.75
    """The same for refined embeddings, where the poses of one identity are more similar but impostor
    pairs are not."""

    minimum_score: Annotated[Number, Field(ge=0)] = 2.0
    """Minimum normalised score of two such clusters, the mean over all pairs: that of two clusters of
    different identities is often 1."""

    uncertain_share: Share = 0.4
    """An uncertain edge may join two large clusters if its probability is at least this share of
    `ModelSettings.connect`."""

    uncertain_minimum: Share = 0.5
    """Minimum r of such clusters by the embeddings as given; by the refined ones ``refined_minimum``
    applies as well."""

    uncertain_size: Annotated[Count, Field(ge=2)] = 5
    """Minimum size of such clusters, above which their similarity is more reliable than the edge."""

    unlinked_minimum: Share = 0.75
    """Minimum r, by the embeddings as given, at which two large clusters are joined without an edge.
    Less is enough where the clusters at hand show it (:func:`nsrfc.graph.surplus.surplus_from`)."""

    unlinked_size: Annotated[Count, Field(ge=2)] = 10
    """Minimum size of such clusters."""


class ModelSettings(BaseModel):
    """Settings of a :class:`~nsrfc.model.bundle.NSRFC`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family
    """What the networks read: neighbour structure, or the vectors themselves as published."""

    dimension: Dimension | None
    """Embedding dimension; None: any, only for networks on structure."""

    k: Neighbors = 80
    """Neighbours per face, the face itself included."""

    scored: Annotated[Neighbors, Field(ge=2)] | None = None
    """Nearest neighbours that networks on structure score, the face itself included: the others only
    describe the list. None: all of them."""

    search: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours were found in training."""

    rerank: bool = False
    """Whether the C-GCN works on re-ranked lists."""

    networks: dict[NetworkName, Hyperparameters] = {}
    """Hyperparameters of the networks in the model, as arguments of their classes."""

    used: dict[Step, bool] = {}
    """Whether a step is used, because validation improved with it; missing steps are not used."""

    unrefined: Annotated[tuple[NetworkName, ...], Field(max_length=4)] = ()
    """Networks that read the embeddings as given, not the refined ones: LCENet and PCENet as
    published."""

    mutual: Mutual = "present"
    """How p_ij is computed from S_ij and S_ji: as the mean of those that exist, or as published."""

    weighted: bool = False
    """Whether the density is weighted by cosines; otherwise it is as published."""

    cluster_comparison: ClusterComparison | None = None
    """When two clusters are similar enough to be joined; None: every edge that is kept joins, as
    published."""

    veto: bool = True
    """Whether the probability of a density edge is that of PCENet times the score a_ij p_ij; otherwise
    it is that of PCENet alone, as published."""

    tau: Annotated[Number, Field(ge=0)] | None = None
    """Minimum score a_ij p_ij of a similarity edge; None: the published rule."""

    calibration: Calibration = UNCHANGED
    """How probabilities of edges are calibrated, fitted on validation identities
    (:func:`nsrfc.training.calibration.fit_calibration`)."""

    connect: Annotated[Number, Field(ge=0)] = 0.5
    """Minimum calibrated probability at which a density edge is kept."""

    precision: Annotated[tuple[tuple[Share, Number], ...], Field(max_length=1000)] = ()
    """Pairwise precision on validation identities and the ``connect`` that reached it, both
    ascending."""

    @model_validator(mode="before")
    @classmethod
    def _reads_older_files(cls, settings: Any) -> Any:  # noqa: ANN401
        return with_three_weights(with_cluster_comparison(without_minimum(settings)))

    @model_validator(mode="after")
    def _dimension_is_known(self) -> Self:
        if self.dimension is None and self.family == "coordinates":
            raise ValueError("networks on coordinates are for one dimension")
        if self.scored is not None and self.family == "coordinates":
            raise ValueError("networks on coordinates score whole lists: leave scored out")
        return self

    def uses(self, step: Step) -> bool:
        """Whether a step is used and its network is in the model."""
        return self.used.get(step, False) and STEPS[step] in self.networks

    def width(self, network: NetworkName, dimension: int | None = None) -> int:
        """Length of the vectors that a network reads; a C-GCN of the family "coordinates" doubles it.

        ``dimension`` is the embedding dimension, needed if the model is for any.
        """
        length = self.dimension or dimension
        assert length is not None
        refined = self.used.get("refine", False) and network not in ("cgcn", *self.unrefined)
        return length * (2 if refined and self.family == "coordinates" else 1)

    def connect_for(self, precision: float) -> float:
        """Return the lowest threshold of density edges that reached a precision in validation.

        Raises
        ------
        InputError
            If none did.
        """
        reached = [connect for found, connect in self.precision if found >= precision]
        if not reached:
            most = max((found for found, _ in self.precision), default=0.0)
            raise InputError(
                f"precision {precision:g} was not reached by this model on validation identities "
                f"(at most {most:.3f}): give a lower precision, or a threshold."
            )
        return reached[0]

    def decided(
        self, threshold: float | None, tau: float | None, precision: float | None = None
    ) -> ModelSettings:
        """Return these settings with other thresholds, in 0..1; None keeps a threshold.

        ``precision`` replaces ``threshold``.

        Raises
        ------
        InputError
            As :meth:`connect_for`.
        """
        if precision is not None:
            threshold = self.connect_for(precision)
        wanted = {"connect": threshold, "tau": tau}
        return self.model_copy(
            update={name: value for name, value in wanted.items() if value is not None}
        )


def without_minimum(settings: Any) -> Any:  # noqa: ANN401
    """Drop the former setting ``fewest``, a minimum number of faces: networks serve every number now."""
    if not isinstance(settings, Mapping):
        return settings
    return {name: value for name, value in settings.items() if name != "fewest"}


def with_cluster_comparison(settings: Any) -> Any:  # noqa: ANN401
    """Replace the former setting ``groups``, true or false, by ``cluster_comparison``."""
    if not isinstance(settings, Mapping) or not isinstance(settings.get("groups"), bool):
        return settings
    newer = {name: value for name, value in settings.items() if name != "groups"}
    return {"cluster_comparison": ClusterComparison() if settings["groups"] else None, **newer}


def with_three_weights(settings: Any) -> Any:  # noqa: ANN401
    """Read a former calibration, slope and offset: the score model had no weight."""
    if not isinstance(settings, Mapping):
        return settings
    known = settings.get("calibration")
    if not isinstance(known, (list, tuple)) or len(known) != 2:
        return settings
    return {**settings, "calibration": (known[0], 0.0, known[1])}
