"""A library under review, on a real port."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import pytest

from nsrfc.library.library import Library
from nsrfc.review.server import Review
from tests.review.drawn import small_library


@dataclass
class Served:
    """A page that is served, and the library behind it as another process would see it."""

    review: Review
    folder: Path

    @property
    def library(self) -> Library:
        return Library.open(self.folder)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.review.port}"

    def client(self, **headers: str) -> httpx.Client:
        """Return a client that speaks as the page does, but for ``headers``."""
        own = {"X-Token": self.review.token, "Origin": self.origin}
        return httpx.Client(base_url=self.origin, headers={**own, **headers}, timeout=30)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    review = Review(folder)
    thread = threading.Thread(target=review.serve)
    thread.start()
    try:
        yield Served(review, folder)
    finally:
        review.stop()
        thread.join()


@pytest.fixture(scope="session")
def drawn_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_library(tmp_path_factory.mktemp("review") / "family").folder


@pytest.fixture(scope="session")
def bare_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_library(tmp_path_factory.mktemp("review") / "bare", pictures=False).folder


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    return lambda folder: Path(shutil.copytree(folder, tmp_path / folder.name))


@pytest.fixture
def served(drawn_library: Path, copied: Callable[[Path], Path]) -> Iterator[Served]:
    with serving(copied(drawn_library)) as page:
        yield page


@pytest.fixture
def bare(bare_library: Path, copied: Callable[[Path], Path]) -> Iterator[Served]:
    with serving(copied(bare_library)) as page:
        yield page
