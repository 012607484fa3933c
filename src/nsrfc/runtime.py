"""What code runs on: the device of networks, compiled functions, and the threads of a forked process.

Every function that numba compiles is made by :func:`compiled`, which decides where its code is kept. If
no folder can be written, the disk is full or a file is damaged, the function is compiled anew. Such a
function computes on one thread, and is called for several parts of its rows :func:`at_once`: what numba
divides itself takes four times as long to compile.

Threads do not survive a fork. GNU's OpenMP, which faiss and torch compute with, would wait for them for
ever. The thread that forked therefore computes alone, within :func:`fork_safe`; other threads of the
forked process start helpers of their own.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "alone",
    "at_once",
    "compiled",
    "cores",
    "find_device",
    "fork_safe",
    "in_blocks",
    "may_have_gpu",
    "multiplies_bfloat16",
    "note_forks",
    "parts",
    "trim",
]

_logger = logging.getLogger(__name__)


def find_device(name: str) -> torch.device:
    """Return a device by name; "auto" is CUDA if available, else the CPU.

    Raises
    ------
    InputError
        If there is no such device, or it cannot compute.
    """
    import torch

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


_GPU_FILES = "nvidia*", "kfd", "dxg"
"""Names in /dev of GPUs that torch can use, on Linux: of CUDA, of ROCm, and under Windows."""


def may_have_gpu() -> bool:
    """Whether to ask torch for a GPU: if there is surely none, the second of importing it is saved."""
    return sys.platform != "linux" or any(
        next(Path("/dev").glob(name), None) is not None for name in _GPU_FILES
    )


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies matrices in bfloat16 faster than in float32."""
    from llvmlite.binding import get_host_cpu_features  # What numba compiles with.

    features = get_host_cpu_features()
    return any(features.get(name, False) for name in ("avx512bf16", "amx-bf16"))


_THREADS = {
    "faiss": ("omp_get_max_threads", "omp_set_num_threads"),
    "torch": ("get_num_threads", "set_num_threads"),
}
"""Functions by which a library gets and sets the number of threads of the calling thread."""

_inherited: Set[str] = frozenset()
"""Libraries that were loaded when this process was forked: they may count on threads that are gone."""

_forked_thread = 0
"""The thread that forked, the only one in which they do."""

_warned = False


def note_forks() -> None:
    """Have every process that is forked from this one note it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)


def _note_fork() -> None:
    global _inherited, _forked_thread
    # A module may be absent, blocked by None, or half imported.
    _inherited = {name for name, ways in _THREADS.items() if hasattr(sys.modules.get(name), ways[1])}
    _forked_thread = threading.get_ident()


@contextmanager
def fork_safe() -> Iterator[None]:
    """Compute on one thread if this is the thread that forked this process; also a decorator.

    It is enough that a library was loaded before the fork: whether it had started threads is unknown.
    Results are the same on any number of threads.
    """
    if not _inherited:
        yield
        return
    with ExitStack() as limits:
        if threading.get_ident() == _forked_thread:
            for name in _inherited:
                limits.enter_context(alone(name))
        yield


@contextmanager
def alone(library: str) -> Iterator[None]:
    """Have "faiss" or "torch", which must be loaded, compute on one thread within this context.

    For torch, that holds for threads that are started within it, too.
    """
    count, limit = (getattr(sys.modules[library], way) for way in _THREADS[library])
    before = count()
    limit(1)
    try:
        yield
    finally:
        limit(before)


def cores() -> int:
    """Return the number of cores that compiled code may use."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


def parts(n: int) -> list[slice]:
    """Divide 0..n-1 into one part for each of the `cores`, or fewer if n is small."""
    count = max(1, min(cores(), n))
    return [slice(part * n // count, (part + 1) * n // count) for part in range(count)]


def at_once(calls: Iterable[Callable[[], object]]) -> None:
    """Make calls of compiled functions, each in a thread of its own; a single one in this thread."""
    calls = list(calls)
    if len(calls) == 1:
        calls[0]()
        return
    # Threads of a pool that is kept would be missing after a fork.
    with ThreadPoolExecutor(len(calls)) as threads:
        for done in [threads.submit(call) for call in calls]:
            done.result()


def in_blocks(n: int, size: int, work: Callable[[slice], object]) -> None:
    """Call a function that computes with torch for blocks of rows 0..n-1, on every core one at a time.

    What one operation of torch hands to the next then stays in the cache of the core, and cores need not
    wait for each other after each.
    """
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def some(numbers: slice) -> None:
        for block in blocks[numbers]:
            work(block)

    with alone("torch"):
        at_once(partial(some, numbers) for numbers in parts(len(blocks)))


def compiled(*, fastmath: bool | Set[str] = False) -> Callable[..., Any]:
    """Return a decorator that compiles a function with numba when it is first called.

    Parameters
    ----------
    fastmath : bool or set of str
        As of ``numba.njit``.
    """
    from numba import njit

    def compile_(function: Callable[..., Any]) -> Any:  # noqa: ANN401
        code = njit(nogil=True, fastmath=fastmath)(function)
        if code is function:  # NUMBA_DISABLE_JIT
            return function
        try:
            _refuse_unknown_home(Path(function.__code__.co_filename).parent)
            code.enable_caching()
        except RuntimeError:
            _warn_of_compiling("no folder for it can be written")
        else:
            code._cache = _Kept(code._cache)
        return code

    return compile_


def _refuse_unknown_home(package: Path) -> None:
    """Raise RuntimeError if numba would make a folder called ~ for a user whose home is unknown."""
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    if not given and not os.access(package, os.W_OK):
        Path.home()


def _warn_of_compiling(reason: str | None) -> None:
    global _warned
    if not _warned:
        _warned = True
        _logger.warning(
            "Compiled code cannot be kept (%s), so that every start takes some seconds longer: "
            "set NUMBA_CACHE_DIR to a folder that can be written, on a disk with room.",
            reason,
        )


class _Kept:
    """A numba cache whose failures cost time, and nothing else."""

    def __init__(self, cache: Any) -> None:  # noqa: ANN401
        self._cache = cache
        cache._impl = _Sealed(cache._impl, cache._cache_file._source_stamp)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._cache, name)

    def load_overload(self, signature: object, context: object) -> object:
        """Return compiled code, or None if there is none or it is damaged."""
        try:
            return self._cache.load_overload(signature, context)
        except Exception:
            # What is damaged may raise anything. Emptied, the index no longer leads to it.
            with suppress(OSError):
                self._cache.flush()
            return None

    def save_overload(self, signature: object, code: object) -> None:
        """Keep compiled code, if that is possible."""
        try:
            self._cache.save_overload(signature, code)
        except Exception as error:
            _warn_of_compiling(error.strerror if isinstance(error, OSError) else "a file is damaged")


class _Sealed:
    """The form in which numba keeps code, with a checksum: numba itself would run what is damaged."""

    def __init__(self, form: Any, source: object) -> None:  # noqa: ANN401
        self._form, self._source = form, source

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._form, name)

    def reduce(self, code: object) -> tuple[object, bytes, bytes]:
        """Return what is written to disk."""
        from numba.core.serialize import dumps

        data = dumps(self._form.reduce(code))
        return self._source, hashlib.sha256(data).digest(), data

    def rebuild(self, context: object, kept: tuple[object, bytes, bytes]) -> object:
        """Return the code from what was read; fails if it is damaged or of another source."""
        source, seal, data = kept
        if source != self._source or hashlib.sha256(data).digest() != seal:
            raise ValueError("This is not what was written.")
        return self._form.rebuild(context, pickle.loads(data))


def trim() -> None:
    """Give memory that was freed back to the system: glibc keeps much of it."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
