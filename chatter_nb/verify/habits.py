"""Which findings are a witness's habit and not the chunk's fault.

What a witness also finds in a reading that is known to be right is its habit; what only the
recogniser finds, and in two takes, is its habit as well. It cannot spell a word that no dictionary
has: there the aligner is heard, which knows the word's sounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from chatter_nb.verify.findings import WORD_KINDS, Finding
from chatter_nb.verify.judging import NAME as ALIGNER
from chatter_nb.verify.recogniser import NAME as RECOGNISER
from chatter_nb.verify.spelling import is_content

# The recogniser's places are guessed from the number of words, at an even pace.
PLACE_S = 0.5


def misheard(findings: Sequence[Finding], *, is_aligned: bool) -> list[Finding]:
    """The recogniser's word findings at places where the aligner has none.

    Unless the aligner judged every word (`is_aligned`), only those where other words are heard:
    nobody else could tell words that are gone.
    """
    aligned = [finding for finding in findings if finding.witness == ALIGNER]
    return [
        finding
        for finding in findings
        if finding.witness == RECOGNISER
        and finding.kind in WORD_KINDS
        and (is_aligned or finding.heard)
        and not any(_is_same_place(finding, other) for other in aligned)
    ]


def _is_same_place(finding: Finding, other: Finding) -> bool:
    """Whether two findings share a word, or lie beside each other in time."""
    if set(finding.expected.lower().split()) & set(other.expected.lower().split()):
        return True
    apart_s = max(finding.start_s, other.start_s) - min(finding.end_s, other.end_s)
    return apart_s < PLACE_S


def misspelt(suspects: Sequence[Finding], is_invented: Callable[[str], bool]) -> list[Finding]:
    """Those of `misheard` where something is heard in the place of invented words alone."""
    return [
        finding
        for finding in suspects
        if finding.heard and all(map(is_invented, _content(finding.expected)))
    ]


def _content(words: str) -> list[str]:
    """The words that carry meaning; all of them if none does."""
    return [word for word in words.split() if is_content(word)] or words.split()


def without_habits(
    findings: Sequence[Finding], suspects: Sequence[Finding], habits: Sequence[Finding], where: str
) -> tuple[list[Finding], list[str]]:
    """`findings` without those `suspects` that the same witness has for the same words in `habits`.

    Of the recogniser's runs of words the borders differ from reading to reading: their content
    words count. Also a note for each finding that is left out.
    """
    word_habits = [habit for habit in habits if habit.kind in WORD_KINDS]
    known = Counter((habit.witness, habit.expected) for habit in word_habits)
    misheard_words = {
        word
        for habit in word_habits
        if habit.witness == RECOGNISER
        for word in habit.expected.split()
    }
    left, notes = [], []
    for finding in findings:
        key = finding.witness, finding.expected
        is_habit = known[key] > 0
        if finding.witness == RECOGNISER:
            is_habit = misheard_words.issuperset(_content(finding.expected))
        if is_habit and finding.expected and finding.kind in WORD_KINDS and finding in suspects:
            known[key] -= 1
            notes.append(f"{finding.witness}: {finding.reason}; {where}, so no fault")
        else:
            left.append(finding)
    return left, notes
