"""What a model is made of and how it is run: all that ``config.json`` has to say, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nsrfc.config import Share
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
"""Name of the model that the package brings: for every embedder (:mod:`recipes.universal`)."""

NetworkName = Literal["cgcn", "pairs", "lcenet", "pcenet"]
NETWORKS: tuple[NetworkName, ...] = ("cgcn", "pairs", "lcenet", "pcenet")
"""In the order in which they work."""

Step = Literal["refine", "rebuild", "whiten", "pairs", "density", "connect"]
STEPS: Mapping[Step, NetworkName] = {
    "refine": "cgcn",
    "rebuild": "cgcn",
    "whiten": "cgcn",
    "pairs": "pairs",
    "density": "lcenet",
    "connect": "pcenet",
}
"""The learned steps in their order, and the network that each needs."""

Calibration = tuple[float, float]
"""Slope and offset of calibrated log-odds, see :func:`nsrfc.methods.networks.calibrated`."""

UNCHANGED: Calibration = (1.0, 0.0)

Family = Literal["structure", "coordinates"]

Hyperparameters = dict[str, int | float | bool | list[float]]


class ClusterComparison(BaseModel):
    """When clusters are alike enough to become one.

    r is their normalised similarity (:class:`nsrfc.graph.connectivity.ClusterTest`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum: Share = 0.6
    """Least r at which an edge may join two clusters of at least two faces."""

    refined_minimum: Share = 0.75
    """The same where embeddings are refined: the poses of one identity have come near each other, and
    impostors have not."""

    uncertain_share: Share = 0.4
    """Share of `ModelSettings.connect` from which on an uncertain edge may join two large clusters."""

    uncertain_minimum: Share = 0.5
    """Least r of these by the embeddings as given; refined they need ``refined_minimum`` as well."""

    uncertain_size: Annotated[int, Field(ge=2)] = 5
    """Fewest faces of these: of so many, their similarity says more than the edge."""

    unlinked_minimum: Share = 0.75
    """Least r, by the embeddings as given, at which two large clusters are one identity without an edge
    that says so."""

    unlinked_size: Annotated[int, Field(ge=2)] = 10
    """Fewest faces of these."""


class ModelSettings(BaseModel):
    """Settings of a :class:`~nsrfc.model.bundle.NSRFC`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Family
    """What the networks read: neighbour structure, or the vectors themselves as published."""

    dimension: Annotated[int, Field(ge=1)] | None
    """Length of an embedding; None: any, which networks on structure allow."""

    k: Annotated[int, Field(ge=1)] = 80
    """Neighbours per face, the face itself included."""

    search: Literal["auto", "exact", "approximate"] = "auto"
    """How neighbours were found in training."""

    fewest: Annotated[int, Field(ge=0)] = 0
    """Faces of the smallest set that the networks learned from; fewer are clustered by the rules without
    learned weights."""

    rerank: bool = False
    """Whether the C-GCN works on re-ranked lists."""

    networks: dict[NetworkName, Hyperparameters] = {}
    """Hyperparameters of the networks there are, as their classes name them."""

    used: dict[Step, bool] = {}
    """Steps that earned their place on the validation people; a step that is not named is not used."""

    unrefined: tuple[NetworkName, ...] = ()
    """Networks that read the embeddings as they were given, not the refined ones: LCENet and PCENet as
    published."""

    mutual: Mutual = "present"
    """How p_ij is made of S_ij and S_ji: the mean of those there are, or the published one."""

    weighted: bool = False
    """Whether the density is weighted by cosines; otherwise it is as published."""

    cluster_comparison: ClusterComparison | None = None
    """When clusters are alike enough to become one; None: every edge that holds joins, as published."""

    veto: bool = True
    """Whether the probability of a density edge is PCENet's verdict times the strength a_ij p_ij;
    otherwise it is the verdict alone, as published."""

    tau: float | None = None
    """Strength a_ij p_ij from which on a pair is joined at once; None: the published rule."""

    calibration: Calibration = UNCHANGED
    """Slope and offset that turn the log-odds of a density edge into those that hold among the people
    held out in training (:func:`nsrfc.training.calibration.fit_calibration`)."""

    connect: Annotated[float, Field(ge=0)] = 0.5
    """Probability, calibrated, from which on a density edge is kept."""

    precision: tuple[tuple[float, float], ...] = ()
    """Pairwise precision of the people held out in training, and the ``connect`` that reached it, both
    ascending."""

    @model_validator(mode="before")
    @classmethod
    def _reads_older_files(cls, settings: Any) -> Any:  # noqa: ANN401
        return with_cluster_comparison(settings)

    @model_validator(mode="after")
    def _dimension_is_known(self) -> Self:
        if self.dimension is None and self.family == "coordinates":
            raise ValueError("networks on coordinates are for one dimension")
        return self

    def uses(self, step: Step) -> bool:
        """Whether a step is taken: it is wanted, and its network is there."""
        return self.used.get(step, False) and STEPS[step] in self.networks

    def width(self, network: NetworkName, dimension: int | None = None) -> int:
        """Length of the vectors that a network reads; a C-GCN of the family "coordinates" doubles it.

        ``dimension`` is that of the embeddings, where the model is for any.
        """
        length = self.dimension or dimension
        assert length is not None
        refined = self.used.get("refine", False) and network not in ("cgcn", *self.unrefined)
        return length * (2 if refined and self.family == "coordinates" else 1)

    def connect_for(self, precision: float) -> float:
        """Return the lowest threshold of density edges that reached a precision in training.

        Raises
        ------
        InputError
            If none reached it.
        """
        reached = [connect for found, connect in self.precision if found >= precision]
        if not reached:
            most = max((found for found, _ in self.precision), default=0.0)
            raise InputError(
                f"precision {precision:g} was not reached by this model on the people held out in "
                f"training (at most {most:.3f}): ask for less, or give a threshold."
            )
        return reached[0]

    def decided(
        self, threshold: float | None, tau: float | None, precision: float | None = None
    ) -> ModelSettings:
        """Return these settings with other thresholds, in 0..1; None leaves one as it is.

        ``precision`` takes the place of ``threshold``.

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


def with_cluster_comparison(settings: Any) -> Any:  # noqa: ANN401
    """Return settings with ``groups``, which was yes or no, under its present name."""
    if not isinstance(settings, Mapping) or not isinstance(settings.get("groups"), bool):
        return settings
    newer = {name: value for name, value in settings.items() if name != "groups"}
    return {"cluster_comparison": ClusterComparison() if settings["groups"] else None, **newer}
