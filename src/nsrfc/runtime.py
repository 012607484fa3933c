"""What code runs on: the device of networks, compiled functions, and the threads of a forked process.

Every function that numba compiles is made by :func:`compiled`, which decides where its code is kept. If
no folder can be written, the disk is full or a file is damaged, the function is compiled anew.

Threads do not survive a fork. GNU's OpenMP, which faiss, torch and numba compute with, would wait for
them for ever, or numba would end the process. The thread that forked therefore computes alone, within
:func:`fork_safe`; other threads of the forked process start helpers of their own.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["compiled", "find_device", "fork_safe", "may_have_gpu", "note_forks"]

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


_THREADS = {
    "faiss": ("omp_get_max_threads", "omp_set_num_threads"),
    "numba": ("get_num_threads", "set_num_threads"),
    "torch": ("get_num_threads", "set_num_threads"),
}
"""Functions by which a library gets and sets the number of threads of the calling thread."""

_inherited: Set[str] = frozenset()
"""Libraries that were loaded when this process was forked: they may count on threads that are gone."""

_forked_thread = 0
"""The thread that forked, the only one in which they do."""

_numba_starts = False
"""Whether numba is still to be told that it runs in another process."""

_turn = threading.Lock()

_layer = ""
"""The threading layer of numba, once it is chosen."""

_warned = False


def note_forks() -> None:
    """Have every process that is forked from this one note it."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_note_fork)


def _note_fork() -> None:
    global _inherited, _forked_thread, _numba_starts, _turn
    # A module may be absent, blocked by None, or half imported.
    _inherited = {name for name, ways in _THREADS.items() if hasattr(sys.modules.get(name), ways[1])}
    _forked_thread, _numba_starts = threading.get_ident(), "numba" in _inherited
    _turn = threading.Lock()  # A thread that is gone may have held the other one.


@contextmanager
def fork_safe() -> Iterator[None]:
    """Compute on one thread if this is the thread that forked this process; also a decorator.

    It is enough that a library was loaded before the fork: whether it had started threads is unknown.
    Results are the same on any number of threads.
    """
    if not _inherited:
        yield
        return
    if _numba_starts:
        _start_numba()
    with ExitStack() as limits:
        if threading.get_ident() == _forked_thread:
            for name in _inherited:
                count, limit = (getattr(sys.modules[name], way) for way in _THREADS[name])
                limits.enter_context(_alone(count, limit))
        yield


@contextmanager
def _alone(count: Callable[[], int], limit: Callable[[int], None]) -> Iterator[None]:
    before = count()
    limit(1)
    try:
        yield
    finally:
        limit(before)


def _start_numba() -> None:
    """Let numba start its threads anew: otherwise it ends a process that did not start them itself."""
    global _numba_starts
    with _turn:
        if _numba_starts:
            from numba import get_num_threads
            from numba.np.ufunc import parallel

            # The lock is shared between processes: another may hold it, or have been ended holding it.
            parallel._backend_init_process_lock = None
            parallel._is_initialized = False
            get_num_threads()
            _numba_starts = False


def compiled(*, parallel: bool = False, fastmath: bool | Set[str] = False) -> Callable[..., Any]:
    """Return a decorator that compiles a function with numba when it is first called.

    Parameters
    ----------
    parallel : bool
        Whether ``prange`` uses several threads. Such a function is called from Python only.
    fastmath : bool or set of str
        As of ``numba.njit``.
    """
    from numba import njit

    def compile_(function: Callable[..., Any]) -> Any:  # noqa: ANN401
        code = njit(nogil=True, parallel=parallel, fastmath=fastmath)(function)
        if code is function:  # NUMBA_DISABLE_JIT
            return function
        try:
            _refuse_unknown_home(Path(function.__code__.co_filename).parent)
            code.enable_caching()
        except RuntimeError:
            _warn_of_compiling("no folder for it can be written")
        else:
            code._cache = _Kept(code._cache)
        return _safe_in_threads(code, function) if parallel else code

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
            "Compiled code cannot be kept (%s), so that every start takes about half a minute longer: "
            "set NUMBA_CACHE_DIR to a folder that can be written, on a disk with room.",
            reason,
        )


def _safe_in_threads(code: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: object) -> object:
        with fork_safe(), _turns():
            return code(*args)

    return run


def _turns() -> AbstractContextManager[object]:
    """Let threads take turns where numba has but a work queue, which ends the process if two use it."""
    global _layer
    if not _layer:
        from numba import get_num_threads, threading_layer

        get_num_threads()  # chooses the layer
        _layer = threading_layer()
    return _turn if _layer == "workqueue" else nullcontext()


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
