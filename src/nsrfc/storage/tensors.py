"""Embeddings in files of tensors: ``.safetensors``, mapped, and ``.pt``, without other Python objects.

torch and safetensors are imported inside the functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import BFLOAT16, FileRows
from nsrfc.errors import InputError, shown
from nsrfc.forms import PREFERRED_KEYS, matrix_of
from nsrfc.storage.arrays import ArrayHeader
from nsrfc.storage.files import choose, reading

__all__ = ["map_tensor", "read_pt", "tensor_headers"]

_TYPES = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": BFLOAT16.str},
    **{f"{sign}{bits}": f"<{sign.lower()}{bits // 8}" for sign in "IU" for bits in (8, 16, 32, 64)},
}


def tensor_headers(path: Path) -> dict[str, ArrayHeader]:
    """Read shape and dtype of the tensors in a ``.safetensors`` file; of no bytes for other types.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    from safetensors import safe_open

    with reading(path):
        with safe_open(path, framework="numpy"):  # checks all that is stated against the file
            pass
        with path.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            stated = json.loads(stream.read(size))
        return {
            name: ArrayHeader(
                tuple(tensor["shape"]),
                np.dtype(_TYPES.get(tensor["dtype"], "V0")),
                False,
                8 + size + tensor["data_offsets"][0],
            )
            for name, tensor in stated.items()
            if name != "__metadata__"
        }


def map_tensor(path: Path, header: ArrayHeader) -> npt.NDArray[Any]:
    """Map a tensor of a ``.safetensors`` file into memory, read-only."""
    with reading(path):
        if not header.dtype.itemsize:
            raise InputError(
                f"{path} holds numbers of a type that is not read: "
                f"write them as float16, bfloat16 or float32."
            )
        return FileRows.open(path, header.dtype, header.shape, header.offset)


def read_pt(
    path: Path, key: str | None, id_key: str | None, usual_id: str, missing: bool
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Read what `torch.save` wrote: a tensor, a dict of tensors, or a list of vectors or dicts.

    Parameters
    ----------
    path : Path
    key, id_key : str or None
        Keys of a dict, or of the dicts of a list.
    usual_id : str
        The key of ids by default, if there is one.
    missing : bool
        Whether rows may be None, and become NaN.

    Raises
    ------
    InputError
        If the file is damaged, holds Python objects of other types, which could run code and are never
        loaded, or no vectors.
    """
    held = _loaded(path)
    if isinstance(held, list | tuple) and held and all(isinstance(face, Mapping) for face in held):
        names = [str(name) for name in held[0]]
        held = {name: [face.get(name) for face in held] for name in names}
    with reading(path):
        if not isinstance(held, Mapping):
            if key is not None or id_key is not None:
                raise InputError(f"{path} holds no names: leave out the key {shown(key or id_key)}.")
            return _matrix(held, path, missing), None
        names = [name for name in held if isinstance(name, str)]
        fitting = [name for name in names if _is_matrix(held[name])]
        key = choose(path, key, names, fitting, PREFERRED_KEYS, "matrix of floats")
        ids = None
        if id_key is not None or usual_id in names:
            ids = np.asarray(held[choose(path, id_key, names, (), (usual_id,), "ids")])
        return _matrix(held[key], path, missing), ids


def _loaded(path: Path) -> Any:  # noqa: ANN401
    import pickle

    import torch

    with reading(path):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise InputError(
                f"{path} is damaged or holds Python objects beside tensors, lists, dicts, text and "
                f"numbers, which could run code and are never loaded: save the tensor itself "
                f"(torch.save(tensor, path))."
            ) from error


def _matrix(held: Any, path: Path, missing: bool) -> npt.NDArray[Any]:  # noqa: ANN401
    return np.asarray(matrix_of(held, str(path), missing=missing))


def _is_matrix(value: Any) -> bool:  # noqa: ANN401
    import torch

    if isinstance(value, torch.Tensor):
        return value.ndim == 2 and value.is_floating_point()
    first = next((each for each in value if each is not None), None) if isinstance(value, list) else None
    if isinstance(first, torch.Tensor):
        return first.ndim == 1 and first.is_floating_point()
    return isinstance(first, list) and bool(first) and all(isinstance(each, float) for each in first)
