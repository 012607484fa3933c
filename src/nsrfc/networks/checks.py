"""What the classes of the networks refuse: values with which none could be made, or run."""

from __future__ import annotations

import math

__all__ = ["check_numbers", "check_sizes"]


def check_sizes(**sizes: object) -> None:
    """Refuse, by name, what is no whole number from 1.

    Raises
    ------
    ValueError
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} must be a whole number from 1, got {size!r}")


def check_numbers(most: float, **numbers: object) -> None:
    """Refuse, by name, what is no finite number in 0..``most``.

    Raises
    ------
    ValueError
    """
    for name, number in numbers.items():
        if not isinstance(number, int | float) or not (math.isfinite(number) and 0 <= number <= most):
            limit = f"in 0..{most:g}" if math.isfinite(most) else "from 0"
            raise ValueError(f"{name} must be a number {limit}, got {number!r}")
