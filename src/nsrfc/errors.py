"""What the package raises when a user can mend the cause.

    NsrfcError
    ├── InputError                (also a ValueError)   a file or argument is not what it should be
    ├── MemoryPlanError           the work would need more memory than was allowed
    └── OptionalDependencyError   (also an ImportError) an extra is not installed

Every message is one sentence or two: what is wrong, where, and the mend. The command line prints it
and exits with code 2.
"""

__all__ = ["InputError", "MemoryPlanError", "NsrfcError", "OptionalDependencyError"]


class NsrfcError(Exception):
    """Base of the package's errors."""


class InputError(NsrfcError, ValueError):
    """A file or an argument is not what it should be."""


class MemoryPlanError(NsrfcError):
    """The work would need more memory than the caller allowed."""


class OptionalDependencyError(NsrfcError, ImportError):
    """A feature needs an extra that is not installed.

    Parameters
    ----------
    package : str
        The import name that is missing.
    extra : str
        The extra of nsrfc that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs {package}, which is not installed: run pip install 'nsrfc[{extra}]'."
        )
