"""What a check is asked and what it answers: an expectation, findings, a verdict. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chatter_nb.audio.words import WordTime

Judgement = Literal["ok", "doubtful", "unchecked"]

# Kinds of findings that a habit of the witness may explain, and a second reading may cancel.
WORD_KINDS = frozenset({"missing words", "other words", "extra words", "extra speech"})
# About what a reader leaves after a mark inside a chunk, in seconds.
_PAUSES_S = dict.fromkeys(".!?…", 0.6) | dict.fromkeys(";:—–", 0.45) | {",": 0.3}
_MARKS = "".join(_PAUSES_S) + "\"'”’)"


@dataclass(frozen=True)
class Finding:
    """Something that is not as the text asks, between two times in the cut audio.

    `kind`: missing words, extra words, other words, extra speech, cut end, silence, clipping,
    noise, length, or not aligned. `reason` is a sentence for a person.
    """

    kind: str
    start_s: float
    end_s: float
    heard: str
    expected: str
    reason: str
    witness: str


@dataclass(frozen=True)
class Expectation:
    """What a chunk's audio should say. `language` is a code such as "en".

    `words` are the engine's own word times, where it has them.
    """

    text: str
    language: str
    words: tuple[WordTime, ...] | None = None

    @property
    def longest_pause_s(self) -> float:
        """The longest silence inside the chunk that the text's marks ask for."""
        inside = self.text.strip().strip(_MARKS)
        return max((pause_s for mark, pause_s in _PAUSES_S.items() if mark in inside), default=0.1)


@dataclass(frozen=True)
class Report:
    """What a witness says of a chunk. `not_checked` says what it could not judge, and why."""

    findings: tuple[Finding, ...] = ()
    words: tuple[WordTime, ...] | None = None
    not_checked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The answer of a check. Takes are ordered by fewest missing words, then least extra speech.

    `cuts` are spans in samples to take out of the take as it was made; `words` and the findings'
    times count in the audio without them. `notes` say what was cut, cancelled or not checked.
    """

    verdict: Judgement
    findings: tuple[Finding, ...]
    cuts: tuple[tuple[int, int], ...]
    words: tuple[WordTime, ...] | None
    missing_words: int
    extra_speech_s: float
    notes: tuple[str, ...]
