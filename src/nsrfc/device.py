"""The device on which networks run."""

from __future__ import annotations

import torch

from nsrfc.errors import InputError

__all__ = ["find_device"]


def find_device(name: str) -> torch.device:
    """Return a device by name; "auto" is CUDA if available, else the CPU.

    Raises
    ------
    InputError
        If there is no such device, or it cannot compute.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        # A device such as "meta" holds tensors but cannot compute.
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        able = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu"
        raise InputError(f"There is no device {name!r} that can compute here: take {able}.") from error
    return device
