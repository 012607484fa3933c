"""The model card says what the settings say: of a model of any kind, and of the one that is shipped."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nsrfc.model.bundle import load_model
from nsrfc.model.card import model_card
from nsrfc.model.settings import NETWORKS, STEPS, ClusterComparison

from ..models import FAMILIES, PUBLISHED, STRUCTURE, make_model


def rows(card: str, heading: str | None = None) -> dict[str, str]:
    """Rows of the first table below a heading, by their first cell."""
    below = card if heading is None else card.split(f"## {heading}")[1]
    found: dict[str, str] = {}
    for line in below.splitlines():
        if cells := re.fullmatch(r"\| (.*) \| (.*) \|", line):
            found[cells[1]] = cells[2]
        elif found and not line.startswith("|---"):
            break
    return {name: value for name, value in found.items() if name not in ("", "step")}


def card_of(settings: dict[str, Any], **changes: Any) -> str:  # noqa: ANN401
    return model_card(make_model(settings, **changes).settings, {}, {})


@pytest.mark.parametrize("family", FAMILIES)
def test_facts_are_those_of_the_settings(family: str) -> None:
    facts = rows(card_of(FAMILIES[family]))
    settings = make_model(FAMILIES[family]).settings
    assert facts == {
        "embedding dimension": str(settings.dimension),
        "neighbours per face": str(settings.k),
        "family": family,
        "networks": ", ".join(NETWORKS),
        "steps": ", ".join(STEPS),
        "similarity threshold": str(settings.tau),
        "connectivity threshold": str(settings.connect),
        "clusters compared": "no",
    }


def test_what_is_not_there_or_not_used_is_not_claimed() -> None:
    facts = rows(card_of(STRUCTURE, used={"pairs": True, "density": False}, networks={"pairs": {}}))
    assert (facts["networks"], facts["steps"]) == ("pairs", "pairs")
    facts = rows(card_of(STRUCTURE, used={}, networks={}, tau=None))
    assert (facts["networks"], facts["steps"]) == ("none", "none")
    assert facts["similarity threshold"] == "the published rule"
    facts = rows(card_of(STRUCTURE, cluster_comparison=ClusterComparison(), dimension=None))
    assert (facts["clusters compared"], facts["embedding dimension"]) == ("yes", "any")


def test_a_step_that_was_left_out_is_marked_with_what_it_reached() -> None:
    settings = make_model(STRUCTURE, used={"refine": True, "pairs": False}).settings
    card = model_card(settings, {"embeddings": 0.8, "refine": 0.9125, "pairs": 0.91}, {})
    assert rows(card, "Quality") == {
        "embeddings": "80.00%",
        "refine": "91.25%",
        "pairs": "91.00% (left out)",
    }


def test_data_and_use_are_told_where_there_is_anything_to_tell() -> None:
    settings = make_model(PUBLISHED).settings
    card = model_card(settings, {}, {"faces": 1234, "people": 56})
    assert rows(card, "Training data") == {"faces": "1234", "people": "56"}
    assert "## Quality" not in card
    assert f"of dimension {settings.dimension}, from the embedder" in card
    assert "## Training data" not in card_of(STRUCTURE)
    assert "of any embedder and dimension" in card_of(STRUCTURE, dimension=None)


def test_the_shipped_model_says_of_itself_what_its_settings_say() -> None:
    model = load_model("universal")
    facts = rows(str(model.generate_model_card()))
    assert facts["embedding dimension"] == "any"
    assert facts["neighbours per face"] == str(model.settings.k)
    assert facts["steps"] == ", ".join(step for step in STEPS if model.settings.uses(step))
    assert float(facts["connectivity threshold"]) == pytest.approx(model.settings.connect, abs=1e-3)
    assert set(rows(str(model.generate_model_card()), "Quality")) == set(model.metrics)
