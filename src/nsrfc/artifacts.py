"""Results of stages, kept on disk and found again by what they were made of.

A result is named by a hash of its stage, of everything it depends on (content of the embeddings,
weights, settings) and of the version of the package. A run with other data, another model or another
setting looks for other names, so that it cannot take an old result for its own; a file that is damaged,
or does not hold what its name says, is refused with a warning and made anew. Files are written whole or
not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc import __version__
from nsrfc.data.files import npz_headers, read_npz_array, write_npz
from nsrfc.errors import InputError

__all__ = ["Arrays", "Artifacts", "key_of"]

Arrays = dict[str, npt.NDArray[Any]]

_ABOUT = "about"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifacts:
    """A folder of results.

    Parameters
    ----------
    folder : Path, optional
        Made when it is first needed. Without it nothing is kept.
    """

    folder: Path | None = None

    def get(self, stage: str, key: str, make: Callable[[], Arrays]) -> Arrays:
        """Return a result: the one that is kept, or a new one, which is then kept.

        Parameters
        ----------
        stage : str
        key : str
            Of all that the result depends on, see :func:`key_of`.
        make : callable
            Makes the arrays by name.

        Returns
        -------
        dict of str to ndarray

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        found = self.find(stage, key)
        if found is None:
            found = make()
            self.keep(stage, key, found)
        return found

    def find(self, stage: str, key: str) -> Arrays | None:
        """Return the result that is kept, or None."""
        path = self._path(stage, key)
        if path is None or not path.exists():
            return None
        try:
            return _read(path, key)
        except InputError as error:
            _logger.warning("%s Its stage is run again.", error)
            return None

    def keep(self, stage: str, key: str, arrays: Arrays) -> None:
        """Keep a result, in the place of one that is there."""
        path = self._path(stage, key)
        if path is not None:
            write_npz(path, {_ABOUT: np.array(key), **arrays})

    def _path(self, stage: str, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{stage}-{key[:16]}.npz"


def key_of(stage: str, parts: Mapping[str, object]) -> str:
    """Hash what a result depends on.

    Parameters
    ----------
    stage : str
    parts : mapping of str to JSON values
        Settings, and keys or fingerprints of the inputs.

    Returns
    -------
    str
        64 hexadecimal digits; other ones for another version of the package.
    """
    whole = json.dumps([__version__, stage, parts], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


def _read(path: Path, key: str) -> Arrays:
    names = npz_headers(path)
    if _ABOUT not in names or str(read_npz_array(path, _ABOUT)) != key:
        raise InputError(f"{path} is not the result that its name says.")
    return {name: read_npz_array(path, name) for name in names if name != _ABOUT}
