"""Settings of a clustering: what is out of range, or decides the same twice, is named in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError


@pytest.mark.parametrize("name", ["threshold", "tau", "precision"])
@pytest.mark.parametrize("value", [np.nan, 2, -1, "a"])
def test_a_threshold_is_a_share(name: str, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(InputError, match=f"^{name}: .*, got {value!r}") as refused:
        ClusterConfig.of(**{name: value})
    assert "\n" not in str(refused.value)
    with pytest.raises(ValidationError, match=name):
        ClusterConfig(**{name: value})


@pytest.mark.parametrize("value", [0, 1, 0.5])
def test_every_share_is_taken(value: float) -> None:
    assert ClusterConfig.of(threshold=value, tau=value).tau == value
    assert ClusterConfig.of(precision=value).precision == value


def test_threshold_and_precision_decide_the_same() -> None:
    words = "[Tt]hreshold and precision decide the same, so give one of them"
    with pytest.raises(InputError, match=f"^{words}\\.$"):
        ClusterConfig.of(threshold=0.5, precision=0.9)
    with pytest.raises(ValidationError, match=words):
        ClusterConfig(threshold=0.5, precision=0.9)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"k": 0}, "k"), ({"search": "fast"}, "search"), ({"seed": -1}, "seed"), ({"bogus": 1}, "bogus")],
)
def test_other_settings_are_named(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: "):
        ClusterConfig.of(**settings)


def test_settings_of_another_kind_are_refused() -> None:
    assert ClusterConfig.given(None) == ClusterConfig()
    config = ClusterConfig(k=7)
    assert ClusterConfig.given(config) is config
    given: Any = {"k": 7}
    with pytest.raises(InputError, match="config must be a ClusterConfig, got dict"):
        ClusterConfig.given(given)


def test_settings_without_effect_are_named_with_the_reason() -> None:
    config = ClusterConfig(threshold=0.5, tau=0.2)
    config.refuse(("k", "precision"), "nobody asks")
    with pytest.raises(
        InputError, match=r"^threshold and tau would have no effect, as .*: leave it out\.$"
    ):
        config.refuse(("threshold", "tau", "precision"), "nobody asks")
    with pytest.raises(InputError, match=r"^tau would have no effect, as nobody asks: leave it out\.$"):
        config.refuse(("tau",), "nobody asks")
