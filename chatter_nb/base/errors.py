"""The errors a person can meet. Imports nothing of the package.

Every message names the value, the place and the valid choices or the cure, so that the reader can
mend it without opening the code. `exit_code` is what the command line returns.
"""

import reprlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_SHOWN_CHARS = 200
_READABLE_BITS = 4096  # Python refuses to write longer numbers


class ChatterError(Exception):
    """The base of every error that this package raises on purpose. Alone: a run that failed.

    `is_located`: the message says already which chunk or window it is about; see `located`.
    """

    exit_code = 1
    is_located = False


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
    """Put `where` before the message of a model's error, and `consolation` after it.

    `where` names the chunk or window, `consolation` says what is kept. An error of any other type
    becomes an `EngineError`. An `OutputError`, which names its own file, passes unchanged; so does
    an error that a block inside this one has located already.
    """
    try:
        yield
    except OutputError:
        raise
    except ChatterError as error:
        if error.is_located:
            raise
        raise _located(type(error), f"{where}: {error}; {consolation}") from error
    except Exception as error:  # whatever a model raises, a person must know where
        reason = f"{type(error).__name__}: {error}"
        raise _located(EngineError, f"{where}: {reason}; {consolation}") from error


def _located(kind: type[ChatterError], message: str) -> ChatterError:
    error = kind(message)
    error.is_located = True
    return error


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


def listed(texts: Sequence[str], most: int = 6) -> str:
    """The first of some texts, each shortened: "a, b and 3 more"; "" for none."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(shorten(text, 60) for text in texts[:most]) + more


class Problems:
    """Collects the messages of several steps, so that a person reads all problems at once."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def of(self, step: Callable[[], Any]) -> Any:
        """Run a step and return its result; None if it raised, and then its message is kept."""
        try:
            return step()
        except InputError as error:
            self.messages.append(str(error))
        except OSError as error:  # a folder that is closed to us, a network disk that went away
            self.messages.append(f"cannot read {error.filename}: {error.strerror or error}")
        return None

    def raise_any(self) -> None:
        """Raise a `ParamError` with all messages, each once; do nothing if there is none."""
        if self.messages:
            raise ParamError("\n".join(dict.fromkeys(self.messages)))
