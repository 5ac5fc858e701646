"""A speech run in progress: chunks come from the engine or the store, and are joined into files.

Everything is a plain call, chunk by chunk. When a run starts, and what a failure means, is decided
in `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from chatter_nb.audio.join import Joined, Joiner, fade_edges, find_edges
from chatter_nb.audio.reading import Signal, peak
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import ChatterError, EngineError
from chatter_nb.engines.base import (
    ChunkInfo,
    ChunkPart,
    ChunkRequest,
    SpeechEngine,
    Voice,
)
from chatter_nb.params.runs import SpeakParams, knobs_of
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.runs.lifecycle import Run
from chatter_nb.runs.record import ChunkRecord
from chatter_nb.runs.speak_plan import PlannedOutput, SpeechPlan
from chatter_nb.runs.words_file import WordsFile, joined_words

_SILENCE_PEAK = 1e-4  # -80 dB: no engine speaks this softly


class SpeechRun(Run):
    """A speech run in progress."""

    stages = ("load", "voice", "text", "tokens", "synthesis", "watermark", "store", "join", "write")
    _plan: SpeechPlan

    def __init__(self, plan: SpeechPlan, *args: Any) -> None:
        super().__init__(plan, *args)
        self._infos: dict[int, ChunkInfo] = {}  # by position in the current output
        self._trimmed: dict[int, int] = {}  # samples cut off the front, by position
        if plan.params.engine_path == "upstream":
            self._rows = 1

    def make(self, output: PlannedOutput, unfinished: ExitStack) -> AudioWriter:
        """Speak, join and write one output."""
        sink = self._sink(output, unfinished)
        words_file = WordsFile(self._plan.folder.path, output.name)
        unfinished.callback(words_file.discard)
        self._infos, self._trimmed = {}, {}
        joiner = Joiner(
            sink.write,
            sample_rate=self._plan.engine.sample_rate,
            crossfade_ms=self._plan.params.crossfade_ms,
            chunk_end=sink.chunk_end,
        )
        for position, audio in self._finished(output, joiner):
            self._join(joiner, output.chunks[position], position, audio)
        with self._watch.stage("join"):
            joined = joiner.finish(len(output.chunks))
        self._close(sink)
        first = len(self._pieces)
        records = self._note_chunks(output, joined)
        with self._watch.stage("write"):
            if words_file.write(self._words(output, records)):
                self._word_files.append(words_file)
        self._note_output(output, joined.samples, first, joined.seams_samples)
        return sink.writer

    def _finished(self, output: PlannedOutput, joiner: Joiner) -> Iterator[tuple[int, Signal]]:
        """Position and audio of each chunk: stored ones in their turn, others as they are made."""
        plan = self._plan
        stored, missing = self._look_up(output)
        yield from self._stored_in_turn(output, joiner, stored)
        requests = [
            request_for(
                position,
                output.chunks[position].chunk.spoken,
                output.chunks[position].seed,
                plan.voice,
                plan.engine,
                plan.params,
            )
            for position in missing
        ]
        options = options_of(plan.engine, plan.params, self._rows)
        for position, audio, info in self._watch.each(
            "synthesis", plan.engine.synthesize(requests, **options)
        ):
            self._keep(output.chunks[position], audio, info)
            self._infos[position] = info
            yield position, audio
            yield from self._stored_in_turn(output, joiner, stored)

    def _look_up(self, output: PlannedOutput) -> tuple[set[int], list[int]]:
        """Positions of the chunks that need no model, and of those that do."""
        store, stored, missing = self._plan.store, set(), []
        with self._watch.stage("store"):
            for position, planned in enumerate(output.chunks):
                if not planned.chunk.speakable:
                    stored.add(position)
                elif store.get(planned.key) is not None:
                    store.touch(planned.key)  # now, so that no `clean` removes it before its turn
                    stored.add(position)
                else:
                    missing.append(position)
        for key in store.damaged:
            self._warnings.append(f"kept chunk {key} was damaged and is made again")
        store.damaged.clear()
        return stored, missing

    def _stored_in_turn(
        self, output: PlannedOutput, joiner: Joiner, stored: set[int]
    ) -> Iterator[tuple[int, Signal]]:
        while (position := joiner.next_index) in stored:
            planned = output.chunks[position]
            with self._watch.stage("store"):
                audio = self._from_store(position, planned)
            yield position, audio

    def _from_store(self, position: int, planned: PlannedChunk) -> Signal:
        if not planned.chunk.speakable:
            return np.zeros(0, np.float32)
        entry = self._plan.store.get(planned.key, verify=False)  # `_look_up` verified it
        if entry is None:
            raise ChatterError(f"kept chunk {planned.key} vanished during the run: run again")
        audio, about = entry
        parts = tuple(ChunkPart(**part) for part in about.get("parts", ()))
        self._warnings += about.get("notes", ())
        self._infos[position] = ChunkInfo(attempts=0, parts=parts)
        return audio

    def _keep(self, planned: PlannedChunk, audio: Signal, info: ChunkInfo) -> None:
        self._model_calls += info.attempts
        for stage, seconds in info.stages_s.items():
            self._watch.move(seconds, source="synthesis", to=stage)
        text = planned.chunk.spoken
        check_sound(audio, text)
        notes = list(info.notes)
        if info.parts:
            notes.append(
                f"a chunk did not end and was made again in {len(info.parts)} parts: {text[:60]!r}"
            )
        self._warnings += [*info.warnings, *notes]
        about = {
            "text": text,
            "seed": planned.seed,
            "take": planned.take,
            "notes": notes,
            "parts": [asdict(part) for part in info.parts],
        }
        with self._watch.stage("store"):
            self._plan.store.put(planned.key, audio, about, info.words)

    def _join(self, joiner: Joiner, planned: PlannedChunk, position: int, audio: Signal) -> None:
        rate = self._plan.engine.sample_rate
        with self._watch.stage("join"):
            start, end = find_edges(audio, sample_rate=rate)
            self._trimmed[position] = start
            trimmed = fade_edges(audio[start:end], sample_rate=rate)
            joiner.add(position, trimmed, pause_ms=planned.chunk.pause_ms)
        self._step(joiner.samples, planned.chunk.spoken)

    def _note_chunks(self, output: PlannedOutput, joined: Joined) -> list[list[ChunkRecord]]:
        """Keep the records of the chunks; returns those of each, several if it was split."""
        rate = self._plan.engine.sample_rate
        groups = []
        for position, (planned, span) in enumerate(zip(output.chunks, joined.spans, strict=True)):
            info = self._infos.get(position, ChunkInfo(attempts=0))
            whole = ChunkRecord(
                index=len(self._pieces),
                key=planned.key,
                text=planned.chunk.text,
                start_s=span.start_samples / rate,
                end_s=span.end_samples / rate,
                pause_ms=planned.chunk.pause_ms,
                seed=planned.seed,
                take=planned.take,
                take_of=planned.take_of,
                attempts=info.attempts,
                cached=not info.attempts and planned.chunk.speakable,
            )
            groups.append(split_record(whole, info.parts, self._trimmed[position], rate))
            self._pieces += groups[-1]
        return groups

    def _words(
        self, output: PlannedOutput, records: Sequence[Sequence[ChunkRecord]]
    ) -> Iterator[Iterator[dict[str, Any]] | None]:
        """The words of each chunk with their places and times, None if a chunk's are not known."""
        rate = self._plan.engine.sample_rate
        for position, (planned, group) in enumerate(zip(output.chunks, records, strict=True)):
            if planned.chunk.speakable:
                words = self._plan.store.words(planned.key)
                trimmed_s = self._trimmed[position] / rate
                if words is None:
                    yield None
                else:
                    yield joined_words(words, planned.chunk.text, group, trimmed_s)


def request_for(
    index: int, text: str, seed: int, voice: Voice, engine: SpeechEngine, params: SpeakParams
) -> ChunkRequest:
    """What an engine needs to speak one chunk; `index` comes back with its audio."""
    language = params.language or engine.languages[0]
    return ChunkRequest(index, text, seed, voice, language, knobs_of(params))


def options_of(engine: SpeechEngine, params: SpeakParams, rows: int) -> dict[str, Any]:
    """The options of `synthesize` that this engine accepts."""
    options = {"rows": rows, "engine_path": params.engine_path}
    return {name: value for name, value in options.items() if name in engine.accepts}


def check_sound(audio: Signal, text: str) -> None:
    """Raise `EngineError` if an engine made only silence of a text: its words would be lost."""
    if peak(audio) < _SILENCE_PEAK:
        raise EngineError(f"the engine made only silence of {text[:60]!r}")


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
            "start_s": min(start_s, chunk.end_s),
            "end_s": chunk.end_s if last else min(end_s, chunk.end_s),
            "pause_ms": chunk.pause_ms if last else 0,
            "attempts": 0 if number else chunk.attempts,
            "split_from": chunk.index,
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
