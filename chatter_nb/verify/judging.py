"""What the aligner's segments of a chunk say about its words: findings, and when they sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from chatter_nb.audio.words import WordTime
from chatter_nb.verify.cuts import FRAME_S, LOUD_DB
from chatter_nb.verify.findings import Finding
from chatter_nb.verify.spelling import is_content

NAME = "aligner"

# Calibrated on clean and on spoiled chunks; see the README of the room.
EXTRA_S = 0.15  # the longest stretch of loud sound that is no word; in clean speech 0.1
EXTRA_SUM_S = 0.18
MISFIT = -4.8  # mean log score a frame over MISFIT_S; clean speech stays above -4.6
MISFIT_S = 0.3
# The search places a border of words early: the median of 1,215 inside phrases.
EARLY_S = 0.01
ONSET_DB = -40.0  # a word after a pause starts louder, against the chunk's loud speech
STRETCHED_S = 0.5  # a word longer than its sounds take at the chunk's own pace


@dataclass(frozen=True)
class Step:
    """A word to be heard: its place among the text's words, and the ways to say it.

    Without a way the word is unknown: anything, or nothing, may sound there.
    """

    place: int
    ways: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Segment:
    """A stretch that the search explains by a word, a silence or a sound; in frames of 10 ms."""

    label: str
    start: int
    end: int
    score: float

    @property
    def is_word(self) -> bool:
        return self.label[0] not in "<[("

    @property
    def is_sound(self) -> bool:
        return self.label[0] == "["


@dataclass
class _Path:
    """Which step was heard in which segments; `skipped` steps were not heard."""

    heard: dict[int, list[Segment]] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)


class Judged:
    """What the segments of a chunk say about its words."""

    def __init__(
        self,
        steps: Sequence[Step],
        segments: Sequence[Segment],
        text_words: Sequence[str],
        level: np.ndarray,
        sounds_of: Callable[[str], int],
    ) -> None:
        self._steps = steps
        self._segments = segments
        self._text_words = text_words
        self._level = level
        self._sounds_of = sounds_of
        self._said = [segment for segment in segments if segment.is_word]
        self._path = _path(steps, [segment.label for segment in self._said], self._said)

    def findings(self) -> Iterator[Finding]:
        yield from self._missing()
        yield from self._extra()
        yield from self._misfits()
        yield from self._stretched()

    def word_times(self) -> tuple[WordTime, ...] | None:
        """A time for every word of the text; None if fewer than half of them were heard.

        A word that was not heard has its share of the gap between those around it.
        """
        spans: dict[int, list[Segment]] = {}
        for at, segments in self._path.heard.items():
            spans.setdefault(self._steps[at].place, []).extend(segments)
        places = [at for at, word in enumerate(self._text_words) if any(map(str.isalnum, word))]
        if 2 * len(spans) < len(places):
            return None
        times_s = [self._span_s(spans[at]) if at in spans else None for at in places]
        words = [self._text_words[at] for at in places]
        return tuple(
            WordTime(word, round(start_s, 3), round(max(start_s, end_s), 3))
            for word, (start_s, end_s) in zip(words, _filled(times_s), strict=True)
        )

    def _span_s(self, segments: Sequence[Segment]) -> tuple[float, float]:
        start_s = self._onset(segments[0]) * FRAME_S + EARLY_S
        return start_s, segments[-1].end * FRAME_S + EARLY_S

    def _onset(self, word: Segment) -> int:
        """The frame where a word starts; after a pause, of which the search gives it some, later.

        A word right after another keeps its start: lips may be closed there.
        """
        if any(other.end == word.start for other in self._said):
            return word.start
        sounding = np.flatnonzero(self._level[word.start : word.end] > ONSET_DB)
        return word.start + (int(sounding[0]) if len(sounding) else 0)

    def _missing(self) -> Iterator[Finding]:
        """Words left out: one that carries meaning, or two and more in a row."""
        runs: list[list[int]] = []
        for at in self._path.skipped:
            if runs and runs[-1][-1] == at - 1:
                runs[-1].append(at)
            else:
                runs.append([at])
        many = len(self._path.skipped) > 2
        for run in runs:
            words = [" ".join(self._steps[at].ways[0]) for at in run]
            if len(run) > 1 or many or any(map(is_content, words)):
                place_s = self._end_before(run[0])
                expected = " ".join(words)
                reason = f'"{expected}" is not in the audio'
                yield Finding("missing words", place_s, place_s, "", expected, reason, NAME)

    def _end_before(self, step: int) -> float:
        ends = [
            segment.end
            for at, segments in self._path.heard.items()
            for segment in segments
            if at < step
        ]
        return round(max(ends, default=0) * FRAME_S, 3)

    def _extra(self) -> Iterator[Finding]:
        """Loud sound that is no word of the text, unless an unknown word stands there."""
        runs = [
            (run, self._loud_s(run))
            for run in _sound_runs(self._segments)
            if not self._is_unknown_between(run)
        ]
        total_s = sum(seconds for _, seconds in runs)
        for (start, end), seconds in runs:
            if seconds >= EXTRA_S or (total_s >= EXTRA_SUM_S and seconds >= EXTRA_SUM_S / 3):
                reason = f"{seconds:.1f} s of sound that is no word of the text"
                start_s, end_s = round(start * FRAME_S, 3), round(end * FRAME_S, 3)
                yield Finding("extra speech", start_s, end_s, "", "", reason, NAME)

    def _loud_s(self, run: tuple[int, int]) -> float:
        return float(np.count_nonzero(self._level[run[0] : run[1]] > LOUD_DB)) * FRAME_S

    def _is_unknown_between(self, run: tuple[int, int]) -> bool:
        before = [at for at, parts in self._path.heard.items() if parts[-1].end <= run[0]]
        after = [at for at, parts in self._path.heard.items() if parts[0].start >= run[1]]
        between = range(max(before, default=-1) + 1, min(after, default=len(self._steps)))
        return any(not self._steps[at].ways for at in between)

    def _misfits(self) -> Iterator[Finding]:
        """The stretch of words that sounds least like them, if it does not sound like them."""
        worst, place = 0.0, (0, 0)
        for first in range(len(self._said)):
            frames, score = 0, 0.0
            for last in range(first, len(self._said)):
                frames += self._said[last].end - self._said[last].start
                score += self._said[last].score
                if frames * FRAME_S >= MISFIT_S:
                    if score / frames < worst:
                        worst, place = score / frames, (first, last)
                    break
        if worst < MISFIT:
            words = self._said[place[0] : place[1] + 1]
            expected = " ".join(word.label for word in words)
            start_s, end_s = (round(at * FRAME_S, 3) for at in (words[0].start, words[-1].end))
            reason = f'what sounds there is not "{expected}"'
            yield Finding("other words", start_s, end_s, "", expected, reason, NAME)

    def _stretched(self) -> Iterator[Finding]:
        """Words far longer than their sounds take at the chunk's pace: they hide other sounds."""
        lengths = [(word.end - word.start, self._sounds_of(word.label)) for word in self._said]
        if not lengths:
            return
        pace = float(np.median([frames / max(1, sounds) for frames, sounds in lengths]))
        for word, (frames, sounds) in zip(self._said, lengths, strict=True):
            over_s = (frames - sounds * pace) * FRAME_S
            if over_s >= STRETCHED_S:
                start_s, end_s = round(word.start * FRAME_S, 3), round(word.end * FRAME_S, 3)
                reason = f'"{word.label}" is {over_s:.1f} s longer than its sounds take'
                yield Finding("extra speech", start_s, end_s, "", word.label, reason, NAME)


def _path(steps: Sequence[Step], labels: Sequence[str], said: Sequence[Segment]) -> _Path:
    """Assign the words that were said to the steps, in order."""
    path, at_label = _Path(), 0
    for at, step in enumerate(steps):
        ways = sorted(step.ways, key=len, reverse=True)
        way = next((w for w in ways if tuple(labels[at_label : at_label + len(w)]) == w), None)
        if way:
            path.heard[at] = list(said[at_label : at_label + len(way)])
            at_label += len(way)
        elif step.ways:
            path.skipped.append(at)
    return path


def _sound_runs(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    """Start and end of every run of sounds that are no words."""
    runs: list[tuple[int, int]] = []
    for segment in segments:
        if not segment.is_sound:
            continue
        if runs and runs[-1][1] == segment.start:
            runs[-1] = (runs[-1][0], segment.end)
        else:
            runs.append((segment.start, segment.end))
    return runs


def _filled(times_s: Sequence[tuple[float, float] | None]) -> list[tuple[float, float]]:
    """The times, with the gaps between them divided among those that are None."""
    filled: list[tuple[float, float]] = []
    at = 0
    while at < len(times_s):
        after = next((n for n in range(at, len(times_s)) if times_s[n] is not None), len(times_s))
        before_s = filled[-1][1] if filled else 0.0
        next_s = times_s[after][0] if after < len(times_s) else before_s  # type: ignore[index]
        edges = np.linspace(min(before_s, next_s), next_s, after - at + 1)
        filled += [(float(start), float(end)) for start, end in pairwise(edges)]
        if after < len(times_s):
            filled.append(times_s[after])  # type: ignore[arg-type]
        at = after + 1
    return filled
