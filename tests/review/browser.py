"""A headless Chromium that can reach this computer only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

__all__ = ["browser", "missing"]

FLAGS = (
    "--headless",
    "--no-sandbox",  # for root, as which continuous integration runs
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def missing() -> str | None:
    """Return why there is no browser; in continuous integration there must be one."""
    if os.environ.get("CI"):
        return None
    if shutil.which("chromium") and shutil.which("chromedriver"):
        return None
    return "chromium and chromedriver are not installed: apt-get install chromium chromium-driver"


@contextmanager
def browser(
    profile: Path, *, width: int = 1100, height: int = 800, dark: bool = False
) -> Iterator[Chrome]:
    """Open a window of a size, with a profile of its own."""
    options = ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    if dark:
        options.add_argument("--force-dark-mode")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.fail("Install chromium and chromedriver, as .ci/run does.")
    options.binary_location = binary
    window = Chrome(options=options, service=ChromeService(driver))
    try:
        emulated = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", emulated)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield window
    finally:
        window.quit()
