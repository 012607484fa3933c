"""Errors that the user can fix.

    NsrfcError
    ├── InputError                (also a ValueError)   a file or argument is not what it should be
    ├── MemoryPlanError           the work would need more memory than was allowed
    └── OptionalDependencyError   (also an ImportError) an extra is not installed

Every message is one or two sentences: what is wrong, where, and how to fix it. The command line prints
it and exits with code 2. Names and values that come from a file may be long, and hold line breaks or
codes that a terminal obeys: messages shorten them by :func:`shown`, :func:`shortened` and
:func:`enumerate_names`, and escape such characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import Repr

__all__ = [
    "InputError",
    "MemoryPlanError",
    "NsrfcError",
    "OptionalDependencyError",
    "enumerate_names",
    "printable",
    "shortened",
    "shown",
]

_LETTERS = 40
"""Maximum length of a name or value in a message."""


def printable(text: str) -> str:
    """Escape line breaks, control codes and lone surrogates; letters of any script stay as they are."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shown(value: object) -> str:
    """Return the representation of a value for a message, of at most 40 characters.

    Values nested in each other, or repeated by aliases, are left out where they would take long.
    """
    try:
        return shortened(_Brief().repr(value))
    except ValueError:  # an integer of more than 4,300 digits
        return "a number of thousands of digits"


def enumerate_names(names: Iterable[str], limit: int = 5) -> str:
    """Format the first names of a list for a message: ``a, b, c``, or ``a, b, c, d, e, ... (70)``."""
    names = list(names)
    most = 2 * _LETTERS // max(1, min(limit, len(names)))
    listed = ", ".join(shortened(name, max(most, 16)) for name in names[:limit])
    return f"{listed}, ... ({len(names)})" if len(names) > limit else listed


def shortened(text: object, most: int = _LETTERS) -> str:
    """Return a text for a message: escaped, and cut after ``most`` characters."""
    text = printable(str(text))
    return text if len(text) <= most else f"{text[: most - 3]}..."


class _Brief(Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxlong, self.maxother = 3, _LETTERS, _LETTERS, _LETTERS


class NsrfcError(Exception):
    """Base class of the package's errors."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class InputError(NsrfcError, ValueError):
    """A file or an argument is not what it should be."""


class MemoryPlanError(NsrfcError):
    """The work would need more memory than the caller allowed."""


class OptionalDependencyError(NsrfcError, ImportError):
    """A feature needs an extra that is not installed.

    Parameters
    ----------
    package : str
        Import name of the missing package.
    extra : str
        The extra of nsrfc that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs {package}, which is not installed: run pip install 'nsrfc[{extra}]'."
        )
