"""When words sound: one word's time, and ends of words moved to where their sound ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WordTime:
    """A word of a chunk's spoken text, and when it sounds: seconds from the start of the chunk's audio."""

    text: str
    start_s: float
    end_s: float
