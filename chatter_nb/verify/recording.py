"""Checks a recording of any length against its text: a narrator's, not only what an engine made.

The recording is cut at pauses, the recogniser writes down each piece, and the words of all pieces
are laid beside those of the text: so each piece gets its part of the text, and is checked like a
chunk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import shorten
from chatter_nb.verify.checker import Checker
from chatter_nb.verify.cuts import FRAME_S, levels_db, stretches
from chatter_nb.verify.findings import Expectation, Finding, Verdict
from chatter_nb.verify.recogniser import Recogniser, unlooped
from chatter_nb.verify.spelling import normal_words

LONGEST_PIECE_S = 15.0  # the recogniser hears 30 s, and begins to repeat itself before that
PAUSE_S = 0.8
_SHORTEST_PIECE_S = 1.0
_QUIET_DB = -30.0  # against loud speech; a room's noise may lie above it
_OVER_NOISE_DB = 8.0
# A pause longer than this is a finding, after the end of a sentence and inside one.
LONGEST_PAUSES_S = (4.0, 2.0)
_SENTENCE_ENDS = ".!?…:"
_QUOTES = "\"'”’)»"


@dataclass(frozen=True)
class Piece:
    """A piece of a recording, its part of the text, what the recogniser heard, and the verdict."""

    start_s: float
    end_s: float
    text: str
    heard: str
    verdict: Verdict | None = None


def check_recording(
    checker: Checker,
    recogniser: Recogniser | None,
    audio: Signal,
    sample_rate: int,
    text: str,
    language: str,
    on_piece: Callable[[int, int], object] = lambda done, total: None,
) -> Iterator[Piece]:
    """Verdicts on the pieces of a recording, in order; findings' times start with the recording.

    Without a `recogniser` the recording is one piece. `on_piece` gets how many pieces are heard
    and checked, of how many.
    """
    spans, heard, parts = [(0, len(audio))], [""], [" ".join(text.split())]
    if recogniser is not None:
        spans = pieces_of(audio, sample_rate)
        heard = []
        for start, end in spans:
            heard.append(recogniser.transcript(audio[start:end], sample_rate, language))
            on_piece(len(heard), 2 * len(spans))
        parts = parts_of(text.split(), [unlooped(normal_words(words)) for words in heard])
    ends = [*(start for start, _ in spans[1:]), spans[-1][1]]  # where the next piece starts
    for number, ((start, end), part, next_start) in enumerate(zip(spans, parts, ends, strict=True)):
        piece = Piece(start / sample_rate, end / sample_rate, part, heard[number])
        findings = [*_no_text(piece), *_pause(piece, (next_start - end) / sample_rate)]
        verdict = checker.check(audio[start:end], sample_rate, Expectation(part, language))
        is_last = number == len(spans) - 1
        yield replace(piece, verdict=_placed(verdict, piece.start_s, findings, is_last))
        on_piece(len(spans) + number + 1, 2 * len(spans))


def pieces_of(audio: Signal, sample_rate: int) -> list[tuple[int, int]]:
    """Start and end in samples of the pieces between pauses; none is longer than 15 s."""
    level = levels_db(audio, sample_rate)
    floor_db = float(np.percentile(level, 5)) if len(level) else 0.0
    quiet = level < max(_QUIET_DB, min(floor_db + _OVER_NOISE_DB, -10.0))
    sounding = stretches(~quiet)
    pieces: list[tuple[int, int]] = []
    for start, end in sounding:
        pause = start - pieces[-1][1] if pieces else 0
        if pieces and (
            pause * FRAME_S < PAUSE_S
            or (pieces[-1][1] - pieces[-1][0]) * FRAME_S < _SHORTEST_PIECE_S
        ):
            pieces[-1] = (pieces[-1][0], end)
        else:
            pieces.append((start, end))
    short = [part for start, end in pieces for part in _shortened(level, start, end)]
    samples = round(sample_rate * FRAME_S)
    spare = round(0.1 / FRAME_S)  # around the sound, less where the next piece is near
    edges = [0, *((a[1] + b[0]) // 2 for a, b in pairwise(short)), len(level)]
    return [
        (max(before, start - spare) * samples, min(after, end + spare) * samples)
        for (start, end), before, after in zip(short, edges[:-1], edges[1:], strict=True)
    ] or [(0, len(audio))]


def _shortened(level: np.ndarray, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A piece in frames, cut at the quietest 0.1 s of its second half until it is short enough."""
    longest = round(LONGEST_PIECE_S / FRAME_S)
    while end - start > longest:
        smooth = np.convolve(level[start : start + longest], np.ones(10) / 10, "same")
        at = start + longest // 2 + int(np.argmin(smooth[longest // 2 :]))
        yield start, at
        start = at
    yield start, end


def parts_of(text_words: Sequence[str], heard: Sequence[Sequence[str]]) -> list[str]:
    """The part of a text that belongs to each piece, by the words that were `heard` in it.

    Every word of the text belongs to some piece. Words that were not heard at all belong to the
    piece after them.
    """
    from rapidfuzz.distance import Levenshtein

    spelt = [normal_words(word) for word in text_words]
    owners = [at for at, words in enumerate(spelt) for _ in words]
    expected = [word for words in spelt for word in words]
    all_heard = [word for words in heard for word in words]
    blocks = [
        (part.dest_start, part.dest_end, part.src_start, part.src_end)
        for part in Levenshtein.opcodes(expected, all_heard)
    ]
    starts = [block[0] for block in blocks]
    borders, total = [0], 0
    for words in heard[:-1]:
        total += len(words)
        at = _place_of(total, blocks, starts)
        borders.append(owners[at] if at < len(owners) else len(text_words))
    borders.append(len(text_words))
    return [" ".join(text_words[start:end]) for start, end in pairwise(borders)]


def _place_of(
    heard_at: int, blocks: Sequence[tuple[int, int, int, int]], starts: Sequence[int]
) -> int:
    """The place in the text of a border between heard words."""
    inside = bisect_right(starts, heard_at - 1) - 1  # the block of the last word before the border
    while inside + 1 < len(blocks) and blocks[inside][0] == blocks[inside][1]:
        inside += 1
    if inside < 0 or not blocks:
        return 0
    heard_start, heard_end, text_start, text_end = blocks[inside]
    share = (heard_at - heard_start) / max(1, heard_end - heard_start)
    return text_start + round(min(1.0, share) * (text_end - text_start))


def _no_text(piece: Piece) -> Iterator[Finding]:
    """Speech in a piece that has no part in the text."""
    if piece.heard and not any(map(str.isalnum, piece.text)):
        reason = f'"{shorten(piece.heard, 80)}" is not in the text'
        times_s = piece.start_s, piece.end_s
        yield Finding("extra speech", *times_s, piece.heard, "", reason, "recogniser")


def _pause(piece: Piece, after_s: float) -> Iterator[Finding]:
    """A pause after a piece that is longer than the text asks for."""
    ends = piece.text.rstrip(_QUOTES)[-1:] in tuple(_SENTENCE_ENDS)
    if after_s > LONGEST_PAUSES_S[0 if ends else 1]:
        reason = f"{after_s:.1f} s of silence"
        yield Finding("silence", piece.end_s, piece.end_s + after_s, "", "", reason, "signal")


def _placed(verdict: Verdict, start_s: float, more: Sequence[Finding], is_last: bool) -> Verdict:
    """A verdict with times from the recording's start, and with more findings.

    Only the recording's own end can be cut off: others are where we cut.
    """
    findings = [
        replace(finding, start_s=finding.start_s + start_s, end_s=finding.end_s + start_s)
        for finding in verdict.findings
        if is_last or finding.kind != "cut end"
    ]
    judgement = "doubtful" if findings or more else verdict.verdict
    if verdict.findings and not findings and not more:
        judgement = "ok"
    return replace(verdict, verdict=judgement, findings=(*findings, *more))
