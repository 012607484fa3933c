"""The machine at hand: its cores, the memory that the process has held, amounts of memory in words."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from nsrfc.errors import InputError

__all__ = ["available_cores", "check_disk", "parse_bytes", "peak_memory"]

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}

_BINARY_UNITS = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_bytes(text: str) -> int:
    """Read an amount of memory: ``8GiB``, ``8G``, ``500 MB``, ``1e9``.

    Raises
    ------
    InputError
        If it is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    unit = match[2] + match[3] if match else ""
    units = _UNITS | _BINARY_UNITS
    if number <= 0 or number == float("inf") or unit not in units:
        raise InputError(f"{text!r} is not an amount of memory: write it like 8GiB or 500MB.")
    return int(number * units[unit])


def peak_memory() -> int | None:
    """Return the most bytes this process has held; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent held before it started this process.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return 1024 * int(found[1])
    try:
        import resource
    except ImportError:
        return None
    # Bytes on macOS, the only system without /proc that is left here, and kilobytes on the BSDs.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else 1024 * peak


def check_disk(folder: Path, needed: int) -> None:
    """Refuse, before any work, a folder on a disk that has less room than results will take.

    Raises
    ------
    InputError
    """
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{folder} has {free / 2**30:.2f} GiB left, and the results of stages that are kept there "
            f"take about {needed / 2**30:.2f} GiB: make room, or name another folder with --cache."
        )


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
