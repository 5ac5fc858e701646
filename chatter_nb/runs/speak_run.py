"""A speech run in progress: chunks come from the engine or the store, and are joined into files.

Everything is a plain call, chunk by chunk. When a run starts, and what a failure means, is decided
in `lifecycle`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from chatter_nb.audio.join import Joined, Joiner, fade_edges, find_edges, louder
from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import ChatterError
from chatter_nb.engines.base import ChunkInfo, ChunkPart
from chatter_nb.runs.beside import timed, write_texts
from chatter_nb.runs.book_plan import PlannedOutput
from chatter_nb.runs.choosing import (
    Chooser,
    Made,
    Take,
    check_sound,
    chunk_record,
    is_silent,
    moved_parts,
    split_record,
)
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.runs.levels import (
    Level,
    gains_db,
    heard_first,
    in_windows,
    kinds_of,
    level_of,
    speaker_records,
)
from chatter_nb.runs.lifecycle import Run
from chatter_nb.runs.listening import Listening
from chatter_nb.runs.output import OnAudio, Sink
from chatter_nb.runs.record import WORDS, ChapterRecord, ChunkRecord
from chatter_nb.runs.roles import RoleKey, options_of, request_for, role_key
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.runs.subtitles import ESTIMATED
from chatter_nb.runs.words_file import SideFile


class SpeechRun(Run):
    """A speech run in progress."""

    stages = ("load", "voice", "text", "tokens", "synthesis", "watermark", "store", "join", "write")
    _plan: SpeechPlan

    def __init__(self, plan: SpeechPlan, *args: Any, parts: bool = False) -> None:
        super().__init__(plan, *args)
        self._listener: OnAudio | None = None  # of parts; the files have no listener then
        is_alone = len(plan.roles) == 1  # else the level of its voice is not known at once
        if parts and self._on_audio and not self._is_checked and is_alone:
            self._listener, self._on_audio = self._on_audio, None
        self._listening: Listening | None = None
        self._takes: dict[int, Take] = {}  # by position in the current output
        self._chooser = Chooser(plan, self._watch, self._again)
        self._tried: list[str] = []  # keys of takes after the first
        self._checked = Counter(checked=0, made_again=0, doubtful=0)  # chunks
        self._trimmed: dict[int, int] = {}  # samples cut off the front, by position
        self._write: Callable[[], None] = lambda: None
        self._early: dict[str, ChunkInfo] = {}  # of chunks that were made to be measured, by key
        self._gains_db: dict[RoleKey, float] | None = None
        if plan.params.engine_path == "upstream":
            self._rows = 1

    def make(self, output: PlannedOutput, unfinished: ExitStack) -> Sink:
        """Speak, join and write one output."""
        if self._gains_db is None:
            self._gains_db = dict(self._plan.gains_db or self._levelled())
        sink = self._sink(output, unfinished)
        path = self._plan.folder.path / output.name
        names = (WORDS, *(f".{name}" for name in self._plan.params.subtitles))
        files = [SideFile(path.with_name(path.name + name), unfinished) for name in names]
        self._takes, self._trimmed = {}, {}
        if self._listener:
            self._listening = Listening(self._plan, self._listener, self._watch)
        joiner = Joiner(
            sink.write,
            sample_rate=self._plan.engine.sample_rate,
            crossfade_ms=self._plan.params.crossfade_ms,
            chunk_end=sink.chunk_end,
        )
        made = self._made(output)
        for position, take, audio in self._chooser.choose(made) if self._is_checked else made:
            self._takes[position] = take
            self._join(joiner, take.planned, position, audio)
        with self._watch.stage("join"):
            joined = joiner.finish(len(output.chunks))
        if self._listening:
            self._listening.finish()
            self._warnings += self._listening.warnings
        self._close(sink)
        first = len(self._pieces)
        records = self._note_chunks(output, joined)
        self._write = partial(self._write_texts, files, records, self._takes, self._trimmed)
        if sink.tracks:
            from chatter_nb.runs.read_along import write_read_along  # loads FFmpeg: 0.06 s

            book = SideFile(path.with_name(f"{path.name}.epub"), unfinished)
            words = (own for _, own in timed(self._plan, records, self._takes, self._trimmed))
            with self._watch.stage("write"):
                write_read_along(book, self._plan, output, sink.tracks, records, words)
            self._side_files.append(book)
        for title, at in output.chapters:
            chunk = records[at][0]
            chapter = ChapterRecord(title=title, first_chunk=chunk.index, start_s=chunk.start_s)
            self._chapters.append(chapter)
        self._note_output(output, joined.samples, first, joined.seams_samples)
        return sink

    def _close(self, sink: Sink | None) -> None:
        super()._close(sink)
        with self._watch.stage("write"):  # beside the audio that is finished: its times are known
            self._write()

    def make_alone(self) -> tuple[Take, Signal]:
        """Make and check the only chunk of the plan, and keep it; nothing is joined or written."""
        made = self._made(self._plan.outputs[0])
        [(_, take, audio)] = self._chooser.choose(made) if self._is_checked else made
        self._plan.store.settle()
        return take, audio

    def _made(self, output: PlannedOutput) -> Iterator[Made]:
        """Each chunk's take and samples: stored ones in their turn, others as they are made."""
        stored, missing = self._look_up(output)
        given: set[int] = set()
        turn = 0

        def stored_in_turn() -> Iterator[Made]:
            nonlocal turn
            while turn in stored or turn in given:
                if turn in stored:
                    yield turn, *self._from_store(output.chunks[turn])
                turn += 1

        yield from stored_in_turn()
        for window in in_windows(missing, kinds_of(self._plan.roles)):
            for position, audio, info in self._synthesize(output.chunks, window):
                given.add(position)
                yield position, Take(output.chunks[position], info), audio
                yield from stored_in_turn()

    def _levelled(self) -> dict[RoleKey, float]:
        """The gain of each role; the first chunks of each voice are made for it, and kept."""
        plan, levels = self._plan, dict[str, Level | None]()
        for voice, chunks in heard_first(plan).items():
            missing = [at for at, chunk in enumerate(chunks) if plan.store.get(chunk.key) is None]
            for position, _, info in self._synthesize(chunks, missing):
                self._early[chunks[position].key] = info
                self._stop_if_cancelled()
            kept = filter(None, (plan.store.get(chunk.key) for chunk in chunks))
            levels[voice] = level_of((audio for audio, _ in kept), plan.engine.sample_rate)
        return gains_db(plan.roles, levels)

    def _again(self, position: int, planned: PlannedChunk) -> tuple[Take, Signal]:
        """Another take of a chunk, from the store if it is there."""
        self._stop_if_cancelled()
        self._tried.append(planned.key)
        if self._plan.store.get(planned.key) is not None:
            return self._from_store(planned)
        [(_, audio, info)] = self._synthesize({position: planned}, [position])
        return Take(planned, info), audio

    def _synthesize(
        self, chunks: Sequence[PlannedChunk] | Mapping[int, PlannedChunk], positions: Sequence[int]
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        """Speak chunks, and keep each as it comes."""
        plan = self._plan
        requests = [
            request_for(at, c.chunk.spoken, c.seed, plan.role_of(c), plan.engine)
            for at, c in ((at, chunks[at]) for at in positions)
        ]
        options = options_of(plan.engine, plan.params, self._rows)
        if self._listening and plan.engine.speaks_in_parts:
            options["on_part"] = self._listening.part
        for position, audio, info in self._watch.each(
            "synthesis", plan.engine.synthesize(requests, **options)
        ):
            if self._listening:
                self._listening.keep(chunks[position], audio, info)
            self._keep(chunks[position], audio, info)
            yield position, audio, info

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

    def _from_store(self, planned: PlannedChunk) -> tuple[Take, Signal]:
        if not planned.chunk.speakable:
            return Take(planned, ChunkInfo(attempts=0)), np.zeros(0, np.float32)
        with self._watch.stage("store"):
            entry = self._plan.store.get(planned.key, verify=False)  # verified when looked up
        if entry is None:
            raise ChatterError(f"kept chunk {planned.key} vanished during the run: run again")
        audio, about = entry
        parts = tuple(ChunkPart(**part) for part in about.get("parts", ()))
        if early := self._early.pop(planned.key, None):
            return Take(planned, early), audio
        self._warnings += about.get("notes", ())
        return Take(planned, ChunkInfo(attempts=0, parts=parts)), audio

    def _keep(self, planned: PlannedChunk, audio: Signal, info: ChunkInfo) -> None:
        self._model_calls += info.attempts
        for stage, seconds in info.stages_s.items():
            self._watch.move(seconds, source="synthesis", to=stage)
        text = planned.chunk.spoken
        if self._is_checked and is_silent(audio):
            return  # it is never taken: the check asks for another take
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
            self._plan.store.put_behind(planned.key, audio, about, info.words)

    def _join(self, joiner: Joiner, planned: PlannedChunk, position: int, audio: Signal) -> None:
        rate = self._plan.engine.sample_rate
        with self._watch.stage("join"):
            start, end = find_edges(audio, sample_rate=rate)
            self._trimmed[position] = start
            trimmed = fade_edges(audio[start:end], sample_rate=rate)
            trimmed = louder(trimmed, (self._gains_db or {}).get(role_key(planned.chunk), 0.0))
            joiner.add(position, trimmed, pause_ms=planned.chunk.pause_ms)
        if self._listening:
            self._listening.add(position, planned, trimmed)
        self._step(joiner.samples, planned.chunk.spoken)

    def _note_chunks(self, output: PlannedOutput, joined: Joined) -> list[list[ChunkRecord]]:
        """Keep the records of the chunks; returns those of each, several if it was split."""
        rate = self._plan.engine.sample_rate
        streamed = self._listening.streamed if self._listening else set()
        groups = []
        for position, span in enumerate(joined.spans):
            take = self._takes[position]
            trials = self._chooser.trials.pop(position, ())
            self._count(trials, take)
            whole = chunk_record(len(self._pieces), take, trials, span, rate)
            whole = whole.model_copy(update={"streamed": position in streamed})
            groups.append(split_record(whole, moved_parts(take), self._trimmed[position], rate))
            self._pieces += groups[-1]
        return groups

    def _write_texts(
        self, files: Sequence[SideFile], groups: Sequence[Sequence[ChunkRecord]], *chunks: Any
    ) -> None:
        """Write the words and the subtitles of the last output; `chunks` are as of `timed`."""
        pieces = iter(self._pieces[self._outputs[-1].first_chunk :])  # as moved, see `_move`
        moved = [[next(pieces) for _ in group] for group in groups]
        language = self._plan.params.language or self._plan.engine.languages[0]
        known = write_texts(files, partial(timed, self._plan, moved, *chunks), language)
        self._side_files += files if known else files[1:]
        if files[1:] and not known and ESTIMATED not in self._warnings:
            self._warnings.append(ESTIMATED)

    @property
    def _is_checked(self) -> bool:
        return self._plan.checks.is_on

    def _count(self, trials: Sequence[Take], chosen: Take) -> None:
        if chosen.verdict and chosen.verdict.verdict != "unchecked":
            self._checked["checked"] += 1
            self._checked["made_again"] += len(trials) > 1
            self._checked["doubtful"] += chosen.is_doubtful

    def _more(self) -> dict[str, Any]:
        checks = self._plan.checks.record().model_copy(update=self._checked)
        more: dict[str, Any] = {"checks": checks, "unsure": self._plan.unsure}
        if len(self._plan.roles) == 1:
            return more
        speakers = speaker_records(self._plan, self._gains_db or {})
        return {**more, "speakers": speakers}

    def _keys(self) -> tuple[str, ...]:
        return (*super()._keys(), *self._tried)
