"""Chooses the take of each chunk that goes into the file: takes are made until a check passes.

Also what the record of a run says of the chunk, and of the parts of a chunk that was split.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import Any

from chatter_nb.audio.join import Span
from chatter_nb.audio.reading import Signal, peak
from chatter_nb.base.errors import EngineError
from chatter_nb.base.timing import Stopwatch
from chatter_nb.engines.base import ChunkInfo, ChunkPart
from chatter_nb.runs.checking import Checking
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.runs.record import ChunkRecord, TakeRecord
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.verify.cuts import moved_sample, without
from chatter_nb.verify.findings import Expectation, Verdict

_SILENCE_PEAK = 1e-4  # -80 dB: no engine speaks this softly


@dataclass(frozen=True)
class Take:
    """A rendering of a chunk, without its audio. `verdict` is None if it is not checked."""

    planned: PlannedChunk
    info: ChunkInfo
    verdict: Verdict | None = None

    @property
    def is_doubtful(self) -> bool:
        return self.verdict is not None and self.verdict.verdict == "doubtful"

    @property
    def cuts(self) -> tuple[tuple[int, int], ...]:
        return self.verdict.cuts if self.verdict else ()

    def record(self) -> TakeRecord:
        """The take in run.json."""
        verdict = self.verdict
        assert verdict is not None  # only takes that were checked have a record
        return TakeRecord(
            take=self.planned.take,
            key=self.planned.key,
            seed=self.planned.seed,
            verdict=verdict.verdict,
            findings=verdict.findings,
            cuts_samples=verdict.cuts,
            notes=verdict.notes,
        )


Made = tuple[int, Take, Signal]  # a chunk's position, a take of it, and its samples as made
Again = Callable[[int, PlannedChunk], tuple[Take, Signal]]


class Chooser:
    """Checks the takes of a run's chunks. `again` makes another take, or fetches it if it is kept.

    `watch` counts the time that the run waits for verdicts, as stage "verify".
    """

    def __init__(self, plan: SpeechPlan, watch: Stopwatch, again: Again) -> None:
        self._plan = plan
        self._watch = watch
        self._again = again
        self._checking = Checking(plan.checks)
        self.trials: dict[int, tuple[Take, ...]] = {}  # by position: all takes, as they were made

    def choose(self, made: Iterable[Made]) -> Iterator[Made]:
        """The chosen take of each chunk, its samples cut as its verdict says."""
        waiting: deque[tuple[Made, Future[Verdict]]] = deque()
        for position, take, audio in made:
            if not take.planned.chunk.speakable:
                yield position, take, audio
                continue
            waiting.append(((position, take, audio), self._submit(take, audio)))
            while waiting and (len(waiting) > self._checking.ahead or waiting[0][1].done()):
                yield self._choose(*waiting.popleft())
        while waiting:
            yield self._choose(*waiting.popleft())

    def _submit(self, take: Take, audio: Signal, first: Signal | None = None) -> Future[Verdict]:
        plan = self._plan
        words = plan.store.words(take.planned.key)
        expected = Expectation(take.planned.chunk.heard, plan.checks.language, words)
        with self._watch.stage("verify"):
            return self._checking.submit(audio, plan.engine.sample_rate, expected, first)

    def _choose(self, made: Made, verdict: Future[Verdict]) -> Made:
        position, first, audio = made
        takes, audios = [self._judged(first, verdict)], [audio]
        most = 1 if first.planned.is_named else self._plan.params.tries
        while takes[-1].is_doubtful and len(takes) < most:
            take, audio = self._again(
                position, self._plan.identities.take(first.planned, len(takes))
            )
            audios.append(audio)
            takes.append(self._judged(take, self._submit(take, audio, audios[0])))
        self.trials[position] = tuple(takes)
        best = min(range(len(takes)), key=lambda number: _rank(takes[number]))
        take = takes[best]
        check_sound(audios[best], take.planned.chunk.spoken)
        return position, take, without(audios[best], take.cuts, self._plan.engine.sample_rate)

    def _judged(self, take: Take, verdict: Future[Verdict]) -> Take:
        with self._watch.stage("verify"):
            return replace(take, verdict=self._checking.result(verdict))


def _rank(take: Take) -> tuple[bool, int, float, int]:
    """The order of choice: a take that passes, then fewest words missing, then least too much."""
    verdict = take.verdict
    assert verdict is not None
    return take.is_doubtful, verdict.missing_words, verdict.extra_speech_s, take.planned.take


def is_silent(audio: Signal) -> bool:
    """Whether an engine made only silence."""
    return peak(audio) < _SILENCE_PEAK


def check_sound(audio: Signal, text: str) -> None:
    """Raise `EngineError` if an engine made only silence of a text: its words would be lost."""
    if is_silent(audio):
        raise EngineError(f"the engine made only silence of {text[:60]!r}")


def chunk_record(
    index: int, take: Take, trials: Sequence[Take], span: Span, rate: int
) -> ChunkRecord:
    """The record of a whole chunk: the take that was kept, of these `trials` if it was checked."""
    planned, spoken = take.planned, take.planned.chunk.spoken
    attempts = sum(trial.info.attempts for trial in trials or (take,))
    return ChunkRecord(
        index=index,
        key=planned.key,
        text=planned.chunk.text,
        document=planned.placed.document,
        start=planned.placed.start,
        end=planned.placed.end,
        source_text=planned.placed.source_text,
        chapter=planned.placed.chapter,
        place=planned.placed.place,
        speaker=planned.chunk.speaker,
        mood=planned.chunk.mood,
        reason=planned.chunk.reason,
        spoken=None if spoken == planned.chunk.text.strip() else spoken,
        unspoken=planned.chunk.unspoken,
        start_s=span.start_samples / rate,
        end_s=span.end_samples / rate,
        pause_ms=planned.chunk.pause_ms,
        seed=planned.seed,
        take=planned.take,
        take_of=planned.take_of,
        attempts=attempts,
        cached=not attempts and planned.chunk.speakable,
        verdict=take.verdict.verdict if take.verdict else None,
        takes=_take_records(trials),
    )


def _take_records(takes: Sequence[Take]) -> tuple[TakeRecord, ...]:
    """The records of a chunk's takes; none if there is nothing to say."""
    records = tuple(take.record() for take in takes)
    if len(records) == 1 and not (records[0].findings or records[0].notes):
        return ()
    return records


def moved_parts(take: Take) -> list[ChunkPart]:
    """The parts of a take that was split, at their places in the audio without the take's cuts."""
    moved = []
    for part in take.info.parts:
        places = (part.start_samples, part.end_samples)
        start, end = (int(moved_sample(sample, take.cuts)) for sample in places)
        moved.append(ChunkPart(part.text, start, end))
    return moved


def split_record(
    chunk: ChunkRecord, parts: Sequence[ChunkPart], trimmed_samples: int, rate: int
) -> list[ChunkRecord]:
    """A record for each part of a chunk; for a chunk without parts, its own record.

    In each record `split_from` is the index of the first part; the texts add up to the chunk's. The
    parts' positions are those before `trimmed_samples` were cut off the front of the audio.
    """
    if not parts:
        return [chunk]
    texts = _spread(chunk.text, [part.text for part in parts])
    records = []
    for number, (part, text) in enumerate(zip(parts, texts, strict=True)):
        last = number == len(parts) - 1
        start_s = chunk.start_s + max(0, part.start_samples - trimmed_samples) / rate
        end_s = chunk.start_s + max(0, part.end_samples - trimmed_samples) / rate
        changes: dict[str, Any] = {
            "index": chunk.index + number,
            "text": text,
            "spoken": None if part.text.strip() == text.strip() else part.text.strip(),
            "source_text": chunk.text if chunk.source_text is None else chunk.source_text,
            "start_s": min(start_s, chunk.end_s),
            "end_s": chunk.end_s if last else min(end_s, chunk.end_s),
            "pause_ms": chunk.pause_ms if last else 0,
            "attempts": 0 if number else chunk.attempts,
            "split_from": chunk.index,
            "takes": () if number else chunk.takes,
            "unspoken": "" if number else chunk.unspoken,
        }
        records.append(chunk.model_copy(update=changes))
    return records


def _spread(text: str, spoken: Sequence[str]) -> list[str]:
    """Cut `text` into pieces that correspond to its spoken parts.

    `text` may hold layout characters and abbreviations; the spoken parts have none, and have
    additional spaces in long words.
    """
    same = SequenceMatcher(None, "".join(spoken), text, autojunk=False).get_matching_blocks()
    ends = []
    for end in accumulate(len(part) for part in spoken[:-1]):
        earlier = [block for block in same if block.a < end]
        block = max(earlier, key=lambda block: block.a, default=same[0])
        ends.append(block.b + min(end - block.a, block.size))
    return [text[a:b] for a, b in pairwise([0, *ends, len(text)])]
