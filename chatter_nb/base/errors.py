"""The errors a person can meet. Imports nothing of the package.

Every message names the value, the place and the valid choices or the cure, so that the reader can
mend it without opening the code. `exit_code` is what the command line returns.
"""

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager

_SHOWN_CHARS = 200
_READABLE_BITS = 4096  # Python refuses to write longer numbers


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


class _Brief(reprlib.Repr):
    """Python's own shortener, with numbers of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2  # a list of lists of lists would be written in full
        self.maxstring = self.maxother = 100

    def repr_int(self, x: int, level: int) -> str:
        if x.bit_length() > _READABLE_BITS:
            return f"<a number of {x.bit_length()} bits>"
        return super().repr_int(x, level)


def shown(value: object) -> str:
    """A value as an error shows it: as Python writes it, shortened, however large it is."""
    return shorten(_Brief().repr(value), _SHOWN_CHARS)


def shorten(text: str, limit: int) -> str:
    """The beginning of a text, at most `limit` characters of it."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
