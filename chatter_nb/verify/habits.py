"""Which findings are a witness's habit and not the chunk's fault.

What a witness also finds in a reading that is known to be right is its habit; what only the
recogniser finds, and in two takes, is its habit as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from chatter_nb.verify.findings import WORD_KINDS, Finding
from chatter_nb.verify.judging import NAME as ALIGNER
from chatter_nb.verify.recogniser import NAME as RECOGNISER

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


def without_habits(
    findings: Sequence[Finding],
    suspects: Sequence[Finding],
    habits: Sequence[Finding],
    where: str,
) -> tuple[list[Finding], list[str]]:
    """`findings` without those `suspects` that the same witness has for the same words in `habits`.

    Also a note for each that is left out.
    """
    known = Counter((habit.witness, habit.expected) for habit in habits if habit.kind in WORD_KINDS)
    left, notes = [], []
    for finding in findings:
        key = finding.witness, finding.expected
        if finding in suspects and finding.kind in WORD_KINDS and finding.expected and known[key]:
            known[key] -= 1
            notes.append(f"{finding.witness}: {finding.reason}; {where}, so no fault")
        else:
            left.append(finding)
    return left, notes
