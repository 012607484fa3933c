"""The interface of all executors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nsrfc.execution.work import Work

__all__ = ["Executor"]


class Executor(Protocol):
    """Says where the tasks of a stage run. Results do not depend on it."""

    @property
    def part(self) -> int | None:
        """Number of this process, if other processes run the same command on the same folder."""

    def run(self, work: Work, blocks: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Make the files of some blocks.

        Yields
        ------
        int, str
            A block, and the hash of its file; in any order, as files are made. A block that another
            process has made in the meantime is left out.
        """

    def close(self) -> None:
        """Let workers go."""
