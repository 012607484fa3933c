"""What is loaded: little, and only what the work at hand needs."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

FIT = """
import sys
import numpy as np
from nsrfc import FaceClusterer
X = np.random.default_rng(0).standard_normal((600, 32))
FaceClusterer(model={model!r}).fit(X)
print(*sorted(name for name in sys.modules if name.startswith(("nsrfc", "torch"))))
"""


@cache
def loaded_by_fit(model: str | None) -> list[str]:
    command = [sys.executable, "-c", FIT.format(model=model)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("model", [None, "universal"])
def test_fit_loads_few_modules_of_the_package(model: str | None) -> None:
    names = loaded_by_fit(model)
    assert len([name for name in names if name.startswith("nsrfc")]) <= 43


def test_the_rules_load_no_torch() -> None:
    assert not [name for name in loaded_by_fit(None) if name.startswith("torch")]
