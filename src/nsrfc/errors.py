"""Errors that the user can fix.

    NsrfcError
    ├── InputError                (also a ValueError)   a file or argument is not what it should be
    ├── MemoryPlanError           the work would need more memory than was allowed
    └── OptionalDependencyError   (also an ImportError) an extra is not installed

Every message is one or two sentences: what is wrong, where, and how to fix it. The command line prints
it and exits with code 2.
"""

__all__ = ["InputError", "MemoryPlanError", "NsrfcError", "OptionalDependencyError"]


class NsrfcError(Exception):
    """Base class of the package's errors."""


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
