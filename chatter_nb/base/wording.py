"""Numbers in words, as messages and pages say them."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """ "1 chunk", "2 chunks"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def minutes(seconds: float) -> str:
    """A rough duration for people."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def place(seconds: float) -> str:
    """A place in a recording: "0:04.2", "12:31.0", "1:02:31.0"."""
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36_000)
    whole_minutes, rest = divmod(rest, 600)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{whole_minutes:02d}:{tail}" if hours else f"{whole_minutes}:{tail}"
