"""Large arrays of tasks as files, which other processes map instead of receiving them.

A task travels as a pickle that the package itself makes and reads within one run; it is never read from
a file. Arrays and indexes inside it are replaced by the paths of their files.
"""

from __future__ import annotations

import io
import pickle
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import FileRows
from nsrfc.errors import InputError
from nsrfc.storage.arrays import open_npy, write_npy
from nsrfc.storage.files import kind_of, writing
from nsrfc.storage.fingerprints import fingerprint

__all__ = ["LARGE", "Shelf", "mapped", "unpacked"]

LARGE = 1 << 16
"""Arrays of fewer bytes travel with the task."""


@dataclass(frozen=True)
class Shelf:
    """A folder of arrays that several processes read.

    Attributes
    ----------
    folder : Path
        Made when it is first needed.
    """

    folder: Path
    _known: dict[Path, npt.NDArray[Any]] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "_known": {}}

    def put(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return an array of the same content that is mapped from a file.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        if self.place(array) is not None:
            return array
        sha256 = fingerprint(array)
        path = self.folder / f"{sha256[:32]}.npy"
        if path not in self._known:
            if not _holds(path, sha256):
                write_npy(path, array)
            self.register(path, mapped(path))
        return self._known[path]

    def register(self, path: Path, array: npt.NDArray[Any]) -> None:
        """Note that an array is mapped from a file: parts and views of it need no file of their own."""
        self._known[path] = array

    def forget(self, folder: Path) -> None:
        """Forget the arrays of a folder."""
        for path in [path for path in self._known if path.parent == folder]:
            del self._known[path]

    def packed(self, value: object) -> bytes:
        """Return a value as bytes from which `unpacked` makes it anew in another process."""
        stream = io.BytesIO()
        _Packer(stream, self).dump(value)
        return stream.getvalue()

    def reference(self, value: object) -> tuple[Any, ...] | None:
        """Return where other processes find a value; None if it is to travel itself."""
        if isinstance(value, FileRows) and value.whole:
            return "rows", str(Path(str(value.filename)).absolute()), *value.form
        if isinstance(value, np.ndarray):
            if value.nbytes < LARGE or value.dtype.hasobject:
                return None
            return self.place(value) or self.place(self.put(value))
        if type(value).__module__.startswith("faiss"):
            import faiss

            if isinstance(value, faiss.Index):
                path = self.folder / f"{secrets.token_hex(8)}.faiss"
                with writing(path):
                    self.folder.mkdir(parents=True, exist_ok=True)
                    faiss.write_index(value, str(path))
                return "index", str(path)
        return None

    def place(self, array: npt.NDArray[Any]) -> tuple[Any, ...] | None:
        """Return the file that an array is mapped from, and its place and form in it; None if none."""
        if not array.size or min(array.strides, default=0) < 0:
            return None
        first = array.__array_interface__["data"][0]
        last = first + sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True))
        for path, known in self._known.items():
            start = known.__array_interface__["data"][0]
            if start <= first and last < start + known.nbytes:
                return "array", str(path), first - start, array.shape, array.strides, array.dtype.str
        return None


class _Packer(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, shelf: Shelf) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._shelf = shelf

    def persistent_id(self, obj: object) -> tuple[Any, ...] | None:
        return self._shelf.reference(obj)


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> object:  # noqa: ANN401
        kind, path, *form = pid
        if kind == "rows":
            return FileRows.again(Path(path), *form)
        if kind == "index":
            import faiss

            return faiss.read_index(path, faiss.IO_FLAG_MMAP)
        offset, shape, strides, dtype = form
        return np.ndarray(shape, dtype, mapped(Path(path)), offset, strides)


def unpacked(packed: bytes) -> object:
    """Make anew what another process of this run packed."""
    return _Unpacker(io.BytesIO(packed)).load()


def mapped(path: Path) -> npt.NDArray[Any]:
    """Map an array from a file that this package has written.

    It may be written to, as numba would compile everything once more for arrays that may not.
    """
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r+", allow_pickle=False)
    return array


def _holds(path: Path, sha256: str) -> bool:
    """Whether a file of an earlier run holds the array of a fingerprint."""
    if kind_of(path) != "file":
        return False
    try:
        return fingerprint(open_npy(path)) == sha256
    except InputError:
        return False
