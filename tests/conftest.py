"""What several tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(os.environ.get("NSRFC_SHARED", Path(__file__).parents[2] / "shared"))

# A shell starts what runs in its background with interrupts ignored, and commands that tests start would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine must not fail a test.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real embeddings (``data``) and reference results (``golden``), if there is one."""
    if not (SHARED / "golden").is_dir():
        pytest.skip(f"real embeddings and golden cases are not at {SHARED} (set NSRFC_SHARED)")
    return SHARED
