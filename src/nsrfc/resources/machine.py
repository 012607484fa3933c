"""Cores, memory and disk of the machine, and parsing of amounts of memory."""

from __future__ import annotations

import math
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import ByteSize, Field, TypeAdapter, ValidationError

from nsrfc.errors import InputError

__all__ = ["available_cores", "available_memory", "check_disk", "parse_bytes", "peak_memory"]

_AMOUNT = re.compile(r"\s*[0-9]*\.?[0-9]+(e[0-9]+|\s*[a-z]*)\s*", re.IGNORECASE)
_SIZE = TypeAdapter(Annotated[ByteSize, Field(gt=0)])


def parse_bytes(text: str) -> int:
    """Parse an amount of memory: ``8GiB``, ``8G``, ``500 MB``, ``1e9``.

    Raises
    ------
    InputError
        If it is not one.
    """
    try:
        # pydantic parses a number and a unit at the start and ignores the rest.
        if _AMOUNT.fullmatch(text):
            return int(_SIZE.validate_python(_with_unit(text)))
    except ValidationError:
        pass
    raise InputError(f"{text!r} is not an amount of memory: write it like 8GiB or 500MB.")


def _with_unit(text: str) -> str | int:
    """Turn amounts that pydantic cannot parse into ones it can: ``1e9`` bytes, ``8Gi``."""
    try:
        number = float(text)
    except ValueError:
        return f"{text.strip()}b" if text.strip().lower().endswith("i") else text
    return int(number) if math.isfinite(number) else text


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would include the memory of the parent before it started this process.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return 1024 * int(found[1])
    try:
        import resource
    except ImportError:
        return None
    # Systems without /proc: macOS reports bytes, the BSDs kilobytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if os.uname().sysname == "Darwin" else 1024 * peak


def check_disk(folder: Path, needed: int, option: str = "--cache") -> None:
    """Refuse, before any work, a folder on a disk with too little space for the results.

    What an interrupted run left in the folder counts as done.

    Parameters
    ----------
    folder : Path
        Need not exist.
    needed : int
        Bytes of all results.
    option : str
        That of the command which names another folder.

    Raises
    ------
    InputError
    """
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free, left = shutil.disk_usage(place).free, needed
    for file in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            left -= file.stat().st_size
    if left > free:
        more = " more" if left < needed else ""
        raise InputError(
            f"{folder} has {free / 2**30:.2f} GiB left, and the results of stages kept there take about "
            f"{left / 2**30:.2f} GiB{more}: make room, or name another folder with {option}."
        )


def available_memory() -> int | None:
    """Return the memory that a process can still take, in bytes; None if the system does not report it.

    That is what the machine has left, or the limit of its container if that is lower.
    """
    found = [limit for limit in map(_limit_in, _cgroup_limits()) if limit is not None]
    with suppress(OSError):
        left = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [1024 * int(left[1])] if left else []
    if not found:
        # Systems without /proc: all of the memory.
        with suppress(AttributeError, ValueError, OSError):
            found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    return min(found, default=None)


def _cgroup_limits() -> list[Path]:
    """Files that may hold the memory limit of this process's control group, of either version."""
    places = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                places += [Path("/sys/fs/cgroup", path.lstrip("/"), "memory.max")]
            elif "memory" in controllers.split(","):
                folder = Path("/sys/fs/cgroup/memory")
                places += [folder / path.lstrip("/") / "memory.limit_in_bytes"]
    # Inside a container the group is often mounted as the root.
    root = Path("/sys/fs/cgroup")
    return [*places, root / "memory.max", root / "memory/memory.limit_in_bytes"]


def _limit_in(file: Path) -> int | None:
    """Read a limit; None if there is none, or "max"."""
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
