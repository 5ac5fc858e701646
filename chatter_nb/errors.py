"""The errors a person can meet. Imports nothing of the package.

Every message names the value, the place and the valid choices or the cure, so that the reader can
mend it without opening the code. `exit_code` is what the command line returns.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class ChatterError(Exception):
    """Base of every error this package raises on purpose; a run that failed."""

    exit_code = 1


class InputError(ChatterError):
    """A text, a recording or a file that cannot be used as it is."""

    exit_code = 2


class ParamError(InputError):
    """Parameters that do not hold: unknown, of the wrong type, out of range or at odds."""


class OutputError(ChatterError):
    """A place that cannot be written: read-only, missing or full."""

    exit_code = 2


class UnavailableError(InputError):
    """An engine or a device that was asked for and is not here."""


class EngineError(ChatterError):
    """An engine that failed to load, or on a chunk."""


class OutOfMemory(EngineError):
    """The device's memory is too small for what was asked of it at once."""


class Cancelled(ChatterError):
    """The run was stopped on request; what was finished is kept and a new run resumes from it."""

    exit_code = 130


@contextmanager
def located(where: str, consolation: str) -> Iterator[None]:
    """Errors of a model say what they are about, and what is not lost; those of the disk do."""
    try:
        yield
    except OutputError:
        raise
    except ChatterError as error:
        raise type(error)(f"{where}: {error}; {consolation}") from error
    except Exception as error:  # whatever a model raises, a person must know where
        told = f"{type(error).__name__}: {error}"
        raise EngineError(f"{where}: {told}; {consolation}") from error
