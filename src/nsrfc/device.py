"""Where networks run."""

from __future__ import annotations

import torch

from nsrfc.errors import InputError

__all__ = ["find_device"]


def find_device(name: str) -> torch.device:
    """Return a device by name; "auto" is CUDA where there is one, else the CPU.

    Raises
    ------
    InputError
        If there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"There is no device {name!r} here: take cpu or auto.") from error
    return device
