"""The tasks of one process of a job array: no engine, only a folder that all processes see.

Every process runs the same command with another ``--shard i/n``. It makes the files of its own blocks
first, then whatever is still missing: if a machine dies, or a job has not started yet, the others do its
work. Two processes may make the same file at the same time, which costs nothing but electricity, as the
second would have waited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self

from nsrfc.errors import InputError, shown

if TYPE_CHECKING:
    from nsrfc.execution.work import Work

__all__ = ["ShardExecutor"]


class ShardExecutor:
    """One process of several that work on the same folder.

    Parameters
    ----------
    part : int
        0..count-1.
    count : int
    """

    def __init__(self, part: int, count: int) -> None:
        self.part: int | None = part
        self._part, self._count = part, count

    @classmethod
    def named(cls, text: str) -> Self:
        """Make the executor of "i/n", with i from 0 or from 1 on.

        Raises
        ------
        InputError
        """
        part, _, count = text.partition("/")
        if not (part.isascii() and part.isdigit() and count.isascii() and count.isdigit()):
            raise InputError(
                f"--shard: give a number and how many there are, as 3/16, got {shown(text)}."
            )
        number, of = int(part), int(count)
        if not 0 <= number <= of or of < 1:
            raise InputError(f"--shard: {shown(text)} is no part of {of}: give 1/{of} to {of}/{of}.")
        return cls(number % of, of)

    def run(self, work: Work, blocks: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Make the files of the blocks of this process, then those that are still missing."""
        own = [block for block in blocks if block % self._count == self._part]
        for block in own:
            yield block, work.make(block)
        others = sorted(set(blocks) - set(own), key=self._turn)
        rows = [block.rows for block in work.blocks()]
        for block in others:
            if rows[block] not in work.made():
                yield block, work.make(block)

    def close(self) -> None:
        """Do nothing."""

    def _turn(self, block: int) -> tuple[int, int]:
        """Order in which the blocks of others are made: from their last on, beginning with the next."""
        return (block % self._count - self._part) % self._count, -block
