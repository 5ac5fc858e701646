"""Checks a chunk: cut first, then judge; cheap witnesses first; habits of witnesses cancelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import ParamError, shown
from chatter_nb.verify import aligner, recogniser, signal
from chatter_nb.verify.aligner import Aligner
from chatter_nb.verify.cuts import Cuts, active_tail, joined, long_holes, moved_words, without
from chatter_nb.verify.findings import WORD_KINDS, Expectation, Finding, Report, Verdict
from chatter_nb.verify.habits import misheard, misspelt, without_habits
from chatter_nb.verify.kept import KeptReports, Listen
from chatter_nb.verify.recogniser import Recogniser

_HABITS_KEPT = 64  # texts: of a chunk in doubt, several takes are heard in a row
LEVELS = ("fast", "full")
Level = Literal["fast", "full"]
Phonemes = Callable[[str], str | None]
Reference = Callable[[str], tuple[Signal, int]]


@dataclass(frozen=True)
class _Listened:
    """A chunk's cut audio and what the witnesses say of it."""

    cuts: Cuts
    reports: tuple[Report, ...]

    @property
    def findings(self) -> list[Finding]:
        return [finding for report in self.reports for finding in report.findings]

    @property
    def not_checked(self) -> list[str]:
        return [reason for report in self.reports for reason in report.not_checked]


class Checker:
    """Judges chunks at a level: "fast" hears signal and aligner, "full" the recogniser as well.

    `phonemes` gives a word's phonemes (misaki's alphabet) where the aligner's dictionary has none.
    `reference` speaks a text; what a witness finds there too is the witness's habit, not a fault.
    `folder` keeps reports. `cuts=False` leaves silences and tails in, as findings.
    """

    def __init__(
        self,
        level: Level,
        *,
        asr_model: str = "",
        phonemes: Phonemes | None = None,
        reference: Reference | None = None,
        folder: Path | None = None,
        cuts: bool = True,
    ) -> None:
        if level not in LEVELS:
            raise ParamError(f"verify {shown(level)}: choose one of {', '.join(LEVELS)}")
        self._aligner = Aligner(phonemes)
        self.recogniser = Recogniser(asr_model) if level == "full" else None
        self._reference = reference
        self._habits: dict[tuple[str, str], list[Finding]] = {}  # only of texts that were doubted
        self._kept = KeptReports(folder)
        self._cuts = cuts

    def prepare(self, language: str) -> tuple[str, ...]:
        """Load what a language needs, before the work; returns notes on what is not checked.

        Raises `UnavailableError` with the cure where a library or a model is missing, and
        `ParamError` where the level is full and the model does not know the language.
        """
        if language in aligner.LANGUAGES:
            self._aligner.load()
        if self.recogniser is None:
            return () if language in aligner.LANGUAGES else (_no_aligner(language),)
        if not self.recogniser.speaks(language):
            raise ParamError(
                f"verify: full cannot hear language {shown(language)}: the model knows English "
                "only; name a multilingual one (asr_model), or choose verify: fast"
            )
        return ()

    @property
    def witnesses(self) -> dict[str, str]:
        """The version of each witness, for the run's record."""
        versions = {signal.NAME: signal.VERSION, aligner.NAME: self._aligner.version}
        if self.recogniser:
            versions[recogniser.NAME] = self.recogniser.version
        return versions

    def check(
        self,
        audio: Signal,
        sample_rate: int,
        expected: Expectation,
        *,
        other_take: Signal | None = None,
    ) -> Verdict:
        """The verdict on a chunk. `audio`: mono, shape (n,), full scale 1.

        `other_take` is the same text with another seed, at the same rate. What the recogniser
        alone finds wrong in both takes is its habit. What the aligner finds in both is not: an
        engine may drop the same words again.
        """
        listened = self._listen(audio, sample_rate, expected)
        findings, notes = self._cancelled(listened, sample_rate, expected, other_take)
        for start, end in reversed(listened.cuts):
            length_s, start_s = (end - start) / sample_rate, start / sample_rate
            notes.insert(0, f"cut {length_s:.1f} s at {start_s:.1f} s")
        not_checked = [f"words not checked: {reason}" for reason in listened.not_checked]
        own_words = expected.words
        if own_words is not None:
            own_words = moved_words(own_words, listened.cuts, sample_rate)
        is_heard = not any(map(str.isalnum, expected.text)) or any(
            not report.not_checked for report in listened.reports[1:]
        )  # some witness of words judged every word
        return Verdict(
            "doubtful" if findings else "ok" if is_heard else "unchecked",
            tuple(findings),
            listened.cuts,
            listened.reports[1].words if own_words is None else own_words,
            _missing_words(findings),
            round(sum(f.end_s - f.start_s for f in findings if f.kind == "extra speech"), 3),
            (*notes, *not_checked),
        )

    def _listen(self, audio: Signal, sample_rate: int, expected: Expectation) -> _Listened:
        """Cut what can be cut, then hear every witness on what is left."""
        cuts = long_holes(audio, sample_rate, expected.longest_pause_s) if self._cuts else ()
        cut = without(audio, cuts, sample_rate)
        words = self._align(cut, sample_rate, expected)
        if self._cuts and (tail := _tail(cut, sample_rate, words)):
            shorter = without(cut, tail, sample_rate)
            again = self._align(shorter, sample_rate, expected)
            if len(again.findings) < len(words.findings):
                cuts, cut, words = joined(cuts, tail), shorter, again
        witnesses: list[tuple[str, str, Listen]] = [(signal.NAME, signal.VERSION, signal.listen)]
        if self.recogniser:
            witnesses.append((recogniser.NAME, self.recogniser.version, self.recogniser.listen))
        report = self._kept.report
        level, *heard = (report(*witness, cut, sample_rate, expected) for witness in witnesses)
        return _Listened(cuts, (level, words, *heard))

    def _align(self, audio: Signal, sample_rate: int, expected: Expectation) -> Report:
        if expected.language not in aligner.LANGUAGES:
            return Report(not_checked=(_no_aligner(expected.language),))
        witness = self._aligner
        return self._kept.report(
            aligner.NAME, witness.version, witness.listen, audio, sample_rate, expected
        )

    def _cancelled(
        self,
        listened: _Listened,
        sample_rate: int,
        expected: Expectation,
        other_take: Signal | None,
    ) -> tuple[list[Finding], list[str]]:
        """The findings without those that are a witness's habit, and notes that say so."""
        left, notes = listened.findings, list[str]()
        suspects = misheard(left, is_aligned=not listened.reports[1].not_checked)
        if expected.language in aligner.LANGUAGES:
            invented = misspelt(suspects, self._aligner.is_invented)
            left, notes = without_habits(left, invented, invented, "it is in no dictionary")
            suspects = [finding for finding in suspects if finding not in invented]
        if other_take is not None and suspects:
            habits = self._listen(other_take, sample_rate, expected).findings
            left, more = without_habits(left, suspects, habits, "in another take too")
            notes += more
        if self._reference and any(finding.kind in WORD_KINDS for finding in left):
            habits = self._reference_findings(self._reference, expected)
            left, more = without_habits(left, left, habits, "in a reading known to be right too")
            notes += more
        return left, notes

    def _reference_findings(self, speak: Reference, expected: Expectation) -> list[Finding]:
        """What the witnesses find in the reference's reading; each text is spoken once."""
        key = expected.text, expected.language
        if key not in self._habits:
            spoken, rate = speak(expected.text)
            listened = self._listen(spoken, rate, replace(expected, words=None))
            while len(self._habits) >= _HABITS_KEPT:
                del self._habits[next(iter(self._habits))]
            self._habits[key] = listened.findings
        return self._habits[key]


def _tail(audio: Signal, sample_rate: int, words: Report) -> Cuts:
    """The tail that both aligner and signal find after the last word."""
    if not words.words or not any(finding.kind == "extra speech" for finding in words.findings):
        return ()
    return active_tail(audio, sample_rate, words.words[-1].end_s)


def _no_aligner(language: str) -> str:
    return f"no aligner for {shown(language)}"


def _missing_words(findings: Sequence[Finding]) -> int:
    """Words that are not there, by the witness that misses most of them."""
    missing: Counter[str] = Counter()
    for finding in findings:
        if finding.kind in ("missing words", "other words", "not aligned", "cut end", "silence"):
            missing[finding.witness] += len(finding.expected.split())
    return max(missing.values(), default=0)
