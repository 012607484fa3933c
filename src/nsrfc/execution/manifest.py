"""The manifest of a stage: a line for each file that counts, with the hash of its content.

    {"key": "4f0c…", "rows": [0, 65536], "sha256": "a1b2…"}

Lines are only appended. A line that a killed process left unfinished is no line; one that a power
failure took is written again, with its file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.storage.files import writing
from nsrfc.storage.outputs import sync

__all__ = ["Manifest", "Rows", "content_hash"]

Rows = tuple[int, int]
"""First row of a block, and the row behind its last."""


@dataclass(frozen=True)
class Manifest:
    """The files of a stage that count.

    Attributes
    ----------
    folder : Path
        Of the stage.
    key : str
        Of the result: lines of another one are not read.
    part : int, optional
        If several processes append, each has a file of its own.
    """

    folder: Path
    key: str
    part: int | None = None

    def read(self) -> dict[Rows, str]:
        """Return the hash of every block that some process has made."""
        found: dict[Rows, str] = {}
        for path in self._files():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    held = json.loads(line)
                    first, stop = held["rows"]
                    if held["key"] == self.key:
                        found[int(first), int(stop)] = str(held["sha256"])
                except (ValueError, TypeError, KeyError):
                    continue
        return found

    def add(self, rows: Rows, sha256: str) -> None:
        """Append a line.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        name = "manifest.jsonl" if self.part is None else f"manifest-{self.part}.jsonl"
        line = json.dumps({"key": self.key, "rows": rows, "sha256": sha256})
        with writing(self.folder), (self.folder / name).open("a", encoding="utf-8") as stream:
            # The line before may be unfinished.
            stream.write(f"\n{line}\n")

    def flush(self) -> None:
        """Flush all lines to disk, before files go that would have to be made without them."""
        for path in self._files():
            sync(path)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("manifest*.jsonl"))


def content_hash(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Return the SHA-256 of rows, by the names of their arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.shape} {array.dtype.str} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
