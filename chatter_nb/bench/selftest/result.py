"""What a check of the self-test answers: it holds, it does not hold, or it was not run, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Outcome = Literal["does not hold", "holds", "not run"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
TELL = "send this page in an issue"


@dataclass(frozen=True)
class Result:
    """A check's answer. `why` is what was found, `cure` what it would take to hold, or to be run.

    `figures` are values by name, with units in their names; a value may be a dict of values.
    """

    outcome: Outcome
    why: str
    cure: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    spent_s: float = 0.0


class NotRun(Exception):
    """Raised by a check that cannot run on this machine, or that has nothing to check there."""

    def __init__(self, why: str, cure: str = "") -> None:
        super().__init__(why)
        self.cure = cure


def judged(is_so: bool, why: str, cure: str, **figures: Any) -> Result:
    """A result that holds if `is_so`; else it names the `cure`."""
    if is_so:
        return Result("holds", why, figures=figures)
    return Result("does not hold", why, cure, figures)
